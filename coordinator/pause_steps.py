"""Pausing a run and letting it go on: (record, wish or event) → (record, effects). Pure.

Each wish gets a number. Pauses and continuations are carried out side by side with everything else, so that an
answer to one may come when the next was given already: only the answer to the last wish counts.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator.effects import ContinueRun, PauseRun
from coordinator.events import PauseFailed, RunPaused
from coordinator.model import DISK, PERSON, PrdState
from coordinator.policy import Outcome, Policy
from coordinator.state import Record

#: Why a run is paused, by who wished for it.
REASONS = {PERSON: "paused by you", DISK: "paused: disk is low"}

#: States in which a pause can be wished for, and in which a run can be told to go on.
CAN_PAUSE = frozenset({PrdState.RUNNING, PrdState.WAITING, PrdState.PAUSING})
CAN_RESUME = frozenset({PrdState.PAUSING, PrdState.PAUSED})


def can_pause(record: Record) -> bool:
    """Whether a person can pause it; a pause that nobody wished for can be made one's own."""
    return record.state in CAN_PAUSE or (record.state is PrdState.PAUSED and record.paused_by != PERSON)


def pause(record: Record, now: float, by: str = PERSON) -> Outcome:
    """A running PRD on its way to being paused; one that is on its way already is taken up anew."""
    if record.run is None:
        return record, ()
    wish = record.wish + 1
    since = record.since if record.state is PrdState.PAUSING else now
    reason = "stopping its processes where they are"
    pausing = replace(
        pause_over(record, now), state=PrdState.PAUSING, since=since, wish=wish, reason=reason, paused_by=by
    )
    return pausing, (PauseRun(record.run, wish, by),)


def resume(record: Record, now: float) -> Outcome:
    """A paused PRD, or one that is being paused, goes on."""
    if record.run is None:
        return record, ()
    wish = record.wish + 1
    running = replace(
        pause_over(record, now), state=PrdState.RUNNING, since=now, wish=wish, hung="", reason=""
    )
    return running, (ContinueRun(record.run, wish),)


def pause_over(record: Record, at: float) -> Record:
    """The time of the present pause, if there is one, is added to that of the earlier ones.

    It is below 0 where the clock was set back meanwhile, which is as it has to be: see `ClockJumped`.
    """
    if not record.paused_at:
        return record
    seconds = record.paused_seconds + at - record.paused_at
    return replace(record, paused_at=0.0, paused_seconds=seconds)


def paused(record: Record, event: RunPaused, policy: Policy) -> Outcome:
    if event.wish != record.wish:
        return record, ()
    reason = REASONS[record.paused_by]
    return replace(record, state=PrdState.PAUSED, paused_at=policy.now, reason=reason), ()


def pause_failed(record: Record, event: PauseFailed, policy: Policy) -> Outcome:
    if event.wish != record.wish:
        return record, ()
    record = pause_over(record, policy.now)
    # One that a full disk made necessary is not tried for as long as that lasts: each try takes its time.
    record = replace(record, insisted=record.paused_by != PERSON)
    return replace(record, state=PrdState.RUNNING, reason=f"could not be paused: {event.reason}"), ()
