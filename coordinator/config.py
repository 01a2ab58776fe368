"""Settings: read from all their layers, checked, and each with the name of where it came from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coordinator import approval
from coordinator.errors import ConfigError, NotApproved
from coordinator.git import Git
from coordinator.paths import Paths
from coordinator.setting_kinds import BOOLEAN, Kind, Unfit, as_text
from coordinator.settings_schema import SECTIONS, SETTINGS, Settings, build

__all__ = ["COMMAND_LINE", "DEFAULT", "VARIABLES", "Loaded", "Settings", "load", "user_config"]

DEFAULT = "default"
COMMAND_LINE = "command line"
_LARGEST = 1 << 20  # bytes of a file of settings

#: Variable → the setting it stands for.
_VARIABLES = {
    "PARALLEL_MAX_PRDS": "coordinator.max_prds",
    "PARALLEL_API_LIMIT": "coordinator.api_limit",
    "COORDINATOR_AUTO_MERGE": "coordinator.auto_merge",
    "COORDINATOR_DASHBOARD_REFRESH": "coordinator.refresh",
    "WORKTREE_CLEANUP_ON_SUCCESS": "worktree.cleanup_on_success",
    "WORKTREE_CLEANUP_ON_FAILURE": "worktree.cleanup_on_failure",
}
#: Variables that say yes or no to one retry.
_RETRY_VARIABLES = ("PARALLEL_AUTO_RESTART", "COORDINATOR_AUTO_RETRY")

#: All variables of the environment that change a setting.
VARIABLES = (*_VARIABLES, *_RETRY_VARIABLES)

Values = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """`values` and `sources` by dotted key, for every setting there is.

    `pending`: keys of tracked files that run commands and do not count before they are approved.
    """

    settings: Settings
    values: Mapping[str, Any]
    sources: Mapping[str, str]
    pending: tuple[str, ...]


def load(
    paths: Paths,
    git: Git,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    refuse_unapproved: bool = True,
) -> Loaded:
    """All settings; a stronger layer hides a weaker one: command line, environment, files, defaults.

    `overrides` come from the command line, by dotted key, as values or as text. Raises ConfigError for an
    unknown key, a wrong value or an unreadable file, and NotApproved for a tracked file that runs commands
    and was not approved; with `refuse_unapproved` off such keys are left out and listed as pending.
    """
    environ = os.environ if environ is None else environ
    values: Values = {key: row.default for key, row in SETTINGS.items()}
    sources = dict.fromkeys(SETTINGS, DEFAULT)
    pending: list[str] = []

    def lay(layer: Values, source: str) -> None:
        for key, value in layer.items():
            merges = SETTINGS[key].section is None
            values[key] = MappingProxyType({**values[key], **value}) if merges else value
            sources[key] = source

    for path in _files(paths, environ):
        name = _name(path, paths)
        data = read_file(path, name)
        layer = parse(data, name)
        if path in approval.guarded(paths):
            waiting = approval.waiting(paths, git, path, data, layer)
            if waiting and refuse_unapproved:
                raise NotApproved(
                    f"{name} runs commands ({', '.join(waiting)}) and its present content is not approved; "
                    "look at it, then run `prd-tui config approve`."
                )
            pending += waiting
            layer = {key: value for key, value in layer.items() if key not in waiting}
        lay(layer, name)
    for variable, key, value in _from_environment(environ):
        lay({key: value}, variable)
    lay({key: _override(key, value) for key, value in (overrides or {}).items()}, COMMAND_LINE)
    return Loaded(build(values), MappingProxyType(values), MappingProxyType(sources), tuple(pending))


def user_config(environ: Mapping[str, str] | None = None) -> Path | None:
    """The person's own file of settings, there or not; None where the environment names no home."""
    environ = os.environ if environ is None else environ
    home = environ.get("XDG_CONFIG_HOME") or ""
    if not home.startswith("/"):  # the XDG rules: a relative path is no path
        home = f"{environ['HOME']}/.config" if environ.get("HOME", "").startswith("/") else ""
    return Path(home) / "prd-tui" / "config.toml" if home else None


def read_file(path: Path, name: str) -> bytes:
    """The content of a file of settings, empty if there is none. Raises ConfigError."""
    try:
        if not path.exists():
            return b""
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise ConfigError(f"{name} is not a file of settings; move it away or write one in its place.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}); mend its permissions.") from error


def parse(data: bytes, name: str) -> Values:
    """Checked values by dotted key. Raises ConfigError with file, key, value and what was expected."""
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} is not valid TOML: {error}; correct it there.") from error
    found: Values = {}
    for word, content in document.items():
        if word in SECTIONS:
            if not isinstance(content, dict):
                raise ConfigError(
                    f"{name}: {word} is {_short(content)} where a table is expected; correct it there."
                )
            for inner, value in content.items():
                key = f"{word}.{inner}"
                found[key] = check(key, value, name)
        else:
            found[word] = check(word, content, name)
    return found


def check(key: str, value: Any, where: str) -> Any:
    """The value of a setting as the program uses it. Raises ConfigError."""
    row = SETTINGS.get(key)
    if row is None:
        raise ConfigError(f"{where}: {_printable(key)} = {_short(value)} is no setting{_meant(key)}")
    return _read(row.kind, key, value, where, text=False)


def check_text(key: str, text: str, where: str) -> Any:
    """The same for a value given as text. Raises ConfigError."""
    row = SETTINGS.get(key)
    if row is None:
        raise ConfigError(f"{where}: {_printable(key)} is no setting{_meant(key)}")
    return _read(row.kind, key, text, where, text=True)


def _read(kind: Kind, key: str, value: Any, where: str, *, text: bool) -> Any:
    try:
        return kind.read_text(value) if text else kind.read(value)
    except Unfit:
        shown = _short(value)
        raise ConfigError(
            f"{where}: {key} is {shown} where {kind.expected} is expected; correct it there."
        ) from None


def _override(key: str, value: Any) -> Any:
    return check_text(key, value, COMMAND_LINE) if isinstance(value, str) else check(key, value, COMMAND_LINE)


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, Any]]:
    """(variable, key, value) of every variable that is set and not empty."""
    found = [
        (variable, key, _read(SETTINGS[key].kind, key, environ[variable], variable, text=True))
        for variable, key in _VARIABLES.items()
        if environ.get(variable)
    ]
    answers = [
        (_read(BOOLEAN, "coordinator.max_retries", environ[variable], variable, text=True), variable)
        for variable in _RETRY_VARIABLES
        if environ.get(variable)
    ]
    if answers:  # one yes is enough
        yes, variable = max(answers)
        found.append((variable, "coordinator.max_retries", int(yes)))
    return found


def _files(paths: Paths, environ: Mapping[str, str]) -> list[Path]:
    """Weakest first."""
    own = user_config(environ)
    return [*([own] if own else []), paths.shared_config, paths.local_config]


def _name(path: Path, paths: Paths) -> str:
    return str(path.relative_to(paths.root)) if path.is_relative_to(paths.root) else str(path)


def _meant(key: str) -> str:
    import difflib

    close = difflib.get_close_matches(key, SETTINGS, 1)
    return f"; did you mean {close[0]}?" if close else "; `prd-tui config` lists all settings."


def _short(value: Any) -> str:
    return _printable(value if isinstance(value, str) and not value.isprintable() else as_text(value))


def _printable(text: str) -> str:
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 80 else shown[:79] + "…"
