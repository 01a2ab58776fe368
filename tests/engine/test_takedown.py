"""Taking one worktree down: what its tear-down does to it, what a later one finds, and who waits meanwhile."""

from __future__ import annotations

import tarfile
import threading
from pathlib import Path

import pytest

from coordinator.archive import archive_of, write_archive
from coordinator.clock import SystemClock
from coordinator.config import Settings
from coordinator.engine_log import EngineLog
from coordinator.model import Prd, Run, Story
from coordinator.runs import Intent, Journal, write_intent
from coordinator.settings_schema import WorktreeSettings
from coordinator.takedown import Tools, bring_back, take_down, tools_alone
from coordinator.tidying import Tidier
from tests.support.repos import git
from tests.support.sites import FILES, Site

PRD = Prd("p", "t", "", None, None, (), (), (Story("US-1", "one", passes=False),))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


def a_run(site: Site, number: int) -> Run:
    run_id, worktree = f"run-{number}", site.worktrees.path_for("A")
    place, log = site.paths.run_dir("A", run_id), site.paths.worker_log("A")
    log.parent.mkdir(parents=True, exist_ok=True)
    branch = "feature/A"
    run = Run("A", run_id, number, str(worktree), branch, branch, "main", site.base, str(place), str(log))
    write_intent(site.paths, Intent(run, PRD, 1.0, 1), b"{}")
    return run


def tools(site: Site, *teardown: str) -> Tools:
    clock = SystemClock()
    settings = Settings(worktree=WorktreeSettings(teardown=teardown))
    return tools_alone(site.paths, settings, clock, EngineLog(site.paths.engine_log, clock))


def test_what_a_tear_down_throws_away_was_set_aside(site: Site) -> None:
    run, worktree = a_run(site, 1), site.start("A")
    (worktree / "loose.txt").write_text("loose\n")
    kept = take_down(tools(site, "git clean -fdq"), "A", run)
    assert kept is not None
    assert git(site.repo, "show", f"{kept.ref}:loose.txt") == "loose"
    assert not worktree.exists()
    noted = Journal(run.run_dir).last("set aside")
    assert noted is not None, "a retry puts it back"
    assert noted["ref"] == kept.ref


def test_a_prd_folder_that_an_earlier_run_left_does_not_replace_a_later_one(site: Site) -> None:
    first, second, third = (a_run(site, number) for number in (1, 2, 3))
    site.start("A")
    left = Path(first.run_dir) / "worked" / "prds" / "active" / "A" / "prd.json"
    left.parent.mkdir(parents=True)
    left.write_text("of the first run")
    there = Path(third.worktree) / "prds" / "active" / "A" / "prd.json"
    there.parent.mkdir(parents=True)
    there.write_text("what the second run committed")
    (Path(second.run_dir) / "start.json").write_text("{}")
    bring_back(site.paths, third)
    assert there.read_text() == "what the second run committed"
    bring_back(site.paths, second)
    assert there.read_text() == "of the first run"


def test_who_wants_to_tidy_does_not_wait_for_one_that_takes_long(site: Site) -> None:
    begun, go, looks = threading.Event(), threading.Event(), []

    def settings() -> Settings:
        looks.append(1)
        begun.set()
        assert go.wait(60)
        return Settings()

    tidier = Tidier(tools(site), settings, print)
    first = threading.Thread(target=tidier.tidy, args=((),))
    first.start()
    assert begun.wait(60)
    others = [threading.Thread(target=tidier.tidy, args=((),)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(10)
    waiting = [other for other in others if other.is_alive()]
    go.set()
    first.join(60)
    assert not waiting
    assert len(looks) == 2, "and what they want is done afterwards, once"


def test_an_archive_has_files_by_all_their_names(site: Site) -> None:
    run, state = a_run(site, 1), site.start("A") / ".claude-loop"
    state.mkdir()
    (state / "one").write_text("said\n")
    (state / "two").hardlink_to(state / "one")
    write_archive(site.paths.archives, run, state, 1.0)
    with tarfile.open(archive_of(site.paths.archives, run)) as archive:
        assert {"claude-loop/one", "claude-loop/two"} <= set(archive.getnames())
