"""A terminal as a person has one: a command on a pseudo-terminal, what it draws there, and keys."""

from __future__ import annotations

import codecs
import copy
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte
from pyte.screens import StaticDefaultDict
from wcwidth import wcwidth

from tests.support.cli import LAUNCHER, end_workers, environment
from tests.support.waiting import wait_until

#: Seconds that a wait may take: what is waited for comes at once on an idle machine.
PATIENCE = 60.0

#: What the shell does for a command it starts: the terminal becomes the controlling one of a new session.
_LOGIN = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); signal.signal(signal.SIGHUP, signal.SIG_DFL); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
} | {f"ctrl+{chr(code + 96)}": chr(code) for code in range(1, 27) if code not in (9, 13)}

#: Sequences of later terminals, which the emulator would draw as text.
_LATER = re.compile(r"\x1b\[[<>=][0-9;]*[@-~]|\x1b\[\??[0-9;]*\$[@-~]")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*)?\Z")
_ALTERNATE = 1049


class _Screen(pyte.Screen):
    """With the alternate screen, and with marks that take no cell of their own as terminals have them."""

    def set_mode(self, *modes: int, **more: Any) -> None:
        if more.get("private") and _ALTERNATE in modes:
            self._first = (self.buffer, copy.copy(self.cursor))
            self.buffer = defaultdict(lambda: StaticDefaultDict(self.default_char))
        super().set_mode(*modes, **more)

    def reset_mode(self, *modes: int, **more: Any) -> None:
        if more.get("private") and _ALTERNATE in modes:
            self.buffer, self.cursor = self._first
            self.dirty.update(range(self.lines))
        super().reset_mode(*modes, **more)

    def draw(self, data: str) -> None:
        if not data.isascii():
            data = "".join(char for char in data if wcwidth(char) or unicodedata.combining(char))
        super().draw(data)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Of a terminal that tells its size when it is asked, and not by what was true in the tests' own."""
    found = environment({"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    return {key: value for key, value in found.items() if key not in ("COLUMNS", "LINES")} | dict(extra)


class Terminal:
    """`argv` runs in `cwd` on a terminal of `size` (columns, rows); `repo`: whose workers end with it."""

    def __init__(
        self,
        cwd: Path,
        argv: Sequence[str],
        size: tuple[int, int] = (120, 35),
        env: Mapping[str, str] | None = None,
        repo: Path | None = None,
    ) -> None:
        self.repo = repo
        self._master: int | None
        self._master, self._slave = pty.openpty()
        self._tell_size(*size)
        self.attributes_before = self.attributes
        self._lock = threading.Lock()  # of all that was written to the terminal
        self._raw = bytearray()
        self._heard = self._fed = 0
        self._cells: list[list[str]] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""
        self._emulator = _Screen(*size)
        self._modes_before = set(self._emulator.mode)
        self._stream = pyte.Stream(self._emulator)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LOGIN, *argv],
            cwd=cwd,
            env=_environment(env or {}),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )
        self._wake, self._waker = os.pipe()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    # -- what is shown ----------------------------------------------------------------------------------

    @property
    def raw(self) -> bytes:
        """All that was written to the terminal."""
        with self._lock:
            return bytes(self._raw)

    @property
    def written(self) -> str:
        return self.raw.decode(errors="replace")

    @property
    def afterwards(self) -> str:
        """What was written since the screen was left, modes apart."""
        text = self.written.rpartition("\x1b[?1049l")[2]
        return re.sub(r"\x1b\[\?[0-9]+[hl]", "", text)

    def cells(self) -> list[list[str]]:
        """The screen by rows; a wide character is in the first of its cells and leaves "" in the second."""
        if self._feed() or not self._cells:
            screen = self._emulator
            self._cells = [
                [screen.buffer[y][x].data for x in range(screen.columns)] for y in range(screen.lines)
            ]
        return self._cells

    def screen(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells()]

    def text(self) -> str:
        return "\n".join(self.screen())

    @property
    def size(self) -> tuple[int, int]:
        """(columns, rows)"""
        return self._emulator.columns, self._emulator.lines

    def row_of(self, text: str) -> str:
        """The first row with `text` in it; empty if there is none."""
        return next((row for row in self.screen() if text in row), "")

    def colour(self, x: int, y: int) -> str:
        """What the cell's character is drawn in."""
        self._feed()
        found: str = self._emulator.buffer[y][x].fg
        return found

    @property
    def modes(self) -> set[int]:
        """Private modes that are not as they were at first, by number."""
        self._feed()
        return {mode >> 5 for mode in self._modes_before ^ set(self._emulator.mode)}

    @property
    def attributes(self) -> list[Any]:
        """What the terminal does with input and output."""
        found: list[Any] = termios.tcgetattr(self._slave)
        return found

    def check_restored(self) -> None:
        """Asserts that the terminal is as the command found it."""
        assert self.attributes == self.attributes_before
        assert self.modes == set()
        raw = self.raw
        for left in (
            b"\x1b[?1049l",
            b"\x1b[?25h",
            b"\x1b[?1000l",
            b"\x1b[?1003l",
            b"\x1b[?2004l",
            b"\x1b[<u",
        ):
            assert left in raw, f"{left!r} was not written"

    # -- what a person does -----------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Keys by name (`KEYS`) or as the character they write."""
        for key in keys:
            self.write(KEYS.get(key, key))

    def write(self, keys: str | bytes) -> None:
        assert self._master is not None
        os.write(self._master, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, rows: int) -> None:
        """As the window of a terminal: the kernel tells the command."""
        with self._lock:
            self._emulator.resize(rows, columns)
            self._cells = []
        self._tell_size(columns, rows)

    def _tell_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close_master(self) -> None:
        """The window is closed: the terminal is gone, and the kernel says so."""
        self._stop_reading()
        os.close(self._slave)
        if self._master is not None:
            os.close(self._master)
        self._master = None

    # -- waiting ----------------------------------------------------------------------------------------

    def wait_for(self, wanted: str | Callable[[], object], timeout: float = PATIENCE) -> None:
        """Until a text is on the screen, or something is true; at once wrong when the command has ended."""
        there = (lambda: wanted in self.text()) if isinstance(wanted, str) else wanted
        found = False

        def settled() -> bool:
            nonlocal found
            ended = self.process.poll() is not None
            if ended:
                self._until_read()
            found = bool(there())
            return found or ended

        try:
            wait_until(settled, timeout)
        except AssertionError:
            raise AssertionError(f"{wanted!r} did not come within {timeout:g} s:\n{self.text()}") from None
        assert found, f"it ended with {self.process.poll()}, and {wanted!r} did not come:\n{self.text()}"

    def until(self, text: str, timeout: float = PATIENCE) -> None:
        """Until a text has been written behind all that was waited for before: for a talk line by line."""
        self.wait_for(lambda: self.raw.find(text.encode(), self._heard) >= 0, timeout)
        self._heard = self.raw.index(text.encode(), self._heard) + len(text.encode())

    def wait_exit(self, timeout: float = PATIENCE) -> int:
        """The exit code, once all that was written has been read."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout:g} s:\n{self.text()}") from None
        self._until_read()
        return code

    # -- the other side ---------------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._master is not None
        while True:
            ready, _, _ = select.select([self._master, self._wake], [], [])
            if self._wake in ready:
                return
            with self._lock:
                self._raw += os.read(self._master, 1 << 16)

    def _until_read(self) -> None:
        """Nothing is on its way from a command that has ended."""

        def read() -> bool:
            with self._lock:
                return self._master is None or not select.select([self._master], [], [], 0)[0]

        wait_until(read)

    def _feed(self) -> bool:
        """Draws what came since the last time; says whether that was anything."""
        with self._lock:
            if self._fed == len(self._raw):
                return False
            text = self._unfinished + self._decoder.decode(bytes(self._raw[self._fed :]))
            self._fed = len(self._raw)
            unfinished = _UNFINISHED.search(text)
            cut = unfinished.start() if unfinished else len(text)
            self._unfinished = text[cut:]
            self._stream.feed(_LATER.sub("", text[:cut]))
            return True

    def _stop_reading(self) -> None:
        if self._reader.is_alive():
            os.write(self._waker, b".")
            self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._master is not None:
            self.close_master()
        os.close(self._wake)
        os.close(self._waker)
        if self.repo is not None:
            end_workers(self.repo)


def dashboard(
    repo: Path,
    *words: str,
    size: tuple[int, int] = (120, 35),
    env: Mapping[str, str] | None = None,
) -> Terminal:
    """`prd-tui` in a repository; what is left of it and of its runs is ended with the context."""
    return Terminal(repo, [*LAUNCHER, *words], size, env, repo)
