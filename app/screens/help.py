"""Every key and every state, made from the actions and the states themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from app.actions import ACTIONS
from app.drawing import Cell, Span, row, title
from app.rows import HUNG_LOOK, look
from coordinator.model import PrdState

#: What a state means, for those whose word does not say it.
_MEANINGS = {
    PrdState.ARRIVING: "its folder is still being copied",
    PrdState.INVALID: "its prd.json cannot be used; the row says why",
    PrdState.NOTHING_LEFT: "every story passed before anything ran",
    PrdState.QUEUED: "waits for a slot, or for another PRD",
    PrdState.BLOCKED: "cannot start before a person changes something",
    PrdState.RUNNING: "its worker is at work",
    PrdState.PAUSED: "every process of its run is stopped where it was",
    PrdState.STOPPED: "ended by you; its work is kept",
    PrdState.VERIFYING: "its worker has ended and its work is being checked",
    PrdState.COMPLETED: "verified; its branch is ready to merge",
    PrdState.FAILED: "its work did not hold; the row says why",
    PrdState.LOST: "its worker vanished twice without an exit",
}


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "Close", show=False),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_title = title([Span("Help", "bright")])
            box.border_subtitle = title([Span("esc closes", "soft")])
            yield Static(Content("\n").join(map(title, _lines())), id="help-text")

    def on_mount(self) -> None:
        self.query_one("#help").focus()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def _lines() -> Iterator[Sequence[Span]]:
    ordered = sorted(ACTIONS, key=lambda action: _GROUPS.index(action.group))
    for group, actions in groupby(ordered, key=lambda action: action.group):
        yield [Span(group, "strong")]
        for action in actions:
            yield from _entry(Span(action.shown, "key"), action.help, 11)
        yield []
    yield [Span("States", "strong")]
    for (glyph, word, tone), meaning in [
        *((look(state), meaning) for state, meaning in _MEANINGS.items()),
        (HUNG_LOOK, "runs, and shows no sign of progress; stop it, or look into its log"),
    ]:
        yield from _entry(Span(f"{glyph} {word}", tone), meaning, 14)


def _entry(name: Span, text: str, columns: int) -> Iterator[Sequence[Span]]:
    """A name in its column and as many lines beside it as the text needs."""
    names = Cell((name,), columns)
    for line in wrap(text, _WIDTH - 2 - columns):
        yield row([Cell((), 2), names, Cell((Span(line),), _WIDTH - 2 - columns)])
        names = Cell((), columns)


#: Columns of a line: as many as the smallest usual terminal has room for here.
_WIDTH = 69
#: In the order in which they are shown.
_GROUPS = ("PRD", "Queue", "Log", "Move", "prd-tui")
