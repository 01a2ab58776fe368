"""Locks of refs that a killed git left do not stop anybody, and those in use are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from coordinator.git import discover
from coordinator.git_locks import clear_own_locks, clear_run_locks
from coordinator.model import Run
from tests.support.cli import completed, make_project, prd_tui
from tests.support.invariant import check_invariant
from tests.support.repos import drop_prd, git_env, make_repo, prd_json
from tests.support.waiting import wait_until


def test_a_lock_stays_while_any_git_is_at_work_here(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    locks = [repo / ".git" / name for name in ("packed-refs.lock", "refs/prd/salvage/p/1.lock")]
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, cwd=repo, env=git_env(), stdin=subprocess.PIPE) as somebody:
        wait_until(lambda: Path(f"/proc/{somebody.pid}/comm").read_text().startswith("git"))
        assert clear_own_locks(discover(repo), tmp_path / "worktrees") == []
        assert all(lock.exists() for lock in locks)
        somebody.communicate()
    assert len(clear_own_locks(discover(repo), tmp_path / "worktrees")) == 2
    assert not any(lock.exists() for lock in locks)


def test_a_worktree_whose_git_file_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    paths = discover(make_repo(tmp_path / "repo"))
    worktree = tmp_path / "worktrees" / "p"
    worktree.mkdir(parents=True)
    os.mkfifo(worktree / ".git")
    lock = paths.common / "refs" / "heads" / "feature" / "p.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    run = Run("p", "p-1", 1, str(worktree), "feature/p", "", "main", "0" * 40, "/r", "/l")
    assert len(clear_run_locks(paths, run)) == 1
    assert not lock.exists()


def test_runs_go_on_in_spite_of_locks_that_a_killed_git_left(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    branch = repo / ".git" / "refs" / "heads" / "feature" / "p.lock"
    drop_prd(repo, "p", prd_json(verify=["true"]))
    for point in ("intent-written", "keeper-spawned", "gate-started"):
        killed = prd_tui(repo, "run", env={"PRD_TUI_FAULT": point})
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        branch.parent.mkdir(parents=True, exist_ok=True)
        wait_until(lambda: not _is_at_work(repo), what="the worker's last git")
        branch.write_text("0" * 40)
        if point != "intent-written":
            (repo / ".git" / "worktrees" / "p" / "HEAD.lock").touch()
    assert prd_tui(repo, "run").returncode == 0
    assert set(completed(repo)) == {"p"}
    check_invariant(repo, ["p"])


def _is_at_work(repo: Path) -> bool:
    """Whether the worker has not committed all of its work yet."""
    worktree = repo / ".claude-loop" / "worktrees" / "p"
    if not worktree.exists():
        return False
    done = subprocess.run(
        ["git", "rev-list", "--count", "main..feature/p"],
        cwd=repo,
        env=git_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    return int(done.stdout or 0) < 2
