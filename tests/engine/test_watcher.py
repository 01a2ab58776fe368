"""The watcher on real directories: everything that comes is told once, soon, and whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.admission import Admission, Admitted, Arriving, Edited, Invalid, Sighting, Vanished
from coordinator.watcher import Watcher
from tests.support.repos import drop_prd, git, make_repo, prd_json
from tests.support.waiting import wait_until


class Told:
    """A running watcher and all it told."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.active = repo / "prds" / "active"
        self.commands = repo / "commands"
        self.sightings: list[tuple[float, Sighting]] = []
        self.hints: list[Path] = []
        self.warnings: list[str] = []
        self.refuse = 0
        self.watcher = Watcher(
            Admission(self.active),
            [self.commands],
            emit=self._emit,
            hint=self.hints.append,
            warn=self.warnings.append,
        )

    def _emit(self, sightings: list[Sighting]) -> None:
        if self.refuse:
            self.refuse -= 1
            raise RuntimeError("not now")
        self.sightings += [(time.monotonic(), one) for one in sightings]

    def of(self, kind: type[Sighting]) -> list[Sighting]:
        return [one for _, one in self.sightings if isinstance(one, kind)]

    def admitted(self) -> list[str]:
        return [one.prd_id for _, one in self.sightings if isinstance(one, Admitted)]

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: set(names) <= set(self.admitted()), 15, f"admission of {names}")

    def wait_for_ears(self) -> None:
        """Until events are heard: an entry in the drop box is hinted at without a look being due."""
        self.commands.mkdir(parents=True, exist_ok=True)
        before = len(self.hints)

        def heard() -> bool:
            (self.commands / f"ping-{time.monotonic_ns()}").touch()
            return len(self.hints) > before + 1

        wait_until(heard, 10, "hearing events")


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    repo = tmp_path / "repo"
    (repo / ".git" / "staging").mkdir(parents=True)
    (repo / "prds" / "active").mkdir(parents=True)
    (repo / "commands").mkdir()
    told = Told(repo)
    yield told
    told.watcher.stop()
    assert not [one for one in threading.enumerate() if one in told.watcher._threads]


def at_rest(repo: Path, name: str) -> Path:
    """A PRD folder outside that lay still for a while."""
    folder = repo / ".git" / "staging" / name
    folder.mkdir(parents=True)
    (folder / "prd.json").write_text(prd_json())
    then = time.time()
    wait_until(lambda: time.time() > then + 0.03, what="the folder being older than a rename's margin")
    return folder


def test_a_folder_moved_in_is_admitted_within_a_second(told: Told) -> None:
    told.watcher.start()
    told.wait_for_ears()
    folder = at_rest(told.repo, "PRD-1")
    began = time.monotonic()
    folder.rename(told.active / "PRD-1")
    told.wait_for("PRD-1")
    when = next(at for at, one in told.sightings if isinstance(one, Admitted))
    # 10 ms less: the kernel stamps a rename with the time of its last tick
    assert 0.29 <= when - began < 1.0
    assert [type(one) for _, one in told.sightings] == [Arriving, Admitted]


def test_what_is_there_at_the_start_and_what_comes_in_every_way(told: Told, tmp_path: Path) -> None:
    drop_prd(told.repo, "there")
    told.watcher.start()
    outside = tmp_path / "outside"
    for name in ("copied", "slow", "archived"):
        (outside / name / "specs").mkdir(parents=True)
        (outside / name / "prd.json").write_text(prd_json())
        (outside / name / "specs" / "a.md").write_text("x" * 1000)
    subprocess.run(["cp", "-r", outside / "copied", told.active], check=True)
    tar = subprocess.run(["tar", "-C", outside, "-c", "archived"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-C", told.active, "-x"], check=True, input=tar)
    slow = told.active / "slow"
    slow.mkdir()
    text = prd_json()
    (slow / "prd.json").write_text(text)  # valid before its files are there
    for number in range(15):
        with (slow / "a.md").open("a") as file:
            file.write("more\n" * number)
        told.commands.joinpath("x").touch()
        threading.Event().wait(0.1)  # the pace of the copy, not a wait for anything
    finished = time.monotonic()
    told.wait_for("there", "copied", "slow", "archived")
    assert sorted(told.admitted()) == ["archived", "copied", "slow", "there"]
    when = next(at for at, one in told.sightings if isinstance(one, Admitted) and one.prd_id == "slow")
    assert when > finished
    assert not told.of(Invalid)


def test_git_checkout_brings_and_takes_prds(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"a.txt": "a"})
    git(repo, "checkout", "-q", "-b", "with-prds")
    for name in ("one", "two"):
        (repo / "prds" / "active" / name).mkdir(parents=True)
        (repo / "prds" / "active" / name / "prd.json").write_text(prd_json())
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "prds")
    git(repo, "checkout", "-q", "main")
    told = Told(repo)
    told.watcher.start()
    try:
        git(repo, "checkout", "-q", "with-prds")  # prds/active did not exist when the watcher started
        told.wait_for("one", "two")
        git(repo, "checkout", "-q", "main")
        wait_until(lambda: len(told.of(Vanished)) == 2, 15, "both gone")
    finally:
        told.watcher.stop()
    assert sorted(told.admitted()) == ["one", "two"]


