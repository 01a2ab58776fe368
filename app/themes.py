"""The dashboard's own two themes; Textual's come with it, and the choice is kept in `preferences.py`."""

from __future__ import annotations

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

DARK, LIGHT = "prd-tui", "prd-tui-light"

THEMES = (
    Theme(
        name=DARK,
        primary="#5aa9f7",
        secondary="#bb86f2",
        accent="#5b9cf5",
        success="#48c78e",
        warning="#e3b04b",
        error="#f2656c",
        foreground="#e8edf4",
        background="#0e1319",
        surface="#0e1319",
        panel="#161d27",
        variables={"border": "#2b3542", "border-blurred": "#2b3542"},
    ),
    Theme(
        name=LIGHT,
        primary="#1263b8",
        secondary="#7a3cc0",
        accent="#1263b8",
        success="#1d7a4c",
        warning="#8f6200",
        error="#b3232c",
        foreground="#1d2430",
        background="#fafbfc",
        surface="#fafbfc",
        panel="#eceff3",
        dark=False,
        variables={"border": "#c6ced8", "border-blurred": "#c6ced8"},
    ),
)

_Colour = tuple[int, int, int]

_DARK: list[_Colour] = [
    (43, 53, 66),
    (242, 101, 108),
    (72, 199, 142),
    (227, 176, 75),
    (90, 169, 247),
    (187, 134, 242),
    (86, 196, 205),
    (200, 207, 217),
]
_DARK_BRIGHT: list[_Colour] = [
    (110, 122, 138),
    (255, 138, 143),
    (110, 222, 170),
    (245, 203, 110),
    (130, 192, 255),
    (208, 166, 250),
    (125, 220, 228),
    (255, 255, 255),
]
_LIGHT: list[_Colour] = [
    (29, 36, 48),
    (179, 35, 44),
    (29, 122, 76),
    (143, 98, 0),
    (18, 99, 184),
    (122, 60, 192),
    (12, 115, 125),
    (110, 120, 134),
]
_LIGHT_BRIGHT: list[_Colour] = [
    (90, 100, 115),
    (205, 60, 70),
    (40, 145, 95),
    (170, 120, 10),
    (40, 125, 215),
    (145, 85, 215),
    (25, 140, 150),
    (60, 70, 85),
]

#: What the sixteen numbered colours of a log look like: those of the screen around it.
ANSI_DARK = TerminalTheme((14, 19, 25), (232, 237, 244), _DARK, _DARK_BRIGHT)
ANSI_LIGHT = TerminalTheme((250, 251, 252), (29, 36, 48), _LIGHT, _LIGHT_BRIGHT)
