"""Whether running PRDs show any sign of progress: what their workers write, commit and compute.

Silence alone is normal: an agent that waits for its API prints nothing for minutes. A PRD counts as hung when
nothing of it has moved for `coordinator.hang_after`. The mark ends nothing; limits of time do that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from coordinator import prd_file
from coordinator.clock import Clock
from coordinator.engine_log import EngineLog
from coordinator.events import Event, RunHung, RunRevived
from coordinator.identity import Identity
from coordinator.jobs import inspect
from coordinator.model import PrdState, Run
from coordinator.proctable import Table, children_of, cpu_ticks, read_table, with_descendants
from coordinator.state import Record
from coordinator.worktree_entries import entry_of

#: Seconds between two looks: a tenth of the limit, but no more often than 1 in 0.2 and no less than 1 in 10.
SHORTEST, LONGEST = 0.2, 10.0
#: Less CPU than this share of one core is no sign of work, nor is less than so many seconds between two looks: a
#: script that looks for a file a hundred times a second takes half of that share, timers of an idle runtime less.
BUSY, LEAST_WORK = 0.02, 0.03
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

#: What of a run moves when it makes progress: sizes and times of its files.
Signs: TypeAlias = tuple[tuple[int, int], ...]


@dataclass
class _Pulse:
    """One run's. `quiet`: seconds it was seen running without a sign."""

    seen_at: float
    running: bool
    signs: Signs
    ticks: int
    quiet: float = 0.0


class HealthWatch:
    """One daemon thread for all runs; a look is a few stats for each and one pass over /proc.

    `records`: those of now. `limit`: seconds without progress after which a PRD counts as hung. Only time in
    which a run was seen running counts: no pause, no sleep of the machine, none in which nobody looked.
    """

    def __init__(
        self,
        records: Callable[[], Mapping[str, Record]],
        post: Callable[[Event], None],
        limit: Callable[[], float],
        clock: Clock,
        log: EngineLog,
    ) -> None:
        self._records = records
        self._post = post
        self._limit = limit
        self._clock = clock
        self._log = log
        self._pulses: dict[str, _Pulse] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _loop(self) -> None:
        while not self._ended.wait(self.interval):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - no descriptor left for /proc, say: the next look tries again
                self._log.failure("looking for runs that hang", error)

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return min(LONGEST, max(SHORTEST, self._limit() / 10))

    def look(self) -> None:
        """Posts RunHung and RunRevived for the runs whose mark has to change."""
        working = {
            record.run.run_id: record
            for record in self._records().values()
            if record.run is not None and record.state in _ALIVE
        }
        self._pulses = {run_id: pulse for run_id, pulse in self._pulses.items() if run_id in working}
        if not working:
            return
        table = read_table()
        children = children_of(table)
        for run_id, record in working.items():
            if record.run is not None:
                self._feel(run_id, record, record.run, _ticks(record.run, table, children))

    def _feel(self, run_id: str, record: Record, run: Run, ticks: int) -> None:
        now, running = self._clock.monotonic(), record.state is PrdState.RUNNING
        signs = tuple(_signs(run))
        pulse = self._pulses.get(run_id)
        if pulse is None:
            self._pulses[run_id] = _Pulse(now, running, signs, ticks)
            return
        passed = now - pulse.seen_at
        worked = (ticks - pulse.ticks) / _TICKS_PER_SECOND
        if signs != pulse.signs or worked >= max(BUSY * passed, LEAST_WORK):
            pulse.quiet = 0.0
        elif running and pulse.running:
            pulse.quiet += min(passed, 3 * self.interval)
        pulse.seen_at, pulse.running, pulse.signs, pulse.ticks = now, running, signs, ticks
        limit = self._limit()
        if running and pulse.quiet >= limit and not record.hung:
            self._post(RunHung(run.prd_id, run_id, limit))
        elif record.hung and pulse.quiet < limit:
            self._post(RunRevived(run.prd_id, run_id))


_ALIVE = frozenset({PrdState.RUNNING, PrdState.WAITING, PrdState.PAUSING, PrdState.PAUSED})


def _signs(run: Run) -> Iterator[tuple[int, int]]:
    """Size and time of the log, of prd.json where the worker has it, and of what each commit touches."""
    worktree = Path(run.worktree)
    yield _stamp(Path(run.log))
    for place in ("active", "completed"):
        yield _stamp(worktree / "prds" / place / run.prd_id / prd_file.NAME)
    try:
        own = entry_of(worktree)
    except OSError:
        return
    for name in ("HEAD", "logs/HEAD"):
        yield _stamp(own / name)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_size, status.st_mtime_ns)


def _ticks(run: Run, table: Table, children: dict[int, list[int]]) -> int:
    """Clock ticks of CPU that the keeper's tree has used, ended children included."""
    start = inspect(Path(run.run_dir)).start
    if start is None:
        return 0
    roots = [who.pid for who in (start.keeper, start.worker) if _is_in(table, who)]
    return sum(cpu_ticks(pid) for pid in with_descendants(roots, children))


def _is_in(table: Table, who: Identity) -> bool:
    process = table.get(who.pid)
    return process is not None and process.identity == who
