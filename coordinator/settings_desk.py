"""What a person does with settings: look at them, change one, approve the shared commands."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator import approval, config
from coordinator.errors import ConfigError
from coordinator.files import write_atomic
from coordinator.folders import make_private
from coordinator.git import Git
from coordinator.paths import Paths
from coordinator.redaction import HIDDEN, looks_secret
from coordinator.setting_kinds import as_text
from coordinator.settings_schema import SETTINGS, WITHOUT_EFFECT


@dataclass(frozen=True)
class SettingRow:
    """One setting as text. `source`: the file, variable or "default" that its value comes from."""

    key: str
    value: str
    source: str
    help: str


@dataclass(frozen=True)
class Approval:
    """What one file asks to run: key → value as text."""

    file: str
    commands: Mapping[str, str]


class SettingsDesk:
    """The settings of one repository. All methods raise ConfigError or StateError, a sentence each."""

    def __init__(self, paths: Paths, git: Git, environ: Mapping[str, str] | None = None) -> None:
        self._paths = paths
        self._git = git
        self._environ = environ

    def rows(self) -> list[SettingRow]:
        """Every setting there is, in the order of the documentation."""
        loaded = config.load(self._paths, self._git, environ=self._environ, refuse_unapproved=False)
        return [
            SettingRow(key, _shown(loaded.values[key]), loaded.sources[key], _explained(key, setting.help))
            for key, setting in SETTINGS.items()
        ]

    def row(self, key: str) -> SettingRow:
        found = next((row for row in self.rows() if row.key == key), None)
        if found is None:
            config.check_text(key, "", "config")  # raises, with a suggestion
            raise ConfigError(f"{key} is no setting; `prd-tui config` lists all settings.")
        return found

    def change(self, key: str, text: str | None) -> SettingRow:
        """Writes a setting of this clone; None takes it out again, so that the weaker layers count."""
        taken_out = text is None and key in SETTINGS
        self.put({key: None if taken_out else as_toml(config.check_text(key, text or "", "config"))})
        return self.row(key)

    def put(self, values: Mapping[str, Any]) -> None:
        """The same for several, given as they stand in a file: all are written in one step, or none."""
        path, name = self._paths.local_config, ".claude-loop/config.toml"
        document = self._local_document(path, name)
        for key, value in values.items():
            if value is not None:
                config.check(key, value, "config")
            section = SETTINGS[key].section
            place = document if section is None else document.setdefault(section, {})
            place.pop(SETTINGS[key].name, None)
            if value is not None:
                place[SETTINGS[key].name] = value
        self._write(path, {word: content for word, content in document.items() if content != {}})

    def waiting(self) -> list[Approval]:
        """What `approve` would approve."""
        return [asked for asked, _path, _data in self._waiting()]

    def approve(self) -> list[Approval]:
        """Approves the tracked files as they are now; returns what that lets run, empty if nothing waited."""
        found = self._waiting()
        if found:
            approval.approve(self._paths, {path: data for _asked, path, data in found})
        return [asked for asked, _path, _data in found]

    def _waiting(self) -> list[tuple[Approval, Path, bytes]]:
        found = []
        for path in approval.guarded(self._paths):
            name = str(path.relative_to(self._paths.root))
            data = config.read_file(path, name)
            values = config.parse(data, name)
            keys = approval.waiting(self._paths, self._git, path, data, values)
            if keys:
                found.append((Approval(name, {key: _shown(values[key]) for key in keys}), path, data))
        return found

    def _local_document(self, path: Path, name: str) -> dict[str, Any]:
        data = config.read_file(path, name)
        config.parse(data, name)  # a broken file is mended by hand, not overwritten
        return tomllib.loads(data.decode("utf-8"))

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        import tomli_w

        self._git.ensure_excluded()
        make_private(self._paths.state)
        write_atomic(path, tomli_w.dumps(document).encode("utf-8"))


def _explained(key: str, help: str) -> str:
    return f"{help} (no effect in this version)" if key in WITHOUT_EFFECT else help


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        value = _without_secrets(value)
    return as_text(value)


def _without_secrets(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_secrets(value)
        if isinstance(value, Mapping)
        else (HIDDEN if looks_secret(name) and isinstance(value, str) else value)
        for name, value in table.items()
    }


def as_toml(value: Any) -> Any:
    """A checked value as tomli-w takes it."""
    if isinstance(value, Mapping):
        return {name: as_toml(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_toml(inner) for inner in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
