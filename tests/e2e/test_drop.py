"""Giving a PRD up: nothing of its work is lost, nothing of it is left, and a crash changes neither."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from coordinator.commands import DropPrds
from coordinator.dropbox import DropBox
from tests.support.cli import (
    CONFIG,
    active,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.invariant import runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

POINTS = [
    "drop-wanted",
    "stop-wanted",
    "drop-kept",
    "teardown-started",
    "worktree-moved-away",
    "drop-freed",
    "drop-moved",
    "drop-recorded",
]


def metrics(repo: Path, event: str) -> list[dict[str, Any]]:
    lines = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text().splitlines()
    return [found for found in map(json.loads, lines) if found["event"] == event]


def dropped_refs(repo: Path) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname)", "refs/prd/dropped/").split()


def places(repo: Path, prd_id: str) -> list[str]:
    return [
        place for place in ("active", "completed", "dropped") if (repo / "prds" / place / prd_id).is_dir()
    ]


def check_dropped(repo: Path, prd_id: str) -> str:
    """It is in no list, its folder is in prds/dropped, its worktree is gone; returns the ref of its work."""
    document = registry(repo)
    assert prd_id not in json.dumps(
        [document["active_prds"], document["queued_prds"], document["failed_prds"]]
    )
    assert places(repo, prd_id) == ["dropped"]
    assert not (repo / ".claude-loop" / "worktrees" / prd_id).exists()
    assert len(git(repo, "worktree", "list").splitlines()) == 1
    assert len(metrics(repo, "prd_dropped")) == 1
    assert not list((repo / ".git" / "prd-tui").glob("drops/*"))
    (ref,) = [ref for ref in dropped_refs(repo) if f"/{prd_id}/" in ref]
    return ref


def test_killed_at_each_step_it_goes_on_from_there(tmp_path: Path) -> None:
    """Its owner dies first; commands without an owner, and starts, die at every step after that."""
    repo = make_project(tmp_path, config=CONFIG + '[worktree]\nteardown = ["true"]\n')
    drop_prd(repo, "p", prd_json(stories=1, mode="hang"))
    before = fingerprint(repo, ["feature/p"])
    first, *later, last = POINTS
    with running(repo, env={"PRD_TUI_FAULT": first}) as process:
        wait_for_status(repo, "p", "running")
        wait_until(lambda: git(repo, "log", "-1", "--format=%s", "feature/p") == "did US-001")
        (repo / ".claude-loop" / "worktrees" / "p" / "loose.txt").write_text("not committed\n")
        DropBox(repo / ".claude-loop" / "coordinator" / "commands").send(DropPrds(("p",)))
        assert process.wait(30) == -signal.SIGKILL
        for point in later:
            killed = prd_tui(repo, "drop", "p", env={"PRD_TUI_FAULT": point})
            assert killed.returncode == -signal.SIGKILL, f"{point}: {killed.stdout}{killed.stderr}"
        assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": last}).returncode == -signal.SIGKILL
        assert prd_tui(repo, "run").returncode == 0
    ref = check_dropped(repo, "p")
    assert git(repo, "show", f"{ref}:loose.txt") == "not committed"
    git(repo, "merge-base", "--is-ancestor", "feature/p", ref)
    assert runs_started(repo, "p") == 1
    assert fingerprint(repo, ["feature/p"]) == before
    (repo / "prds" / "dropped" / "p").rename(repo / "prds" / "active" / "p")
    (repo / "prds" / "active" / "p" / "prd.json").write_text(prd_json(stories=1))
    assert prd_tui(repo, "run").returncode == 0, "brought back it is a new PRD"
    assert set(completed(repo)) == {"p"}
    assert runs_started(repo, "p") == 2
    assert ref in dropped_refs(repo)


def test_whatever_is_in_the_lists_can_be_dropped(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "merged")
    drop_prd(repo, "ready")
    assert prd_tui(repo, "run").returncode == 0
    git(repo, "merge", "-q", "feature/merged")
    (repo / "prds" / "dropped" / "queued").mkdir(parents=True)
    drop_prd(repo, "runs", prd_json(gate_file=str(tmp_path / "never"), priority=1))
    drop_prd(repo, "queued", prd_json(priority=2))
    drop_prd(repo, "broken", "{")
    before = fingerprint(repo)
    with running(repo, "--watch", "--max-prds", "1"):
        wait_for_status(repo, "runs", "running")
        wait_until(lambda: metrics(repo, "prd_invalid"))
        refused = prd_tui(repo, "drop", "merged", "nobody")
        assert "nobody is no PRD" in refused.stderr
        assert "merged is merged already" in prd_tui(repo, "drop", "merged").stderr
        (repo / "prds" / "active" / "runs").rename(tmp_path / "aside")
        done = prd_tui(repo, "drop", "runs", "queued", "ready", "broken")
        assert done.returncode == 0, done.stderr
        said = dict(line.split(" dropped: ") for line in done.stdout.strip().split("; "))
        assert set(said) == {"runs", "queued", "ready", "broken"}
        assert said["queued"] == "there was no work to keep, folder in prds/dropped/queued-1"
        (ref,) = dropped_refs(repo)
        assert (
            said["ready"] == f"work kept as {ref}, folder in prds/dropped/ready, branch feature/ready stays"
        )
        assert set(completed(repo)) == {"merged"}
        assert not active(repo)
    assert (repo / "prds" / "dropped" / "runs" / "prd.json").exists(), "made from the run's own copy"
    assert sorted(path.name for path in (repo / "prds" / "dropped").iterdir()) == [
        "broken",
        "queued",
        "queued-1",
        "ready",
        "runs",
    ]
    git(repo, "merge-base", "--is-ancestor", "feature/ready", ref)
    assert fingerprint(repo) == before
    assert len(metrics(repo, "prd_dropped")) == 4
    for name, says in {"../../x": "no PRD", "runs": "dropped before"}.items():
        answer = prd_tui(repo, "drop", name)
        assert says in answer.stdout + answer.stderr


def test_what_cannot_be_kept_is_not_dropped(tmp_path: Path) -> None:
    """Without an owner: a repository inside the worktree, whose content no ref would hold."""
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="exit7"))
    assert prd_tui(repo, "run").returncode == 1
    worktree = repo / ".claude-loop" / "worktrees" / "p"
    git(worktree, "init", "-q", "inner")
    git(worktree / "inner", "commit", "-q", "--allow-empty", "-m", "inner")
    refused = prd_tui(repo, "drop", "p")
    assert refused.returncode == 2
    assert "holds a repository of its own (inner)" in refused.stderr
    assert places(repo, "p") == ["active"]
    assert failed(repo)["p"]["status"] == "failed"
    (worktree / "inner").rename(tmp_path / "inner")
    git(worktree, "switch", "-q", "--detach")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "on no branch")
    commit = git(worktree, "rev-parse", "HEAD")
    assert "work kept as" in prd_tui(repo, "drop", "p").stdout
    git(repo, "merge-base", "--is-ancestor", commit, check_dropped(repo, "p"))
