"""From folders on disk to events: the watcher's sightings in the engine's words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from coordinator.admission import Admission, Admitted, Arriving, Edited, Invalid, Sighting, Vanished
from coordinator.events import Event, FolderAdmitted, FolderArriving, FolderRefused, FolderVanished
from coordinator.paths import Paths
from coordinator.watcher import Watcher


class Intake:
    """Watches `prds/active` and the drop box; an event of the file system is only a hint to look."""

    def __init__(
        self,
        paths: Paths,
        post: Callable[[Event], None],
        *,
        take_commands: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._post = post
        self._take_commands = take_commands
        self._admission = Admission(paths.active)
        self._watcher = Watcher(
            self._admission, [paths.commands], emit=self._emit, hint=self._hinted, warn=warn
        )

    def start(self) -> None:
        self._watcher.start()

    def stop(self) -> None:
        self._watcher.stop()

    def look(self) -> None:
        """One full look now, in the caller's thread."""
        self._watcher.look_now()

    def undisturbed(self) -> AbstractContextManager[object]:
        """While it is held nobody looks: what was seen before has been told, what comes after is seen anew."""
        return self._watcher.looking

    def look_anew(self, prd_id: str) -> None:
        """Tells of the folder again, should there be one."""
        with self._watcher.looking:
            self._admission.forget(prd_id)
        self._watcher.wake()

    def _hinted(self, _directory: Path) -> None:
        self._take_commands()

    def _emit(self, sightings: list[Sighting]) -> None:
        for sighting in sightings:
            self._post(_event(sighting))


def _event(sighting: Sighting) -> Event:
    match sighting:
        case Arriving(name):
            return FolderArriving(name)
        case Admitted(prd_id=prd_id, prd=prd, data=data, arrived_at=arrived_at):
            return FolderAdmitted(prd_id, prd, data, arrived_at)
        case Edited(prd_id=prd_id, prd=prd, data=data):
            return FolderAdmitted(prd_id, prd, data, 0.0)
        case Invalid(name=name):
            return FolderRefused(name, sighting.reason)
        case Vanished(name):
            return FolderVanished(name)
