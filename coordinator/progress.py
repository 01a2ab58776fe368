"""How far each run is, read from its worktree: prd.json for what passes, the worker's record for the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coordinator import prd_file
from coordinator.clock import Clock
from coordinator.events import Event, ProgressMade
from coordinator.loop.stories import next_story
from coordinator.model import Prd, PrdState, Progress, Run, StoryState
from coordinator.state import Record
from coordinator.stopwatch import Stopwatch
from coordinator.story_record import story_views
from coordinator.story_tail import StoryTail

_WORKING = frozenset(
    {PrdState.RUNNING, PrdState.WAITING, PrdState.PAUSING, PrdState.PAUSED, PrdState.STOPPING}
)

_Stamp = tuple[str, int, int, int]


@dataclass
class _Seen:
    """What is known of one run."""

    tail: StoryTail
    watch: Stopwatch = field(default_factory=Stopwatch)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: _Stamp | None = None
    prd: Prd | None = None
    sent: ProgressMade | None = None


class ProgressWatch:
    """One daemon thread for all runs: two stats for each per look, a read only of what changed.

    `records`: those of now, by PRD. Runs that ended are looked at once, when it starts.
    """

    def __init__(
        self,
        records: Callable[[], Mapping[str, Record]],
        post: Callable[[Event], None],
        interval: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._records = records
        self._post = post
        self._interval = interval
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _loop(self) -> None:
        records = self._records().values()
        for record in sorted(records, key=lambda one: not _is_watched(one)):
            if record.run is not None and not self._ended.is_set():
                self.look(record.run)
        while not self._ended.wait(self._interval()):
            records = self._records().values()
            for record in records:
                if record.run is not None and _is_watched(record):
                    self.look(record.run)
            newest = {record.run.run_id for record in records if record.run}
            with self._lock:
                self._seen = {run_id: seen for run_id, seen in self._seen.items() if run_id in newest}

    def look(self, run: Run) -> None:
        """Posts ProgressMade when it differs from what was posted last; any thread.

        Never raises: a worker may be writing.
        """
        with self._lock:
            seen = self._seen.setdefault(run.run_id, _Seen(StoryTail(run.worktree)))
        with seen.lock:
            changed = self._read_prd(run, seen)
            told = seen.tail.look()
            if seen.prd is None or not (changed or told):
                return
            made = _progress(run, seen.prd, seen)
            if made != seen.sent:
                seen.sent = made
                self._post(made)

    def _read_prd(self, run: Run, seen: _Seen) -> bool:
        """Whether there is another prd.json to be read, from where the worker has it."""
        for place in ("active", "completed"):
            folder = Path(run.worktree) / "prds" / place / run.prd_id
            try:
                status = (folder / prd_file.NAME).stat()
            except OSError:
                continue
            stamp = (place, status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == seen.stamp:
                return False
            try:
                seen.prd = prd_file.load(folder, limit=prd_file.WORKED_MAX_BYTES)
            except (OSError, prd_file.PrdInvalid):
                return False
            seen.stamp = stamp
            self._measure(run, seen, seen.prd, status.st_mtime)
            return True
        return False

    def _measure(self, run: Run, seen: _Seen, prd: Prd, written_at: float) -> None:
        record = self._records().get(run.prd_id)
        if record is None or record.run != run or not record.started_at:
            return
        at = min(max(written_at, record.started_at), self._clock.now())
        paused = record.paused_seconds
        if record.paused_at:
            paused += max(0.0, at - record.paused_at)
        passing = frozenset(story.id for story in prd.stories if story.passes)
        seen.watch.look(passing, current_story(prd), at, paused)


def _is_watched(record: Record) -> bool:
    """Whether anything of the run may still work; its last words are read once more before it is judged."""
    return record.state in _WORKING or (record.state is PrdState.VERIFYING and not record.swept)


def _progress(run: Run, prd: Prd, seen: _Seen) -> ProgressMade:
    entries = seen.tail.entries
    if not any(entry.get("run") == run.run_id for entry in entries):
        entries = entries + seen.watch.entries(run.run_id)
    views = story_views(prd.stories, entries, run.run_id, current_story(prd))
    done = sum(view.state is StoryState.DONE for view in views)
    current = next((view.id for view in views if view.state is StoryState.RUNNING), "")
    return ProgressMade(run.prd_id, run.run_id, Progress(done, len(views)), current, views)


def current_story(prd: Prd) -> str:
    """The open story a worker most likely works on; empty where none is open."""
    story = next_story(prd.stories)
    return story.id if story else ""
