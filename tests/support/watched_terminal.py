"""A program in a pseudo-terminal whose output is read all the time and looked through."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.cli import ROOT, environment

COLUMNS, ROWS = 120, 35


class WatchedTerminal:
    """`output`: the last `keep` bytes that the program has written."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, keep: int) -> None:
        self.pid = process.pid
        self._process = process
        self._master = master
        self._keep = keep
        self.output = b""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the other end is closed
                return
            with self._changed:
                self.output = (self.output + data)[-self._keep :]
                self._changed.notify_all()

    def press(self, key: bytes, answer: bytes, timeout: float = 10) -> float:
        """Seconds until `answer` is on its way to the screen."""
        began = time.perf_counter()
        os.write(self._master, key)
        self.wait_for(answer, timeout)
        return time.perf_counter() - began

    def wait_for(self, wanted: bytes, timeout: float = 30) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: wanted in self.output, timeout), f"{wanted!r} never came"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(2)
        os.close(self._master)


@contextmanager
def in_terminal(
    argv: Sequence[str],
    *,
    keep: int = 1 << 27,
    cwd: Path = ROOT,
    size: tuple[int, int] = (COLUMNS, ROWS),
    env: Mapping[str, str] | None = None,
) -> Iterator[WatchedTerminal]:
    """Python with these arguments on a terminal of `size` (columns, rows); it is ended at the end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *reversed(size), 0, 0))
    process = subprocess.Popen(
        [sys.executable, *argv],
        cwd=cwd,
        env=environment({"TERM": "xterm-256color", "COLORTERM": "truecolor"} | dict(env or {})),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    terminal = WatchedTerminal(process, master, keep)
    try:
        yield terminal
    finally:
        terminal.close()
