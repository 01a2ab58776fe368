"""What happened: the only things that change the engine's state. Past tense, frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coordinator.commands import Command, StopMode
from coordinator.model import BASE, WORKER, Exit, Prd, Progress, Run, StoryView


@dataclass(frozen=True)
class PrdEvent:
    prd_id: str


# -- folders ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FolderArriving(PrdEvent):
    """A folder is there and not still yet."""


@dataclass(frozen=True)
class FolderAdmitted(PrdEvent):
    """The folder is whole and valid. `data` is its prd.json as read; `arrived_at` seconds since the epoch."""

    prd: Prd
    data: bytes
    arrived_at: float


@dataclass(frozen=True)
class FolderRefused(PrdEvent):
    """The folder is still and its prd.json (or its name) cannot be used."""

    reason: str


@dataclass(frozen=True)
class FolderVanished(PrdEvent):
    pass


# -- runs ------------------------------------------------------------------------------------------------


class Refusal(StrEnum):
    """Why a run did not start, by what follows from it."""

    HOLD = "hold"  # nothing of the kind can start: the queue holds, the PRD keeps its place
    FAIL = "fail"  # this PRD cannot start
    LATER = "later"  # the machine is short of something: tried again soon, which is no failure
    CANCELLED = "cancelled"  # a stop came first


@dataclass(frozen=True)
class RunEvent(PrdEvent):
    run_id: str


@dataclass(frozen=True)
class RunPrepared(PrdEvent):
    """The run is recorded: its intent is on disk."""

    run: Run


@dataclass(frozen=True)
class SetUpBegun(RunEvent):
    """A set-up command runs in the run's worktree."""

    command: str


@dataclass(frozen=True)
class StartRefused(PrdEvent):
    """`hold`: the kind of hold that a refusal of kind HOLD places."""

    kind: Refusal
    reason: str
    hold: str = WORKER


@dataclass(frozen=True)
class WorkerStarted(RunEvent):
    pid: int
    started_at: float


@dataclass(frozen=True)
class WorkerExited(RunEvent):
    """`exit` is None when the worker is gone and no exit was recorded."""

    exit: Exit | None


@dataclass(frozen=True)
class RunSwept(RunEvent):
    """No process of the run is left, but for `survivors`, which may not be signalled."""

    survivors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProgressMade(RunEvent):
    progress: Progress
    current_story: str
    stories: tuple[StoryView, ...] = ()


@dataclass(frozen=True)
class RunHung(RunEvent):
    """No sign of progress for `limit` seconds."""

    limit: float


@dataclass(frozen=True)
class RunRevived(RunEvent):
    """A sign of progress came after all."""


@dataclass(frozen=True)
class WaitBegan(RunEvent):
    """The worker waits for something that is nobody's failure: a limit to be lifted, an answer to a question."""

    reason: str


@dataclass(frozen=True)
class WaitEnded(RunEvent):
    """The worker goes on."""


@dataclass(frozen=True)
class RunPaused(RunEvent):
    """Every process of the run stands still. `wish`: which of the run's wishes this answers."""

    wish: int


@dataclass(frozen=True)
class PauseFailed(RunEvent):
    """The run could not be stopped whole, and goes on. `wish`: as in `RunPaused`."""

    wish: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What verification found. `reason`: one sentence. `ungated`: no gate looked at it."""

    ok: bool
    reason: str
    progress: Progress = Progress()
    ungated: bool = False


@dataclass(frozen=True)
class SlotFreed(RunEvent):
    """The worker's tree has ended and there is no gate to run: judging alone needs no slot."""


@dataclass(frozen=True)
class GatesOutside(RunEvent):
    """The run cannot be judged now: a gate's program lies in another checkout, and would test the wrong code."""

    reason: str


@dataclass(frozen=True)
class GatesInside(RunEvent):
    """No gate of the run lies in another checkout, or any more."""


@dataclass(frozen=True)
class RunVerified(RunEvent):
    verdict: Verdict


@dataclass(frozen=True)
class RunCompleted(RunEvent):
    """Every completion step is done."""

    completed_at: float


@dataclass(frozen=True)
class CompletionDelayed(RunEvent):
    """A completion step failed and is tried again."""

    reason: str


@dataclass(frozen=True)
class PrdDropped(PrdEvent):
    """Every step of giving it up is done. `message`: what became of its work, a sentence."""

    message: str


@dataclass(frozen=True)
class DropRefused(PrdEvent):
    """It could not be given up: nothing of it is lost, and it stays."""

    reason: str


# -- the engine itself -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstLookTaken:
    """Every folder that was there at the start has been reported."""


@dataclass(frozen=True)
class DependenciesObserved:
    """`merged`: completed PRDs whose work is on the base. `contained`: (a, b) where b's branch holds a's.

    `known`: every PRD looked at; one that is in `known` and not in `merged` still waits on its own branch.
    """

    known: frozenset[str]
    merged: frozenset[str]
    contained: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class HoldPlaced:
    kind: str
    reason: str


@dataclass(frozen=True)
class HoldLifted:
    kind: str


@dataclass(frozen=True)
class SettingsChanged:
    """`base`: see `Base.settings`."""

    max_prds: int
    max_retries: int
    stop_grace: float
    base: str = ""


@dataclass(frozen=True)
class BaseCheckBegun:
    """One of the gates, or a set-up command, runs on the base."""

    command: str


@dataclass(frozen=True)
class BaseChecked:
    """`reason`: why nothing may start, one sentence; empty when the gates pass. `hold`: the kind of hold it places.

    `key`: what was looked at; `given_up`: it was ended before it could tell anything.
    """

    reason: str = ""
    hold: str = BASE
    key: str = ""
    given_up: bool = False


@dataclass(frozen=True)
class BaseUnchanged:
    """What was found red is still the same."""


@dataclass(frozen=True)
class RoomMeasured:
    """What there is too little of, one sentence each. `starving`: so little disk that running PRDs have to pause."""

    disk: str = ""
    memory: str = ""
    starving: bool = False


@dataclass(frozen=True)
class CommandReceived:
    command_id: str
    command: Command


@dataclass(frozen=True)
class CleanedUp:
    """`report`: what was done and what was left, a line each. `failure`: why it could not be done at all."""

    command_id: str
    report: str
    failure: str = ""


@dataclass(frozen=True)
class StopRequested:
    """The engine is asked to end."""

    mode: StopMode


@dataclass(frozen=True)
class TimePassed:
    """Once a second: what waits for a moment is looked at again."""


@dataclass(frozen=True)
class ClockJumped:
    """The wall clock went `seconds` further than time did: the machine slept, or somebody set it (below 0: back)."""

    seconds: float


@dataclass(frozen=True)
class EffectFailed:
    """An effect ended with an error nobody foresaw; `prd_id` is empty when it belongs to no PRD."""

    prd_id: str
    reason: str


EngineEvent = (
    FirstLookTaken
    | DependenciesObserved
    | HoldPlaced
    | HoldLifted
    | SettingsChanged
    | BaseCheckBegun
    | BaseChecked
    | BaseUnchanged
    | RoomMeasured
    | CommandReceived
    | CleanedUp
    | StopRequested
    | TimePassed
    | ClockJumped
    | EffectFailed
)
Event = PrdEvent | EngineEvent
