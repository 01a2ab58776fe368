"""Colours of a log: SGR parameters to styles, and nothing that hides text or makes it blink."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from rich.color import Color
from rich.style import Style

_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse", 9: "strike", 21: "underline"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("reverse",), 29: ("strike",)}
MOST = 256  # characters of one sequence that are looked at


class Pen:
    """What the text that follows is drawn with. Numbered colours stay numbers: the theme decides what they are."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._ink: Color | None = None
        self._ground: Color | None = None
        self._on: frozenset[str] = frozenset()

    @property
    def style(self) -> Style | None:
        """None: as the widget draws."""
        if self._ink is None and self._ground is None and not self._on:
            return None
        return _style(self._ink, self._ground, self._on)

    def take(self, params: str) -> None:
        """Follows the parameters between `ESC [` and `m`; what makes no sense is passed over."""
        if params[:1] in ("<", "=", ">", "?"):  # private: no colours
            return
        codes = iter(params[:MOST].split(";"))
        for word in codes:
            code, *details = (_number(part) for part in word.split(":"))
            if code in (38, 48):
                # With colons a colour space may stand between the kind and the channels.
                colour = _colour(iter(details[:1] + details[1:][-3:]) if details else map(_number, codes))
                if colour is not None and code == 38:
                    self._ink = colour
                elif colour is not None:
                    self._ground = colour
            else:
                self._simple(code, off=details[:1] == [0])

    def _simple(self, code: int, *, off: bool) -> None:
        if code == 0:
            self._reset()
        elif code in _ON:
            self._on = self._on - {_ON[code]} if off else self._on | {_ON[code]}
        elif code in _OFF:
            self._on -= set(_OFF[code])
        elif 30 <= code <= 37 or 90 <= code <= 97:
            self._ink = Color.from_ansi(code - 30 if code < 90 else code - 82)
        elif 40 <= code <= 47 or 100 <= code <= 107:
            self._ground = Color.from_ansi(code - 40 if code < 100 else code - 92)
        elif code == 39:
            self._ink = None
        elif code == 49:
            self._ground = None


def _number(word: str) -> int:
    """-1 for what is no parameter; an empty one is 0."""
    if not word:
        return 0
    return min(256, int(word)) if word.isdecimal() and word.isascii() else -1


def _colour(codes: Iterator[int]) -> Color | None:
    kind = next(codes, 0)
    if kind == 5:
        number = next(codes, -1)
        return Color.from_ansi(number) if 0 <= number < 256 else None
    if kind == 2:
        channels = [channel for _, channel in zip(range(3), codes, strict=False) if 0 <= channel < 256]
        return Color.from_rgb(*channels) if len(channels) == 3 else None
    return None


@lru_cache(1024)
def _style(ink: Color | None, ground: Color | None, on: frozenset[str]) -> Style:
    return Style(
        color=ink,
        bgcolor=ground,
        bold="bold" in on or None,
        dim="dim" in on or None,
        italic="italic" in on or None,
        underline="underline" in on or None,
        reverse="reverse" in on or None,
        strike="strike" in on or None,
    )
