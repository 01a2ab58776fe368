"""The first look at a repository: what is missing is asked for, and nothing starts before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from app.dashboard import Dashboard
from app.screens.first_run import FirstRunScreen, is_open
from coordinator.api import Choice, FoundPrd, PrdTuiError, Survey
from tests.support.scenes import empty
from tests.support.screens import SIZES, Drive, on_screen, picture, press, settle, text
from tests.ui.test_snapshots import Picture

BARE = Survey(
    root="/home/me/shop",
    git="2.47",
    has_identity=True,
    branch="main",
    branches=("main",),
    base_branch="",
    base_problem="",
    worker="",
    worker_source="default",
    worker_problem="",
    choices=(
        Choice("./claude-loop.sh", False, "your loop script", "not supported yet: it does one story"),
        Choice("./loop.sh", False, "your loop script"),
        Choice("claude", True, "the built-in loop with /usr/bin/claude"),
        Choice("offline", True, "the built-in loop, for a trial without a key"),
    ),
    gates=(),
    pending=(),
    has_prd_folder=False,
    prds=(),
)


class Setup:
    """A repository that is mended by being told to; `done`: what was, in order."""

    def __init__(self, found: Survey = BARE) -> None:
        self.found = found
        self.done: list[str] = []
        self.refuses = ""

    def survey(self) -> Survey:
        return self.found

    def choose_agent(self, name: str) -> None:
        self._choose(f"agent {name}", name)

    def choose_script(self, name: str) -> None:
        self._choose(f"script {name}", name)

    def _choose(self, what: str, name: str) -> None:
        if self.refuses:
            raise PrdTuiError(self.refuses)
        self.done.append(what)
        self.found = replace(self.found, worker=name, worker_problem="")

    def make_folder(self) -> None:
        self.done.append("folder")
        self.found = replace(self.found, has_prd_folder=True, prds=(FoundPrd("login", "Log in", 3),))

    def approve(self) -> None:
        self.done.append("approve")
        self.found = replace(self.found, pending=())


def opened(setup: Setup, drive: Drive, size: tuple[int, int] = (80, 24)) -> Dashboard:
    return on_screen(empty(), drive, size, first_run=FirstRunScreen(setup, setup.survey()))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_picture(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    found: list[str] = []

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        found.append(picture(app))

    opened(Setup(), drive, size)
    assert found[0] == snapshot.use_extension(Picture)


def test_each_thing_that_is_missing_is_mended_by_a_button_and_only_then_the_engine_starts() -> None:
    setup = Setup(replace(BARE, pending=("worker.command",)))

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "enter")  # on the first one that can be chosen
        assert setup.done == ["script ./loop.sh"]
        await press(app, pilot, "enter", "enter")
        assert setup.done == ["script ./loop.sh", "approve", "folder"]
        assert "1 ready" in text(app)
        assert not app.bridge.started
        await press(app, pilot, "enter")
        app.bridge.wait_started(5.0)
        await settle(app, pilot)
        assert app.bridge.started
        assert "Drop a folder" in text(app)

    opened(setup, drive)


def test_an_agent_can_be_chosen_with_the_arrows() -> None:
    setup = Setup()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "down", "j", "enter")

    opened(setup, drive)
    assert setup.done == ["agent offline"]


def test_a_choice_that_fails_is_told_and_asked_again() -> None:
    setup = Setup()
    setup.refuses = "The agent claude is not on PATH: install it."

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, "enter")
        assert "not on PATH" in text(app)
        assert "Who shall work" in text(app)

    opened(setup, drive)


@pytest.mark.parametrize("key", ["escape", "q"])
def test_leaving_changes_and_starts_nothing(key: str) -> None:
    setup = Setup()

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, key)

    app = opened(setup, drive)
    assert setup.done == []
    assert not app.bridge.started
    assert app.return_value == 0


def test_it_is_asked_only_where_something_is_missing() -> None:
    ready = replace(BARE, worker="claude", has_prd_folder=True)
    assert not is_open(ready)
    assert is_open(replace(ready, worker=""))
    assert is_open(replace(ready, worker_problem="not on PATH"))
    assert is_open(replace(ready, pending=("worker.command",)))
    assert is_open(replace(ready, has_prd_folder=False))
