"""One line a minute in `metrics.jsonl`: how busy the machine and the queue are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from coordinator.clock import Clock
from coordinator.metrics import Metrics
from coordinator.model import COMPLETED, EngineSnapshot, PrdState

#: Seconds between samples, and the span over which throughput is taken.
SAMPLE_EVERY, WINDOW = 60.0, 3600.0


class Sampler:
    """Called from a thread of the engine's; `look` costs nothing until a minute has passed."""

    def __init__(self, metrics: Metrics, root: Path, clock: Clock) -> None:
        self._metrics = metrics
        self._root = root
        self._clock = clock
        self._due = clock.monotonic() + SAMPLE_EVERY

    def look(self, snapshot: EngineSnapshot) -> None:
        """Writes a sample when one is due. Raises StateError when it cannot be written."""
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + SAMPLE_EVERY
        self.sample(snapshot)

    def sample(self, snapshot: EngineSnapshot) -> None:
        """CPU and memory in percent, disk in bytes, throughput in completed PRDs per hour of the last hour."""
        import psutil

        states = Counter(view.state for view in snapshot.prds)
        since = self._clock.now() - WINDOW
        completed = sum(view.state in COMPLETED and view.ended_at > since for view in snapshot.prds)
        self._metrics.record(
            "resource_sample",
            None,
            cpu_percent=psutil.cpu_percent(),
            memory_percent=psutil.virtual_memory().percent,
            disk_free_bytes=psutil.disk_usage(str(self._root)).free,
            slots_used=snapshot.queue.slots_used,
            slots=snapshot.queue.slots,
            queued=states[PrdState.QUEUED] + states[PrdState.BLOCKED],
            prds_per_hour=completed * 3600 / WINDOW,
        )
