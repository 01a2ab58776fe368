"""What is looked after once a second: one thread, and a list of chores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from coordinator.engine_log import EngineLog

#: Seconds between two rounds.
ROUND = 1.0


class Housekeeper:
    """Does each chore in each round; one that fails is told in the log, and tried again in the next."""

    def __init__(self, chores: Sequence[Callable[[], object]], log: EngineLog) -> None:
        self._chores = tuple(chores)
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _loop(self) -> None:
        while not self._ended.wait(ROUND):
            for chore in self._chores:
                if self._ended.is_set():
                    return
                try:
                    chore()
                except Exception as error:  # noqa: BLE001 - the next round tries again
                    self._log.failure(f"housekeeping ({getattr(chore, '__name__', chore)})", error)
