"""Coordinators, keepers and workers die by `kill -9`: the next start makes it good."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from pathlib import Path

from tests.support.cli import (
    active,
    completed,
    failed,
    make_project,
    prd_tui,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, exits, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

NAMES = ("a", "b", "c", "d")


def test_killed_with_three_workers_running(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gates = {name: tmp_path / f"go-{name}" for name in NAMES}
    for name in NAMES:
        drop_prd(repo, name, prd_json(gate_file=str(gates[name]), mode="exit7" if name == "zz" else ""))
    with running(repo) as process:
        for name in NAMES[:3]:
            wait_for_status(repo, name, "running")
        pids = {name: active(repo)[name]["pid"] for name in NAMES[:3]}
        process.kill()
        process.wait()
        gates["a"].touch()
        wait_until(lambda: len(exits(repo, "a")) == 1, what="a ends while nobody looks")
        ended = exits(repo, "a")[0]["ended_at"]
        wait_until(lambda: time.time() > ended + 0.5)
        with running(repo) as second:
            wait_until(lambda: "a" in completed(repo), 30, "a is completed")
            assert {name: active(repo)[name]["pid"] for name in ("b", "c")} == {
                name: pids[name] for name in ("b", "c")
            }
            for name in NAMES[1:]:
                gates[name].touch()
            assert second.wait(60) == 0
    assert set(completed(repo)) == set(NAMES)
    assert abs(exits(repo, "a")[0]["ended_at"] - ended) < 0.001
    for name in NAMES:
        assert runs_started(repo, name) == 1
    check_invariant(repo, NAMES)


def test_an_exit_code_that_came_while_the_coordinator_was_dead_is_kept(tmp_path: Path) -> None:
    script = "#!/bin/sh\nwhile [ ! -e %s ]; do sleep 0.02; done\nexit 7\n" % (tmp_path / "go")
    repo = make_project(tmp_path, config='[worker]\ncommand = ["./seven.sh"]\n', files={"seven.sh": script})
    drop_prd(repo, "p")
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        process.kill()
        process.wait()
        (tmp_path / "go").touch()
        wait_until(lambda: len(exits(repo, "p")) == 1, what="the worker ends")
        assert prd_tui(repo, "run").returncode == 1
    assert failed(repo)["p"]["exit_code"] == 7
    shown = datetime.fromisoformat(failed(repo)["p"]["ended_at"]).timestamp()
    assert abs(shown - exits(repo, "p")[0]["ended_at"]) < 0.01, "with its own time"


def test_keeper_killed_means_running_while_the_worker_lives_then_verified(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    with running(repo) as process:
        entry = wait_for_status(repo, "p", "running")
        keeper = int((Path("/proc") / str(entry["pid"]) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(keeper, signal.SIGKILL)
        gate.touch()
        assert process.wait(60) == 0, "its work is done and verified, whoever recorded the exit"
    assert set(completed(repo)) == {"p"}
    assert runs_started(repo, "p") == 1


def test_keeper_and_worker_killed_means_lost_and_started_once_more(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    with running(repo) as process:
        for attempt in (1, 2):
            wait_until(lambda: runs_started(repo, "p") == attempt, 30, f"start {attempt}")  # noqa: B023
            entry = wait_for_status(repo, "p", "running")
            keeper = int(
                (Path("/proc") / str(entry["pid"]) / "stat").read_text().rpartition(")")[2].split()[1]
            )
            os.kill(keeper, signal.SIGKILL)
            os.kill(entry["pid"], signal.SIGKILL)
        assert process.wait(60) == 1
    assert failed(repo)["p"]["status"] == "lost"
    assert runs_started(repo, "p") == 2
