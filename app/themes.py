"""The dashboard's own two themes; Textual's come with it, and the choice is kept in `preferences.py`."""

from __future__ import annotations

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
