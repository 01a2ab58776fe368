"""From a folder in `prds/active` to a PRD: when it is whole, valid, and of a usable name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from coordinator.folder_scan import MAX_ENTRIES, FolderScan, scan
from coordinator.model import Prd, Problem
from coordinator.prd_file import NAME, PrdInvalid, parse, read_bytes, valid_prd_id

#: Seconds without change after which a folder is whole if it was moved in whole, and if it was not.
STILL_MOVED: Final = 0.3
STILL_COPIED: Final = 2.0
#: Nanoseconds by which a folder's ctime is newer than all inside after a rename; a copy touches both at once.
MOVED_MARGIN: Final = 10_000_000


@dataclass(frozen=True)
class Arriving:
    """A folder is there, or an unusable one changes again, and it is not still yet."""

    name: str


@dataclass(frozen=True)
class Admitted:
    """A folder is whole and valid. `arrived_at`: its ctime, seconds since the epoch."""

    prd_id: str
    prd: Prd
    data: bytes
    signature: str
    arrived_at: float


@dataclass(frozen=True)
class Invalid:
    """A folder is still and cannot be a PRD. `name` is safe to print, and unlike that of any other folder."""

    name: str
    problems: tuple[Problem, ...]

    @property
    def reason(self) -> str:
        """The first problem as one sentence, with its line."""
        first = self.problems[0]
        return f"{NAME}:{first.line} {first}" if first.line else str(first)


@dataclass(frozen=True)
class Edited:
    """Something in the folder of an admitted PRD changed, and it is whole and valid."""

    prd_id: str
    prd: Prd
    data: bytes
    signature: str


@dataclass(frozen=True)
class Vanished:
    """What was seen under this name is no longer there."""

    name: str


Sighting = Arriving | Admitted | Invalid | Edited | Vanished


class _Stage(Enum):
    NEW = auto()  # nothing was told about it
    ARRIVING = auto()
    INVALID = auto()
    ADMITTED = auto()


@dataclass
class _Folder:
    """What is known of one name. `settled` is the signature that was judged; None: none yet."""

    scan: FolderScan
    since: float  # monotonic seconds at which `scan` was first seen like this
    stage: _Stage = _Stage.NEW
    settled: str | None = None


class Admission:
    """Looks at `active` and tells what changed since the last look. Not thread-safe; touches nothing."""

    def __init__(self, active: Path) -> None:
        self.active = active
        self._folders: dict[str, _Folder] = {}
        self._refused: dict[str, Problem] = {}  # those whose name or kind is wrong, by the entry's own name

    def look(self, now: float, monotonic: float) -> list[Sighting]:
        """One look at everything. `now`: seconds since the epoch; `monotonic`: seconds that never jump.

        Raises OSError if `active` is there and cannot be listed; then nothing is believed to have vanished.
        """
        candidates, refusals = self._list()
        told: list[Sighting] = []
        for name in self._folders.keys() - set(candidates):
            if self._folders.pop(name).stage is not _Stage.NEW and name not in refusals:
                told.append(Vanished(name))
        told += [Vanished(printable(name)) for name in self._refused if name not in {*refusals, *candidates}]
        told += [
            Invalid(printable(name), (problem,))
            for name, problem in refusals.items()
            if self._refused.get(name) != problem
        ]
        self._refused = refusals
        for name in candidates:
            told += self._look_at(name, now, monotonic)
        return told

    def forget(self, name: str) -> None:
        """The next look tells of this folder as of a new one, and not that it vanished."""
        self._folders.pop(name, None)

    def pending(self) -> bool:
        """Whether a folder is not still yet, be it new or known."""
        return any(_unsettled(folder) for folder in self._folders.values())

    def due_in(self, now: float, monotonic: float) -> float | None:
        """Seconds until the next folder can be still if nothing changes any more; None: all are."""
        waits = (_wait(folder, now, monotonic) for folder in self._folders.values() if _unsettled(folder))
        return min(waits, default=None)

    def settled(self) -> tuple[Path, ...]:
        """The folders in which only a person's edit is still to be expected."""
        return tuple(self.active / name for name, folder in self._folders.items() if not _unsettled(folder))

    def _list(self) -> tuple[list[str], dict[str, Problem]]:
        """Names that may be PRDs, and what is wrong with the others."""
        candidates: list[str] = []
        refusals: dict[str, Problem] = {}
        for name, mode in sorted(_entries(self.active)):
            if stat.S_ISREG(mode):
                if name.endswith(".json") and not name.startswith("."):
                    refusals[name] = Problem(
                        0, "this is a file, not a folder", f"put it into a folder as {NAME}"
                    )
            elif stat.S_ISLNK(mode):
                refusals[name] = Problem(0, "this is a symlink", "put the folder itself here")
            elif not stat.S_ISDIR(mode):
                refusals[name] = Problem(0, "this is no folder", "take it away")
            elif reason := valid_prd_id(name):
                refusals[name] = Problem(0, reason, "")
            else:
                candidates.append(name)
        holders = {name.lower(): name for name in reversed(candidates)}
        holders |= {name.lower(): name for name in candidates if name in self._folders}
        for name in candidates:
            if (holder := holders[name.lower()]) != name:
                message = f"it differs from {holder} only in upper and lower case"
                refusals[name] = Problem(0, message, "rename it")
        return [name for name in candidates if name not in refusals], refusals

    def _look_at(self, name: str, now: float, monotonic: float) -> Iterator[Sighting]:
        path = self.active / name
        try:
            found = scan(path)
        except OSError:  # gone between two system calls: the next look says so
            return
        folder = self._folders.get(name)
        if folder is None:
            folder = self._folders[name] = _Folder(found, monotonic)
        elif found.signature != folder.scan.signature:
            folder.scan, folder.since = found, monotonic
        if not _unsettled(folder):
            return
        if _wait(folder, now, monotonic) > 0:
            if folder.stage in (_Stage.NEW, _Stage.INVALID):
                folder.stage = _Stage.ARRIVING
                yield Arriving(name)
            return
        yield from self._judge(name, folder)

    def _judge(self, name: str, folder: _Folder) -> Iterator[Sighting]:
        """Reads a folder that is still, and tells the verdict if it is still the same folder afterwards."""
        path = self.active / name
        verdict: Admitted | Edited | Invalid
        try:
            if folder.scan.too_large:
                problem = Problem(
                    0, f"the folder has more than {MAX_ENTRIES} files", "keep only what the PRD needs"
                )
                raise PrdInvalid((problem,))
            data = read_bytes(path)
            prd = parse(data)
        except PrdInvalid as error:
            verdict = Invalid(name, error.problems)
        except OSError:  # a shortage: judged at a later look
            return
        else:
            signature = folder.scan.signature
            if folder.stage is _Stage.ADMITTED:
                verdict = Edited(name, prd, data, signature)
            else:
                verdict = Admitted(name, prd, data, signature, folder.scan.folder_ctime / 1e9)
        if not _unchanged(path, folder.scan):
            if folder.stage in (_Stage.NEW, _Stage.INVALID):
                folder.stage = _Stage.ARRIVING
                yield Arriving(name)
            return
        folder.settled = folder.scan.signature
        folder.stage = _Stage.INVALID if isinstance(verdict, Invalid) else _Stage.ADMITTED
        yield verdict


def printable(name: str) -> str:
    """`name` in printable characters, different for different names; undecodable bytes are escaped."""
    if name.isprintable() and "\\" not in name:
        return name
    return name.encode("unicode_escape").decode("ascii")


def _entries(active: Path) -> list[tuple[str, int]]:
    """Name and mode of each entry; none if `active` is not there."""
    found = []
    try:
        with os.scandir(active) as entries:
            for entry in entries:
                try:
                    found.append((entry.name, entry.stat(follow_symlinks=False).st_mode))
                except FileNotFoundError:
                    continue
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found


def _unsettled(folder: _Folder) -> bool:
    return folder.settled != folder.scan.signature


def _wait(folder: _Folder, now: float, monotonic: float) -> float:
    """Seconds until `folder` is still: by its newest ctime or by watching it, whichever is first."""
    found = folder.scan
    moved = 0 < found.newest_inside < found.folder_ctime - MOVED_MARGIN
    window = STILL_MOVED if moved else STILL_COPIED
    return window - max(now - found.newest / 1e9, monotonic - folder.since)


def _unchanged(path: Path, before: FolderScan) -> bool:
    try:
        return scan(path).signature == before.signature
    except OSError:
        return False
