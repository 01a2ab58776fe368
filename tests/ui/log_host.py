"""An app with nothing but a log pane in it, and ways to look at its screen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.app import App, ComposeResult
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot
from textual.strip import Strip

from app.widgets.log_view import LogView

ROWS, COLUMNS = 10, 40


class CountingView(LogView):
    drawn: list[int]

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.changes: list[str] = []

    def compose(self) -> ComposeResult:
        view = CountingView()
        view.drawn = []
        yield view

    def on_log_view_reading_changed(self, message: LogView.ReadingChanged) -> None:
        self.changes.append(message.control.title_word)


Scenario = Callable[[Pilot[None], CountingView], Awaitable[None]]


def play(scenario: Scenario, size: tuple[int, int] = (COLUMNS, ROWS)) -> None:
    async def run() -> None:
        app = Host()
        async with app.run_test(size=size) as pilot:
            await scenario(pilot, app.query_one(CountingView))

    asyncio.run(run())


async def screen(pilot: Pilot[None]) -> list[str]:
    """The rows as they are on the screen, which they are only if what changed was repainted."""
    await pilot.pause()
    return [strip.text.rstrip() for strip in await strips(pilot)]


async def strips(pilot: Pilot[None]) -> list[Strip]:
    await pilot.pause()
    return pilot.app.screen._compositor.render_strips()


def numbers(rows: list[str]) -> list[int]:
    """Of the rows that are `line <number>`."""
    return [int(row.split()[1]) for row in rows if row.startswith("line ")]


async def wheel(pilot: Pilot[None], turn: type[MouseScrollUp] | type[MouseScrollDown]) -> None:
    await pilot._post_mouse_events([turn], CountingView, button=0)
