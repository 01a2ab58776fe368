"""The queue: who is next, why the others wait, and when each will start."""

from __future__ import annotations

from app.drawing import Cell, Span, row
from app.estimate import Estimates
from app.format import rough
from app.widgets.listing import Line, Listing
from coordinator.model import EngineSnapshot, PrdState, PrdView


class QueueList(Listing):
    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._views: dict[str, PrdView] = {}
        self._estimates = Estimates()
        self._held = False

    def show(self, snapshot: EngineSnapshot, estimates: Estimates) -> None:
        found = (snapshot.prd(prd_id) for prd_id in snapshot.queue.order)
        self._views = {view.prd_id: view for view in found if view is not None}
        self._estimates = estimates
        self._held = bool(snapshot.queue.holds)
        self.set_keys(list(self._views))
        waiting = str(len(self._views)) if self._views else ""
        state = Span("held", "wait") if self._held else Span("on", "ready")
        self.entitle([Span(f"Queue {waiting}".strip(), "bright"), Span("  "), state])

    def line_of(self, index: int, columns: int) -> Line:
        view = self._views[self.keys[index]]
        blocked = view.state is PrdState.BLOCKED
        priority = "" if view.priority == float("inf") else f"prio {view.priority:g}"
        name = min(24, max(8, columns * 36 // 100))
        rest = max(0, columns - 5 - name - 1 - 9 - 1)
        why, tone = self._why(view)
        return row(
            [
                Cell((Span(f" {'⊘' if blocked else view.position} ", "wait" if blocked else "soft"),), 5),
                Cell((Span(view.prd_id, "soft" if blocked else "text"),), name),
                Cell((), 1),
                Cell((Span(priority, "faint"),), 9),
                Cell((Span(why, tone),), rest),
                Cell((), 1),
            ]
        )

    def _why(self, view: PrdView) -> tuple[str, str]:
        if view.reason:
            return view.reason, "wait" if view.state is PrdState.BLOCKED else "soft"
        start = self._estimates.starts.get(view.prd_id)
        if start is not None:
            return ("next" if start <= 0 else f"in {rough(start)}"), "soft"
        return ("next" if view.position == 1 and not self._held else ""), "soft"

    def empty_lines(self, columns: int) -> tuple[Line, ...]:
        return ((Span(" "), Span("nothing waits", "faint")),)
