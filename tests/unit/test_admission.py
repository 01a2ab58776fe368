"""When a folder in prds/active becomes a PRD. Real folders; the two clocks are moved by the test."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from coordinator import folder_scan
from coordinator.admission import (
    STILL_COPIED,
    STILL_MOVED,
    Admission,
    Admitted,
    Arriving,
    Edited,
    Invalid,
    Sighting,
    Vanished,
    printable,
)
from coordinator.folder_scan import scan
from tests.support.repos import prd_json


class Desk:
    """An admission over a real directory, with clocks that start at the present and are moved by hand."""

    def __init__(self, tmp_path: Path) -> None:
        self.active = tmp_path / "prds" / "active"
        self.active.mkdir(parents=True)
        self.staging = tmp_path / "staging"
        self.admission = Admission(self.active)
        self.ahead = 0.0

    def look(self, later: float = 0.0, *, wall_stands: bool = False) -> list[Sighting]:
        """A look `later` seconds after the last. `wall_stands`: ctimes tell nothing (the clock was set)."""
        self.ahead += later
        now = 0.0 if wall_stands else time.time() + self.ahead
        return self.admission.look(now, self.ahead)

    def copy_in(self, name: str, text: str | None = None) -> Path:
        """A folder made in place, as `cp -r` does it."""
        folder = self.active / name
        folder.mkdir()
        (folder / "prd.json").write_text(prd_json() if text is None else text)
        return folder

    def move_in(self, name: str, text: str | None = None) -> Path:
        """A folder that lay at rest elsewhere, moved in whole."""
        folder = self.staging / name
        folder.mkdir(parents=True)
        (folder / "prd.json").write_text(prd_json() if text is None else text)
        time.sleep(0.03)  # a rename only counts as one when what is inside is older than the margin
        return folder.rename(self.active / name)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_copied_folder_is_admitted_once_when_it_was_still_for_two_seconds(desk: Desk) -> None:
    folder = desk.copy_in("PRD-1")
    assert desk.look() == [Arriving("PRD-1")]
    assert desk.look(STILL_MOVED + 0.1) == []
    assert desk.admission.pending()
    assert 0 < (desk.admission.due_in(time.time(), 0.0) or 0) <= STILL_COPIED
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Admitted)
    assert (told.prd_id, len(told.prd.stories)) == ("PRD-1", 2)
    assert told.data == (folder / "prd.json").read_bytes()
    assert told.arrived_at == pytest.approx(folder.stat().st_ctime)
    assert told.signature == scan(folder).signature
    assert desk.look(10) == []
    assert not desk.admission.pending()
    assert desk.admission.due_in(0, 0) is None
    assert desk.admission.settled() == (folder,)


def test_a_moved_folder_needs_a_third_of_a_second(desk: Desk) -> None:
    desk.move_in("PRD-1")
    assert desk.look() == [Arriving("PRD-1")]
    (told,) = desk.look(STILL_MOVED + 0.1)
    assert isinstance(told, Admitted)


def test_a_folder_at_rest_is_admitted_at_the_first_look(desk: Desk) -> None:
    desk.copy_in("PRD-1")
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Admitted)


def test_watching_counts_where_the_wall_clock_tells_nothing(desk: Desk) -> None:
    desk.copy_in("PRD-1")
    assert desk.look(wall_stands=True) == [Arriving("PRD-1")]
    assert desk.look(STILL_COPIED - 0.1, wall_stands=True) == []
    (told,) = desk.look(0.2, wall_stands=True)
    assert isinstance(told, Admitted)


def test_a_half_copied_folder_is_arriving_and_never_an_error(desk: Desk) -> None:
    text = prd_json()
    folder = desk.copy_in("PRD-1", text[:20])
    told = desk.look(wall_stands=True)
    for end in range(30, len(text), 40):
        (folder / "prd.json").write_text(text[:end])
        told += desk.look(STILL_COPIED - 0.1, wall_stands=True)
    (folder / "prd.json").write_text(text)
    told += desk.look(STILL_COPIED - 0.1, wall_stands=True)
    assert told == [Arriving("PRD-1")]
    (admitted,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(admitted, Admitted)


def test_files_in_subfolders_count_for_stillness(desk: Desk) -> None:
    folder = desk.copy_in("PRD-1")
    (folder / "specs" / "deep").mkdir(parents=True)
    desk.look(wall_stands=True)
    (folder / "specs" / "deep" / "a.md").write_text("x")
    assert desk.look(STILL_COPIED + 0.1, wall_stands=True) == []
    (told,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(told, Admitted)


def test_still_and_unreadable_is_invalid_and_can_be_mended(desk: Desk) -> None:
    folder = desk.copy_in("PRD-1", '{"userStories": [\n{"passes": "no"}]}')
    assert desk.look() == [Arriving("PRD-1")]
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Invalid)
    assert told.name == "PRD-1"
    assert told.reason.startswith("prd.json:2 passes of story")
    assert desk.look(10) == []
    (folder / "prd.json").write_text(prd_json())
    assert desk.look(wall_stands=True) == [Arriving("PRD-1")]
    (told,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(told, Admitted)


def test_an_empty_folder_waits_for_its_content(desk: Desk) -> None:
    (desk.active / "PRD-1").mkdir()
    assert desk.look() == [Arriving("PRD-1")]
    assert desk.look(STILL_MOVED + 0.1) == []
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Invalid)
    assert "missing" in told.reason


def test_an_edit_is_told_when_it_is_whole_and_valid(desk: Desk) -> None:
    folder = desk.copy_in("PRD-1")
    desk.look(STILL_COPIED + 0.1)
    (folder / "prd.json").write_text(prd_json(3))
    assert desk.look(wall_stands=True) == []
    assert desk.admission.pending()
    (told,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(told, Edited)
    assert len(told.prd.stories) == 3
    (folder / "prd.json").write_text("{")
    desk.look(wall_stands=True)
    (broken,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(broken, Invalid)
    (folder / "prd.json").write_text(prd_json(1))
    assert desk.look(wall_stands=True) == [Arriving("PRD-1")]
    (again,) = desk.look(STILL_COPIED + 0.1, wall_stands=True)
    assert isinstance(again, Admitted)


def test_an_unchanged_folder_is_not_read_again(desk: Desk) -> None:
    folder = desk.copy_in("PRD-1")
    desk.look(STILL_COPIED + 0.1)
    opened = folder.joinpath("prd.json").stat().st_atime_ns
    os.utime(folder / "prd.json", ns=(1, folder.joinpath("prd.json").stat().st_mtime_ns))
    assert desk.look(10) == []
    assert folder.joinpath("prd.json").stat().st_atime_ns == 1 != opened


def test_what_goes_is_told_and_may_come_back(desk: Desk) -> None:
    desk.copy_in("PRD-1")
    desk.copy_in("PRD-2")
    desk.look(STILL_COPIED + 0.1)
    shutil.rmtree(desk.active / "PRD-1")
    assert desk.look() == [Vanished("PRD-1")]
    assert desk.look() == []
    shutil.rmtree(desk.active)
    assert desk.look() == [Vanished("PRD-2")]
    desk.active.mkdir()
    desk.copy_in("PRD-2")
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Admitted)


def test_names_differ_by_more_than_case(desk: Desk) -> None:
    desk.copy_in("prd-1")
    assert isinstance(desk.look(STILL_COPIED + 0.1)[0], Admitted)
    desk.copy_in("PRD-1")
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert isinstance(told, Invalid)
    assert told.name == "PRD-1"
    assert "prd-1" in told.reason
    assert desk.look(1) == []
    shutil.rmtree(desk.active / "prd-1")
    gone, admitted = desk.look(1)
    assert gone == Vanished("prd-1")
    assert isinstance(admitted, Admitted)
    assert admitted.prd_id == "PRD-1"


HOSTILE = [
    *[
        "-x",
        "--detach",
        ".hidden",
        "a b",
        "a..b",
        "x.lock",
        "a\nb",
        "\x1b[2Jx",
        "a\u202eb",
        "é",
        "a:b",
        "a~1",
    ],
    *[
        "a^",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "@{",
        "$(id)",
        "`id`",
        "'q'",
        '"q"',
        "a;b",
        "a&b",
        "a|b",
        "a%",
        "x" * 65,
    ],
    *["a\u200bb", "\tx", " x", "x ", "_x", "#x", "a,b", "a=b", "{}", "\udcff\udcfe", "a\x7f", "a\x80", "+x"],
]


def test_hostile_names_are_one_invalid_row_each_and_nothing_else(desk: Desk) -> None:
    for name in HOSTILE:
        desk.copy_in(name)
    desk.copy_in("good")
    told = desk.look(STILL_COPIED + 0.1)
    invalid = [one for one in told if isinstance(one, Invalid)]
    assert len(invalid) == len(HOSTILE) == len({one.name for one in invalid})
    assert all(one.name.isprintable() and one.reason.isprintable() for one in invalid)
    assert [one.prd_id for one in told if isinstance(one, Admitted)] == ["good"]
    assert desk.look(10) == []
    shutil.rmtree(os.fsencode(desk.active / HOSTILE[-1]))
    assert desk.look() == [Vanished(HOSTILE[-1])]


def test_printable_names_stay_and_others_never_meet() -> None:
    names = ["plain", "é", "a\x1b", "a\\x1b", "a\\", "\udcff", "\\udcff", "a\n"]
    assert [printable(name) for name in names[:2]] == names[:2]
    assert len({printable(name) for name in names}) == len(names)
    assert all(printable(name).isprintable() for name in names)


def test_what_is_no_folder(desk: Desk) -> None:
    (desk.active / "README.md").write_text("x")
    (desk.active / ".gitkeep").write_text("")
    (desk.active / "feature.json").write_text("{}")
    (desk.active / "link").symlink_to("/")
    (desk.active / "dangling").symlink_to("nowhere")
    os.mkfifo(desk.active / "pipe")
    told = desk.look()
    assert all(isinstance(one, Invalid) for one in told)
    assert {one.name for one in told if isinstance(one, Invalid)} == {
        "feature.json",
        "link",
        "dangling",
        "pipe",
    }
    (desk.active / "link").unlink()
    desk.copy_in("link")
    assert desk.look() == [Arriving("link")]


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder", "huge", "zero"])
def test_a_prd_json_that_is_no_file_is_one_row_at_once(desk: Desk, kind: str) -> None:
    folder = desk.active / "PRD-1"
    folder.mkdir()
    target = folder / "prd.json"
    if kind == "symlink":
        target.symlink_to("/etc/passwd")
    elif kind == "zero":
        target.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        with target.open("wb") as file:
            file.truncate(2 << 30)
    started = time.perf_counter()
    (told,) = desk.look(STILL_COPIED + 0.1)
    assert time.perf_counter() - started < 5
    assert isinstance(told, Invalid)


def test_a_scan_follows_no_symlink_and_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "PRD-1"
    folder.mkdir()
    (folder / "up").symlink_to("..")
    (folder / "root").symlink_to("/")
    before = scan(folder)
    assert not before.too_large
    assert scan(folder) == before
    monkeypatch.setattr(folder_scan, "MAX_ENTRIES", 50)
    for number in range(51):
        (folder / f"{number}").touch()
    assert scan(folder).too_large
    (told,) = Admission(tmp_path).look(time.time() + 10, 0)
    assert isinstance(told, Invalid)
    assert "files" in told.reason


@pytest.mark.parametrize("change", ["name", "size", "mtime", "inode", "kind"])
def test_every_change_changes_the_signature(tmp_path: Path, change: str) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "a"
    file.write_text("xx")
    os.utime(file, ns=(0, 0))
    before = scan(tmp_path).signature
    if change == "name":
        file.rename(tmp_path / "sub" / "b")
    elif change == "size":
        file.write_text("xxx")
        os.utime(file, ns=(0, 0))
    elif change == "mtime":
        os.utime(file, ns=(0, 1))
    elif change == "inode":
        (tmp_path / "sub" / "n").write_text("xx")
        os.utime(tmp_path / "sub" / "n", ns=(0, 0))
        (tmp_path / "sub" / "n").replace(file)
    else:
        file.unlink()
        file.symlink_to("xx")
    assert scan(tmp_path).signature != before


def test_an_active_that_cannot_be_listed_makes_nothing_vanish(desk: Desk) -> None:
    desk.copy_in("PRD-1")
    desk.look(STILL_COPIED + 0.1)
    aside = desk.active.rename(desk.active.with_name("aside"))
    desk.active.symlink_to("active")  # a symlink to itself
    with pytest.raises(OSError, match="symbolic"):
        desk.look()
    desk.active.unlink()
    aside.rename(desk.active)
    assert desk.look() == []
