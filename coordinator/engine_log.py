"""`coordinator.log`: what the engine itself did and why, for people."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from coordinator.clock import Clock, SystemClock, iso
from coordinator.errors import StateError
from coordinator.redaction import Redactor
from coordinator.rotation import append_rotating

LIMIT = 5 * 1024 * 1024  # bytes of one part; the part before it is kept
_LONGEST = 20_000  # characters of one line


class EngineLog:
    """Never raises: an engine goes on when its log cannot be written. Lines lost that way are counted."""

    def __init__(
        self,
        path: Path,
        clock: Clock | None = None,
        *,
        limit: int = LIMIT,
        redactor: Redactor | None = None,
        tell: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """`tell`: gets what a person should see at once; any thread may call it."""
        self._path = path
        self._tell = tell
        self._clock = clock or SystemClock()
        self._limit = limit
        self._redactor = redactor or Redactor()
        self._lost = 0

    def write(self, message: str) -> None:
        """One line, whatever the message holds."""
        self._append(message)

    def warn(self, message: str) -> None:
        """One line that a person should see."""
        self._append(f"warning: {message}")
        self._tell(self._redactor.text(message))

    def failure(self, what: str, error: BaseException) -> None:
        """A fault of the program itself, with where it came from."""
        self._append(f"fault while {what}: {error!r}")
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._append(f"    {line}")

    def _append(self, message: str) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._line(f"warning: {lost} lines before this one could not be written")
        self._line(message)

    def _line(self, message: str) -> None:
        text = f"{iso(self._clock.now())} {_escaped(self._redactor.text(message))}\n"
        try:
            append_rotating(self._path, text.encode("utf-8", "replace"), self._limit, _older)
        except (StateError, OSError):
            self._lost += 1


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _escaped(text: str) -> str:
    """Line ends, controls, escapes and bidi marks as `\\x1b` and the like: a log is read in a terminal."""
    text = text[:_LONGEST]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
