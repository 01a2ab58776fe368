"""The newest events, a line each, the newest at the bottom: for screens that have the room."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.strip import Strip

from app.drawing import Cell, Drawn, Span, row, title
from app.format import clock
from app.rows import look
from coordinator.api import Happened


class EventStrip(Drawn):
    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._events: tuple[Happened, ...] = ()
        self.border_title = title([Span("Events", "bright")])

    def show(self, happened: Sequence[Happened]) -> None:
        if tuple(happened) != self._events:
            self._events = tuple(happened)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        columns = self.size.width
        newest = self._events[-self.size.height :]
        if y >= len(newest):
            return self.strip((), columns)
        event = newest[y]
        glyph, word, tone = look(event.state) if event.state else ("", "", "soft")
        cells = [
            Cell((Span(f" {clock(event.at)}", "faint"),), 11),
            Cell(
                (
                    Span(f"{glyph} ", tone),
                    Span(event.prd_id or "prd-tui", "text" if event.prd_id else "soft"),
                ),
                26,
            ),
            Cell((Span(word, tone),), 11),
            Cell((Span(event.text, "soft"),), max(0, columns - 48)),
        ]
        return self.strip(row(cells), columns)

    def on_resize(self, _event: events.Resize) -> None:
        self.refresh()
