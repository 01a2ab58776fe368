"""The coordinator dies by `kill -9`, at random and at every named point: the next start makes it good."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from coordinator.faultpoints import POINTS
from tests.support.cli import (
    CONFIG,
    active,
    completed,
    failed,
    make_project,
    prd_tui,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, exits, runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

GATED = CONFIG + '[coordinator]\nverify = ["test -f README.md"]\n'
NAMES = ("a", "b", "c", "d")
BRANCHES = {f"feature/{name}" for name in NAMES}

#: Points that only a stop, a pause or a continuation passes have tests of their own.
ON_THE_WAY = [point for point in POINTS if not point.endswith("-wanted") and point != "paused"]


def four_prds(tmp_path: Path) -> Path:
    repo = make_project(tmp_path, config=GATED)
    for name in NAMES:
        drop_prd(repo, name, prd_json(mode="leftovers" if name == "a" else ""))
    return repo


@pytest.mark.parametrize("point", ON_THE_WAY)
def test_killed_at_a_point_then_finished_by_the_next_start(tmp_path: Path, point: str) -> None:
    repo = four_prds(tmp_path)
    before = fingerprint(repo)
    killed = prd_tui(repo, "run", env={"PRD_TUI_FAULT": point})
    assert killed.returncode == -signal.SIGKILL, f"{point} was not reached: {killed.stderr}"
    again = prd_tui(repo, "run")
    assert again.returncode == 0, again.stderr + again.stdout
    assert set(completed(repo)) == set(NAMES)
    check_invariant(repo, NAMES)
    assert fingerprint(repo, new_branches=BRANCHES) == before
    for name in NAMES:
        assert runs_started(repo, name) == 1, f"{name} was started {runs_started(repo, name)} times"
        assert len(git(repo, "diff", "--name-only", "main", f"feature/{name}").split()) == 2
    once_more = prd_tui(repo, "run")
    assert once_more.returncode == 0, once_more.stderr
    metrics = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text()
    assert metrics.count('"prd_completed"') == len(NAMES), "each completion is logged once"


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


def test_killed_between_the_wish_to_stop_and_the_first_signal(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    with running(repo, env={"PRD_TUI_FAULT": "stop-wanted"}) as process:
        wait_for_status(repo, "p", "running")
        prd_tui(repo, "stop", "p", timeout=60)
        assert process.wait(30) == -signal.SIGKILL
        assert prd_tui(repo, "run").returncode == 1
    assert failed(repo)["p"]["status"] == "stopped"


def test_two_coordinators_started_together_have_one_owner(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    with running(repo) as one, running(repo) as two:
        wait_until(lambda: 3 in (one.poll(), two.poll()), 30, "one of them gives way")
        wait_for_status(repo, "p", "running")
        gate.touch()
        owner = two if one.poll() == 3 else one
        assert owner.wait(60) == 0
    assert runs_started(repo, "p") == 1
