"""How much room there is on the disks and in memory, and whether it is too little."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from coordinator.config import Settings
from coordinator.events import Event, RoomMeasured
from coordinator.setting_kinds import Amount

#: Below this part of `min_free_disk` running PRDs pause.
STARVING = 0.2
#: How much more than the limit it takes until starts go on, and until paused PRDs do: so that nothing flaps.
ENOUGH, FED = 1.1, 1.5


@dataclass(frozen=True)
class Room:
    """Bytes. `name`: of what, as people call it."""

    name: str
    free: float
    whole: float


def judge(
    before: RoomMeasured, disks: Iterable[Room], memory: Room | None, settings: Settings
) -> RoomMeasured:
    """What there is too little of. `before`: what was said last; a sentence stays the same while it holds. Pure."""
    limits = settings.coordinator
    measured = [(disk, limits.min_free_disk.of(disk.whole)) for disk in disks]
    starving = any(
        disk.free < least * STARVING * (FED if before.starving else 1.0) for disk, least in measured
    )
    short = next((d for d, least in measured if _is_short(d, least, before.disk)), None)
    disk = "" if short is None else _disk_sentence(short, limits.min_free_disk, starving=starving)
    if before.disk and disk and before.starving == starving:
        disk = before.disk
    scarce = memory is not None and _is_short(memory, limits.min_free_memory.of(memory.whole), before.memory)
    said = before.memory or (_memory_sentence(memory, limits.min_free_memory) if memory else "")
    return RoomMeasured(disk, said if scarce else "", starving)


def _is_short(room: Room, least: float, said: str) -> bool:
    return room.free < least * (ENOUGH if said else 1.0)


def _disk_sentence(disk: Room, least: Amount, *, starving: bool) -> str:
    what = "running PRDs pause, nothing starts" if starving else "nothing starts"
    return f"{bytes_as_text(disk.free)} free on {disk.name}, {least} needed: {what}; make room, or lower min_free_disk"


def _memory_sentence(memory: Room, least: Amount) -> str:
    return (
        f"{bytes_as_text(memory.free)} of {memory.name} free, {least} needed: nothing starts; end other programs, "
        "or lower min_free_memory"
    )


def bytes_as_text(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("B", "KB", "MB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


class RoomWatch:
    """`look` is called every second, and posts what has changed. `places`: folders whose disks matter."""

    def __init__(
        self, places: Iterable[Path], settings: Callable[[], Settings], post: Callable[[Event], None]
    ) -> None:
        self._places = tuple(places)
        self._settings = settings
        self._post = post
        self._said: RoomMeasured | None = None

    def look(self) -> None:
        """The first look is always told of."""
        now = judge(self._said or RoomMeasured(), disks(self._places), memory(), self._settings())
        if now != self._said:
            self._said = now
            self._post(now)


def disks(places: Iterable[Path]) -> list[Room]:
    """The file systems of the folders, each once; one that is not there yet counts as its nearest parent."""
    found: dict[int, Room] = {}
    for place in places:
        there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
        try:
            device = there.stat().st_dev if there else 0
            if there is not None and device not in found:
                measured = os.statvfs(there)
                free, whole = measured.f_bavail * measured.f_frsize, measured.f_blocks * measured.f_frsize
                found[device] = Room(str(_mount_point(there)), free, whole)
        except OSError:
            continue  # unmounted under us: whoever works there will say so
    return list(found.values())


def _mount_point(place: Path) -> Path:
    while not place.is_mount():
        place = place.parent
    return place


def memory() -> Room | None:
    """What can still be had of the machine's memory, or of what its control groups leave us; None: not told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        found = Room("memory", figures["MemAvailable"], figures["MemTotal"])
    except (OSError, KeyError, ValueError, IndexError):
        return None
    for limited in _control_groups():
        if limited.free < found.free:
            found = limited
    return found


def _control_groups() -> Iterable[Room]:
    """The memory limits (cgroup v2) that this process is under. Pages of files that could go count as free."""
    root = Path("/sys/fs/cgroup")
    try:
        own = next(
            line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return
    group = root / own.lstrip("/")
    for place in (group, *group.parents):
        if not place.is_relative_to(root):
            return
        try:
            most = (place / "memory.max").read_text().strip()
            if most == "max":
                continue
            used = int((place / "memory.current").read_text())
            files = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
            free = int(most) - used + int(files.get("inactive_file", 0))
            yield Room("the memory of this control group", max(0, free), int(most))
        except (OSError, ValueError):
            continue
