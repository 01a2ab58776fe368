"""The engine's state: frozen, changed only by the reducer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from coordinator.commands import StopMode
from coordinator.model import ACTIVE, BASE, COMPLETED, PERSON, Exit, Prd, PrdState, Progress, Run, StoryView

#: Mark of a queued or completed PRD while its folder, or a new one of its name, is being copied in.
ARRIVING_AGAIN = "arriving again"
#: Marks of a PRD whose folder changed, or went, after its run had started; and of work no gate looked at.
EDITED, SOURCE_GONE, UNGATED = "edited since its start", "source gone", "ungated"
#: Mark of a running PRD that shows no sign of progress.
HUNG = "hung"


@dataclass(frozen=True)
class Record:
    """All the engine knows of one PRD. Times are seconds since the epoch."""

    prd_id: str
    folder: str
    state: PrdState
    prd: Prd | None = None  # as admitted last; None until the folder was seen in this session
    data: bytes = b""  # prd.json as admitted last
    arrival: float = 0.0
    since: float = 0.0  # when it came into `state`
    reason: str = ""
    run: Run | None = None  # the newest one
    slot: int = 0  # 1-based while it holds one
    pid: int = 0
    started_at: float = 0.0
    exit: Exit | None = None
    ended_at: float = 0.0
    setting_up: bool = False  # its start has come to the set-up commands
    swept: bool = False
    verified: bool = False  # a verdict is there: the slot is free again
    gates_held: str = (
        ""  # its verification waits, because a gate lies outside its worktree: which one, and where
    )
    slot_freed: bool = False  # no process of the run will start any more: its slot is free before the verdict
    wanted: str = ""  # "command" or "shutdown" once a stop was asked for
    progress: Progress = Progress()
    current_story: str = ""
    stories: tuple[StoryView, ...] = ()  # as the newest run left or leaves them
    wish: int = 0  # the number of the last pause or continuation of this run
    paused_by: str = (
        PERSON  # who wished for the last pause: PERSON, or the kind of hold that made it necessary
    )
    insisted: bool = False  # it runs on although the disk is nearly full, because a person said so
    paused_at: float = 0.0
    paused_seconds: float = 0.0  # in the newest run's pauses that are over, and in jumps of the clock
    retries: int = 0  # automatic ones used since a person last queued it
    lost_before: bool = False
    fresh: bool = False
    not_before: float = 0.0
    waiting_for: tuple[str, ...] = ()
    hung: str = ""  # since when nothing of the run has moved, one sentence; see `shown_marks`
    marks: frozenset[str] = frozenset()

    @property
    def shown_marks(self) -> frozenset[str]:
        """`marks`, and whether it hangs, which only a running PRD can."""
        return self.marks | {HUNG} if self.hung and self.state is PrdState.RUNNING else self.marks

    @property
    def priority(self) -> float:
        """Lower first; a PRD without one comes after every PRD that has one."""
        if self.prd is None or self.prd.priority is None:
            return float("inf")
        return self.prd.priority

    @property
    def holds_slot(self) -> bool:
        return self.state in ACTIVE and not (self.verified or self.slot_freed)

    @property
    def generation(self) -> int:
        return self.run.generation if self.run else 0


#: Stands for the check of the base among the names of PRDs; none can have this one.
BASE_CHECK = "~base"


class BaseStatus(StrEnum):
    UNKNOWN = "unknown"  # looked into before the next start
    CHECKING = "checking"
    GREEN = "green"
    RED = "red"


@dataclass(frozen=True)
class Base:
    """Whether the gates of the settings pass on the base, before anybody has worked on it."""

    settings: str = ""  # a digest of the gates and of what their worktree is made with; "": there is no gate
    status: BaseStatus = BaseStatus.UNKNOWN
    command: str = ""  # the one that runs
    outdated: bool = False  # what is under way was begun with other settings, or was given up
    kind: str = BASE  # of the hold that a red result places
    why: str = ""  # one sentence
    key: str = ""  # what was found red: base and settings
    looking: bool = False  # whether that is still the same is being looked at

    @property
    def under_way(self) -> bool:
        """Whether a word about the base will come."""
        return self.status is BaseStatus.CHECKING or self.looking


@dataclass(frozen=True)
class Shortage:
    """What there is too little of, one sentence each. `starving`: so little disk that running PRDs pause."""

    disk: str = ""
    memory: str = ""
    starving: bool = False


@dataclass(frozen=True)
class OpenDrop:
    """A command to give PRDs up: those it still waits for, and what is to be answered."""

    left: frozenset[str]
    said: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class EngineState:
    max_prds: int = 3
    max_retries: int = 0
    stop_grace: float = 30.0
    records: Mapping[str, Record] = field(default_factory=dict)
    holds: Mapping[str, str] = field(default_factory=dict)  # kind → sentence
    only: frozenset[str] | None = None  # the named PRDs, which alone may start in this session
    ending: StopMode | None = None
    looked: bool = False  # the first look at the folders is over
    left_over: frozenset[str] = (
        frozenset()
    )  # PRDs of an earlier session; whether they go on is for a person to say
    hold_first: bool = False  # whether the first look finds what has to wait for a person is not known yet
    dependencies: Mapping[str, bool] = field(default_factory=dict)  # completed PRD → its work is on the base
    base: Base = field(default_factory=Base)
    shortage: Shortage | None = None  # None: nobody has looked yet
    protected_at: float = 0.0  # when it was last looked whether what is in the way still is
    contained: frozenset[tuple[str, str]] = frozenset()
    observed_at: float = 0.0  # when it was last asked where completed dependencies stand
    open_stops: Mapping[str, frozenset[str]] = field(
        default_factory=dict
    )  # command id → PRDs not stopped yet, BASE_CHECK among them
    drops: Mapping[str, bool] = field(default_factory=dict)  # PRDs being given up → whether that is under way
    open_drops: Mapping[str, OpenDrop] = field(default_factory=dict)  # by command id
    tidied_at: float = 0.0  # when it was last looked whether worktrees are to go
    open_pauses: Mapping[str, frozenset[str]] = field(default_factory=dict)  # command id → PRDs to be paused

    def with_record(self, record: Record) -> EngineState:
        return replace(self, records={**self.records, record.prd_id: record})

    def without_record(self, prd_id: str) -> EngineState:
        return replace(self, records={key: value for key, value in self.records.items() if key != prd_id})


def slots_used(state: EngineState) -> int:
    return sum(record.holds_slot for record in state.records.values())


def at_work(state: EngineState) -> int:
    """Runs that hold a slot and do not wait for a person."""
    return sum(record.holds_slot and not record.gates_held for record in state.records.values())


def is_done(record: Record) -> bool:
    return record.state in COMPLETED
