"""How busy the machine is, for the gauges."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """`cpu` and `memory` in percent of the whole machine, `disk_free` in bytes where the repository lies."""

    cpu: float
    memory: float
    disk_free: int


class Machine:
    """Samples of the last minutes, oldest first. psutil is imported with the first one."""

    def __init__(self, root: str, kept: int = 24) -> None:
        self._root = root
        self.samples: deque[Load] = deque(maxlen=kept)

    def sample(self) -> None:
        import psutil

        try:
            free = psutil.disk_usage(self._root).free
        except OSError:  # the repository was moved away
            free = 0
        self.samples.append(Load(psutil.cpu_percent(None), psutil.virtual_memory().percent, free))

    @property
    def latest(self) -> Load | None:
        return self.samples[-1] if self.samples else None
