"""An engine that is whatever a test says, behind the same door as the real one."""

from __future__ import annotations

import threading
from dataclasses import replace

from coordinator.api import EventPage, Happened, LogChunk
from coordinator.commands import Command, CommandId, StopMode
from coordinator.errors import PrdTuiError
from coordinator.model import EngineSnapshot, PrdState


class FakeEngine:
    """`commands` and `modes`: what the screen asked for, in order. `logs`: the content by PRD."""

    def __init__(self, snapshot: EngineSnapshot | None = None, *, alive_at: float = 0.0) -> None:
        self.commands: list[Command] = []
        self.modes: list[StopMode] = []
        self.logs: dict[str, bytes] = {}
        self.refuses_to_start: PrdTuiError | None = None
        self.alive = alive_at
        self.ended = False
        self._snapshot = snapshot or EngineSnapshot(version=1)
        self._events: list[Happened] = []
        self._lock = threading.Lock()

    # -- what a test says -------------------------------------------------------------------------------

    def becomes(self, snapshot: EngineSnapshot) -> None:
        with self._lock:
            self._snapshot = replace(snapshot, version=self._snapshot.version + 1)

    def happens(self, text: str, prd_id: str = "", state: PrdState | None = None, **more: object) -> None:
        with self._lock:
            self._events.append(Happened(len(self._events) + 1, 0.0, prd_id, state, text, **more))  # type: ignore[arg-type]

    # -- the door ---------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.refuses_to_start is not None:
            raise self.refuses_to_start

    def snapshot(self) -> EngineSnapshot:
        return self._snapshot

    def events_after(self, seq: int, limit: int) -> EventPage:
        with self._lock:
            page = tuple(self._events[seq : seq + limit])
        return EventPage(page, page[-1].seq if page else seq, gap=False)

    def read_log(self, prd_id: str, offset: int, max_bytes: int) -> LogChunk:
        data = self.logs.get(prd_id, b"")
        begin = max(0, len(data) + offset) if offset < 0 else offset
        return LogChunk(begin, data[begin : begin + max_bytes], len(data))

    def submit(self, command: Command) -> CommandId:
        self.commands.append(command)
        return CommandId(f"fake-{len(self.commands)}")

    def request_stop(self, mode: StopMode) -> None:
        self.modes.append(mode)

    def join(self, timeout: float) -> bool:
        return self.ended

    def is_idle(self) -> bool:
        return True

    def alive_at(self) -> float:
        return self.alive
