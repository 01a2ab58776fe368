"""A pane of drawn lines with a cursor: what the PRD list, the stories and the queue have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from app.drawing import Drawn, Span

Line = tuple[Span, ...]


class Listing(Drawn, can_focus=True):
    """One line per key, below head lines that stay. The cursor follows its key when rows change places."""

    DEFAULT_CSS = "Listing { height: 1fr; }"
    #: Whether the line under the cursor can be told while another pane has the focus.
    CURSOR_STAYS: ClassVar[bool] = False

    class Moved(Message):
        """The cursor is on another key; "" when there is none."""

        def __init__(self, listing: Listing, key: str) -> None:
            super().__init__()
            self.listing = listing
            self.key = key

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._keys: tuple[str, ...] = ()
        self._lines: list[Line] = []
        self._head: tuple[Line, ...] = ()
        self._empty: tuple[Line, ...] = ()
        self._first = 0  # index of the topmost row shown
        self._cursor = 0
        self._marked = 0  # where the cursor was drawn, counted from the topmost row shown

    # -- what a subclass draws --------------------------------------------------------------------------

    def line_of(self, index: int, columns: int) -> Line:
        """The row `index`, drawn `columns` wide."""
        raise NotImplementedError

    def head_of(self, columns: int) -> tuple[Line, ...]:
        """The lines above all rows."""
        return ()

    def empty_lines(self, columns: int) -> tuple[Line, ...]:
        """What stands there when there is no row."""
        return ()

    # -- content ----------------------------------------------------------------------------------------

    def set_keys(self, keys: Sequence[str], at: str | None = None) -> None:
        """The rows that there are now; those whose text changed are drawn again.

        `at`: the key that the cursor goes to, the first one if it is not there; None: it stays where it is.
        """
        old = self.key
        self._keys = tuple(keys)
        wanted = old if at is None else at
        if at is not None:
            self._cursor = self._first = 0
        if wanted in self._keys:
            self._cursor = self._keys.index(wanted)
        else:
            self._cursor = min(self._cursor, max(0, len(self._keys) - 1))
        self._keep_in_view()
        self.redraw()
        if self.key != old:
            self.post_message(self.Moved(self, self.key))

    def redraw(self) -> None:
        """Draws what is in view, and repaints the lines that differ from what is on the screen."""
        columns = self.size.width
        if not columns:
            return
        head = self.head_of(columns)
        rows = self._rows_in_view()
        fresh = [self.line_of(index, columns) for index in rows]
        empty = () if self._keys else self.empty_lines(columns)
        marked, self._marked = self._marked, self._cursor - self._first
        if head != self._head or empty != self._empty or len(fresh) != len(self._lines):
            self._head, self._empty, self._lines = head, empty, fresh
            self.refresh()
            return
        changed = {y for y, (old, new) in enumerate(zip(self._lines, fresh, strict=True)) if old != new}
        if marked != self._marked:
            changed |= {marked, self._marked}
        self._lines = fresh
        if changed:
            self.refresh(*(Region(0, y + len(head), columns, 1) for y in changed))

    def _rows_in_view(self) -> range:
        return range(self._first, min(len(self._keys), self._first + self._height()))

    def _height(self) -> int:
        """Rows that fit."""
        return max(1, self.size.height - len(self.head_of(max(1, self.size.width))))

    # -- the cursor -------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """What the cursor is on; "" when there is nothing."""
        return self._keys[self._cursor] if self._keys else ""

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def keys(self) -> tuple[str, ...]:
        return self._keys

    def go_to(self, index: int) -> None:
        """Puts the cursor on the row `index`, or the nearest there is."""
        index = max(0, min(index, len(self._keys) - 1))
        if not self._keys or index == self._cursor:
            return
        self._cursor = index
        self._keep_in_view()
        self.redraw()
        self.post_message(self.Moved(self, self.key))

    def scroll_lines(self, count: int) -> None:
        self.go_to(self._cursor + count)

    def scroll_pages(self, pages: float) -> None:
        self.go_to(self._cursor + round(pages * self._height()))

    def to_start(self) -> None:
        self.go_to(0)

    def to_end(self) -> None:
        self.go_to(len(self._keys) - 1)

    def _keep_in_view(self) -> None:
        height = self._height()
        last_first = max(0, len(self._keys) - height)
        self._first = min(max(self._first, self._cursor - height + 1), self._cursor, last_first)

    # -- the toolkit ------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        columns = self.size.width
        place = y - len(self._head)
        if place < 0:
            return self.strip(self._head[y], columns)
        shown = self._lines if self._keys else self._empty
        if place >= len(shown):
            return self.strip((), columns)
        chosen = bool(self._keys) and self._first + place == self._cursor
        if chosen and (self.has_focus or self.CURSOR_STAYS):
            return self.strip(shown[place], columns, "cursor" if self.has_focus else "cursor-blurred")
        return self.strip(shown[place], columns)

    def on_resize(self, _event: events.Resize) -> None:
        self._first = 0  # as far up as the cursor lets it, whatever the height was before
        self._keep_in_view()
        self._lines = []
        self.redraw()
        self.refresh()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = self._first + offset.y - len(self._head)
        if 0 <= index < len(self._keys):
            self.go_to(index)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines(-3)
