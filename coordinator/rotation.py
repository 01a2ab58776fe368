"""Appending to a file that is set aside when it is full, from any number of processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from coordinator.files import append_line
from coordinator.folders import make_private


def append_rotating(path: Path, line: bytes, limit: int, aside: Callable[[Path], Path]) -> None:
    """Appends one line; a file above `limit` bytes is renamed to `aside(path)` before. Raises StateError."""
    make_private(path.parent)
    try:
        full = path.stat().st_size + len(line) > limit
    except OSError:  # not there yet; of what else is wrong the append tells
        full = False
    if full:
        _rotate(path, limit - len(line), aside)
    append_line(path, line)


def _rotate(path: Path, limit: int, aside: Callable[[Path], Path]) -> None:
    """Renames the file unless somebody else did so meanwhile.

    The lock is on the full file itself. A writer that opened it before the rename still appends to it under
    its new name, so no line is lost.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        mine, now = os.fstat(descriptor), path.stat()
        if (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino) and now.st_size > limit:
            path.rename(aside(path))
    except OSError:
        return  # renamed by another, or not allowed: the file grows on, no line is lost
    finally:
        os.close(descriptor)
