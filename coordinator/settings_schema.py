"""Every setting, once: its type, default, explanation, and whether it can make prd-tui run a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from coordinator.setting_kinds import (
    AMOUNT,
    BOOLEAN,
    COMMANDS,
    ENVIRONMENT,
    FILES,
    PATH,
    TABLE,
    TEXT,
    WORDS,
    Amount,
    Kind,
    choice,
    number,
    seconds,
    whole,
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def _never(_value: Any) -> bool:
    return False


def _names_command(value: Any) -> bool:
    """Whether a table, at any depth, has a key that is a command line."""
    if isinstance(value, Mapping):
        return any(key in ("command", "run") or _names_command(inner) for key, inner in value.items())
    return isinstance(value, list | tuple) and any(map(_names_command, value))


def _setting(default: Any, kind: Kind, help: str, *, runs: Callable[[Any], bool] = _never) -> Any:
    """A field whose default is written as a person would write it, and that carries its explanation.

    `runs` tells of a value whether it makes prd-tui run a command; `bool`: any that is not empty does.
    """
    value = kind.read(default)
    return field(default_factory=lambda: value, metadata={"kind": kind, "help": help, "runs": runs})


@dataclass(frozen=True)
class CoordinatorSettings:
    max_prds: int = _setting(3, whole(1, 1000), "PRDs at once")
    api_limit: int = _setting(10, whole(1, 1000), "agent calls in flight over all workers")
    base_branch: str = _setting("", TEXT, "branch that work starts from; empty: the main checkout's branch")
    on_quit: str = _setting(
        "ask", choice("ask", "leave", "stop"), "what leaving the dashboard does to running work"
    )
    auto_merge: bool = _setting(False, BOOLEAN, "merge completed, gated PRDs without being asked")
    merge_style: str = _setting("merge", choice("merge", "squash", "pr"), "how a completed PRD lands")
    max_retries: int = _setting(0, whole(0, 100), "times a failed or crashed PRD is started again by itself")
    stop_grace: float = _setting(30, seconds(0), "seconds between TERM and KILL")
    hang_after: float = _setting(900, seconds(1), "seconds without progress after which a PRD counts as hung")
    min_free_disk: Amount = _setting(  # noqa: RUF009 - the call makes a field
        "2 GB", AMOUNT, "below: no new starts; below a fifth of it: running PRDs pause"
    )
    min_free_memory: Amount = _setting("5 %", AMOUNT, "below: no new starts")  # noqa: RUF009
    verify: tuple[str, ...] = _setting(
        [], COMMANDS, "gates for every PRD, run by sh -c in its worktree", runs=bool
    )
    gate_minutes: float = _setting(30, number(0.01, 43200, "minutes"), "time limit of one gate, in minutes")
    gates_outside: bool = _setting(
        False, BOOLEAN, "allow gates whose program lies in another checkout of this repository"
    )
    refresh: float = _setting(1, seconds(0.1), "seconds between writes of progress to the registry")


@dataclass(frozen=True)
class WorkerSettings:
    preset: str = _setting(
        "",
        choice("", "claude-loop", "ralph"),
        "loop script with known behaviour; empty: the built-in loop",
        runs=bool,
    )
    command: tuple[str, ...] = _setting(
        [],
        WORDS,
        "any loop script; {prd_json} {prd_id} {prd_dir} {worktree} {branch} {slot} {port} are filled in",
        runs=bool,
    )
    agent: str = _setting("", TEXT, "coding agent of the built-in loop")
    max_attempts: int = _setting(3, whole(1, 100), "attempts per story")
    attempt_minutes: float = _setting(
        60, number(0.01, 43200, "minutes"), "time limit of one agent call, in minutes"
    )
    max_log: Amount = _setting(  # noqa: RUF009 - the call makes a field
        "256 MB",
        AMOUNT,
        "a log that grows beyond it is set aside as <name>.1, in the place of the one before",
    )
    # It steers an agent that may run any command.
    prompt: str = _setting(
        "",
        TEXT,
        "template of the built-in loop's prompt, a path in the repository; empty: built in",
        runs=bool,
    )


@dataclass(frozen=True)
class WorktreeSettings:
    root: str = _setting(".claude-loop/worktrees", PATH, "where worktrees are made")
    copy: tuple[str, ...] = _setting([], FILES, "files that git ignores to copy into each worktree")
    setup: tuple[str, ...] = _setting([], COMMANDS, "commands to run once per worktree", runs=bool)
    teardown: tuple[str, ...] = _setting([], COMMANDS, "commands to run before a worktree goes", runs=bool)
    setup_minutes: float = _setting(
        30, number(0.01, 43200, "minutes"), "time limit of one set-up or tear-down command, in minutes"
    )
    # A variable such as PATH or BASH_ENV makes any program run another.
    env: Mapping[str, str] = _setting(
        {}, ENVIRONMENT, "variables for workers, gates and set-up; {port} {slot} are filled in", runs=bool
    )
    keep: int = _setting(10, whole(0), "worktrees of completed, unmerged PRDs that are kept")
    keep_days: int = _setting(30, whole(0), "days that salvaged and dropped work is kept")
    cleanup_on_success: bool = _setting(True, BOOLEAN, "remove a worktree once its PRD is merged")
    cleanup_on_failure: bool = _setting(False, BOOLEAN, "remove the worktree of a failed PRD")


@dataclass(frozen=True)
class Settings:
    """All settings, valid. Tables without keys of their own are passed on as they are written."""

    coordinator: CoordinatorSettings = field(default_factory=CoordinatorSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    worktree: WorktreeSettings = field(default_factory=WorktreeSettings)
    budget: Mapping[str, Any] = _setting({}, TABLE, "limits in dollars, tokens and minutes")
    notify: Mapping[str, Any] = _setting({}, TABLE, "whom to tell what", runs=_names_command)
    sandbox: Mapping[str, Any] = _setting({}, TABLE, "how workers are confined", runs=bool)
    agents: Mapping[str, Any] = _setting({}, TABLE, "agents by name: command, prompt, env", runs=bool)
    keys: Mapping[str, Any] = _setting({}, TABLE, "keys of the dashboard by action", runs=_names_command)


@dataclass(frozen=True)
class Setting:
    """One row of the table. `section` is None for a table that is a setting as a whole.

    `runs_commands` tells whether a value makes prd-tui run a command.
    """

    key: str
    section: str | None
    name: str
    kind: Kind
    help: str
    runs_commands: Callable[[Any], bool]
    default: Any


def _rows() -> Iterator[Setting]:
    defaults = Settings()
    for outer in fields(Settings):
        value = getattr(defaults, outer.name)
        if outer.metadata:
            yield _row(outer.name, None, outer.name, outer.metadata, value)
            continue
        for inner in fields(value):
            key = f"{outer.name}.{inner.name}"
            yield _row(key, outer.name, inner.name, inner.metadata, getattr(value, inner.name))


def _row(key: str, section: str | None, name: str, metadata: Mapping[str, Any], default: Any) -> Setting:
    return Setting(key, section, name, metadata["kind"], metadata["help"], metadata["runs"], default)


#: Settings that are read and checked, and that nothing acts on in this version: a person who sets one is told.
WITHOUT_EFFECT = frozenset(
    {
        "coordinator.api_limit",
        "coordinator.on_quit",
        "coordinator.auto_merge",
        "coordinator.merge_style",
        "worker.preset",
        "budget",
        "notify",
        "sandbox",
        "keys",
    }
)

#: Dotted key → setting, in the order in which they are shown.
SETTINGS: Mapping[str, Setting] = {row.key: row for row in _rows()}
SECTIONS = frozenset(row.section for row in SETTINGS.values() if row.section)


def build(values: Mapping[str, Any]) -> Settings:
    """Settings from checked values by dotted key; what is missing has its default."""
    sections: dict[str, dict[str, Any]] = {"coordinator": {}, "worker": {}, "worktree": {}}
    tables: dict[str, Any] = {}
    for key, value in values.items():
        row = SETTINGS[key]
        if row.section is None:
            tables[row.name] = value
        else:
            sections[row.section][row.name] = value
    return Settings(
        coordinator=CoordinatorSettings(**sections["coordinator"]),
        worker=WorkerSettings(**sections["worker"]),
        worktree=WorktreeSettings(**sections["worktree"]),
        **tables,
    )
