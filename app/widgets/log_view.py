"""The log of one PRD: follows its end, never pulls a reader down, opens a file of any size at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from rich.filesize import decimal
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from app.drawing import Titled
from app.text import plain
from app.widgets.log_paint import LogPainter, Palette
from app.widgets.log_place import Place
from app.widgets.log_ring import CHUNK, MAX_BYTES, LogRing, Read
from app.widgets.log_search import LogSearch
from coordinator.api import LogChunk

PER_TICK = 1 << 20  # bytes that one tick takes in or counts at most
WHEEL = 3  # rows of one turn of the wheel
_SAID_FOR = 25  # polls for which it is said that something was passed over
_CONTRAST = 0.15  # of brightness; a colour nearer to its ground than this is not used


class LogView(Titled, can_focus=True):
    """`show` chooses the log, `poll` looks for more of it; the rest is moving about in it."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log-view--dim",
        "log-view--match",
        "log-view--found",
        "log-view--notice",
    }
    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        & > .log-view--dim { color: $text-muted; }
        & > .log-view--match { background: $warning 30%; color: $text; }
        & > .log-view--found { background: $warning; color: $background; text-style: bold; }
        & > .log-view--notice { background: $primary 30%; color: $text; }
    }
    """

    class ReadingChanged(Message):
        """The view began or ceased to follow, wraps or not, or lines came that the reader has not seen."""

        def __init__(self, view: LogView) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> LogView:
            return self.view

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.ReadingChanged)

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes, markup=False)
        self.wrap = False
        self._search = LogSearch()
        self._rows: list[Strip] = []
        self._painter: LogPainter | None = None
        self._told: tuple[object, ...] = ()
        self._begin("", _no_log)

    # What the dashboard shows about it

    @property
    def title_word(self) -> str:
        """How the log is being read, for the border; empty when there is none."""
        if self._ring.size == 0:
            return ""
        if self.following:
            return "following" + (f" · {decimal(self._passed_over)} skipped" if self._passed_over else "")
        return "paused reading" + (f" · {self.new_lines:,} new" if self.new_lines else "")

    @property
    def log_size(self) -> int:
        """Bytes."""
        return self._ring.size

    # What the dashboard does with it

    def show(self, prd_id: str, read: Read) -> None:
        """Shows the end of a PRD's log and follows it; nothing happens if it is the one that is shown."""
        if prd_id != self.prd_id:
            self._begin(prd_id, read)
            self._try(self._ring.open_end)
            self._draw()

    def clear(self) -> None:
        """Shows no log."""
        self.show("", _no_log)

    def poll(self) -> None:
        """Takes in what was written since, a bounded part of it; cheap when there is nothing."""
        before = self._state()
        self._try(self._take_in)
        if before != self._state():
            self._draw()

    def scroll_lines(self, count: int) -> None:
        """Down by `count` rows, or up if it is negative. At the end it follows again."""
        self._search.leave()
        if count < 0 and not self._all_in_sight():
            self._stop_following()
            self._try(lambda: self._place.up(-count))
        elif count > 0 and not self.following:
            self._try(lambda: self._down(count))
        self._draw()

    def scroll_pages(self, pages: float) -> None:
        """Down by a share of what is visible, or up if it is negative."""
        rows = max(1, round(abs(pages) * (self.size.height - 1)))
        self.scroll_lines(rows if pages > 0 else -rows)

    def to_start(self) -> None:
        """To the first line of the log, however long it is."""
        if self._all_in_sight():
            return
        self._search.leave()
        self._stop_following()
        if self._ring.skipped:
            self._try(self._ring.open_start)
        self._place.top = (self._ring.first, 0)
        self._draw()

    def to_end(self) -> None:
        """To the end, following it from now on."""
        self._search.leave()
        self._try(lambda: self._ring.follow(MAX_BYTES))
        self._follow()
        self._draw()

    def toggle_follow(self) -> None:
        if self.following:
            self._stop_following()
            self._draw()
        else:
            self.to_end()

    def toggle_wrap(self) -> None:
        """Long lines on as many rows as they need, or cut at the edge."""
        self.wrap = not self.wrap
        self._painter = None
        self._place.top = (self._place.top[0], 0)
        self._draw()

    def search(self, text: str) -> int:
        """Marks a text, upper and lower case alike, and goes to a line that has it.

        While following that is the last one, else the next one from the top of the pane on. Returns how many
        of the lines held have it. An empty text ends the search.
        """
        self._search.look_for(plain(text))
        self._painter = None
        if text:
            self._try(self._load_for_search)
            self._go(self._search.first(self._ring, self._place.top[0], last=self.following))
        self._draw()
        return self._search.count(self._ring)

    def find_next(self, backwards: bool = False) -> bool:
        """Goes to the next line that has the text of the search; says whether there was one."""
        found = self._search.next(self._ring, self._place.top[0], backwards=backwards)
        self._go(found)
        self._draw()
        return found is not None

    # Reading

    def _begin(self, prd_id: str, read: Read) -> None:
        self.prd_id = prd_id
        self.following = True
        self.new_lines = 0
        self._ring = LogRing(read)
        self._place = Place(self._ring, self._rows_of)
        self._painter = None
        self._window = self._restarts = 0
        self._passed_over = self._say_for = 0
        self._trouble = ""
        self._search.look_for("")

    def _state(self) -> tuple[object, ...]:
        ring = self._ring
        return ring.version, ring.size, self.following, self.new_lines, self._passed_over, self._trouble

    def _follow(self) -> None:
        self.following = True
        self.new_lines = 0

    def _stop_following(self) -> None:
        if self.following:
            self.following = False
            self._passed_over = 0
            self._ring.mark()

    def _all_in_sight(self) -> bool:
        """There is nothing to scroll to."""
        return self.following and not self._ring.skipped and self._place.top == (self._ring.first, 0)

    def _take_in(self) -> None:
        ring = self._ring
        if self.following:
            passed_over = ring.follow(PER_TICK)
            self._say_for = _SAID_FOR if passed_over else max(0, self._say_for - 1)
            self._passed_over = self._passed_over + passed_over if self._say_for else 0
            return
        self.new_lines = ring.count(PER_TICK)
        if ring.behind and self._place.bottom() >= ring.end - 1:
            ring.load_after(CHUNK, self._place.top[0])

    def _down(self, rows: int) -> None:
        if self._place.down(rows):
            self._follow()

    def _go(self, number: int | None) -> None:
        """Holds still with a line in sight."""
        if number is not None:
            self._stop_following()
            self._try(lambda: self._place.seek(number))

    def _load_for_search(self) -> None:
        ring, window = self._ring, self._ring.window
        while ring.skipped and not ring.full and ring.window == window:
            ring.load_before(CHUNK, ring.end)

    def _try(self, work: Callable[[], object]) -> None:
        """Reads; a log that cannot be read is said to be so, and tried again with the next tick."""
        self._place.height = max(1, self.size.height)
        try:
            work()
            self._trouble = ""
        except OSError as error:
            self._trouble = plain(f"the log cannot be read: {error.strerror or error}")
        if self._ring.restarts != self._restarts:  # the place where the reader stood is no more
            self._restarts = self._ring.restarts
            self._follow()

    # Drawing

    def _rows_of(self, number: int) -> int:
        return self._paint().rows(number, self._ring.line(number), self._ring.missing(number))

    def _paint(self) -> LogPainter:
        if self._ring.window != self._window:
            self._window = self._ring.window
            self._painter = None
        if self._painter is None:
            columns = max(1, self.size.width)
            self._painter = LogPainter(self._palette(), columns, wrap=self.wrap, pattern=self._search.pattern)
        return self._painter

    def _palette(self) -> Palette:
        base = self.rich_style
        ground = self.background_colors[1]
        theme = None if self.app.native_ansi_color else self.app.ansi_theme

        @lru_cache(256)
        def readable(style: Style) -> Style:
            if theme is None or style.color is None:
                return base + style
            below = Color.from_rich_color(style.bgcolor, theme, ansi=False) if style.bgcolor else ground
            ink = Color.from_rich_color(style.color, theme, ansi=False)
            clear = abs(ink.brightness - below.brightness) >= _CONTRAST
            return base + (style if clear else style.without_color)

        dim, match, found, notice = (
            self.get_component_rich_style(f"log-view--{part}") for part in ("dim", "match", "found", "notice")
        )
        return Palette(base, dim, match, found, notice, readable)

    def _draw(self) -> None:
        """Composes the rows anew and has those repainted that are not what they were."""
        width, height = self.size
        if self.is_mounted and width > 0 and height > 0:
            self._place.height = height
            before, self._rows = self._rows, self._compose_rows(height)
            if len(before) != height:
                self.refresh()
            elif changed := [y for y in range(height) if before[y] != self._rows[y]]:
                self.refresh(*(Region(0, y, width, 1) for y in changed))
        told = (self.following, self.new_lines, self.wrap, self.prd_id, self._passed_over, self.log_size > 0)
        if told != self._told and self.is_mounted:
            self._told = told
            self.post_message(self.ReadingChanged(self))

    def _compose_rows(self, height: int) -> list[Strip]:
        painter, ring = self._paint(), self._ring
        rows: list[Strip] = []
        if self._trouble or ring.end == ring.first:
            rows.append(painter.blank(self._trouble or "no log yet"))
        else:
            self._place.settle(at_end=self.following)
            number, row = self._place.top
            while number < ring.end and len(rows) < height:
                line = (number, ring.line(number), ring.missing(number))
                parts = range(row, min(painter.rows(*line), row + height - len(rows)))
                found = number == self._search.found
                rows += (painter.strip(*line, part, found=found) for part in parts)
                number, row = number + 1, 0
        rows += [painter.blank()] * (height - len(rows))
        if notice := self._notice():
            rows[-1] = painter.noted(rows[-1], notice)
        return rows

    def _notice(self) -> str:
        words = [self._search.word] if self._search.word else []
        if self.new_lines:
            words.append(f"↓ {self.new_lines:,} new line{'s' * (self.new_lines != 1)}")
        return " · ".join(words)

    def render_line(self, y: int) -> Strip:
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width, self.rich_style)

    def on_show(self) -> None:
        self.poll()

    def on_resize(self) -> None:
        self._painter = None
        self._rows = []
        self._draw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painter = None
        self._draw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.scroll_lines(-WHEEL)
        event.stop()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.scroll_lines(WHEEL)
        event.stop()


def _no_log(_offset: int, _max_bytes: int) -> LogChunk:
    return LogChunk(0, b"", 0)
