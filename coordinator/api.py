"""The only door for a front end: what an engine can be asked, and how one is opened."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from coordinator.commands import (
    Answer,
    CleanUp,
    Command,
    CommandId,
    DropPrds,
    PausePrds,
    Rejected,
    StopMode,
    StopPrds,
)
from coordinator.config import VARIABLES as SETTING_VARIABLES
from coordinator.errors import ConfigError, OwnedElsewhere, PrdTuiError
from coordinator.git import Git, discover
from coordinator.model import EngineSnapshot, PrdState
from coordinator.paths import Paths
from coordinator.prd_folders import Checked, check, put_in
from coordinator.settings_desk import SettingsDesk
from coordinator.survey import (
    Choice,
    FoundPrd,
    Survey,
    check_agent,
    choose_base,
    choose_worker,
    complete_command,
    make_prd_folder,
    survey,
)

__all__ = [
    "SETTING_VARIABLES",
    "Answer",
    "Checked",
    "Choice",
    "EngineApi",
    "EventPage",
    "FoundPrd",
    "Happened",
    "LogChunk",
    "OwnedElsewhere",
    "Paths",
    "PrdTuiError",
    "SettingsDesk",
    "Survey",
    "check",
    "check_agent",
    "choose_base",
    "choose_worker",
    "complete_command",
    "deinit",
    "discover",
    "give_command",
    "make_demo",
    "make_prd_folder",
    "open_engine",
    "put_in",
    "read_owner_pid",
    "require_ready",
    "run_worker",
    "settings_desk",
    "survey",
    "worker_prompt",
]


@dataclass(frozen=True)
class Happened:
    """One line of history. `seq` counts from 1 in this session; `at`: seconds since the epoch."""

    seq: int
    at: float
    prd_id: str  # empty for what concerns the engine itself
    state: PrdState | None
    text: str
    refused: bool = False  # the answer to a command given through this door: it was not carried out
    alarming: bool = False  # a person may want to do something about it


@dataclass(frozen=True)
class EventPage:
    """`gap`: older events had left the ring before they were read."""

    events: tuple[Happened, ...]
    next_seq: int
    gap: bool


@dataclass(frozen=True)
class LogChunk:
    """`data` begins at byte `offset` of a log that is `size` bytes long now."""

    offset: int
    data: bytes
    size: int


class EngineApi(Protocol):
    def start(self) -> None:
        """Takes the repository, recovers what was left, begins. Raises OwnedElsewhere, PrdTuiError."""
        ...

    def snapshot(self) -> EngineSnapshot:
        """The present state; any thread, O(1)."""
        ...

    def events_after(self, seq: int, limit: int) -> EventPage:
        """Up to `limit` events with a number above `seq`, oldest first."""
        ...

    def read_log(self, prd_id: str, offset: int, max_bytes: int) -> LogChunk:
        """A part of a worker's log; a negative offset counts from its end. Empty where there is no log to read."""
        ...

    def submit(self, command: Command) -> CommandId:
        """Never blocks; the answer comes as an event and, for other processes, in the drop box."""
        ...

    def request_stop(self, mode: StopMode) -> None:
        """Safe in a signal handler."""
        ...

    def join(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for the engine's end."""
        ...

    def is_idle(self) -> bool:
        """No event waits, no effect is in flight, everything is recorded."""
        ...

    def alive_at(self) -> float:
        """When the engine last went round (`time.monotonic()`), which it does once a second and more often.

        A snapshot shown long after that is stale: the machine, or the engine, stands still.
        """
        ...


def open_engine(
    paths: Paths,
    *,
    overrides: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
    hold_first: bool = False,
    ask_to_resume: bool = False,
) -> EngineApi:
    """An engine for a repository, not started yet.

    `overrides`: settings of the command line by dotted key. `only`: the PRDs that alone may start in this
    session; ended ones among them are tried again. `hold_first`: where nothing ever ran and no PRDs are named,
    what the first look finds waits for ReleaseQueue. `ask_to_resume`: what an earlier session left
    waits for ReleaseQueue, or stays for HoldQueue, under the hold RESUME; not where PRDs are named, or a person
    holds the queue anyway. Raises ConfigError when the settings cannot be used.
    """
    from coordinator.engine import Engine

    return Engine(
        paths, overrides=overrides or {}, only=only, hold_first=hold_first, ask_to_resume=ask_to_resume
    )


def read_owner_pid(paths: Paths) -> int | None:
    """The process of the living coordinator that owns the repository; a command that holds it does not count."""
    from coordinator.locks import read_owner

    owner = read_owner(paths.locks / "coordinator.lock")
    return None if owner is None or owner.kind == "command" else owner.pid


def require_ready(paths: Paths, overrides: Mapping[str, Any] | None = None) -> None:
    """Raises PrdTuiError when nothing says what is to do the work, or there is no branch to start it from.

    `overrides`: as for `open_engine`.
    """
    from coordinator import branches, config
    from coordinator.worker_command import worker_words

    git = Git(paths)
    settings = config.load(paths, git, overrides).settings
    worker_words(settings)
    branches.base(git, settings.coordinator.base_branch)


def run_worker(prd_json: Path, agent: str | None = None) -> int:
    """The built-in loop, in this process: works through a PRD in its run's worktree; the exit code.

    `agent`: in the place of the one in the settings. Raises PrdTuiError.
    """
    from coordinator.loop.worker import run_worker

    return run_worker(prd_json, agent)


def worker_prompt(prd_json: Path) -> str:
    """What the built-in loop would ask for the next story; empty when all pass. Raises PrdTuiError."""
    from coordinator.loop.worker import prompt_of

    return prompt_of(prd_json)


def make_demo(pace: float) -> Paths:
    """A throw-away repository with PRDs and an agent that takes `pace` seconds for a line of its log.

    Raises PrdTuiError.
    """
    from coordinator.demo import repository

    return repository.make_demo(pace)


def settings_desk(paths: Paths) -> SettingsDesk:
    return SettingsDesk(paths, Git(paths))


#: Seconds that taking worktrees down may take, with the commands that a person has for it.
TAKE_DOWN = 600.0


def give_command(paths: Paths, command: Command, *, answer_timeout: float) -> Answer:
    """Hands a command to the owner and waits until it is done; without an owner carries it out here.

    `answer_timeout`: seconds the owner has for its first answer; a stop may then take its grace and more.
    Raises PrdTuiError when the owner does not answer.
    """
    from coordinator import config, unattended
    from coordinator.dropbox import DropBox
    from coordinator.locks import read_owner

    try:
        settings = config.load(paths, Git(paths), refuse_unapproved=False).settings
    except ConfigError:  # of which `run` and `config` tell: a worker can be stopped all the same
        settings = config.Settings()
    grace = float(settings.coordinator.stop_grace)
    lock = paths.locks / "coordinator.lock"
    owner = read_owner(lock)
    if owner is None or owner.kind == "command":
        return unattended.execute(paths, command, grace=grace)
    box = DropBox(paths.commands)
    command_id = box.send(command)
    accepted: Answer | None = None
    deadline = time.monotonic() + answer_timeout
    while time.monotonic() < deadline:
        answer = box.answer_of(command_id)
        if isinstance(answer, Rejected) or (answer is not None and answer.done):
            box.forget(command_id)
            return answer
        if answer is not None and accepted is None:
            accepted = answer
            deadline = time.monotonic() + _patience(command, grace, answer_timeout)
        if read_owner(lock) is None and box.withdraw(command_id, taken=True):
            box.forget(command_id)
            return unattended.execute(paths, command, grace=grace)
        time.sleep(0.02)
    if accepted is not None:
        raise PrdTuiError(
            "The coordinator took the command and is still at it: prd-tui status shows how far."
        )
    box.withdraw(command_id)
    raise PrdTuiError(
        f"The coordinator (process {owner.pid}) does not answer: see .claude-loop/coordinator/coordinator.log."
    )


def deinit(paths: Paths, *, dry_run: bool) -> list[str]:
    """Takes prd-tui out of a repository, or tells what would go; a line for each thing. Raises PrdTuiError."""
    from coordinator import deinit

    return deinit.deinit(paths, dry_run=dry_run)


def _patience(command: Command, grace: float, answer_timeout: float) -> float:
    """Seconds in which a command that was taken has to be done."""
    if isinstance(command, StopPrds):
        return grace + 30.0
    if isinstance(command, DropPrds | CleanUp):
        return grace + TAKE_DOWN
    return 30.0 if isinstance(command, PausePrds) else answer_timeout
