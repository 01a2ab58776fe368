"""The line at the bottom: what can be done here. Made from the actions, like everything that names a key."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.strip import Strip

from app.drawing import Drawn, Span
from app.text import width


@dataclass(frozen=True)
class Key:
    """One entry. `enabled`: it can act now; a key that cannot is greyed and says why when pressed."""

    action_id: str
    key: str
    label: str
    enabled: bool


class KeyBar(Drawn):
    DEFAULT_CSS = "KeyBar { height: 1; }"

    class Pressed(Message):
        """An entry was clicked."""

        def __init__(self, action_id: str) -> None:
            super().__init__()
            self.action_id = action_id

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._entries: tuple[Key, ...] = ()
        self._places: list[tuple[range, str]] = []

    def show(self, entries: tuple[Key, ...]) -> None:
        if entries != self._entries:
            self._entries = entries
            self.refresh()

    def render_line(self, y: int) -> Strip:
        spans, places, used = [Span(" ")], [], 1
        gap = 2
        for entry in self._fitting():
            text = f"{entry.key} {entry.label}"
            places.append((range(used, used + width(text)), entry.action_id))
            key_tone, label_tone = ("key", "soft") if entry.enabled else ("faint", "faint")
            spans += [Span(entry.key, key_tone), Span(f" {entry.label}", label_tone), Span(" " * gap)]
            used += width(text) + gap
        self._places = places
        return self.strip(spans, self.size.width)

    def _fitting(self) -> list[Key]:
        """What fits; the last two (help and leaving) always have their place."""
        room = self.size.width - 1
        fixed = self._entries[-2:]
        room -= sum(_cells(entry) for entry in fixed)
        kept: list[Key] = []
        for entry in self._entries[:-2]:
            room -= _cells(entry)
            if room < 0:
                break
            kept.append(entry)
        return [*kept, *fixed]

    def on_click(self, event: events.Click) -> None:
        for place, action_id in self._places:
            if event.x in place:
                self.post_message(self.Pressed(action_id))


def _cells(entry: Key) -> int:
    return width(f"{entry.key} {entry.label}") + 2
