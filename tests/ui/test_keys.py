"""Every key and every dialog, on an engine that stands still."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.actions import ACTIONS
from app.dashboard import Dashboard
from coordinator.commands import (
    DropPrds,
    HoldQueue,
    LookAgain,
    PausePrds,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopPrds,
)
from coordinator.model import PrdState
from tests.support.scenes import NOW, Scene, busy, empty, first_run, held
from tests.support.screens import SIZES, after, chosen, on_screen, press, sent, settle

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


def test_ctrl_k_kills_after_a_question() -> None:
    assert "They get no time" in after(busy(), "ctrl+k")
    assert sent(busy(), "ctrl+k", "enter") == []
    assert sent(busy(), "ctrl+k", "right", "enter") == [StopPrds(("search-index",), kill=True)]


def test_capital_d_drops_after_a_question() -> None:
    shown = " ".join(after(busy(), "D").replace("│", " ").split())
    assert "Drop search-index?" in shown
    assert "Ends US-006, 1m31 in" in shown
    assert "kept on refs under refs/prd/dropped" in shown
    assert sent(busy(), "D", "enter") == []
    assert sent(busy(), "space", "space", "D", "right", "enter") == [
        DropPrds(("search-index", "billing-webhooks"))
    ]
    scene = busy()
    scene.engine.happens("login-flow dropped: work kept as refs/prd/dropped/x", state=PrdState.DROPPED)
    assert "login-flow dropped: work kept" in after(scene)


def test_space_marks_and_keys_act_on_all_that_are_marked() -> None:
    assert sent(busy(), "space", "space", "p") == [PausePrds(("search-index", "billing-webhooks"))]
    assert sent(busy(), "space", "space", "k", "space", "p") == [PausePrds(("search-index",))]
    assert sent(busy(), *"jjjj", "space", "p") == [ResumePrds(("audit-log",))]
    assert sent(busy(), "space", "escape", "j", "p") == [PausePrds(("login-flow",))]
    shown = after(busy(), "space", "space")
    assert "2 marked" in shown
    assert shown.count("◆") == 2


def test_all_at_once() -> None:
    scene = busy()
    running = ("search-index", "billing-webhooks", "login-flow")
    assert sent(scene, "ctrl+a", "p") == [PausePrds(running)]
    shown = after(busy(), "ctrl+a", "s")
    assert "Ends the workers of 5 PRDs" in shown
    assert "Takes 6 out of" in " ".join(shown.replace("│", " ").split())
    (command,) = sent(busy(), "ctrl+a", "s", "right", "enter")
    assert isinstance(command, StopPrds)
    assert len(command.prd_ids) == 11
    assert sent(busy(), "ctrl+a", "ctrl+a", "p") == [PausePrds(("search-index",))]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ((*"jjjjj", "p"), "rate-limit is failed: only a running PRD can be paused."),
        (("r",), "search-index is running: only an ended PRD can be tried again."),
        (("G", "D"), "healthcheck is merged: there is nothing to give up."),
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
