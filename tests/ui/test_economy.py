"""What is drawn again when something changes: no more than that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.strip import Strip

from app.dashboard import Dashboard
from app.widgets.listing import Listing
from coordinator.model import PrdView, Progress
from tests.support.scenes import Scene, busy
from tests.support.screens import on_screen, picture, press, settle

Change = Callable[[Scene], None]


class Drawings:
    """`lines`: how many were drawn by pane; `layouts`: how often the whole screen was laid out."""

    def __init__(self) -> None:
        self.lines: Counter[str] = Counter()
        self.layouts = 0


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> Drawings:
    found = Drawings()
    draw = Listing.render_line

    def counted(pane: Listing, y: int) -> Strip:
        found.lines[pane.id or ""] += 1
        return draw(pane, y)

    monkeypatch.setattr(Listing, "render_line", counted)
    return found


def after(scene: Scene, drawings: Drawings, *keys: str, change: Change | None = None) -> Drawings:
    """What is drawn for a change of the engine's, or for a key, once everything is at rest."""

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        def laid_out(_screen: object) -> None:
            drawings.layouts += 1

        app.screen.screen_layout_refresh_signal.subscribe(app.screen, laid_out)
        drawings.lines.clear()
        if change is not None:
            change(scene)
            await settle(app, pilot)
        await press(app, pilot, *keys)

    on_screen(scene, drive)
    return drawings


def touch(scene: Scene) -> None:
    """A new snapshot that says what the old one said."""
    scene.engine.becomes(scene.engine.snapshot())


def advance(scene: Scene) -> None:
    """One story more of a PRD that is not the chosen one."""
    snapshot = scene.engine.snapshot()

    def later(view: PrdView) -> PrdView:
        return replace(view, progress=Progress(4, 8)) if view.prd_id == "billing-webhooks" else view

    scene.engine.becomes(replace(snapshot, prds=tuple(map(later, snapshot.prds))))


def test_a_snapshot_that_says_nothing_new(drawings: Drawings) -> None:
    after(busy(), drawings, change=touch)
    assert not drawings.lines
    assert drawings.layouts == 0


def test_one_row_that_changes(drawings: Drawings) -> None:
    after(busy(), drawings, change=advance)
    assert drawings.lines["prds"] == 1
    assert not drawings.lines["stories"]  # nothing of the chosen one; that the queue moves up may be told
    assert drawings.layouts == 0


def test_a_key_that_moves_the_cursor(drawings: Drawings) -> None:
    after(busy(), drawings, "j")
    assert drawings.lines["prds"] == 2  # the line it leaves and the one it comes to
    assert drawings.layouts == 0


@pytest.mark.parametrize("pane", ["stories", "queue"])
def test_the_cursor_is_seen_where_it_is(pane: str) -> None:
    """In a pane whose lines say nothing of the cursor, only its colour tells."""
    shown: list[str] = []

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        app.main.query_one(f"#{pane}").focus()
        await press(app, pilot, "g")
        for key in ("j", "k", "G", "g"):
            before = picture(app)
            await press(app, pilot, key)
            shown.append(picture(app))
            assert shown[-1] != before
        app.main.query_one(f"#{pane}").refresh()
        await settle(app, pilot)
        shown.append(picture(app))

    on_screen(busy(), drive)
    assert shown[1] == shown[3] == shown[4]
    assert shown[0] != shown[2]