def test_an_edit_in_place_is_heard(told: Told) -> None:
    drop_prd(told.repo, "PRD-1")
    told.watcher.start()
    told.wait_for("PRD-1")
    told.wait_for_ears()
    (told.active / "PRD-1" / "prd.json").write_text(prd_json(5))
    wait_until(lambda: told.of(Edited), 8, "the edit")  # sooner than the look that needs no event


def test_a_directory_made_anew_is_heard_again(told: Told) -> None:
    told.watcher.start()
    told.wait_for_ears()
    for round_ in range(3):
        shutil.rmtree(told.active)
        told.active.mkdir()
        drop_prd(told.repo, f"PRD-{round_}")
        told.wait_for(f"PRD-{round_}")
    shutil.rmtree(told.commands)
    wait_until(lambda: told.watcher._missing, what="the missing drop box being noticed")
    told.wait_for_ears()
    assert not told.warnings


def test_hints_name_the_directory(told: Told) -> None:
    told.watcher.start()
    told.wait_for_ears()
    assert set(told.hints) == {told.commands}


def test_what_could_not_be_told_is_told_again(told: Told) -> None:
    told.refuse = 2
    drop_prd(told.repo, "PRD-1")
    told.watcher.start()
    told.wait_for("PRD-1")
    assert told.admitted() == ["PRD-1"]
    assert len(told.warnings) == 1
    assert "not now" in told.warnings[0]


def test_a_look_in_the_callers_thread_tells_before_it_returns(told: Told) -> None:
    folder = drop_prd(told.repo, "PRD-1")
    os.utime(folder / "prd.json", (1, 1))
    told.watcher.look_now()
    assert [type(one) for _, one in told.sightings] == [Arriving]


def test_stop_is_quick_and_nothing_is_told_afterwards(told: Told) -> None:
    told.watcher.start()
    told.wait_for_ears()
    began = time.monotonic()
    told.watcher.stop()
    assert time.monotonic() - began < 5
    count = len(told.sightings)
    drop_prd(told.repo, "late")
    told.watcher.look_now()
    assert len(told.sightings) == count


DEAF = """
import json, pathlib, sys
sys.path.insert(0, {project!r})
from coordinator.admission import Admission, Admitted
from coordinator.watcher import Watcher
from tests.support.repos import drop_prd
from tests.support.waiting import wait_until
repo = pathlib.Path({repo!r})
(repo / "prds" / "active").mkdir(parents=True)
(repo / "commands").mkdir()
told, hints, warnings = [], [], []
watcher = Watcher(Admission(repo / "prds" / "active"), [repo / "commands"],
                  emit=told.extend, hint=hints.append, warn=warnings.append)
watcher.start()
wait_until(lambda: warnings, what="the warning")
drop_prd(repo, "PRD-1")
wait_until(lambda: any(isinstance(one, Admitted) for one in told), 15, "admission without events")
wait_until(lambda: hints, what="a hint without events")
watcher.stop()
print(json.dumps(warnings))
"""


def test_without_inotify_folders_are_admitted_by_looking(tmp_path: Path) -> None:
    # a user namespace of its own has limits of its own, so that no other test goes deaf
    none_left = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    alone = ["unshare", "-Ur", "sh", "-c", none_left, "sh"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("user namespaces are not available")
    project = Path(__file__).parents[2]
    script = DEAF.format(project=str(project), repo=str(tmp_path / "repo"))
    done = subprocess.run(
        [*alone, sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    warnings = json.loads(done.stdout)
    assert len(warnings) == 1
    assert "inotify" in warnings[0]


def test_an_end_without_stop_is_clean(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    script = DEAF.format(project=str(project), repo=str(tmp_path / "repo"))
    script = script.split("wait_until(lambda: warnings")[0]
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
