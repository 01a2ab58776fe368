"""The line at the top: which repository, what the whole is doing, what needs a person, how busy the machine is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual import events
from textual.strip import Strip

from app import rows
from app.drawing import Drawn, Span, cut
from app.estimate import Estimates
from app.format import short, size, spark
from app.machine import Load
from app.text import width
from coordinator.model import EngineSnapshot, PrdState

#: Percent of CPU or memory above which a gauge is worth a colour: it is the bottleneck.
BINDS = 90.0


@dataclass(frozen=True)
class Readings:
    """All that the gauges show. `mood`: (glyph, word, tone) of the whole."""

    snapshot: EngineSnapshot = field(default_factory=EngineSnapshot)
    mood: tuple[str, str, str] = ("…", "STARTING", "soft")
    estimates: Estimates = field(default_factory=Estimates)
    loads: tuple[Load, ...] = ()


class Gauges(Drawn):
    DEFAULT_CSS = "Gauges { height: 1; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._readings = Readings()
        self._lines: list[tuple[Span, ...]] = []

    def show(self, readings: Readings) -> None:
        self._readings = readings
        self._redraw()

    def _redraw(self) -> None:
        columns = self.size.width
        if not columns:
            return
        lines = [self._first(columns)]
        if self.size.height > 1:
            lines.append(_second(self._readings, columns))
        if lines != self._lines:
            self._lines = lines
            self.refresh()

    def _first(self, columns: int) -> tuple[Span, ...]:
        readings = self._readings
        snapshot = readings.snapshot
        glyph, word, tone = readings.mood
        left = [Span(" "), Span(snapshot.repository or "prd-tui", "bright")]
        if snapshot.branch:
            left.append(Span(f"@{snapshot.branch}", "soft"))
        left += [Span("  "), Span(f"{glyph} ", tone), Span(word, tone)]
        queue = snapshot.queue
        if queue.slots:
            left += [Span("   slots ", "soft"), Span(f"{queue.slots_used}/{queue.slots}")]
        if columns >= 100 and self.size.height == 1:
            left += _load(readings.loads, "cpu")
        return spread(left, _right(readings), columns)

    def render_line(self, y: int) -> Strip:
        return self.strip(self._lines[y] if y < len(self._lines) else (), self.size.width)

    def on_resize(self, _event: events.Resize) -> None:
        self._lines = []
        self._redraw()


def spread(left: Sequence[Span], right: Sequence[Span], columns: int) -> tuple[Span, ...]:
    """`left` and `right` at their edges of a line; where both do not fit, the right one stays whole."""
    taken = sum(width(span.text) for span in right)
    if taken >= columns:
        return cut(right, columns)
    return (*cut(left, columns - taken), *right)


def _right(readings: Readings) -> list[Span]:
    views = readings.snapshot.prds
    ready = sum(view.state in rows.READY for view in views)
    merged = sum(view.state is PrdState.MERGED for view in views)
    needy = sum(rows.needs_me(view) for view in views)
    spans: list[Span] = []
    for label, number, tone in (("ready", ready, "ready"), ("merged", merged, "merged")):
        if number:
            spans += [Span(f"  {label} ", "soft"), Span(str(number), tone)]
    if needy:
        spans += [Span("  needs you ", "soft"), Span(str(needy), "bad")]
    if readings.estimates.all_done is not None:
        spans += [Span("  ETA ", "soft"), Span(short(readings.estimates.all_done), "bright")]
    return [*spans, Span(" ")]


def _load(loads: Sequence[Load], which: str) -> list[Span]:
    if not loads:
        return []
    values = [load.cpu if which == "cpu" else load.memory for load in loads]
    tone = "wait" if values[-1] >= BINDS else "soft"
    drawn = spark(values[-8:], 100.0).rjust(8)
    return [Span(f"   {which} ", "soft"), Span(drawn, "faint"), Span(f" {values[-1]:3.0f} %", tone)]


def _second(readings: Readings, columns: int) -> tuple[Span, ...]:
    left = [Span(" "), *_load(readings.loads, "cpu"), *_load(readings.loads, "memory")]
    if readings.loads:
        left += [Span("   disk ", "soft"), Span(f"{size(readings.loads[-1].disk_free)} free", "soft")]
    done = sum(view.state in rows.READY for view in readings.snapshot.prds)
    total = len(readings.snapshot.prds)
    right = [Span(f"{done} of {total} PRDs verified ", "soft")] if total else []
    return spread(left, right, columns)
