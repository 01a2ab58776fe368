"""Commands on a pseudo-terminal of their own, as a person at a keyboard has them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.cli import LAUNCHER, environment


class Terminal:
    """One command; `shown` is all that it wrote so far."""

    def __init__(self, fd: int, process: subprocess.Popen[bytes]) -> None:
        self._fd, self._process = fd, process
        self._data, self._read = b"", 0

    @property
    def shown(self) -> str:
        return self._data.decode(errors="replace")

    def until(self, text: str, timeout: float = 60.0) -> None:
        """Waits for `text` behind all that was waited for before."""
        deadline = time.monotonic() + timeout
        while (found := self._data.find(text.encode(), self._read)) < 0:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come after {self._data[self._read :]!r}"
            part = self._more()
            assert part, f"it ended, and {text!r} had not come after {self._data[self._read :]!r}"
        self._read = found + len(text.encode())

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def end(self, timeout: float = 60.0) -> int:
        """The exit code, when all was read."""
        while self._more():
            pass
        return self._process.wait(timeout)

    def _more(self) -> bytes:
        try:
            part = os.read(self._fd, 4096)
        except OSError:  # which is how a terminal says that nobody is left on its other side
            part = b""
        self._data += part
        return part


@contextlib.contextmanager
def terminal(place: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """`prd-tui` with these words; it is ended if the test leaves it alive."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*LAUNCHER, *words],
            cwd=place,
            env=environment(env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_own_the_terminal,  # noqa: PLW1509 - one system call, and no other moment for it
        )
    finally:
        os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _own_the_terminal() -> None:
    """So that Ctrl-C typed there becomes a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
