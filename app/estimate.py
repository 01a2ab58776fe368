"""When will it be done? Only from three finished stories on: before that any number would be a guess. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from coordinator.model import EngineSnapshot, PrdState, PrdView, StoryState

#: Finished stories it takes to say how long one takes.
SAMPLES = 3

_AT_WORK = frozenset({PrdState.STARTING, PrdState.RUNNING, PrdState.VERIFYING})


@dataclass(frozen=True)
class Estimates:
    """Seconds from now. What cannot be told is not there."""

    ends: Mapping[str, float] = field(default_factory=dict)  # of what runs
    starts: Mapping[str, float] = field(default_factory=dict)  # of what is queued and waits for a slot only
    all_done: float | None = None


def estimate(snapshot: EngineSnapshot, now: float) -> Estimates:
    """`now`: seconds since the epoch."""
    known = {view.prd_id: _durations(view) for view in snapshot.prds}
    every = [seconds for own in known.values() for seconds in own]
    common = _mean(every) if len(every) >= SAMPLES else None
    ends: dict[str, float] = {}
    for view in snapshot.prds:
        if view.state in _AT_WORK and (left := _left(view, known[view.prd_id], common, now)) is not None:
            ends[view.prd_id] = left
    starts, last = _starts(snapshot, ends, common)
    return Estimates(ends, starts, last)


def _mean(seconds: list[float]) -> float:
    return sum(seconds) / len(seconds)


def _durations(view: PrdView) -> list[float]:
    return [story.seconds for story in view.stories if story.state is StoryState.DONE and story.seconds > 0]


def _left(view: PrdView, own: list[float], common: float | None, now: float) -> float | None:
    """How long the PRD still takes: by its `own` finished stories where there are enough of them."""
    each = _mean(own) if len(own) >= SAMPLES else common
    if each is None:
        return None
    open_stories = view.progress.total - view.progress.completed
    running = next((story for story in view.stories if story.state is StoryState.RUNNING), None)
    spent = min(each, max(0.0, now - running.started_at)) if running and running.started_at else 0.0
    return max(0.0, open_stories * each - spent)


def _starts(
    snapshot: EngineSnapshot, ends: Mapping[str, float], common: float | None
) -> tuple[dict[str, float], float | None]:
    """When each queued PRD gets a slot, and when the last of all is done."""
    running = [view for view in snapshot.prds if view.state in _AT_WORK]
    if common is None or any(view.prd_id not in ends for view in running):
        return {}, None
    used = snapshot.queue.slots_used
    slots = [ends[view.prd_id] for view in running]
    slots += [0.0] * max(0, snapshot.queue.slots - max(used, len(slots)))
    heapq.heapify(slots)
    last = max(slots, default=0.0)
    starts: dict[str, float] = {}
    for prd_id in snapshot.queue.order:
        view = snapshot.prd(prd_id)
        if view is None or view.state is not PrdState.QUEUED:
            continue
        if not slots:
            return starts, None
        begin = heapq.heappop(slots)
        if not view.waiting_for:
            starts[prd_id] = begin
        end = begin + common * max(0, view.progress.total - view.progress.completed)
        last = max(last, end)
        heapq.heappush(slots, end)
    busy = bool(running or starts)
    return ({} if snapshot.queue.holds else starts), (last if busy and not snapshot.queue.holds else None)
