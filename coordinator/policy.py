"""What the steps of a PRD's life are given and give back."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.effects import Effect
from coordinator.state import Record


@dataclass(frozen=True)
class Policy:
    """What of the settings a PRD's life depends on. `now`: seconds since the epoch."""

    now: float
    max_retries: int = 0
    stop_grace: float = 30.0


Outcome = tuple[Record, tuple[Effect, ...]]
