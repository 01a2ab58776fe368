"""What is wanted: imperative, frozen, and able to travel as JSON through the drop box."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NewType

CommandId = NewType("CommandId", str)


class StopMode(StrEnum):
    """How the engine ends."""

    DETACH = "detach"  # now; workers go on
    DRAIN = "drain"  # start none, end when the running ones have
    TERM = "term"  # stop every run, then end
    KILL = "kill"  # the same, at once


@dataclass(frozen=True)
class StopPrds:
    """Stops the named PRDs, or every one and holds the queue. `kill`: without grace."""

    prd_ids: tuple[str, ...] = ()
    everything: bool = False
    kill: bool = False


@dataclass(frozen=True)
class RetryPrds:
    """Queues ended PRDs again in their worktrees. `fresh`: on a new branch, keeping the old one."""

    prd_ids: tuple[str, ...]
    fresh: bool = False


@dataclass(frozen=True)
class DropPrds:
    """Gives PRDs up: stops them, keeps their work on refs, moves their folders to prds/dropped."""

    prd_ids: tuple[str, ...]


@dataclass(frozen=True)
class CleanUp:
    """Removes what is provably no longer needed. `dry_run`: only tells what that is."""

    dry_run: bool = False


@dataclass(frozen=True)
class PausePrds:
    """Stops every process of the named PRDs' runs, or of every run, where it is."""

    prd_ids: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True)
class ResumePrds:
    """Lets the processes of the named paused runs, or of every one, go on."""

    prd_ids: tuple[str, ...] = ()
    everything: bool = False


@dataclass(frozen=True)
class HoldQueue:
    pass


@dataclass(frozen=True)
class ReleaseQueue:
    pass


@dataclass(frozen=True)
class LookAgain:
    pass


Command = (
    StopPrds | RetryPrds | DropPrds | PausePrds | ResumePrds | HoldQueue | ReleaseQueue | LookAgain | CleanUp
)

_NAMES: dict[str, type[Command]] = {
    "stop": StopPrds,
    "retry": RetryPrds,
    "drop": DropPrds,
    "pause": PausePrds,
    "resume": ResumePrds,
    "hold": HoldQueue,
    "release": ReleaseQueue,
    "look": LookAgain,
    "clean": CleanUp,
}


def to_dict(command: Command) -> dict[str, Any]:
    name = next(name for name, kind in _NAMES.items() if isinstance(command, kind))
    fields = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(command).items()
    }
    return {"command": name, **fields}


def from_dict(document: Any) -> Command:
    """Raises ValueError when the document is no command."""
    if not isinstance(document, dict) or document.get("command") not in _NAMES:
        raise ValueError("not a command")
    kind = _NAMES[document["command"]]
    fields = {key: value for key, value in document.items() if key != "command"}
    if "prd_ids" in fields:
        ids = fields["prd_ids"]
        if not isinstance(ids, list) or not all(isinstance(prd_id, str) for prd_id in ids):
            raise ValueError("prd_ids is not a list of strings")
        fields["prd_ids"] = tuple(ids)
    for flag in ("everything", "kill", "fresh", "dry_run"):
        if flag in fields and not isinstance(fields[flag], bool):
            raise ValueError(f"{flag} is not a boolean")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True)
class Accepted:
    """`done`: whatever the command asked for has come about. `message`: what changed, one sentence."""

    command_id: CommandId
    message: str
    done: bool


@dataclass(frozen=True)
class Rejected:
    command_id: CommandId
    reason: str


Answer = Accepted | Rejected
