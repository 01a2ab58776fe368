"""What a clean finds: only what no list, no branch and no worktree needs any more, and only once it is old."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from coordinator import branches
from coordinator.cleaning import Plan, amount
from coordinator.clock import SystemClock
from coordinator.config import Settings
from coordinator.effects import Standing
from coordinator.engine_log import EngineLog
from coordinator.model import Prd, PrdState, Run, Story
from coordinator.runs import Intent, write_intent
from coordinator.state import BASE_CHECK
from coordinator.takedown import tools_alone
from coordinator.worktrees import BASE_REASON
from tests.support.repos import git
from tests.support.sites import FILES, Site

PRD = Prd("p", "t", "", None, None, (), (), (Story("US-1", "one", passes=False),))
OLD = time.time() - 40 * 86400


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


def a_run(site: Site, prd_id: str, generation: int, *, when: float = OLD) -> Run:
    """A recorded run whose branch and worktree are gone."""
    run_id = f"run-{generation}"
    place = site.paths.run_dir(prd_id, run_id)
    branch = f"feature/{prd_id}-{generation}"
    worktree = site.worktrees.path_for(prd_id)
    run = Run(
        prd_id, run_id, generation, str(worktree), branch, branch, "main", site.base, str(place), "/log"
    )
    write_intent(site.paths, Intent(run, PRD, 1.0, 1), b"{}")
    for file in place.iterdir():
        os.utime(file, (when, when))
    return run


def plan(site: Site, **runs: tuple[PrdState, Run | None]) -> Plan:
    clock = SystemClock()
    tools = tools_alone(site.paths, Settings(), clock, EngineLog(site.paths.engine_log, clock))
    standings = tuple(Standing(name, state, run, 1.0) for name, (state, run) in runs.items())
    return Plan(tools, Settings(), standings)


def goes(found: Plan) -> list[str]:
    return [item.what for item in found.items]


def test_records_of_runs_go_once_they_are_old_and_nothing_needs_them(site: Site) -> None:
    runs = {name: [a_run(site, name, number) for number in (1, 2)] for name in ("done", "failed", "dropped")}
    a_run(site, "gone", 1)
    a_run(site, "young", 1, when=time.time())
    with_branch = a_run(site, "branched", 1)
    branches.create(site.git, with_branch.branch, site.base, "run-9")
    found = plan(
        site,
        done=(PrdState.COMPLETED, runs["done"][1]),
        failed=(PrdState.FAILED, runs["failed"][1]),
        dropped=(PrdState.DROPPED, runs["dropped"][1]),
    )
    assert goes(found) == [
        "record of run done/run-1",  # the newest of one that is listed stays
        "record of run dropped/run-1",
        "record of run dropped/run-2",
        "record of run gone/run-1",
    ]
    for item in found.items:
        item.remove()
    assert sorted(path.name for path in site.paths.runs.iterdir()) == ["branched", "done", "failed", "young"]


def test_what_is_salvaged_for_a_retry_stays_however_old(site: Site) -> None:
    old = f"{OLD:.0f} +0000"
    env = {"GIT_AUTHOR_DATE": old, "GIT_COMMITTER_DATE": old, **site.git.identity()}
    tree = site.git.tree_of("HEAD")
    commit = site.git.run("commit-tree", tree, "-m", "work", env=env).text
    for name in ("salvage/failed/run-1", "salvage/done/run-1", "dropped/x/run-1", "salvage/fresh/run-1"):
        git(site.repo, "update-ref", f"refs/prd/{name}", commit)
        if "fresh" not in name:
            os.utime(site.repo / ".git" / "refs" / "prd" / name, (OLD, OLD))
    found = plan(
        site,
        failed=(PrdState.FAILED, a_run(site, "failed", 1)),
        done=(PrdState.COMPLETED, a_run(site, "done", 1)),
    )
    assert goes(found) == ["ref refs/prd/dropped/x/run-1", "ref refs/prd/salvage/done/run-1"]


def test_the_pin_of_an_old_stash_is_not_as_old_as_the_stash(site: Site) -> None:
    old = f"{OLD:.0f} +0000"
    env = {"GIT_AUTHOR_DATE": old, "GIT_COMMITTER_DATE": old, **site.git.identity()}
    commit = site.git.run("commit-tree", site.git.tree_of("HEAD"), "-m", "stash", env=env).text
    git(site.repo, "update-ref", f"refs/prd/stash/{commit}", commit)
    git(site.repo, "pack-refs", "--all")  # as `git gc` does
    assert goes(plan(site)) == []
    os.utime(site.repo / ".git" / "packed-refs", (OLD, OLD))
    assert goes(plan(site)) == [f"ref refs/prd/stash/{commit}"]


def test_a_check_of_the_base_that_is_under_way_is_no_stranger(site: Site) -> None:
    place = site.worktrees.path_for(BASE_CHECK)
    words = ("worktree", "add", "-q", "--detach", "--lock", "--reason", f"{BASE_REASON} gates on the base")
    site.git.run(*words, str(place))
    assert plan(site).left == []
    git(site.repo, "worktree", "add", "-q", "--detach", str(place.with_name("theirs")))
    assert plan(site).left == ["worktree .claude-loop/worktrees/theirs: it is not prd-tui's"]


def test_half_made_worktrees_go_and_those_of_unknown_prds_are_named(site: Site) -> None:
    a_run(site, "half", 1)
    site.begin("half", "run-1", "feature/half-1")
    site.start("unknown", "run-1", "feature/unknown-1")
    (site.repo / ".claude-loop" / "worktrees" / ".x.going-run-1-99999999").mkdir()
    found = plan(site, half=(PrdState.QUEUED, None))
    assert goes(found) == ["worktree .claude-loop/worktrees/half", "1 temporary file"]
    (left,) = found.left
    assert left.startswith("worktree .claude-loop/worktrees/unknown: its PRD is in no list")
    for item in found.items:
        item.remove()
    assert [path.name for path in (site.repo / ".claude-loop" / "worktrees").iterdir()] == ["unknown"]


def test_amounts_read_well() -> None:
    assert [amount(size) for size in (0, 4096, 999_000, 1_200_000, 26_000_000_000)] == [
        "0 kB",
        "4 kB",
        "999 kB",
        "1.2 MB",
        "26.0 GB",
    ]
