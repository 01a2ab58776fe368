"""The settings in force: read at the start, and again when a file of theirs changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coordinator import config
from coordinator.base_check import digest
from coordinator.config import Settings
from coordinator.errors import ConfigError, NotApproved
from coordinator.events import Event, HoldLifted, HoldPlaced, SettingsChanged
from coordinator.git import Git
from coordinator.model import APPROVAL, WORKER
from coordinator.paths import Paths
from coordinator.settings_schema import WITHOUT_EFFECT

BROKEN = "settings"  # shown, not held: the last good settings stay in force


class SettingsWatch:
    """Raises ConfigError at construction; later a broken file keeps the last good settings and is reported."""

    def __init__(
        self, paths: Paths, git: Git, overrides: Mapping[str, Any], post: Callable[[Event], None]
    ) -> None:
        self._paths = paths
        self._git = git
        self._overrides = dict(overrides)
        self._post = post
        loaded = config.load(paths, git, self._overrides)
        self._settings = loaded.settings
        self.without_effect = [key for key in sorted(WITHOUT_EFFECT) if loaded.sources[key] != config.DEFAULT]
        self._stamps = self._look()
        self._good = self._stamps  # of the files whose settings are in force
        self.problem = ""

    def current(self) -> Settings:
        return self._settings

    def look(self) -> None:
        """Reads the files again if one of them changed."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        files = zip(self._files(), self._good, stamps, strict=True)
        if gone := [file for file, before, now in files if before and not now]:
            # With `git clean -xdf` or `git switch`; the gates that it names must not go with it.
            self.problem = f"{gone[0]} is gone: the settings read before stay in force until it is back."
            return
        try:
            self._settings = config.load(self._paths, self._git, self._overrides).settings
        except NotApproved as error:
            self._post(HoldPlaced(APPROVAL, str(error)))
            return
        except ConfigError as error:
            self.problem = str(error)
            return
        self.problem = ""
        self._good = stamps
        coordinator = self._settings.coordinator
        self._post(HoldLifted(APPROVAL))
        self._post(HoldLifted(WORKER))
        self._post(
            SettingsChanged(
                coordinator.max_prds,
                coordinator.max_retries,
                float(coordinator.stop_grace),
                digest(self._settings),
            )
        )

    def _files(self) -> tuple[Path | None, ...]:
        paths = self._paths
        return (config.user_config(), paths.shared_config, paths.local_config, paths.approvals)

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(file) for file in self._files())


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
