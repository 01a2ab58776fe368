"""Stopping a run because somebody asked: the one way, with a coordinator and without."""

from __future__ import annotations

import signal
from pathlib import Path

from coordinator import processes
from coordinator.clock import Clock
from coordinator.engine_log import EngineLog
from coordinator.errors import StateError
from coordinator.faultpoints import reach
from coordinator.model import Run
from coordinator.runs import Journal, job_dirs


def stop_run(run: Run, by: str, grace: float, clock: Clock, log: EngineLog) -> tuple[str, ...]:
    """Ends every process of a run, its gates' too; blocks. Returns who could not be ended, a phrase each.

    The wish is on disk before the first signal, so that a crash in between ends in the same state. `by`:
    "command" or "shutdown"; `grace`: seconds between TERM and KILL.
    """

    def note(what: str) -> None:
        try:
            Journal(run.run_dir).write(what, clock.now(), by=by)
        except StateError as error:  # a disk that refuses keeps nobody from stopping a worker
            log.warn(f"{run.prd_id}: {error}")

    note("stop wanted")
    reach("stop-wanted")
    left: list[str] = []
    worktree, first = Path(run.worktree), _clean_signal(run)
    for job_dir in job_dirs(run):
        try:
            left += [str(one) for one in processes.terminate(job_dir, worktree, grace, first=first)]
        except StateError as error:  # its processes are ended; whoever watches it sees to the record
            log.warn(f"{run.prd_id}: {error}")
    note("stopped")
    return tuple(left)


def _clean_signal(run: Run) -> int:
    """What the worker's agent was said to end on in order, when it was started."""
    try:
        number = (Journal(run.run_dir).last("spawning") or {}).get("clean_signal")
    except OSError:  # as above
        return signal.SIGTERM
    return number if number in signal.valid_signals() else signal.SIGTERM
