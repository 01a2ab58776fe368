"""The dashboard without a terminal: driven by a pilot, and what it shows as text that a person can review."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from string import ascii_letters, digits

from rich.segment import Segment
from textual._compositor import LayoutUpdate
from textual.app import App
from textual.pilot import Pilot

from app.dashboard import Dashboard
from app.machine import Load, Machine
from app.screens.first_run import FirstRunScreen
from coordinator.commands import Command
from tests.support.scenes import Scene

SIZES = ((80, 24), (120, 35), (200, 60))

Drive = Callable[[Dashboard, Pilot[int]], Awaitable[None]]


def on_screen(
    scene: Scene,
    drive: Drive,
    size: tuple[int, int] = (120, 35),
    *,
    on_quit: str = "ask",
    theme: str = "",
    first_run: FirstRunScreen | None = None,
) -> Dashboard:
    """Opens the dashboard on a scene, lets it settle, and drives it."""
    app = Dashboard(
        lambda: scene.engine,
        machine=StillMachine(),
        now=lambda: scene.now,
        monotonic=lambda: scene.monotonic,
        on_quit=on_quit,
        first_run=first_run,
    )

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            if theme:
                app.theme = theme
            await settle(app, pilot)
            await drive(app, pilot)

    asyncio.run(run())
    return app


class StillMachine(Machine):
    """Always as busy as this."""

    def __init__(self) -> None:
        super().__init__("/")
        self.samples.extend(Load(cpu, 41.0, 84_400_000_000) for cpu in (12.0, 30.0, 55.0, 63.0))

    def sample(self) -> None:
        """Nothing changes."""


async def settle(app: Dashboard, pilot: Pilot[int]) -> None:
    """Until the engine has been looked at and everything is drawn, whatever the timers do."""
    app.bridge.wait_started(5.0)
    app.look()
    await pilot.pause()
    app.look()
    await pilot.pause()


async def press(app: Dashboard, pilot: Pilot[int], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await settle(app, pilot)


def lines(app: App[int]) -> list[str]:
    """What is on the screen, a string per row."""
    return ["".join(segment.text for segment in row).rstrip() for row in _rows(app)]


def text(app: App[int]) -> str:
    return "\n".join(lines(app))


def picture(app: App[int]) -> str:
    """The rows, then a letter for the style of each cell, then what the letters mean."""
    names: dict[str, str] = {}
    drawn: list[str] = []
    styled: list[str] = []
    letters = ascii_letters + digits
    for row in _rows(app):
        drawn.append("".join(segment.text for segment in row).rstrip())
        styles = ""
        for segment in row:
            style = str(segment.style) if segment.style else "none"
            letter = names.setdefault(style, letters[len(names) % len(letters)])
            styles += letter * segment.cell_length
        styled.append(styles)
    legend = [f"{letter}  {style}" for style, letter in names.items()]
    return "\n".join([*drawn, "-" * 20, *styled, "-" * 20, *legend]) + "\n"


def _rows(app: App[int]) -> list[list[Segment]]:
    """As a screenshot has it: a dialog lies over what is behind it."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(update, LayoutUpdate)
    return [[part for strip in row for part in strip] for row in update.strips]


def after(
    scene: Scene,
    *keys: str,
    size: tuple[int, int] = (120, 35),
    look: Callable[[Dashboard], None] | None = None,
) -> str:
    """What is on the screen once the keys were pressed."""
    found: list[str] = []

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, *keys)
        if look is not None:
            look(app)
        found.append(text(app))

    on_screen(scene, drive, size)
    return found[0]


def sent(scene: Scene, *keys: str) -> list[Command]:
    """The commands that the keys gave."""
    after(scene, *keys)
    return scene.engine.commands


def chosen(app: Dashboard) -> str:
    return app.main.prds.key
