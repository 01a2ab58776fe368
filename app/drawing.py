"""Lines drawn by hand: spans of text with a tone each, made into strips of an exact width.

Every text goes through `text.plain` here, so that a pane drawn with it cannot let anything else through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from app.text import content, fit, plain, width

#: What a text says by its colour: tone → colour of the theme, style. They are the only colours of drawn panes.
_TONES = {
    "text": ("$foreground 88%", ""),
    "bright": ("$foreground", "bold"),  # what the eye should find first
    "soft": ("$foreground 58%", ""),  # what can wait
    "faint": ("$foreground 36%", ""),  # what is only there to be looked up
    "track": ("$foreground 18%", ""),  # the empty part of a bar
    "run": ("$primary", ""),
    "ready": ("$success", ""),
    "merged": ("$success 60%", ""),
    "wait": ("$warning", ""),
    "ask": ("$secondary", ""),
    "bad": ("$error", ""),
    "focus": ("$accent", ""),
    "key": ("$warning", "bold"),
    "strong": ("$primary", "bold"),
}
TONES = frozenset(_TONES)
#: Grounds a line can lie on.
_GROUNDS = {"ground": "$background 0%", "cursor": "$primary 22%", "cursor-blurred": "$foreground 8%"}

#: Length of the texts that are worth being remembered: a list is made of the same few short ones again and again.
_OFTEN = 64


class Span(NamedTuple):
    text: str
    tone: str = "text"


class Cell(NamedTuple):
    """Spans in a column of fixed width; `right`: pushed to its right edge."""

    spans: tuple[Span, ...]
    columns: int
    right: bool = False


@lru_cache(4096)
def _measured(text: str) -> tuple[str, int]:
    """A text as it can be shown, and its width."""
    shown = plain(text)
    return shown, width(shown)


def clean(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple([Span(plain(text), tone) for text, tone in spans])


def cut(spans: Sequence[Span], columns: int) -> tuple[Span, ...]:
    """Exactly `columns` wide: filled up with blanks, or cut with an ellipsis."""
    kept: list[Span] = []
    left = columns
    for place, (text, tone) in enumerate(spans):
        needed = width(text)
        rest = place + 1 < len(spans) and any(span.text for span in spans[place + 1 :])
        if needed < left or (needed == left and not rest):
            kept.append(Span(text, tone))
            left -= needed
            continue
        shown = fit(text + ("…" if rest and needed <= left else ""), left) if left else ""
        kept.append(Span(shown, tone))
        left -= width(shown)
        break
    if left > 0:
        kept.append(Span(" " * left))
    return tuple(kept)


class Row(tuple[Span, ...]):
    """What `row` made: clean, `columns` wide, and drawn as it is."""

    columns: int


def row(cells: Iterable[Cell]) -> Row:
    """Cells side by side. Neighbours of one tone become one span: every span costs when it is painted."""
    spans: list[Span] = []
    total, so_far, before = 0, "", ""
    for outside, columns, right in cells:
        total += columns
        parts: list[tuple[str, str]] = []
        left = columns
        for text, tone in outside:
            shown, cells_of_it = _measured(text) if len(text) <= _OFTEN else _measured.__wrapped__(text)
            parts.append((shown, tone))
            left -= cells_of_it
        if left < 0:
            parts = [*cut(clean(outside), columns)]
        elif left:
            parts.insert(0 if right else len(parts), (" " * left, "text"))
        for text, tone in parts:
            if tone == before:
                so_far += text
            elif text:
                spans.append(Span(so_far, before))
                so_far, before = text, tone
    spans.append(Span(so_far, before))
    line = Row(spans[1:])
    line.columns = total
    return line


class Titled(Widget):
    """A widget with words in its border, which change without the rest of it being drawn again."""

    _in_border = False

    def entitle(self, above: Sequence[Span], below: Sequence[Span] = ()) -> None:
        """Puts words into the border, above and below, if they are others than those that are there."""
        words, more = title(above), title(below) if below else None
        self._in_border = True
        if self.border_title != words.markup:
            self.border_title = words
        if self.border_subtitle != (more.markup if more else None):
            self.border_subtitle = more
        self._in_border = False

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        if self._in_border and self.outer_size:
            columns, lines = self.outer_size
            top = Region(0, 0, columns, 1).translate(-self.content_offset)
            regions = (top, top.translate((0, lines - 1)))
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class Drawn(Titled):
    """A widget that draws its lines itself."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._styles: dict[tuple[str, str], Style] = {}

    def strip(self, spans: Sequence[Span], columns: int, ground: str = "ground") -> Strip:
        """A finished line of exactly `columns` cells."""
        if not isinstance(spans, Row) or spans.columns != columns:
            spans = cut(clean(spans), columns)
        return Strip([Segment(text, self.paint(tone, ground)) for text, tone in spans if text], columns)

    def paint(self, tone: str, ground: str = "ground") -> Style:
        """The style of a tone on a ground, in the theme of the moment."""
        style = self._styles.get((tone, ground))
        if style is None:
            colour, weight = _TONES[tone]
            below = self.background_colors[1]
            ink, paper = below + self._colour(colour), below + self._colour(_GROUNDS[ground])
            style = Style(color=ink.rich_color, bgcolor=paper.rich_color, bold=weight == "bold" or None)
            self._styles[(tone, ground)] = style
        return style

    def _colour(self, words: str) -> Color:
        """`$name` of the theme, or that with its strength: `$name 58%`."""
        name, _, strength = words.partition(" ")
        colour = Color.parse(self.app.theme_variables[name.removeprefix("$")])
        return colour.multiply_alpha(float(strength.rstrip("%") or 100) / 100)

    def notify_style_update(self) -> None:
        self._styles.clear()
        super().notify_style_update()


def paragraphs(text: str) -> Content:
    """Text of several lines for a dialog."""
    return Content("\n").join(content(line) for line in text.split("\n"))


def title(spans: Iterable[Span]) -> Content:
    """Spans as the title of a border."""
    return Content.assemble(*((text, " ".join(_TONES[tone]).strip()) for text, tone in clean(spans)))
