"""What the engine wants done in the world. Frozen; `performer.py` carries them out."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.commands import Answer
from coordinator.events import Verdict
from coordinator.model import PERSON, Exit, Prd, PrdState, Run


@dataclass(frozen=True)
class StartRun:
    """Prepare a worktree and start the worker. `base_on`: branch of the dependency it stands on, or ""."""

    prd_id: str
    prd: Prd
    data: bytes
    folder: str
    arrival: float
    slot: int
    base_on: str
    reserved: frozenset[str]  # branches that other PRDs use or ask for
    previous: Run | None
    fresh: bool


@dataclass(frozen=True)
class WatchRun:
    """Report the exit and the sweep of a run that lives or has ended."""

    run: Run


@dataclass(frozen=True)
class EndRun:
    """Stop every process of the run. `by`: "command", "drop", or "shutdown", which the next start resumes."""

    run: Run
    by: str
    grace: float


@dataclass(frozen=True)
class PauseRun:
    """Stop every process of the run where it is. `wish` counts pauses and continuations of a run up.

    `by`: who wished for it, PERSON or the kind of hold that made it necessary.

    The answer is `RunPaused` or `PauseFailed`. Of two wishes for a run the one with the higher number holds,
    in whatever order they are carried out.
    """

    run: Run
    wish: int
    by: str = PERSON


@dataclass(frozen=True)
class ContinueRun:
    """Let every process of a paused run go on. `wish`: see `PauseRun`."""

    run: Run
    wish: int


@dataclass(frozen=True)
class VerifyRun:
    run: Run
    exit: Exit | None


@dataclass(frozen=True)
class CompleteRun:
    run: Run
    verdict: Verdict


@dataclass(frozen=True)
class DropPrd:
    """Give up a PRD at rest. `run`: its newest one."""

    prd_id: str
    run: Run | None
    completed: bool


@dataclass(frozen=True)
class Standing:
    """Where a PRD stands. `ended_at`: seconds since the epoch, 0 where it has not ended."""

    prd_id: str
    state: PrdState
    run: Run | None
    ended_at: float


@dataclass(frozen=True)
class TidyWorktrees:
    """Take down the worktrees of ended PRDs that the settings say are to go."""

    ended: tuple[Standing, ...]


@dataclass(frozen=True)
class CleanRepository:
    """Remove what is provably no longer needed, and answer with `CleanedUp`. `standings`: every PRD's."""

    command_id: str
    dry_run: bool
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class ObserveDependencies:
    """`branches`: the branch of each completed PRD that a queued one depends on ("" where it has none)."""

    branches: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CheckBase:
    """Try the gates of the settings on the base. `unless`: only if the base or the settings are no longer these."""

    unless: str = ""


@dataclass(frozen=True)
class EndBaseCheck:
    """Give up the check that is under way."""


@dataclass(frozen=True)
class ClearBase:
    """Remove what a check left that was cut off by a crash."""


@dataclass(frozen=True)
class LookAtGates:
    """Look whether the gates of an ended run still lie in another checkout."""

    run: Run


@dataclass(frozen=True)
class LookAtFolders:
    pass


@dataclass(frozen=True)
class AnswerCommand:
    answer: Answer


Effect = (
    StartRun
    | WatchRun
    | EndRun
    | PauseRun
    | ContinueRun
    | VerifyRun
    | CompleteRun
    | DropPrd
    | TidyWorktrees
    | CleanRepository
    | ObserveDependencies
    | CheckBase
    | EndBaseCheck
    | ClearBase
    | LookAtGates
    | LookAtFolders
    | AnswerCommand
)
