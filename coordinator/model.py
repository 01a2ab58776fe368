"""What the engine knows, as frozen values. Nothing here does anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PrdState(StrEnum):
    """The states a PRD can be in; the values are the words people see."""

    ARRIVING = "arriving"
    INVALID = "invalid"
    NOTHING_LEFT = "nothing left"  # every story passed before anything ran: a row, not a job
    QUEUED = "queued"
    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    WAITING = "waiting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    MERGING = "merging"
    MERGED = "merged"
    CONFLICT = "conflict"
    FAILED = "failed"
    LOST = "lost"
    DROPPED = "dropped"


#: Registry list in which entries of a state live. Arriving and invalid ones are not stored.
ACTIVE = frozenset(
    {
        PrdState.STARTING,
        PrdState.RUNNING,
        PrdState.PAUSING,
        PrdState.PAUSED,
        PrdState.WAITING,
        PrdState.STOPPING,
        PrdState.VERIFYING,
        PrdState.MERGING,
    }
)
QUEUED = frozenset({PrdState.QUEUED, PrdState.BLOCKED})
COMPLETED = frozenset({PrdState.COMPLETED, PrdState.MERGED})
FAILED = frozenset({PrdState.FAILED, PrdState.STOPPED, PrdState.LOST, PrdState.CONFLICT})

#: Kinds of holds. Nothing new starts while there is any.
PERSON = "person"  # a person placed it; it survives a restart
FIRST = "first"  # the first start in this repository: a person has to say that work may begin
RESUME = "resume"  # the last session left work, and a person has to say whether it goes on
WORKER = "worker"  # the worker command cannot be started; judged anew at each start
SETUP = "setup"  # a worktree could not be set up; judged anew at each start
ACCOUNT = "account"  # an agent is not logged in, has no credit or is refused by its API
APPROVAL = "approval"  # the tracked settings changed: only a person's approval lifts it
BASE = "base"  # the gates do not pass on the base; looked at again when it moves, the settings change, or on release
OUTSIDE = "outside"  # a gate's program lies in another checkout; looked at again like the base
DISK = "disk"  # too little room on a disk; lifts by itself
MEMORY = "memory"  # too little memory; lifts by itself
#: Holds that a person's release does not lift: what they say is so until the world changes.
STANDING_HOLDS = frozenset({APPROVAL, DISK, MEMORY})
#: Holds that need nobody: the queue goes on by itself when there is room again.
PASSING_HOLDS = frozenset({DISK, MEMORY})


@dataclass(frozen=True)
class Problem:
    """Something wrong in a PRD file: where, what, and how to mend it. `line` counts from 1; 0: no line."""

    line: int
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.message} — {self.mend}" if self.mend else self.message


@dataclass(frozen=True)
class Story:
    id: str
    title: str
    passes: bool
    description: str = ""
    acceptance: tuple[str, ...] = ()
    priority: float | None = None  # lower first; None: by position
    depends_on: tuple[str, ...] = ()
    notes: str = ""
    verify: tuple[str, ...] = ()  # commands, each run by `sh -c`


@dataclass(frozen=True)
class Prd:
    """One prd.json, read and normalised."""

    project: str
    title: str
    description: str
    branch_name: str | None
    priority: float | None  # lower first; None: by arrival
    depends_on: tuple[str, ...]
    verify: tuple[str, ...]
    stories: tuple[Story, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Progress:
    completed: int = 0
    total: int = 0


@dataclass(frozen=True)
class Exit:
    """How a process ended. `code` is 128+n after signal n. `ended_at`: seconds since the epoch."""

    code: int
    signal: int | None
    ended_at: float
    cannot_start: str = ""  # why the command could not be started at all; empty if it was
    timed_out: bool = False


@dataclass(frozen=True)
class Run:
    """One attempt at one PRD. Paths are absolute; `base_commit` is a full object id."""

    prd_id: str
    run_id: str
    generation: int  # 1 for the first run of this PRD, then counting up
    worktree: str
    branch: str
    branch_asked: str  # what prd.json asked for; differs from `branch` after a conflict
    base_branch: str
    base_commit: str
    run_dir: str
    log: str


class StoryState(StrEnum):
    """How far one story is; the values are the words people see."""

    OPEN = "open"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # given up after its last attempt


@dataclass(frozen=True)
class StoryView:
    """One story of a PRD, as a front end sees it. What a worker does not tell is 0 or empty."""

    id: str
    title: str
    state: StoryState = StoryState.OPEN
    attempt: int = 0  # the one under way, or the last one
    max_attempts: int = 0
    started_at: float = 0.0  # seconds since the epoch: when its first attempt of this run began
    seconds: float = 0.0  # how long it took; 0 while it is not over
    commit: str = ""  # abbreviated object id
    note: str = ""  # one sentence: why its last attempt failed


@dataclass(frozen=True)
class PrdView:
    """One row, as a front end sees it. Moments are seconds since the epoch, 0 where there is none.

    The time a run has worked is what lies between `started_at` and `paused_at`, `ended_at` or now, whichever
    is there first, less `paused_seconds`.
    """

    prd_id: str
    state: PrdState
    title: str = ""
    priority: float = 0.0
    position: int = 0  # 1-based place in the queue; 0: not queued
    progress: Progress = Progress()
    current_story: str = ""
    reason: str = ""  # one sentence: why it is in this state
    branch: str = ""
    branch_asked: str = ""
    worktree: str = ""
    run_id: str = ""
    since: float = 0.0  # when it came into its state
    slot: int = 0  # 1-based; 0: it holds none
    pid: int = 0
    queued_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    paused_at: float = 0.0  # when the present pause began
    paused_seconds: float = 0.0  # in pauses of this run that are over, and while the machine slept
    exit_code: int | None = None
    exit_signal: int | None = None
    waiting_for: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()  # see state.py
    stories: tuple[StoryView, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueueView:
    """`holds`: why nothing new starts, a sentence each; empty when the queue runs.

    `hold_kinds`: the kind of each of them, in the same order. `checking`: what the queue looks into before it
    starts anything, one phrase; empty when it does not.
    """

    order: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    slots_used: int = 0
    slots: int = 0
    hold_kinds: tuple[str, ...] = ()
    checking: str = ""


@dataclass(frozen=True)
class EngineSnapshot:
    """All a front end needs, immutable; `version` grows with every change."""

    version: int = 0
    prds: tuple[PrdView, ...] = ()
    queue: QueueView = field(default_factory=QueueView)
    owner_pid: int = 0
    faults: tuple[str, ...] = ()  # what is wrong with the engine itself, a sentence each
    exhausted: bool = False  # nothing runs, arrives or could still start by itself
    repository: str = ""  # the name of its folder
    branch: str = ""  # the branch that work starts from; empty where the checkout is on none

    def prd(self, prd_id: str) -> PrdView | None:
        return next((view for view in self.prds if view.prd_id == prd_id), None)
