"""What a person does to the checkout while PRDs run and between sessions: runs go on, nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

from coordinator.identity import alive
from tests.support.cli import (
    CONFIG,
    completed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
    workers,
)
from tests.support.invariant import check_invariant
from tests.support.repos import clean, drop_prd, git, prd_json
from tests.support.waiting import wait_until

NAMES = ("a", "b", "later")


def project(tmp_path: Path) -> Path:
    """Two PRDs that run until their file is there, and one that waits for a slot."""
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nmax_prds = 2\n")
    git(repo, "branch", "bare")
    for priority, name in enumerate(NAMES):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name), priority=priority))
    return repo


def active_folders(repo: Path) -> list[str]:
    active = repo / "prds" / "active"
    return sorted(folder.name for folder in active.iterdir()) if active.is_dir() else []


def starts(repo: Path, name: str) -> int:
    """By the records of the runs: the log of the first went with `git clean`."""
    return len(list((repo / ".git" / "prd-tui" / "runs" / name).glob("*/start.json")))


def said(repo: Path) -> str:
    return (repo.parent / "repo.stderr").read_text()


def test_stash_switch_and_clean_while_runs_are_on(tmp_path: Path) -> None:
    repo = project(tmp_path)
    with running(repo, "--watch") as process:
        for name in NAMES[:2]:
            wait_for_status(repo, name, "running")
        before = workers(repo)
        git(repo, "stash", "push", "-q", "-u")
        assert active_folders(repo) == []
        wait_until(lambda: said(repo).count("the run goes on from its own copy") == 2, 30, "it is noticed")
        git(repo, "stash", "pop", "-q")
        assert active_folders(repo) == sorted(NAMES)
        git(repo, "add", "-A")
        git(repo, "commit", "-q", "-m", "prds")
        git(repo, "switch", "-q", "bare")
        assert active_folders(repo) == []
        wait_until(lambda: registry(repo)["queued_prds"] == [], 30, "what waited is not there")
        clean(repo, "-xdfq")
        git(repo, "switch", "-q", "main")
        wait_until(lambda: len(registry(repo).get("queued_prds", ())) == 1, 30, "it waits again")
        assert "written anew" in (repo / ".claude-loop/coordinator/coordinator.log").read_text()
        shutil.rmtree(repo / ".git" / "prd-tui" / "locks")
        wait_until((repo / ".git" / "prd-tui" / "locks" / "coordinator.lock").exists, 30)
        assert prd_tui(repo, "run").returncode in (2, 3), "there is one owner still"
        assert workers(repo) == before
        assert all(alive(worker) for worker in before.values())
        (tmp_path / "a").touch()
        wait_until(lambda: "a" in completed(repo), 30, "its work is filed as if nothing had been")
        wait_for_status(repo, "later", "running")
        process.terminate()
        assert process.wait(60) == 143

    # Between sessions: what was cut off is not there to be run, and is as it was once it is back.
    (repo / ".claude-loop" / "config.toml").write_text(CONFIG)
    git(repo, "stash", "push", "-q", "-u")
    git(repo, "switch", "-q", "bare")
    (tmp_path / "b").touch()
    (tmp_path / "later").touch()
    assert prd_tui(repo, "run", "--timeout", "60s").returncode == 0
    assert starts(repo, "b") == 1
    git(repo, "switch", "-q", "main")
    git(repo, "stash", "pop", "-q")
    done = prd_tui(repo, "run", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == set(NAMES)
    assert [starts(repo, name) for name in NAMES] == [1, 2, 2]
    check_invariant(repo, NAMES)
