"""Lines of a log as strips of a given width. Pure: what a line looks like, never which lines are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from rich.filesize import decimal
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app.text import ELLIPSIS, LogLine, cut_at, fit, log_line, width

INDENT = 2  # columns by which the rows after the first of a wrapped line are moved in
_KEPT = 600  # painted lines that are remembered

_Spans = tuple[tuple[int, int, Style], ...]


class Palette(NamedTuple):
    """`readable` turns a style that a log asked for into one that can be read on the ground of `base`."""

    base: Style
    dim: Style
    match: Style
    found: Style
    notice: Style
    readable: Callable[[Style], Style]


@dataclass(slots=True)
class _Painted:
    raw: bytes
    text: str
    spans: _Spans
    rows: list[tuple[int, int]]  # ranges of the text
    strips: dict[tuple[int, bool], Strip] = field(default_factory=dict)


class LogPainter:
    def __init__(
        self, palette: Palette, columns: int, *, wrap: bool, pattern: re.Pattern[str] | None
    ) -> None:
        self._palette = palette
        self._columns = columns
        self._wrap = wrap
        self._pattern = pattern
        self._painted: dict[int, _Painted] = {}

    def rows(self, number: int, raw: bytes, missing: int) -> int:
        """How many rows a line takes: at least one."""
        return len(self._line(number, raw, missing).rows)

    def strip(self, number: int, raw: bytes, missing: int, row: int, *, found: bool) -> Strip:
        """A row of a line, as wide as the pane. `number` tells lines apart; `found`: a search stands on it."""
        painted = self._line(number, raw, missing)
        strip = painted.strips.get((row, found))
        if strip is None:
            strip = painted.strips[row, found] = self._row(painted, row, found)
        return strip

    def blank(self, text: str = "") -> Strip:
        """A row of the program's own words, or an empty one."""
        shown = fit(text, self._columns)
        return _filled(
            [Segment(shown, self._palette.dim)] if shown else [], self._columns, self._palette.base
        )

    def noted(self, strip: Strip, text: str) -> Strip:
        """The strip with a notice over its right end."""
        text = fit(f" {text} ", self._columns)
        left = strip.crop(0, self._columns - width(text))
        return Strip([*left, Segment(text, self._palette.notice)], self._columns)

    def _line(self, number: int, raw: bytes, missing: int) -> _Painted:
        painted = self._painted.get(number)
        if painted is None or painted.raw != raw:
            if len(self._painted) > _KEPT:
                self._painted.clear()
            line = log_line(raw, missing=missing)
            text, spans = self._with_cut(line)
            painted = self._painted[number] = _Painted(raw, text, spans, list(self._ranges(text)))
        return painted

    def _with_cut(self, line: LogLine) -> tuple[str, _Spans]:
        if not line.cut:
            return line.text, line.spans
        note = f"{ELLIPSIS} {decimal(line.cut)} more"
        start = len(line.text)
        return line.text + note, (*line.spans, (start, start + len(note), self._palette.dim))

    def _ranges(self, text: str) -> Iterator[tuple[int, int]]:
        columns = self._columns
        if width(text) <= columns:
            yield 0, len(text)
        elif not self._wrap:
            yield 0, cut_at(text, columns - 1)
        else:
            start = 0
            while start < len(text):
                room = columns - (self._indent if start else 0)
                end = max(start + 1, cut_at(text, room, start))
                yield start, end
                start = end

    @property
    def _indent(self) -> int:
        return INDENT if self._columns >= 10 * INDENT else 0

    def _row(self, painted: _Painted, row: int, found: bool) -> Strip:
        base = self._palette.base
        start, end = painted.rows[row]
        pieces = list(_pieces(painted.spans, start, end))
        if self._pattern is not None:
            look = self._palette.found if found else self._palette.match
            marks = [match.span() for match in self._pattern.finditer(painted.text)]
            pieces = list(_marked(pieces, marks, look))
        segments = [Segment(" " * self._indent, base)] if row and self._indent else []
        for begin, stop, style in pieces:
            segments.append(Segment(painted.text[begin:stop], self._style(style)))
        if not self._wrap and end < len(painted.text):
            segments.append(Segment(ELLIPSIS, self._palette.dim))
        return _filled(segments, self._columns, base)

    def _style(self, style: Style | None) -> Style:
        palette = self._palette
        if style is None:
            return palette.base
        if style in (palette.dim, palette.match, palette.found):
            return style
        return palette.readable(style)


def _pieces(spans: _Spans, start: int, end: int) -> Iterator[tuple[int, int, Style | None]]:
    """The range in parts of one style each."""
    position = start
    for begin, stop, style in spans:
        if stop <= position:
            continue
        if begin >= end:
            break
        if begin > position:
            yield position, begin, None
            position = begin
        yield position, min(stop, end), style
        position = min(stop, end)
    if position < end:
        yield position, end, None


def _marked(
    pieces: list[tuple[int, int, Style | None]], marks: list[tuple[int, int]], look: Style
) -> Iterator[tuple[int, int, Style | None]]:
    """The pieces with `look` where the marks are; both are in order."""
    for begin, stop, style in pieces:
        position = begin
        for mark_begin, mark_stop in marks:
            left, right = max(position, mark_begin), min(stop, mark_stop)
            if left < right:
                if left > position:
                    yield position, left, style
                yield left, right, look
                position = right
        if position < stop:
            yield position, stop, style


def _filled(segments: list[Segment], columns: int, base: Style) -> Strip:
    used = sum(width(segment.text) for segment in segments)
    if used < columns:
        segments.append(Segment(" " * (columns - used), base))
    return Strip(segments, max(used, columns))
