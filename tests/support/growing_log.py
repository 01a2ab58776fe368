"""A log file that grows, read as the engine reads one."""

from __future__ import annotations

import os
from pathlib import Path

from coordinator.api import LogChunk


class GrowingLog:
    """`reads`: how many bytes were asked for and given, over all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reads = 0
        self.fails = False

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def lines(self, first: int, count: int, text: str = "line {}") -> None:
        """`count` numbered lines."""
        self.write(b"".join(f"{text.format(number)}\n".encode() for number in range(first, first + count)))

    def replace(self, data: bytes) -> None:
        """In place of the file: another one."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(data)

    def make_sparse(self, size: int, end: bytes) -> None:
        """`size` bytes that take no room on the disk, but for the end."""
        with self.path.open("wb") as file:
            file.seek(size - len(end))
            file.write(end)

    def read(self, offset: int, max_bytes: int) -> LogChunk:
        if self.fails:
            raise PermissionError(13, "Permission denied")
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                begin = max(0, size + offset) if offset < 0 else offset
                file.seek(begin)
                data = file.read(max_bytes)
        except FileNotFoundError:
            return LogChunk(0, b"", 0)
        self.reads += len(data)
        return LogChunk(begin, data, size)
