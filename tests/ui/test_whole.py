"""Leaving, faults, odd sizes and the mouse, on an engine that stands still."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Button

from app.dashboard import Dashboard
from coordinator.commands import PausePrds, StopMode, StopPrds
from coordinator.errors import OwnedElsewhere
from tests.support.scenes import SCENES, busy, empty
from tests.support.screens import Drive, after, chosen, lines, on_screen, press, settle, text

# -- leaving ---------------------------------------------------------------------------------------------


def test_q_with_nothing_running_leaves_at_once() -> None:
    app = on_screen(empty(), _press("q"))
    assert (app.farewell, app.return_value) == (StopMode.DETACH, 0)


def _press(*keys: str) -> Drive:
    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, *keys)

    return drive


def test_q_asks_when_work_runs_and_a_second_q_leaves_it_running() -> None:
    assert "Leave running" in after(busy(), "q")
    scene = busy()
    app = on_screen(scene, _press("q", "q"))
    assert app.farewell is StopMode.DETACH
    assert scene.engine.modes == []


def test_q_can_be_taken_back() -> None:
    app = on_screen(busy(), _press("q", "escape"))
    assert app.farewell is None


@pytest.mark.parametrize(
    ("keys", "mode", "word"),
    [(("right",), StopMode.DRAIN, "DRAINING"), (("right", "right"), StopMode.TERM, "STOPPING")],
)
def test_drain_and_stop_all_keep_the_screen_until_the_end(
    keys: tuple[str, ...], mode: StopMode, word: str
) -> None:
    scene = busy()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "q", *keys, "enter")
        assert scene.engine.modes == [mode]
        assert word in lines(app)[0]
        assert app.farewell is None
        scene.engine.ended = True
        app.look()

    assert on_screen(scene, drive).farewell is mode


def test_q_while_stopping_offers_to_kill() -> None:
    scene = busy()
    on_screen(scene, _press("q", "right", "right", "enter", "q", "right", "enter"))
    assert scene.engine.modes == [StopMode.TERM, StopMode.KILL]


def test_on_quit_answers_for_good() -> None:
    assert on_screen(busy(), _press("q"), on_quit="leave").farewell is StopMode.DETACH
    scene = busy()
    on_screen(scene, _press("q"), on_quit="stop")
    assert scene.engine.modes == [StopMode.TERM]


# -- what goes wrong -------------------------------------------------------------------------------------


def test_a_start_that_fails_closes_the_screen() -> None:
    scene = empty()
    scene.engine.refuses_to_start = OwnedElsewhere("Another coordinator runs this repository.")
    app = on_screen(scene, _press())
    assert app.bridge.failure is scene.engine.refuses_to_start
    assert app.return_value == 1


def test_an_engine_that_went_quiet_is_told_with_the_age_of_what_is_shown() -> None:
    scene = busy()
    scene.monotonic = 73.0
    assert "what you see is 1m13 old" in after(scene)


def test_an_engine_that_ended_by_itself_is_told() -> None:
    scene = busy()
    scene.engine.ended = True
    assert "The engine has ended by itself" in after(scene)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("size", [(60, 16), (99, 17), (100, 24), (159, 50), (160, 16), (300, 100)])
def test_every_state_at_odd_sizes(scene: str, size: tuple[int, int]) -> None:
    shown = after(SCENES[scene](), "G", "tab", "tab", "g", size=size)
    assert len(shown.splitlines()) == size[1]


def test_the_screen_can_be_resized_through_all_layouts() -> None:
    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        for width, height in ((80, 24), (40, 10), (200, 60), (120, 35), (60, 16), (10, 3), (120, 35)):
            await pilot.resize_terminal(width, height)
            await settle(app, pilot)
        assert "search-index" in text(app)

    on_screen(busy(), drive)


def test_the_mouse_chooses_rows_and_presses_keys() -> None:
    scene = busy()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.click("#prds", offset=(10, 4))
        await settle(app, pilot)
        assert chosen(app) == "login-flow"
        await pilot.click("#keys", offset=(11, 0))
        await settle(app, pilot)

    on_screen(scene, drive)
    assert scene.engine.commands == [PausePrds(("login-flow",))]


def test_dialog_buttons_can_be_clicked() -> None:
    scene = busy()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "s")
        await pilot.click("#choice-yes")
        await settle(app, pilot)
        assert not app.query(Button)

    on_screen(scene, drive)
    assert scene.engine.commands == [StopPrds(("search-index",))]
