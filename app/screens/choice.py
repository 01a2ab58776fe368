"""A question with a few answers: what is about to happen, and the harmless answer under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from app.drawing import paragraphs
from app.text import content


@dataclass(frozen=True)
class Choice:
    """`danger`: its button looks like it."""

    id: str
    label: str
    danger: bool = False


class ChoiceScreen(ModalScreen[str]):
    """Returns the id of the chosen answer, "" after `esc`. The first answer has the focus: the harmless one.

    `again`: a key that chooses the focused answer as Enter does, so that the key that asked can answer.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", show=False),
        Binding("left,h,up,k,shift+tab", "app.focus_previous", "Previous", show=False),
        Binding("right,l,down,j,tab", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, title: str, body: str, choices: Sequence[Choice], *, again: str = "") -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._choices = tuple(choices)
        self._again = again
        self._typed_ahead = False

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog") as box:
            box.border_title = content(self._title)
            yield Static(paragraphs(self._body), id="dialog-body")
            with Horizontal(id="dialog-buttons"):
                for choice in self._choices:
                    classes = "danger" if choice.danger else ""
                    yield Button(
                        content(choice.label), id=f"choice-{choice.id}", classes=classes, compact=True
                    )

    def on_mount(self) -> None:
        first = self.query(Button).first()
        first.focus()
        if self._typed_ahead:
            first.press()

    def rephrase(self, body: str) -> None:
        if body != self._body:
            self._body = body
            for shown in self.query("#dialog-body").results(Static):
                shown.update(paragraphs(body))

    def take(self, key: str) -> None:
        """A key; it may have been pressed before this screen was there to take any."""
        if not self._again or key != self._again:
            return
        buttons = [*self.query(Button)]
        if isinstance(self.focused, Button):
            self.focused.press()
        elif buttons:
            buttons[0].press()  # it is about to get the focus
        else:
            self._typed_ahead = True

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss((event.button.id or "").removeprefix("choice-"))

    def action_cancel(self) -> None:
        self.dismiss("")
