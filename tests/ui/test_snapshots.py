"""Every state of the dashboard at three sizes, as pictures made of text.

`pytest tests/ui/test_snapshots.py --snapshot-update` writes them anew; look at the difference before it is kept.
"""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot

from app.dashboard import Dashboard
from tests.support.scenes import SCENES, Scene, busy, checking
from tests.support.screens import SIZES, on_screen, picture, press


class Picture(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.fixture
def pictures(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Picture)


def taken(scene: Scene, size: tuple[int, int], *keys: str, theme: str = "") -> str:
    found: list[str] = []

    async def drive(app: Dashboard, pilot: Pilot[int]) -> None:
        await press(app, pilot, *keys)
        found.append(picture(app))

    on_screen(scene, drive, size, theme=theme)
    return found[0]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_states(scene: str, size: tuple[int, int], pictures: SnapshotAssertion) -> None:
    assert taken(SCENES[scene](), size) == pictures


def test_while_the_base_is_checked(pictures: SnapshotAssertion) -> None:
    assert taken(checking(), (80, 24)) == pictures


#: What is opened over, or in place of, the list: the keys that get there.
OPENED = {
    "log": ("l",),
    "zoomed": ("enter",),
    "failed": ("j", "j", "j", "j", "j"),
    "stop": ("s",),
    "leave": ("q",),
    "help": ("question_mark",),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("what", OPENED)
def test_opened(what: str, size: tuple[int, int], pictures: SnapshotAssertion) -> None:
    assert taken(busy(), size, *OPENED[what]) == pictures


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (20, 5)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_too_small(size: tuple[int, int], pictures: SnapshotAssertion) -> None:
    assert taken(busy(), size) == pictures


def test_light(pictures: SnapshotAssertion) -> None:
    assert taken(busy(), (120, 35), theme="prd-tui-light") == pictures
