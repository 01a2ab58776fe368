"""How far the running PRDs are, read from their worktrees' prd.json."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coordinator import prd_file
from coordinator.events import Event, ProgressMade
from coordinator.loop.stories import next_story
from coordinator.model import Prd, Progress, Run


@dataclass
class _Seen:
    stamp: tuple[int, int, int] | None = None
    sent: tuple[Progress, str] | None = None


class ProgressWatch:
    """One daemon thread for all runs: a stat of each prd.json per look, a read only when it changed."""

    def __init__(
        self,
        running: Callable[[], list[Run]],
        post: Callable[[Event], None],
        interval: Callable[[], float],
    ) -> None:
        self._running = running
        self._post = post
        self._interval = interval
        self._seen: dict[str, _Seen] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _loop(self) -> None:
        while not self._ended.wait(self._interval()):
            runs = self._running()
            for run in runs:
                self.look(run)
            living = {run.run_id for run in runs}
            self._seen = {run_id: seen for run_id, seen in self._seen.items() if run_id in living}

    def look(self, run: Run) -> None:
        """Posts ProgressMade when it differs from what was posted last. Never raises: a worker may be writing."""
        seen = self._seen.setdefault(run.run_id, _Seen())
        folder = Path(run.worktree) / "prds" / "active" / run.prd_id
        try:
            status = (folder / "prd.json").stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == seen.stamp:
                return
            prd = prd_file.load(folder, limit=prd_file.WORKED_MAX_BYTES)
        except (OSError, prd_file.PrdInvalid):
            return
        seen.stamp = stamp
        now = (Progress(sum(story.passes for story in prd.stories), len(prd.stories)), current_story(prd))
        if now != seen.sent:
            seen.sent = now
            self._post(ProgressMade(run.prd_id, run.run_id, *now))


def current_story(prd: Prd) -> str:
    """The open story a worker most likely works on; empty where none is open."""
    story = next_story(prd.stories)
    return story.id if story else ""
