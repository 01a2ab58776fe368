"""Time, as one object so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; for durations and waits."""
        ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


#: Seconds by which two clocks may drift apart within a second or so: less is no jump.
_DRIFT = 2.0


class JumpWatch:
    """Compares the wall clock with one that neither jumps nor runs while the machine sleeps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.now() - clock.monotonic()

    def look(self) -> float:
        """Seconds by which the wall clock has jumped since the last look; 0 if it has not."""
        ahead = self._clock.now() - self._clock.monotonic()
        jumped, self._ahead = ahead - self._ahead, ahead
        return jumped if abs(jumped) > _DRIFT else 0.0


def iso(seconds: float) -> str:
    """UTC, ISO 8601 with milliseconds: `2026-01-31T12:00:00.000Z`."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
