"""The list of PRDs."""

from __future__ import annotations

import textwrap

from app import rows
from app.drawing import Span
from app.estimate import Estimates
from app.widgets.listing import Line, Listing
from coordinator.model import EngineSnapshot, PrdView


class PrdList(Listing):
    """One line per PRD. Call `show` with every new snapshot and `tick` when only time has passed.

    `numbered`: queued rows tell their place, for a screen without a queue pane.
    """

    CURSOR_STAYS = True
    numbered = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._views: dict[str, PrdView] = {}
        self._made: dict[str, tuple[object, Line]] = {}  # the last line of each, and what it was made from
        self._estimates = Estimates()
        self._now = 0.0
        self._hint = ""
        self._counts: list[Span] = []
        self._marked_ids: set[str] = set()
        self._show_place()

    def show(self, snapshot: EngineSnapshot, estimates: Estimates, now: float, hint: str) -> None:
        """`hint`: what stands in the empty list."""
        views = rows.ordered(snapshot)
        self._views = {view.prd_id: view for view in views}
        self._made = {prd_id: made for prd_id, made in self._made.items() if prd_id in self._views}
        self._marked_ids &= self._views.keys()
        self._estimates, self._now, self._hint = estimates, now, hint
        self.set_keys([view.prd_id for view in views])
        self._counts = [Span("  "), *rows.counts(views)] if views else []
        self._show_place()

    def tick(self, now: float) -> None:
        """Time has passed: the clocks of what runs go on."""
        self._now = now
        self.redraw()

    def go_to(self, index: int) -> None:
        super().go_to(index)
        self._show_place()

    def _show_place(self) -> None:
        place = [Span(f"{self.cursor + 1}/{len(self.keys)}", "soft")] if self.keys else []
        if self._marked_ids:
            place = [Span(f"{len(self._marked_ids)} marked", "focus"), Span("  "), *place]
        self.entitle([Span("PRDs", "bright"), *self._counts], place)

    @property
    def chosen(self) -> PrdView | None:
        return self._views.get(self.key)

    # -- marks ------------------------------------------------------------------------------------------

    @property
    def marked(self) -> tuple[PrdView, ...]:
        """In the order of the rows."""
        return tuple(view for prd_id, view in self._views.items() if prd_id in self._marked_ids)

    def toggle_mark(self, prd_id: str) -> None:
        """Marks a row or takes its mark off, and goes on to the next one."""
        self._marked_ids ^= {prd_id}
        self.go_to(self.cursor + 1)
        self._show_marks()

    def mark_all(self, marked: bool) -> None:
        self._marked_ids = set(self._views) if marked else set()
        self._show_marks()

    def _show_marks(self) -> None:
        self.redraw()
        self._show_place()

    # -- lines ------------------------------------------------------------------------------------------

    def head_of(self, columns: int) -> tuple[Line, ...]:
        return (rows.header(columns),) if self._views else ()

    def line_of(self, index: int, columns: int) -> Line:
        view = self._views[self.keys[index]]
        times = rows.times(view, self._now, self._estimates)
        chosen, marked = index == self.cursor, view.prd_id in self._marked_ids
        given = (view, columns, times, chosen, marked, self.numbered)
        made = self._made.get(view.prd_id)
        if made is None or made[0] != given:
            made = (
                given,
                rows.line(view, columns, times, chosen=chosen, marked=marked, numbered=self.numbered),
            )
            self._made[view.prd_id] = made
        return made[1]

    def empty_lines(self, columns: int) -> tuple[Line, ...]:
        words = textwrap.wrap(self._hint, max(10, columns - 6))
        return ((), *((Span("   "), Span(line, "soft")) for line in words))
