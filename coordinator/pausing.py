"""Pausing a run's processes and letting them go on: the one way, with a coordinator and without."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coordinator import processes
from coordinator.clock import Clock, parse_iso
from coordinator.engine_log import EngineLog
from coordinator.errors import StateError
from coordinator.events import Event, PauseFailed, RunPaused
from coordinator.faultpoints import reach
from coordinator.jobs import JobStatus, inspect
from coordinator.model import DISK, PERSON, Run
from coordinator.runs import Journal

#: Seconds within which every process of a run has to stand still, else all of them go on.
PATIENCE = 5.0
_CLOSED = float("inf")


def pause_run(run: Run, clock: Clock, log: EngineLog, by: str = PERSON) -> str:
    """Stops every process of the run where it is; blocks. Returns "", or why not: then none is left stopped.

    The wish is on disk before the first signal, so that a crash in between leaves a run that is known to be
    paused.
    """
    job_dir = Path(run.run_dir)
    if inspect(job_dir).status is not JobStatus.RUNNING:
        return "its worker has ended"
    _note(run, "pause wanted", clock, log, by=by)
    reach("pause-wanted")
    if not processes.suspend(job_dir, Path(run.worktree), PATIENCE):
        continue_run(run, clock, log)
        return f"not every process stood still within {PATIENCE:.0f} s"
    _note(run, "paused", clock, log)
    reach("paused")
    return ""


def continue_run(run: Run, clock: Clock, log: EngineLog) -> None:
    """Lets every process of the run go on."""
    _note(run, "resumed", clock, log)
    reach("resume-wanted")
    processes.resume(Path(run.run_dir), Path(run.worktree))


def _note(run: Run, what: str, clock: Clock, log: EngineLog, **more: str) -> None:
    try:
        Journal(run.run_dir).write(what, clock.now(), **more)
    except StateError as error:  # a disk that refuses keeps nobody from pausing a worker
        log.warn(f"{run.prd_id}: {error}")


@dataclass
class _Turn:
    """One run's: whoever pauses, continues, ends or judges it waits for the one before."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    done: float = -1.0  # the highest wish carried out


class Pauses:
    """Carries out `PauseRun` and `ContinueRun`, one at a time per run: the last wish holds in any order."""

    def __init__(self, post: Callable[[Event], None], clock: Clock, log: EngineLog) -> None:
        self._post = post
        self._clock = clock
        self._log = log
        self._turns: dict[str, _Turn] = {}
        self._lock = threading.Lock()

    def pause(self, run: Run, wish: int, by: str = PERSON) -> None:
        """Posts RunPaused or PauseFailed, unless a later wish came first."""
        with self._turn(run, wish) as ours:
            if ours:
                reason = self._paused(run, by)
                failed = PauseFailed(run.prd_id, run.run_id, wish, reason)
                self._post(failed if reason else RunPaused(run.prd_id, run.run_id, wish))

    def resume(self, run: Run, wish: int) -> None:
        with self._turn(run, wish) as ours:
            if ours:
                continue_run(run, self._clock, self._log)

    def close(self, run: Run) -> None:
        """Waits for what is under way; nothing of the run is stopped afterwards, so that it can be ended or judged."""
        with self._turn(run, _CLOSED):
            pass

    @contextmanager
    def _turn(self, run: Run, wish: float) -> Iterator[bool]:
        with self._lock:
            turn = self._turns.setdefault(run.run_id, _Turn())
        with turn.lock:
            ours = wish > turn.done
            turn.done = max(wish, turn.done)
            yield ours

    def _paused(self, run: Run, by: str) -> str:
        try:
            return pause_run(run, self._clock, self._log, by)
        except Exception as error:  # noqa: BLE001 - a worker half stopped must not be left so
            self._log.failure(f"pausing {run.prd_id}", error)
            continue_run(run, self._clock, self._log)
            return str(error)


# -- what the journal tells ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PauseRecord:
    """`wanted`: the last wish was a pause, and `by` whom. `paused_at`: since when, 0 where unknown.

    `seconds`: in pauses that are over.
    """

    wanted: bool = False
    paused_at: float = 0.0
    seconds: float = 0.0
    by: str = PERSON


def read_pauses(journal: Iterable[Mapping[str, Any]], ended_at: float) -> PauseRecord:
    """The pauses of a run by its journal. `ended_at`: when its worker ended, 0 while it lives. Pure."""
    wanted, began, seconds, by = False, 0.0, 0.0, PERSON
    for entry in journal:
        what, at = entry.get("what"), _moment(entry.get("at"))
        if what in ("pause wanted", "paused"):
            wanted, began = True, began or at
            by = DISK if entry.get("by", by) == DISK else PERSON
        elif what in ("resumed", "stop wanted"):
            seconds += max(0.0, at - began) if began else 0.0
            wanted, began = False, 0.0
    if ended_at and began:
        seconds += max(0.0, ended_at - began)
        wanted, began = False, 0.0
    return PauseRecord(wanted, began, seconds, by)


def _moment(text: object) -> float:
    try:
        return parse_iso(text) if isinstance(text, str) else 0.0
    except ValueError:
        return 0.0
