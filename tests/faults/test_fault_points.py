"""`kill -9` at every named fault point in turn, and once more at the same in the start that follows.

A new point needs a scenario that passes it: its name in one of `SCENARIOS`, or a scenario of its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from coordinator.commands import Command, PausePrds, ResumePrds, StopPrds
from coordinator.dropbox import DropBox
from coordinator.faultpoints import POINTS
from tests.e2e import test_drop, test_taking_down
from tests.support.cli import (
    CONFIG,
    active,
    end_workers,
    failed,
    make_project,
    pauses,
    prd_tui,
    registry,
    running,
    start_run,
    wait_for_status,
)
from tests.support.invariant import check_invariant, exits, final_records, runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

DEAD = -signal.SIGKILL
SETTINGS = (
    CONFIG + '[coordinator]\nverify = ["test -f README.md"]\n[worktree]\nsetup = ["test -f README.md"]\n'
)


@dataclass(frozen=True)
class Scenario:
    """How the one PRD `p` passes some points, and how its story ends.

    `prd`: what else stands in its prd.json. `reach` brings it to a point and returns the code of who came there;
    it is called twice. `finish` does what a person does when the machine is sound again, and looks at the end.
    """

    points: tuple[str, ...]
    prd: Callable[[Path], dict[str, object]]
    reach: Callable[[Path, str], int]
    finish: Callable[[Path], None]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_workers(tmp_path / "repo")


# -- from the start to the end ---------------------------------------------------------------------------


def run(repo: Path, point: str) -> int:
    return prd_tui(repo, "run", env={"PRD_TUI_FAULT": point}).returncode


def finish_run(repo: Path) -> None:
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    check_invariant(repo, ["p"], states={"p": "completed"})
    assert [one["code"] for one in exits(repo, "p") if not one["cannot_start"]] == [0]
    assert git(repo, "diff", "--name-only", "main", "feature/p").split() == ["p-US-001.txt"]
    metrics = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text()
    assert metrics.count('"prd_completed"') == 1
    [salvaged] = git(repo, "for-each-ref", "--format=%(refname)", "refs/prd/salvage/p").split()
    assert git(repo, "show", f"{salvaged}:half-done.txt") == "not committed"
    assert (repo / "prds" / "completed" / "p" / "prd.json").read_text().count('"passes": true') == 1


# -- pauses and stops ------------------------------------------------------------------------------------


def steered(*commands: Command) -> Callable[[Path, str], int]:
    """A coordinator that has found its worker is told something, and nobody waits for the answer."""

    def reach(repo: Path, point: str) -> int:
        process = start_run(repo, env={"PRD_TUI_FAULT": point})
        try:
            for command in commands:
                wait_until(lambda: process.poll() is not None or is_on(repo, process.pid, command), 30)  # noqa: B023
                DropBox(repo / ".claude-loop" / "coordinator" / "commands").send(command)
            return process.wait(30)
        finally:
            process.kill()
            process.communicate()

    return reach


def is_on(repo: Path, owner: int, command: Command) -> bool:
    """Whether the PRD is in a state in which the command means something, or past it."""
    wanted = {"paused"} if isinstance(command, ResumePrds) else {"running", "paused"}
    status = active(repo).get("p", {}).get("status")
    return registry(repo).get("coordinator_pid") == owner and status in wanted


def ticking(folder: Path) -> dict[str, object]:
    """A worker that waits for `go`, with a child in a session of its own."""
    return {"gate_file": str(folder / "go"), "ticks": str(folder / "ticks")}


def finish_paused(repo: Path) -> None:
    """All of it stands still, and goes on when it is told to."""
    with running(repo) as process:
        wait_until(lambda: registry(repo)["coordinator_pid"] == process.pid, 30)
        wait_for_status(repo, "p", "paused")
        wait_until(lambda: pauses(repo, "p"), what="all of it stands still")
        assert prd_tui(repo, "resume", "p").stdout == "goes on: p\n"
        (repo.parent / "go").touch()
        assert process.wait(30) == 0
    finish_resumed(repo)


def finish_resumed(repo: Path) -> None:
    """The wish to go on, which the dead took from the drop box, is done by the next owner."""
    (repo.parent / "go").touch()
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    check_invariant(repo, ["p"], states={"p": "completed"})
    assert exits(repo, "p")[0]["code"] == 0


def finish_stopped(repo: Path) -> None:
    assert prd_tui(repo, "run").returncode == 1
    check_invariant(repo, ["p"], states={"p": "stopped"})
    assert failed(repo)["p"]["exit_signal"] == signal.SIGTERM


# -- all of them -----------------------------------------------------------------------------------------

SCENARIOS = (
    Scenario(
        points=(
            "base-check-begun",
            "base-worktree-added",
            "base-green",
            "intent-written",
            "branch-created",
            "worktree-added",
            "worktree-filled",
            "filled-marked",
            "setup-started",
            "set-up-marked",
            "keeper-spawned",
            "start-recorded",
            "exit-seen",
            "swept-seen",
            "set-aside",
            "litter-removed",
            "gate-started",
            "gates-passed",
            "verdict-written",
            "step-passes",
            "step-progress",
            "step-move",
            "step-archive",
            "step-metrics",
            "run-closed",
            "registry-replaced",
        ),
        prd=lambda folder: {"mode": "leftovers"},
        reach=run,
        finish=finish_run,
    ),
    Scenario(("pause-wanted", "paused"), ticking, steered(PausePrds(("p",))), finish_paused),
    Scenario(("resume-wanted",), ticking, steered(PausePrds(("p",)), ResumePrds(("p",))), finish_resumed),
    Scenario(("stop-wanted",), ticking, steered(StopPrds(("p",))), finish_stopped),
)

#: Points on the way out, where nothing of a PRD stays in the lists: tests of `drop` and `deinit` pass them.
ON_THE_WAY_OUT = {*test_drop.POINTS, *test_taking_down.POINTS} - {"stop-wanted"}
BEFORE_THE_WORKER = POINTS[: POINTS.index("keeper-spawned")]
PLAYS = [pytest.param(scenario, point, id=point) for scenario in SCENARIOS for point in scenario.points]


def test_every_point_has_a_scenario() -> None:
    played = [point for scenario in SCENARIOS for point in scenario.points]
    assert set(POINTS) == set(played) | ON_THE_WAY_OUT
    assert len(played) == len(set(played))


@pytest.mark.parametrize(("scenario", "point"), PLAYS)
def test_killed_at_a_point_and_again_in_the_next_start(place: Path, scenario: Scenario, point: str) -> None:
    repo = make_project(place, config=SETTINGS)
    drop_prd(repo, "p", prd_json(stories=1, **scenario.prd(place)))
    checkout = fingerprint(repo)
    assert scenario.reach(repo, point) == DEAD, f"{point} was not reached"
    records = final_records(repo)
    if point not in BEFORE_THE_WORKER:  # where a new run begins, and passes the same points once more
        again = scenario.reach(repo, point)
        assert again in (DEAD, 0, 1), f"the next start ended with {again}"
    scenario.finish(repo)
    check_invariant(repo, ["p"], checkout=checkout, records=records)
    assert runs_started(repo, "p") == 1
