"""Set-up commands: once per worktree, with slot and port, ended like a worker, and what follows a failure."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from coordinator import processes
from coordinator.jobs import inspect
from tests.support.cli import (
    CONFIG,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until


def config(*commands: str, more: str = "") -> str:
    return f"{CONFIG}[worktree]\nsetup = {json.dumps(commands)}\n{more}"


def log_of(repo: Path, prd_id: str) -> str:
    return (repo / ".claude-loop" / "coordinator" / "logs" / f"{prd_id}_worker.log").read_text()


def nothing_of_a_set_up_runs(repo: Path) -> bool:
    jobs = (repo / ".git" / "prd-tui" / "runs").glob("*/*/setup/*")
    return not any(processes.members(job) for job in jobs if inspect(job).start)


def test_once_per_worktree_with_slot_and_port_before_the_worker(tmp_path: Path) -> None:
    note = 'echo "slot $PRD_SLOT port $PRD_PORT at $(pwd)" >> .claude-loop/set-up.txt'
    repo = make_project(tmp_path, config=config("mkdir -p .claude-loop", note, "echo ready to go"))
    for name in ("a", "b"):
        drop_prd(repo, name, prd_json(mode="exit7", gate_file=str(tmp_path / "go")))
    (tmp_path / "go").touch()
    assert prd_tui(repo, "run").returncode == 1
    prd_tui(repo, "retry", "a")
    assert prd_tui(repo, "run").returncode == 1
    told = {}
    for name in ("a", "b"):
        worktree = repo / ".claude-loop" / "worktrees" / name
        lines = (worktree / ".claude-loop" / "set-up.txt").read_text().splitlines()
        assert len(lines) == 1, "once, although a had two runs"
        assert str(worktree) in lines[0]
        told[name] = lines[0].split(" at ")[0]
        log = log_of(repo, name)
        assert log.index("ready to go") < log.index(f"=== {name}: run ")
    assert runs_started(repo, "a") == 2
    assert told["a"] != told["b"], "each has a slot and a port of its own"


def test_one_that_fails_holds_the_queue_and_release_tries_again(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=config(f"echo no such package; test -e {tmp_path}/mended"))
    drop_prd(repo, "p")
    done = prd_tui(repo, "run", "--timeout", "30s")
    assert done.returncode == 1
    assert "no such package" in done.stderr, "the sentence ends with what the command said"
    assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["p"]
    assert runs_started(repo, "p") == 0
    with running(repo, "--watch") as process:
        wait_until(lambda: "Setting up" in prd_tui(repo, "status").stdout, 30, "it holds again")
        (tmp_path / "mended").touch()
        assert prd_tui(repo, "release").returncode == 0
        wait_until(lambda: "p" in completed(repo), 30)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    check_invariant(repo, ["p"])


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=config("sleep 600", more="setup_minutes = 0.01\n"))
    drop_prd(repo, "p")
    done = prd_tui(repo, "run", "--timeout", "60s")
    assert "took too long" in done.stderr
    assert nothing_of_a_set_up_runs(repo)


@pytest.mark.parametrize("owner", ["living", "killed"])
def test_a_stop_in_the_middle_leaves_nothing_running(tmp_path: Path, owner: str) -> None:
    mark = tmp_path / "begun"
    repo = make_project(tmp_path, config=config(f"(setsid sleep 3600 &) ; touch {mark}; sleep 3600"))
    drop_prd(repo, "p")
    with running(repo) as process:
        wait_until(mark.exists, 30)
        if owner == "killed":
            process.kill()
            process.wait()
        done = prd_tui(repo, "stop", "p")
        assert done.returncode == 0, done.stderr
        assert nothing_of_a_set_up_runs(repo)
        if owner == "living":
            assert process.wait(30) == 1
    assert failed(repo)["p"]["status"] == "stopped"
    check_invariant(repo, ["p"])


def test_a_set_up_whose_coordinator_died_is_begun_again(tmp_path: Path) -> None:
    count, go = tmp_path / "count", tmp_path / "go"
    repo = make_project(tmp_path, config=config(f"echo x >> {count}; until [ -e {go} ]; do sleep 0.02; done"))
    drop_prd(repo, "p", prd_json(gate_file=str(go)))
    with running(repo) as process:
        wait_until(count.exists, 30)
        process.kill()
        process.wait()
        with running(repo) as second:
            wait_until(lambda: count.read_text().count("x") == 2, 30, "the set-up begins again")
            wait_for_status(repo, "p", "starting")
            go.touch()
            assert second.wait(60) == 0
    assert runs_started(repo, "p") == 1
    check_invariant(repo, ["p"])


def test_one_that_destroys_its_worktree_holds_the_queue(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=config("rm .git"))
    drop_prd(repo, "p")
    done = prd_tui(repo, "run", "--timeout", "30s")
    assert done.returncode == 1
    assert "Setting up the worktree of p destroyed it: mend worktree.setup" in done.stderr
    assert runs_started(repo, "p") == 0
