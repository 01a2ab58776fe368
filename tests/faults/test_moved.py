"""A repository that is moved or copied, between sessions and under its workers; a machine that booted meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coordinator.identity import Identity, alive
from tests.support.cli import (
    completed,
    end_workers,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
    workers,
)
from tests.support.invariant import check_invariant, exits, runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until


@contextmanager
def left_alone(repo: Path, *names: str) -> Iterator[dict[str, Identity]]:
    """Runs whose coordinator was killed: their workers by PRD."""
    with running(repo) as process:
        for name in names:
            wait_for_status(repo, name, "running")
        alone = workers(repo)
        process.kill()
        process.wait()
        yield {name: alone[name] for name in names}


def test_a_repository_moved_between_sessions_goes_on_at_its_new_place(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    go = tmp_path / "go"
    drop_prd(repo, "done")
    drop_prd(repo, "broken", prd_json(mode="exit7"))
    drop_prd(repo, "cut", prd_json(gate_file=str(go)))
    with running(repo, "--timeout", "60s") as process:
        wait_until(lambda: "done" in completed(repo) and "broken" in failed(repo), 30)
        wait_for_status(repo, "cut", "running")
        process.terminate()
        assert process.wait(60) == 143
    # What is left at the old place looks like the worktree of before, and must stay as it is.
    decoy = shutil.copytree(repo, tmp_path / "decoy", symlinks=True)
    moved = repo.rename(tmp_path / "moved")
    decoy.rename(repo)
    seen = {path: path.stat().st_mtime_ns for path in repo.rglob("*") if path.is_file()}
    go.touch()
    again = prd_tui(moved, "run", "cut", "--timeout", "60s")
    assert set(completed(moved)) == {"done", "cut"}, again.stderr
    assert again.returncode == 0
    assert prd_tui(moved, "retry", "broken").returncode == 0
    assert prd_tui(moved, "run", "--timeout", "60s").returncode == 1
    assert len(exits(moved, "broken")) == 2, "it ran again, in the worktree of before"
    for line in git(moved, "worktree", "list").splitlines():
        assert str(moved) in line, line
    check_invariant(moved, ["done", "broken", "cut"])
    assert {path: path.stat().st_mtime_ns for path in repo.rglob("*") if path.is_file()} == seen


def test_a_repository_moved_under_its_coordinator_is_let_go_and_taken_up_at_its_new_place(
    tmp_path: Path,
) -> None:
    go = tmp_path / "go"
    script = f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.02; done\nexit 7\n"
    repo = make_project(tmp_path, config='[worker]\ncommand = ["./seven.sh"]\n', files={"seven.sh": script})
    drop_prd(repo, "p")
    with running(repo, "--watch") as process:
        wait_for_status(repo, "p", "running")
        alone = workers(repo)
        moved = repo.rename(tmp_path / "moved")
        try:
            assert process.wait(30) == 1
            assert "was moved or deleted" in (tmp_path / "repo.stderr").read_text()
            assert not repo.exists(), "nothing grows at the old place"
            assert all(alive(worker) for worker in alone.values())
            with running(moved) as second:
                wait_until(lambda: registry(moved)["coordinator_pid"] == second.pid, 30)
                wait_until(lambda: workers(moved) == alone, 30, "it is adopted")
                go.touch()
                assert second.wait(60) == 1
        finally:
            end_workers(moved)
            moved.rename(repo)
    assert failed(repo)["p"]["exit_code"] == 7
    assert runs_started(repo, "p") == 1


def test_a_copy_leaves_the_workers_of_the_original_alone(tmp_path: Path) -> None:
    go = tmp_path / "go"
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(go)))
    with running(repo, "--watch") as process:
        wait_for_status(repo, "p", "running")
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-a", str(repo), str(copy)], check=True)
        (original,) = workers(repo).values()
        status = prd_tui(copy, "status")
        assert "copy" in status.stdout, status.stdout
        for words in (("kill", "--all"), ("clean",), ("release",), ("run", "--timeout", "1s")):
            done = prd_tui(copy, *words)
            assert alive(original), words
        assert "is a copy" in done.stderr
        assert "of the original" not in prd_tui(repo, "status").stdout
        assert all(str(copy) in line for line in git(copy, "worktree", "list").splitlines())
        assert all(str(repo) in line for line in git(repo, "worktree", "list").splitlines())
        go.touch()
        wait_until(lambda: "p" in completed(repo), 30, "the original is done")
        assert git(repo, "log", "--oneline", "feature/p").count("did US") == 2
        process.terminate()
        process.wait(60)
    prd_tui(copy, "retry", "p")
    assert prd_tui(copy, "run", "--timeout", "60s").returncode == 0
    check_invariant(copy, ["p"])
    assert runs_started(repo, "p") == 1


def reboot(repo: Path) -> None:
    """As if the machine had booted since: whatever was recorded belongs to another boot."""
    home = repo / ".git" / "prd-tui"
    for record in (
        *home.glob("runs/*/*/start.json"),
        *home.glob("runs/*/*/live.lock"),
        *home.glob("locks/*.lock"),
    ):
        if text := record.read_text().strip():
            record.write_text(json.dumps(json.loads(text) | {"boot_id": "an-earlier-boot"}))


def test_after_a_reboot_all_runs_are_lost_at_once_and_nobody_is_signalled(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    names = ("a", "b", "c")
    for name in names:
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name)))
    (tmp_path / "c").touch()
    with left_alone(repo, "a", "b") as first:
        wait_until(lambda: len(exits(repo, "c")) == 1, 30, "c ends by itself, before or after")
        reboot(repo)
        with running(repo) as process:
            wait_until(lambda: all(runs_started(repo, name) == 2 for name in ("a", "b")), 30, "once more")
            assert all(alive(worker) for worker in first.values()), "these pids belong to others now"
            for name in ("a", "b"):
                wait_for_status(repo, name, "running")
            second = workers(repo)
            process.kill()
            process.wait()
            reboot(repo)
            done = prd_tui(repo, "run", "--timeout", "60s")
            assert done.returncode == 1
            assert {name: entry["status"] for name, entry in failed(repo).items()} == {
                "a": "lost",
                "b": "lost",
            }
            assert set(completed(repo)) == {"c"}
            assert all(alive(worker) for worker in first.values())
            assert not set(first.values()) & set(second.values())
            for name in ("a", "b"):
                (tmp_path / name).touch()
            assert prd_tui(repo, "retry", "a", "b").returncode == 0
            assert prd_tui(repo, "run", "--timeout", "60s").returncode == 0
    check_invariant(repo, names)
