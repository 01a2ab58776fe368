"""Processes that will not go, that nobody reaps, or that are not ours: what is ours ends, all else lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coordinator.identity import alive, identify
from tests.support.cli import (
    LAUNCHER,
    active,
    end_workers,
    environment,
    failed,
    make_project,
    prd_tui,
    running,
    start_run,
    wait_for_status,
    workers,
)
from tests.support.inhabitants import inhabitants
from tests.support.invariant import check_invariant, runs_started
from tests.support.processes import child
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

#: Ignores TERM, as do its descendants: one in a session of its own without any variable, one left to init.
CLINGING = """#!/bin/sh
trap '' TERM
env -i setsid sleep 3600 &
(setsid sh -c 'sleep 3600 & exec sleep 3600' &)
sleep 3600 &
echo ready
exec sleep 3600
"""
#: Adopts what is orphaned below it and never reaps it, as a container's first process may.
CARELESS = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
sys.exit(subprocess.Popen(sys.argv[1:]).wait())
"""
GRACE = 1


@pytest.fixture
def clinging(tmp_path: Path) -> Iterator[Path]:
    config = f'[worker]\ncommand = ["./cling.sh"]\n[coordinator]\nstop_grace = {GRACE}\nmax_prds = 10\n'
    yield make_project(tmp_path, config=config, files={"cling.sh": CLINGING})
    end_workers(tmp_path / "repo")


def ready(repo: Path, names: list[str]) -> None:
    for name in names:
        log = repo / ".claude-loop" / "coordinator" / "logs" / f"{name}_worker.log"
        wait_until(lambda: log.exists() and "ready" in log.read_text(), 30, f"{name} is ready")  # noqa: B023


@pytest.mark.parametrize("how", ["SIGTERM", "stop --all without an owner"])
def test_ten_that_ignore_term_end_side_by_side_with_all_their_descendants(clinging: Path, how: str) -> None:
    repo, names = clinging, [f"p{number}" for number in range(10)]
    for name in names:
        drop_prd(repo, name)
    with running(repo) as process:
        ready(repo, names)
        for name in names:
            wait_for_status(repo, name, "running")
        assert len(inhabitants(repo)) >= 10 * 5
        if how != "SIGTERM":
            process.kill()
            process.wait()
        began = time.monotonic()
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143
        else:
            assert prd_tui(repo, "stop", "--all").returncode == 0
        took = time.monotonic() - began
        assert inhabitants(repo) == []
        assert took < GRACE + 5, f"{how} took {took:.1f} s"
    if how != "SIGTERM":
        assert {entry["status"] for entry in failed(repo).values()} == {"stopped"}
    assert "Traceback" not in (repo.parent / "repo.stderr").read_text()


def test_interrupts_without_end_make_an_end_and_no_traceback(clinging: Path) -> None:
    drop_prd(clinging, "p")
    with running(clinging) as process:
        ready(clinging, ["p"])
        wait_for_status(clinging, "p", "running")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        assert process.returncode in (130, -signal.SIGINT)
        assert inhabitants(clinging) == []
    assert "Traceback" not in (clinging.parent / "repo.stderr").read_text()


def test_a_zombie_that_nobody_reaps_is_dead(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    process = subprocess.Popen(
        [sys.executable, "-c", CARELESS, *LAUNCHER, "run"],
        cwd=repo,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for attempt in (1, 2):
            wait_until(lambda: runs_started(repo, "p") == attempt, 30, f"start {attempt}")  # noqa: B023
            wait_for_status(repo, "p", "running")
            worker = workers(repo)["p"].pid
            stat = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            os.kill(int(stat[1]), signal.SIGKILL)
            wait_until(lambda: parent_of(worker) == process.pid, 10, "the worker is adopted")  # noqa: B023
            os.kill(worker, signal.SIGKILL)
            died = time.monotonic()
            wait_until(lambda: active(repo).get("p", {}).get("pid") != worker, 10, "it is seen")  # noqa: B023
            assert time.monotonic() - died < 5
            assert Path(f"/proc/{worker}/stat").exists(), "nobody has reaped it"
        assert process.wait(30) == 1
        assert failed(repo)["p"]["status"] == "lost"
    finally:
        process.kill()
        process.wait()
        end_workers(repo)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("command", ["run", "stop"])
def test_a_foreign_process_with_the_recorded_pid_is_left_alone(tmp_path: Path, command: str) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    process = start_run(repo)
    try:
        run_dir = Path(wait_for_status(repo, "p", "running")["run_dir"])
        start = json.loads((run_dir / "start.json").read_text())
        process.kill()
        process.communicate()
        for who in (start["keeper"], start["worker"]):
            os.kill(who["pid"], signal.SIGKILL)
            wait_until(lambda: identify(who["pid"]) is None, what="its death")  # noqa: B023
        with child("sleep", "600", cwd=tmp_path) as foreign:
            start["keeper"]["pid"] = start["worker"]["pid"] = foreign.pid
            (run_dir / "start.json").write_text(json.dumps(start))
            (run_dir / "live.lock").write_text(
                json.dumps({"boot_id": start["boot_id"], "keeper": start["keeper"]})
            )
            done = prd_tui(repo, command, *(["p"] if command == "stop" else ["--hold"]))
            assert done.returncode == (0 if command == "stop" else 1), done.stderr
            assert alive(foreign)
        assert runs_started(repo, "p") == 1
    finally:
        end_workers(repo)


def test_of_coordinators_started_together_one_owns_and_its_death_makes_room(tmp_path: Path) -> None:
    """Twenty starts, five at a time."""
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "go")))
    try:
        for _round in range(4):
            with ThreadPoolExecutor(5) as pool:
                started = list(pool.map(lambda _number: start_run(repo), range(5)))
            wait_until(lambda: sum(one.poll() is not None for one in started) == 4, 30, "one is left")  # noqa: B023
            [owner] = [one for one in started if one.poll() is None]
            others = [one for one in started if one is not owner]
            assert {one.returncode for one in others} == {3}
            told = (tmp_path / "repo.stderr").read_text()
            assert f"process {owner.pid}" in told
            assert "Traceback" not in told
            wait_until(lambda: active(repo).get("p", {}).get("status") == "running", 30)
            for one in others:
                one.communicate()
            owner.kill()
            owner.communicate()
        (tmp_path / "go").touch()
        assert prd_tui(repo, "run").returncode == 0
        check_invariant(repo, ["p"], states={"p": "completed"})
    finally:
        end_workers(repo)
