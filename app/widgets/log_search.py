"""A literal search over the lines that a ring holds; raw lines are looked at first, and decoded only if need be."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from app.text import COLUMNS, log_line
from app.widgets.log_ring import LogRing

_COLOURS = re.compile(rb"\x1b\[[0-9;:]*m")


class LogSearch:
    """`found`: number of the line that the search stands on. `word`: how it went, for the person."""

    def __init__(self) -> None:
        self.pattern: re.Pattern[str] | None = None
        self.found: int | None = None
        self.word = ""
        self._needle = b""
        self._known: tuple[object, ...] = ()
        self._numbers: list[int] = []

    def look_for(self, text: str) -> None:
        """An empty text ends the search."""
        self.pattern = re.compile(re.escape(text), re.IGNORECASE) if text else None
        self._needle = text.lower().encode() if text.isascii() else b""
        self.leave()

    def leave(self) -> None:
        """The reader went on by himself: the next match is the next from where he is."""
        self.found = None
        self.word = ""

    def count(self, ring: LogRing) -> int:
        """Lines held that have the text."""
        return len(self._lines(ring))

    def first(self, ring: LogRing, top: int, *, last: bool) -> int | None:
        """The first one from line `top` on, else the one before it; `last`: the last one of all."""
        numbers = self._lines(ring)
        if not numbers:
            return self._stand(None, numbers)
        index = len(numbers) - 1 if last else min(bisect_left(numbers, top), len(numbers) - 1)
        return self._stand(index, numbers)

    def next(self, ring: LogRing, top: int, *, backwards: bool) -> int | None:
        """The next one after the line on which the search stands, or after the top of what is visible."""
        numbers = self._lines(ring)
        if self.found is None:
            index = bisect_left(numbers, top) - backwards
        elif backwards:
            index = bisect_left(numbers, self.found) - 1
        else:
            index = bisect_right(numbers, self.found)
        return self._stand(index if 0 <= index < len(numbers) else None, numbers)

    def _stand(self, index: int | None, numbers: list[int]) -> int | None:
        if self.pattern is None:
            self.word = ""
            return None
        if index is None:
            self.word = "no more matches" if numbers else "no match"
            return None
        self.found = numbers[index]
        self.word = f"match {index + 1:,} of {len(numbers):,}"
        return self.found

    def _lines(self, ring: LogRing) -> list[int]:
        known = (ring, ring.window, ring.version, self.pattern)
        if known != self._known:
            if self._known[:2] != known[:2]:  # numbers mean other lines now
                self.found = None
            self._known = known
            self._numbers = [number for number, raw in ring.numbered(ring.first) if self._has(raw)]
        return self._numbers

    def _has(self, raw: bytes) -> bool:
        if self.pattern is None:
            return False
        if not self._needle or len(raw) >= COLUMNS:
            return self.pattern.search(log_line(raw).text) is not None
        if b"\r" in raw:
            raw = raw[raw.rstrip(b"\r").rfind(b"\r") + 1 :]
        if b"\x1b" in raw:
            raw = _COLOURS.sub(b"", raw)
        return self._needle in raw.lower()
