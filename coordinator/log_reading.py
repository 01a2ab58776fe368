"""Reading a part of a worker's log, whatever stands at its place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from coordinator.api import LogChunk

_NOTHING = LogChunk(0, b"", 0)


def read_chunk(path: Path, offset: int, max_bytes: int) -> LogChunk:
    """At most `max_bytes` from `offset` on, which counts from the end if negative; never waits, never raises.

    Where there is no log, or something that is no regular file or may not be read, the chunk is empty.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return _NOTHING
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return _NOTHING
        begin = max(0, found.st_size + offset) if offset < 0 else offset
        return LogChunk(begin, os.pread(file, max(0, max_bytes), begin), found.st_size)
    except OSError:
        return _NOTHING
    finally:
        os.close(file)
