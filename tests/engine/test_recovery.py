"""What recovery makes of runs that were cut off at their very start."""

from __future__ import annotations

import json
from pathlib import Path

from coordinator.commands import ReleaseQueue
from coordinator.effects import AnswerCommand
from coordinator.events import CommandReceived, HoldPlaced
from coordinator.executor import LocalExecutor
from coordinator.jobs import JobSpec, JobStatus, inspect
from coordinator.model import APPROVAL, WORKER, Exit, Prd, PrdState, Run, Story
from coordinator.paths import Paths
from coordinator.recovery import recover
from coordinator.reducer import reduce
from coordinator.runs import Intent, Journal, write_intent
from coordinator.state import EngineState

EMPTY: dict[str, object] = {"active_prds": {}, "queued_prds": [], "completed_prds": [], "failed_prds": []}


def recorded_run(paths: Paths) -> Run:
    """A run whose intent is on disk."""
    run = Run(
        prd_id="p",
        run_id="20260101T000000000-0000",
        generation=1,
        worktree=str(paths.root),
        branch="feature/p",
        branch_asked="feature/p",
        base_branch="main",
        base_commit="0" * 40,
        run_dir=str(paths.run_dir("p", "20260101T000000000-0000")),
        log=str(paths.root / "log"),
    )
    prd = Prd("demo", "", "", None, None, (), (), (Story("US-001", "one", False),))
    write_intent(paths, Intent(run, prd, 1.0, 1), b"{}")
    return run


def test_a_start_in_the_air_is_closed_so_that_no_late_keeper_makes_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / ".git")
    run = recorded_run(paths)
    (found,) = recover(paths, EMPTY, 1.0)
    assert found.record.state is PrdState.QUEUED
    spec = JobSpec(
        key=run.run_id,
        generation=1,
        job_dir=Path(run.run_dir),
        argv=("/bin/sh", "-c", f"touch {tmp_path}/started"),
        cwd=tmp_path,
        env={},
        log=Path(run.log),
        header="",
        exit_code_file=None,
        time_limit=None,
        marker=run.run_id,
    )
    exit: Exit | None = LocalExecutor().submit(spec).facts.exit
    assert exit is not None
    assert exit.cannot_start
    assert inspect(spec.job_dir).status is JobStatus.ENDED
    assert not (tmp_path / "started").exists()
    (again,) = recover(paths, EMPTY, 1.0)
    assert again.record.state is PrdState.QUEUED, "it was never started, so nothing failed"


def test_release_does_not_stand_in_for_an_approval() -> None:
    state = EngineState()
    for kind in (APPROVAL, WORKER):
        state, _ = reduce(state, HoldPlaced(kind, f"why {kind}"), 1.0)
    state, effects = reduce(state, CommandReceived("c", ReleaseQueue()), 2.0)
    assert set(state.holds) == {APPROVAL}
    assert [effect for effect in effects if isinstance(effect, AnswerCommand)]


def test_a_stop_whose_end_nobody_wrote_down_is_over_once_nothing_is_left(tmp_path: Path) -> None:
    """The coordinator may end between the sweep and the line about it; a later stop must not make it its own."""
    paths = Paths(tmp_path, tmp_path / ".git")
    run = recorded_run(paths)
    for name, record in {
        "start.json": start_record(),
        "exit.json": {"code": 143, "signal": 15, "ended_at": 2.0, "cannot_start": "", "timed_out": False},
        "swept.json": {"ended": 0, "survivors": []},
    }.items():
        (Path(run.run_dir) / name).write_text(json.dumps(record))
    Journal(run.run_dir).write("stop wanted", 1.0, by="shutdown")
    (found,) = recover(paths, EMPTY, 1.0)
    assert found.record.state is PrdState.QUEUED
    assert found.effects == ()


def start_record() -> dict[str, object]:
    gone = {"pid": 1, "ticks": 1}
    return {
        "boot_id": "an-earlier-boot",
        "keeper": gone,
        "worker": gone,
        "started_at": 1.0,
        "argv0": "sh",
        "marker": "m",
        "cwd": "/",
    }
