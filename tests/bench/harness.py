"""What every benchmark shares: interleaved timing, percentiles, rows with a budget."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import environment


@dataclass(frozen=True)
class Row:
    """One finding. `value` is a ratio, of the measured to the anchor unless `what` says otherwise."""

    what: str
    anchor: str
    measured: str
    value: float
    budget: float
    at_least: bool = False  # a budget of this kind is reached from above

    @property
    def ok(self) -> bool:
        return self.value >= self.budget if self.at_least else self.value <= self.budget


Bench = Callable[[Path], list[Row]]
BENCHES: dict[str, Bench] = {}


def bench(run: Bench) -> Bench:
    """Makes a function known to the runner by its name; it gets an empty directory of its own."""
    BENCHES[run.__name__] = run
    return run


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(rounds: int, *works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each round of each piece of work, by turns: what disturbs one disturbs the others too."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for found, work in zip(times, works, strict=True):
            found.append(seconds(work))
    return times


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def p50(values: Sequence[float]) -> float:
    return percentile(values, 50)


def ms(value: float) -> str:
    return f"{value * 1000:.3g} ms"


def spread(values: Sequence[float]) -> str:
    """Median and the width of the middle half, which shows how noisy the machine was."""
    return f"{ms(p50(values))} (±{(percentile(values, 75) - percentile(values, 25)) * 500:.2g})"


def versus(what: str, anchor: str, anchors: Sequence[float], measured: Sequence[float], budget: float) -> Row:
    """Median against median."""
    return Row(what, f"{anchor} {spread(anchors)}", spread(measured), p50(measured) / p50(anchors), budget)


def call(*argv: str, cwd: Path) -> str:
    """Runs a program to its end in the environment of the tests. Raises CalledProcessError."""
    done = subprocess.run(
        argv, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return os.fsdecode(done.stdout)


def resident(pid: int) -> float:
    """Mebibytes of memory that are resident for the process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def cpu_seconds(pid: int) -> float:
    """User and system time that the process itself has used, its children left out."""
    return time.clock_gettime(
        (~pid << 3) | 2
    )  # the kernel's name for the clock of that process, in nanoseconds
