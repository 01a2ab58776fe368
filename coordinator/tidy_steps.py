"""When the worktrees of ended PRDs are looked at: (state, event) → (state, effects). Pure."""

from __future__ import annotations

from dataclasses import replace

from coordinator.effects import Effect, Standing, TidyWorktrees
from coordinator.events import Event, FirstLookTaken, RunCompleted, RunVerified, SettingsChanged, TimePassed
from coordinator.model import COMPLETED, PrdState
from coordinator.state import EngineState, Record

#: Seconds between two looks: a person may merge at any time.
EVERY = 30.0


def tidy(state: EngineState, event: Event, now: float) -> tuple[EngineState, tuple[Effect, ...]]:
    """Asks for it after each end, and from time to time."""
    if isinstance(event, TimePassed):
        if now - state.tidied_at < EVERY:
            return state, ()
    elif not isinstance(event, RunCompleted | RunVerified | FirstLookTaken | SettingsChanged):
        return state, ()
    ended = tuple(
        standing(record)
        for record in state.records.values()
        if record.run is not None
        and record.prd_id not in state.drops
        and record.state in COMPLETED | {PrdState.FAILED}
    )
    if not ended:
        return state, ()
    return replace(state, tidied_at=now), (TidyWorktrees(ended),)


def standing(record: Record) -> Standing:
    return Standing(record.prd_id, record.state, record.run, record.ended_at)
