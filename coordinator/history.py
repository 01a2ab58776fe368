"""What happened in this session, as lines for people: a ring that any thread may read."""

from __future__ import annotations

import threading
from collections import deque

from coordinator.api import EventPage, Happened
from coordinator.commands import Answer, Rejected
from coordinator.entries import checking
from coordinator.model import ACTIVE, FIRST, PERSON, RESUME, PrdState
from coordinator.recorder import Transition
from coordinator.state import EDITED, HUNG, SOURCE_GONE, UNGATED, BaseStatus, EngineState

#: Events kept; a reader that falls further behind is told of the gap.
RING = 5000


#: Marks that a person is told of when they come.
_TOLD = {
    EDITED: "its folder was edited: that counts at its next start",
    SOURCE_GONE: "its folder is gone from prds/active: the run goes on from its own copy",
}


#: States that come as an alarm. A stop is a person's own doing, and a look at the list tells of the rest.
_ALARMING = frozenset({PrdState.FAILED, PrdState.LOST, PrdState.CONFLICT})
#: Holds that are a person's own, or that the screen asks about.
_ASKED = frozenset({PERSON, FIRST, RESUME})


class History:
    def __init__(self) -> None:
        self._ring: deque[Happened] = deque(maxlen=RING)
        self._seq = 0
        self._lock = threading.Lock()

    def add(
        self, transitions: tuple[Transition, ...], before: EngineState, after: EngineState, now: float
    ) -> None:
        """One line per transition, and one per hold placed or lifted."""
        for transition in transitions:
            record = transition.record
            alarming = record.state in _ALARMING
            self._append(transition.at, record.prd_id, record.state, describe(transition), alarming=alarming)
        for prd_id in before.records.keys() - after.records.keys():
            self._append(now, prd_id, None, "its folder is gone from prds/active")
        for prd_id, record in after.records.items():
            old = before.records.get(prd_id)
            if old is not None and old.state is record.state:
                if old.progress != record.progress and record.state in ACTIVE:
                    done = f"{record.progress.completed} of {record.progress.total} stories pass"
                    self._append(now, prd_id, record.state, done)
                for mark in sorted((record.marks - old.marks) & _TOLD.keys()):
                    self._append(now, prd_id, record.state, _TOLD[mark])
                if (HUNG in record.shown_marks) != (HUNG in old.shown_marks):
                    hangs = HUNG in record.shown_marks
                    said = f"hung: {record.hung}" if hangs else "goes on: it is not hung any more"
                    self._append(now, prd_id, record.state, said, alarming=hangs)
        for kind, why in after.holds.items():
            if before.holds.get(kind) != why:
                alarming = kind not in _ASKED
                self._append(now, "", None, f"the queue holds: {why}", alarming=alarming)
        if checking(after) not in ("", checking(before)):
            self.say(checking(after), now)
        elif checking(before) and after.base.status is BaseStatus.GREEN:
            self.say("the gates pass on the base", now)
        if before.holds and not after.holds:
            self.say("the queue runs", now)

    def answered(self, answer: Answer, now: float) -> None:
        if isinstance(answer, Rejected):
            self._append(now, "", None, f"command refused: {answer.reason}", refused=True)

    def say(self, text: str, now: float) -> None:
        """A line about the engine itself."""
        self._append(now, "", None, text)

    def _append(
        self,
        at: float,
        prd_id: str,
        state: PrdState | None,
        text: str,
        *,
        refused: bool = False,
        alarming: bool = False,
    ) -> None:
        with self._lock:
            self._seq += 1
            self._ring.append(Happened(self._seq, at, prd_id, state, text, refused, alarming))

    def after(self, seq: int, limit: int) -> EventPage:
        """Up to `limit` events above `seq`. A first call with 0 starts at the oldest one kept."""
        with self._lock:
            oldest = self._ring[0].seq if self._ring else self._seq + 1
            start = max(0, seq + 1 - oldest)
            page = tuple(self._ring[index] for index in range(start, min(start + limit, len(self._ring))))
        next_seq = page[-1].seq if page else max(seq, oldest - 1)
        return EventPage(page, next_seq, gap=0 < seq < oldest - 1)


def describe(transition: Transition) -> str:
    """What a person reads when a PRD comes into a state."""
    record, run = transition.record, transition.record.run
    if record.state is PrdState.RUNNING and transition.came_from in (PrdState.PAUSING, PrdState.PAUSED):
        return record.reason or "goes on"
    if record.state is PrdState.RUNNING and run is not None:
        wished = f" (asked for {run.branch_asked})" if run.branch_asked != run.branch else ""
        return f"worker {record.pid} on {run.branch}{wished}"
    if record.state is PrdState.COMPLETED and run is not None:
        gated = ", ungated" if UNGATED in record.marks else ""
        return f"{record.progress.completed} stories on {run.branch}{gated}"
    if record.state is PrdState.QUEUED and record.waiting_for:
        return f"after {', '.join(record.waiting_for)}"
    return record.reason
