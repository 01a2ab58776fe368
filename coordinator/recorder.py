"""Writes down what changed: registry, metrics, engine log; then answers who asked.

One daemon thread. It writes the newest state only, so that a burst of changes costs one registry update, and
goes on trying while the disk refuses.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.commands import Accepted, Answer
from coordinator.engine_log import EngineLog
from coordinator.entries import checking, metrics_event, registry_entry
from coordinator.errors import StateError
from coordinator.metrics import Metrics
from coordinator.model import PERSON, PrdState
from coordinator.registry import Registry
from coordinator.registry_entries import kind_of, locate, place, remove
from coordinator.scheduler import queue as queue_order
from coordinator.state import EngineState, Record

#: Seconds between tries while the registry cannot be written.
RETRY = 1.0


@dataclass(frozen=True)
class Transition:
    """A PRD came into another state. `at`: seconds since the epoch."""

    record: Record
    came_from: PrdState | None
    at: float


def transitions_between(before: EngineState, after: EngineState, now: float) -> tuple[Transition, ...]:
    """Every PRD that is in another state than before, or new."""
    found = []
    for prd_id, record in after.records.items():
        old = before.records.get(prd_id)
        if old is None or old.state is not record.state:
            found.append(Transition(record, old.state if old else None, now))
    return tuple(found)


@dataclass(frozen=True)
class _Change:
    state: EngineState
    transitions: tuple[Transition, ...]


class Recorder:
    def __init__(
        self,
        registry: Registry,
        metrics: Metrics,
        log: EngineLog,
        *,
        root: str,
        session: dict[str, Any],
        answer: Callable[[Answer], None],
        fault: Callable[[str, str], None],
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._root = root
        self._session = session
        self._answer = answer
        self._fault = fault
        self._inbox: queue.SimpleQueue[_Change | Answer | None] = queue.SimpleQueue()
        self._written: dict[str, Record] = {}
        self._unsaid: deque[Transition] = deque()
        self._holds: Mapping[str, str] = {}
        self._busy = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)

    def start(self, known: EngineState) -> None:
        self._written = dict(known.records)
        self._thread.start()

    def record(self, state: EngineState, transitions: tuple[Transition, ...]) -> None:
        """Returns at once."""
        self._inbox.put(_Change(state, transitions))

    def answer(self, answer: Answer) -> None:
        """The answer goes out once everything recorded before it is on disk."""
        self._inbox.put(answer)

    def stop(self, timeout: float) -> bool:
        """Writes what waits, then ends."""
        self._inbox.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def idle(self) -> bool:
        return self._inbox.empty() and not self._busy.is_set()

    def _loop(self) -> None:
        ended = False
        while not ended:
            try:
                batch = [self._inbox.get(timeout=RETRY if self._unsaid else None)]
            except queue.Empty:
                self._say()
                continue
            self._busy.set()
            while not self._inbox.empty():
                batch.append(self._inbox.get())
            ended = None in batch
            changes = [item for item in batch if isinstance(item, _Change)]
            if changes:
                self._write(changes, until_written=not ended)
            for item in batch:
                if item is not None and not isinstance(item, _Change):
                    self._send(item)
            self._say()
            self._busy.clear()

    def _write(self, changes: list[_Change], *, until_written: bool) -> None:
        transitions = [transition for change in changes for transition in change.transitions]
        state = changes[-1].state
        while True:
            try:
                self._registry.update(
                    lambda document: self._apply(document, state), durable=bool(transitions)
                )
                self._written = dict(state.records)
                self._fault("registry", "")
                break
            except (StateError, OSError) as error:
                self._fault("registry", str(error))
                if not until_written:
                    return
                time.sleep(RETRY)
        for transition in transitions:
            record = transition.record
            move = f"{record.prd_id}: {_name(transition.came_from)} → {record.state.value} {record.reason}"
            self._log.write(move.rstrip())
            self._unsaid.append(transition)
        for kind, why in state.holds.items():
            if self._holds.get(kind) != why:
                self._log.write(f"the queue holds: {why}")
        if self._holds and not state.holds:
            self._log.write("the queue runs")
        self._holds = state.holds

    def _apply(self, document: dict[str, Any], state: EngineState) -> None:
        apply(document, self._written, state, self._root)
        document.update(self._session)

    def _say(self) -> None:
        """Metrics of what the registry has; what the disk refuses is kept for the next time."""
        try:
            while self._unsaid:
                self._note(self._unsaid[0])
                self._unsaid.popleft()
            self._fault("metrics", "")
        except StateError as error:
            self._fault("metrics", str(error))

    def _note(self, transition: Transition) -> None:
        """Raises StateError."""
        record = transition.record
        if record.state in (PrdState.COMPLETED, PrdState.DROPPED):
            return  # a step of its completion or its drop, written by that
        more: dict[str, Any] = {"from": _name(transition.came_from), "reason": record.reason}
        if record.run is not None:
            more |= {"run_id": record.run.run_id, "branch": record.run.branch}
        if record.exit is not None and record.state is not PrdState.QUEUED:
            more |= {"exit_code": record.exit.code, "exit_signal": record.exit.signal}
        event = metrics_event(record.state, transition.came_from)
        self._metrics.record(event, record.prd_id, at=transition.at, **more)

    def _send(self, answer: Answer) -> None:
        try:
            self._answer(answer)
        except StateError as error:
            word = "accepted" if isinstance(answer, Accepted) else "refused"
            self._log.warn(
                f"command {answer.command_id} was {word}; its answer could not be written: {error}"
            )


def _name(state: PrdState | None) -> str:
    return state.value if state else "nothing"


def apply(document: dict[str, Any], written: Mapping[str, Record], state: EngineState, root: str) -> None:
    """Brings the registry's entries up to `state`, touching our own only. `written`: what it held of them."""
    for prd_id in written.keys() - state.records.keys():
        remove(document, prd_id)
    for prd_id, record in state.records.items():
        if written.get(prd_id) == record:
            continue
        kind = kind_of(record.state)
        if kind is None:
            if record.state is PrdState.DROPPED and (located := locate(document, prd_id)):
                located[1].update(status=record.state.value, reason=record.reason)  # for the history
            remove(document, prd_id)
        else:
            place(document, kind, registry_entry(record, root))
    order = {record.prd_id: number for number, record in enumerate(queue_order(state))}
    document["queued_prds"].sort(key=lambda entry: order.get(entry["prd_id"], len(order)))
    document["holds"] = {kind: why for kind, why in state.holds.items() if kind == PERSON}
    document["held"] = {kind: why for kind, why in state.holds.items() if kind != PERSON}  # to be seen only
    document["checking"] = checking(state)
    document["max_parallel_prds"] = state.max_prds
