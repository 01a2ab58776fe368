"""A worker's story record, read as it grows: a stat per look, and of what was added the end only."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from coordinator.story_record import record_path

#: Bytes read at one look; of a record that grew by more, the end.
MOST = 256 * 1024
#: What a row needs of an entry; the evidence beside it may be long.
_KEPT = ("at", "run", "what", "story", "attempt", "max_attempts", "attempts", "seconds", "commit", "reason")

Entry = dict[str, Any]
_Stamp = tuple[int, int, int]


class StoryTail:
    """The entries of the record in one worktree, oldest first. Follows no link, waits for nothing, never raises."""

    def __init__(self, worktree: str | Path) -> None:
        self._path = record_path(worktree)
        self._stamp: _Stamp | None = None
        self._offset = 0
        self._rest = b""  # a line whose end has not been written yet
        self.entries: list[Entry] = []

    def look(self) -> bool:
        """Reads what was added; whether there was anything."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.stat(self._path.name, dir_fd=folder, follow_symlinks=False)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp or not stat.S_ISREG(found.st_mode):
                return False
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            file = os.open(self._path.name, flags, dir_fd=folder)
            try:
                self._read(file)
            finally:
                os.close(file)
            self._stamp = stamp
        except OSError:
            return False
        finally:
            os.close(folder)
        return True

    def _read(self, file: int) -> None:
        found = os.fstat(file)
        if self._stamp and (found.st_ino != self._stamp[2] or found.st_size < self._offset):
            self.entries, self._offset, self._rest = [], 0, b""  # made anew
        begin = max(self._offset, found.st_size - MOST)
        data = os.pread(file, found.st_size - begin, begin)
        lines = (self._rest + data if begin == self._offset else data).split(b"\n")
        self._rest = lines.pop()
        self._offset = begin + len(data)
        self.entries += [entry for line in lines if (entry := _parsed(line)) is not None]


def _parsed(line: bytes) -> Entry | None:
    """None for half a line, and for what is no entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("story"), str):
        return None
    return {key: entry[key] for key in _KEPT if key in entry}
