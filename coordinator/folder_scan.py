"""What a folder looks like from outside: enough to tell whether it changes, without reading a file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Entries looked at in one folder. A PRD folder has a handful; each is copied into a worktree.
MAX_ENTRIES: Final = 20_000
#: Error numbers that say nothing about what was looked at.
SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@dataclass(frozen=True)
class FolderScan:
    """One look. Times are ctimes in nanoseconds since the epoch; `newest_inside` is 0 in an empty folder."""

    signature: str
    folder_ctime: int
    newest_inside: int
    too_large: bool = False

    @property
    def newest(self) -> int:
        return max(self.folder_ctime, self.newest_inside)


def scan(folder: Path) -> FolderScan:
    """Names, sizes, times, inodes and kinds of everything in `folder`; follows no symlink.

    Stops after MAX_ENTRIES. What vanishes meanwhile or may not be listed is a change like any other. Raises
    OSError if `folder` itself is not there, or if the machine is short of something.
    """
    top = folder.lstat()
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_traits("", top))
    newest = 0
    count = 0
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for name, found in _entries(folder, inside):
            count += 1
            if count > MAX_ENTRIES:
                return FolderScan(digest.hexdigest(), top.st_ctime_ns, newest, too_large=True)
            path = f"{inside}/{name}" if inside else name
            digest.update(_traits(path, found))
            newest = max(newest, found.st_ctime_ns)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(path)
    return FolderScan(digest.hexdigest(), top.st_ctime_ns, newest)


def _entries(folder: Path, inside: str) -> list[tuple[str, os.stat_result]]:
    """The entries of one directory in the order of their names; none if it may not be listed."""
    found: list[tuple[str, os.stat_result]] = []
    try:
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                if len(found) > MAX_ENTRIES:
                    break
                try:
                    found.append((entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    except OSError as error:
        if error.errno in SHORTAGE:
            raise
        return []
    return sorted(found, key=lambda one: one[0])


def _traits(path: str, found: os.stat_result) -> bytes:
    traits = (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino)
    return os.fsencode(path) + b"\0" + repr(traits).encode()
