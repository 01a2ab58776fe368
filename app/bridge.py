"""Engine → screen: what has changed since the last look. The screen pulls; the engine never calls it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from coordinator.api import EngineApi, Happened, LogChunk, PrdTuiError
from coordinator.commands import Command, StopMode
from coordinator.model import EngineSnapshot

#: Seconds between two looks, and those without a sign of life after which what is shown counts as stale.
LOOK, STALE = 0.2, 5.0
#: Events kept for the strip, and read at most in one look.
EVENTS_KEPT, EVENTS_A_LOOK = 200, 500


@dataclass(frozen=True)
class Seen:
    """One look. `stale_for`: seconds since the engine last gave a sign of life; 0: it lives."""

    snapshot: EngineSnapshot
    changed: bool
    fresh: tuple[Happened, ...]
    stale_for: float
    ended: bool


Clock = Callable[[], float]


class Bridge:
    """Opens and starts the engine in a thread of its own, so that the first picture waits for nothing.

    `engine` is None until it is open.
    """

    def __init__(self, open_engine: Callable[[], EngineApi], monotonic: Clock) -> None:
        self.engine: EngineApi | None = None
        self._open = open_engine
        self.failure: BaseException | None = None
        self.started = False
        self.events: deque[Happened] = deque(maxlen=EVENTS_KEPT)
        self._monotonic = monotonic
        self._version = -1
        self._seq = 0
        self._thread = threading.Thread(target=self._start, name="engine-start", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_started(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds until the engine runs or could not be started."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def at_rest(self) -> bool:
        """The engine has started, and nothing of its start is still under way."""
        return self.started and self.engine is not None and self.engine.is_idle()

    def look(self) -> Seen:
        if self.engine is None:
            return Seen(EngineSnapshot(), False, (), 0.0, ended=False)
        snapshot = self.engine.snapshot()
        changed = snapshot.version != self._version
        self._version = snapshot.version
        page = self.engine.events_after(self._seq, EVENTS_A_LOOK)
        self._seq = page.next_seq
        self.events.extend(page.events)
        ended = self.started and self.engine.join(0.0)
        silent = self._monotonic() - self.engine.alive_at() if self.started else 0.0
        return Seen(snapshot, changed, page.events, silent if silent > STALE or ended else 0.0, ended)

    @property
    def snapshot(self) -> EngineSnapshot:
        """The newest one there is."""
        return EngineSnapshot() if self.engine is None else self.engine.snapshot()

    def read_log(self, prd_id: str, offset: int, max_bytes: int) -> LogChunk:
        if self.engine is None:
            return LogChunk(0, b"", 0)
        return self.engine.read_log(prd_id, offset, max_bytes)

    def submit(self, command: Command) -> bool:
        """False while there is no engine to take it."""
        if self.engine is None:
            return False
        self.engine.submit(command)
        return True

    def request_stop(self, mode: StopMode) -> None:
        if self.engine is not None:
            self.engine.request_stop(mode)

    def _start(self) -> None:
        try:
            self.engine = self._open()
            self.engine.start()
            self.started = True
        except PrdTuiError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - told on the terminal once the screen is closed
            self.failure = error
