"""The question whether the last session's work goes on: asked once, answered by one key, here or elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from app.dashboard import Dashboard
from coordinator.commands import Command, HoldQueue, ReleaseQueue
from coordinator.model import QueueView
from tests.support.scenes import left_over
from tests.support.screens import SIZES, after, lines, on_screen, picture, press, sent, settle, text
from tests.ui.test_snapshots import Picture


def test_what_is_asked(snapshot: SnapshotAssertion) -> None:
    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await settle(app, pilot)
        assert picture(app) == snapshot(extension_class=Picture)

    on_screen(left_over(), drive, SIZES[0])


@pytest.mark.parametrize(
    ("key", "command"),
    [("y", ReleaseQueue()), ("enter", ReleaseQueue()), ("n", HoldQueue())],
)
def test_one_key_answers(key: str, command: Command) -> None:
    assert sent(left_over(), key) == [command]


def test_esc_leaves_the_question_open_and_p_answers_it_later() -> None:
    shown = after(left_over(), "escape")
    assert "Resume previous session?" not in shown
    assert "P lets it go on" in shown
    assert sent(left_over(), "escape", "P") == [ReleaseQueue()]


def test_an_answer_from_elsewhere_takes_the_question_away() -> None:
    scene = left_over()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await settle(app, pilot)
        assert "Resume previous session?" in text(app)
        scene.engine.becomes(replace(scene.engine.snapshot(), queue=QueueView(slots_used=1, slots=3)))
        await settle(app, pilot)
        assert "Resume previous session?" not in text(app)
        assert "RUNNING" in lines(app)[0]
        await press(app, pilot, "y")
        assert scene.engine.commands == []

    on_screen(scene, drive)
