"""How long a run's stories take, measured from outside, for workers that do not tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coordinator.clock import iso


@dataclass
class Stopwatch:
    """One run's. What it measured comes out as entries of a story record.

    A story is worked on from when it became the current one until it passes. Stories that pass in one go have
    no times: who knows how they share it. Moments are seconds since the epoch.
    """

    _current: str = ""
    _since: float = 0.0
    _paused: float = 0.0  # seconds that the run had been paused at `_since`
    _passing: frozenset[str] | None = None
    _done: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # begin, end, seconds

    def look(self, passing: frozenset[str], current: str, at: float, paused: float) -> None:
        """prd.json as written at `at`, when the run had been paused for `paused` seconds in all."""
        fresh = passing - self._passing if self._passing is not None else frozenset()
        if self._passing is not None and len(fresh) == 1:
            seconds = max(0.0, at - self._since - (paused - self._paused))
            self._done[next(iter(fresh))] = (self._since, at, seconds)
        if fresh or current != self._current:
            self._current, self._since, self._paused = current, at, paused
        self._passing = passing

    def entries(self, run_id: str) -> list[dict[str, Any]]:
        """Oldest first."""

        def entry(what: str, story: str, at: float, **more: float) -> dict[str, Any]:
            return {"at": iso(at), "run": run_id, "what": what, "story": story, **more}

        found = []
        for story, (began, ended, seconds) in self._done.items():
            found.append(entry("attempt", story, began))
            found.append(entry("done", story, ended, seconds=round(seconds, 3)))
        if self._current:
            found.append(entry("attempt", self._current, self._since))
        return found
