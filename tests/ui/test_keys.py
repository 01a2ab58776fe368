"""Every key and every dialog, on an engine that stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from app.actions import ACTIONS
from app.dashboard import Dashboard
from coordinator.commands import (
    Command,
    HoldQueue,
    LookAgain,
    PausePrds,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopMode,
    StopPrds,
)
from coordinator.errors import OwnedElsewhere
from coordinator.model import PrdState
from tests.support.scenes import NOW, SCENES, Scene, busy, empty, first_run, held
from tests.support.screens import SIZES, Drive, lines, on_screen, press, settle, text


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
    after(scene, *keys)
    return scene.engine.commands


def chosen(app: Dashboard) -> str:
    return app.main.prds.key


# -- moving ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        (("j",), "billing-webhooks"),
        (("down", "down"), "login-flow"),
        (("j", "j", "k"), "billing-webhooks"),
        (("j", "up"), "search-index"),
        (("k",), "search-index"),
        (("G",), "healthcheck"),
        (("end",), "healthcheck"),
        (("G", "g"), "search-index"),
        (("G", "home"), "search-index"),
        (("ctrl+d", "ctrl+u"), "search-index"),
        (("pagedown", "pageup"), "search-index"),
    ],
)
def test_the_cursor_moves(keys: tuple[str, ...], where: str) -> None:
    after(busy(), *keys, look=lambda app: _equal(chosen(app), where))


def _equal(found: object, wanted: object) -> None:
    assert found == wanted


@pytest.mark.parametrize("size", SIZES)
def test_the_cursor_stays_in_view(size: tuple[int, int]) -> None:
    assert "healthcheck" in after(busy(), "G", size=size)


def test_the_cursor_follows_its_prd_when_rows_change_places() -> None:
    scene = busy()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "j")
        assert chosen(app) == "billing-webhooks"
        snapshot = scene.engine.snapshot()
        prds = tuple(
            replace(view, state=PrdState.FAILED, ended_at=NOW) if view.prd_id == "billing-webhooks" else view
            for view in snapshot.prds
        )
        scene.engine.becomes(replace(snapshot, prds=prds))
        await settle(app, pilot)
        assert chosen(app) == "billing-webhooks"
        assert app.main.prds.cursor > 1

    on_screen(scene, drive)


def test_tab_goes_round_the_panes() -> None:
    def focused(app: Dashboard) -> str:
        return app.main.where().pane

    for count, pane in enumerate(("prds", "stories", "log", "queue", "prds")):
        after(busy(), *["tab"] * count, look=lambda app, pane=pane: _equal(focused(app), pane))  # type: ignore[misc]
    after(busy(), "shift+tab", look=lambda app: _equal(focused(app), "queue"))
    after(busy(), "tab", size=(80, 24), look=lambda app: _equal(focused(app), "stories"))


def test_brackets_change_the_tab() -> None:
    assert "14 passed in 1.22s" in after(busy(), "right_square_bracket", size=(80, 24))
    assert "US-007" in after(busy(), "]", "[", size=(80, 24))


def test_enter_zooms_and_escape_comes_back() -> None:
    zoomed = after(busy(), "enter", size=(80, 24))
    assert "US-008" in zoomed
    assert "login-flow" not in zoomed
    assert "login-flow" in after(busy(), "enter", "escape", size=(80, 24))


def test_moving_acts_on_the_focused_pane() -> None:
    def cursor(app: Dashboard) -> None:
        assert app.main.stories.key == "US-008"
        assert chosen(app) == "search-index"

    after(busy(), "tab", "G", look=cursor)


# -- PRDs ------------------------------------------------------------------------------------------------


def test_p_pauses_and_continues() -> None:
    assert sent(busy(), "p") == [PausePrds(("search-index",))]
    assert sent(busy(), *"jjjj", "p") == [ResumePrds(("audit-log",))]


def test_s_asks_with_the_consequence_and_the_harmless_answer_has_the_focus() -> None:
    scene = busy()
    shown = after(scene, "s")
    assert "Stop search-index?" in shown
    assert "Ends US-006, 1m31 in, attempt 1 of 3" in shown
    assert sent(busy(), "s", "enter") == []
    assert sent(busy(), "s", "escape") == []
    assert sent(busy(), "s", "right", "enter") == [StopPrds(("search-index",))]


def test_s_on_a_queued_prd_says_that_nothing_runs() -> None:
    scene = busy()
    assert "Takes it out of the queue" in after(scene, *"jjjjjjjj", "s")


def test_r_retries_what_has_ended() -> None:
    assert sent(busy(), *"jjjjj", "r") == [RetryPrds(("rate-limit",))]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ((*"jjjjj", "p"), "rate-limit is failed: only a running PRD can be paused."),
        (("r",), "search-index is running: only an ended PRD can be tried again."),
        (("G", "s"), "healthcheck is merged: there is nothing to stop."),
        (("G", "k", "k", "r"), "verified: there is nothing to try again."),
        ((*"jjjjjj", "r"), "mend its prd.json"),
    ],
)
def test_a_key_that_cannot_act_says_why(keys: tuple[str, ...], why: str) -> None:
    scene = busy()
    shown = " ".join(line.strip(" │▌") for line in after(scene, *keys, size=(200, 60)).splitlines())
    assert why.split(":", maxsplit=1)[0] in shown
    assert scene.engine.commands == []


def test_keys_without_a_prd_say_so() -> None:
    for key in ("p", "s", "r", "enter", "slash"):
        scene = empty()
        after(scene, key)
        assert scene.engine.commands == []


def test_the_key_bar_tells_what_can_act() -> None:
    assert "p Go on" in after(busy(), *"jjjj")
    assert "P Start" in after(held())
    assert "P Hold" in after(busy())


# -- the queue -------------------------------------------------------------------------------------------


def test_capital_p_holds_and_releases() -> None:
    assert sent(busy(), "P") == [HoldQueue()]
    assert sent(held(), "P") == [ReleaseQueue()]
    assert sent(first_run(), "P") == [ReleaseQueue()]


def test_capital_r_looks_again() -> None:
    assert sent(busy(), "R") == [LookAgain()]


def test_a_refused_command_is_told() -> None:
    scene = busy()
    scene.engine.happens("login-flow has just ended", refused=True)
    assert "login-flow has just ended" in after(scene)


# -- the log ---------------------------------------------------------------------------------------------


def test_l_shows_the_log_and_f_follows() -> None:
    def reading(app: Dashboard) -> None:
        assert app.main.where().pane == "log"
        assert not app.main.log_view.following

    assert "14 passed in 1.22s" in after(busy(), "l", size=(80, 24))
    after(busy(), "l", "f", look=reading)
    after(busy(), "l", "f", "f", look=lambda app: _equal(app.main.log_view.following, True))


def test_slash_searches_the_log() -> None:
    def asks(app: Dashboard) -> None:
        assert isinstance(app.main.focused, Input)

    after(busy(), "slash", look=asks)
    after(busy(), "slash", *"BM25", "enter", "n", "N", look=lambda app: _equal(app.main.where().pane, "log"))
    assert "is not in this part of the log" in after(busy(), "slash", *"zebra", "enter")
    assert "Nothing has been searched for yet" in after(busy(), "n")
    after(busy(), "slash", *"pq", "escape", look=lambda app: _equal(app.main.where().pane, "log"))


def test_letters_typed_into_the_search_are_no_commands() -> None:
    assert sent(busy(), "slash", *"psRP") == []


# -- the whole -------------------------------------------------------------------------------------------


def test_help_names_every_action() -> None:
    shown = after(busy(), "question_mark", size=(120, 60))
    for action in ACTIONS:
        assert action.help[:40] in shown, action.id
    assert "Help" not in lines_of(busy(), "question_mark", "escape")[1]


def lines_of(scene: Scene, *keys: str) -> list[str]:
    return after(scene, *keys).splitlines()


def test_no_two_actions_share_a_key() -> None:
    keys = [key for action in ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_the_palette_runs_actions() -> None:
    scene = busy()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"Hold")
        await app.workers.wait_for_complete()
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await pilot.pause(0.1)
        await settle(app, pilot)

    on_screen(scene, drive)
    assert scene.engine.commands == [HoldQueue()]


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
