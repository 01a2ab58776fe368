"""The log pane against the toolkit's own: lines that pour in, keys meanwhile, files that are opened."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from textual.app import App, ComposeResult
from textual.widget import Widget
from textual.widgets import Log, RichLog

from app.widgets.log_view import LogView
from tests.bench.harness import (
    Row,
    bench,
    cpu_seconds,
    ms,
    p50,
    percentile,
    resident,
    spread,
    versus,
)
from tests.support.growing_log import GrowingLog
from tests.support.watched_terminal import WatchedTerminal, in_terminal

LINES_A_SECOND, WRITES_A_SECOND = 5000, 50
ROUNDS, SECONDS = 3, 5.0
KEYS = 60
SAMPLE = "12:01:07 \x1b[34mclaude\x1b[0m {} edits search/rank.py and runs pytest tests/test_rank.py -q"
W = TypeVar("W", bound=Widget)
MB, GB = 1_000_000, 1_000_000_000


@bench
def log_stream(folder: Path) -> list[Row]:
    """5,000 lines a second into a pane of 120×34 in a real pseudo-terminal; ticks at 5 Hz."""
    kinds = ("none", "log", "view")
    cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    keys: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(ROUNDS):
        for kind in kinds:
            path = folder / f"{kind}-{number}.log"
            path.touch()
            with in_terminal(["-m", "tests.support.log_app", kind, str(path)], keep=1 << 17) as terminal:
                terminal.press(b"x", b"<answer 1>", 30)
                with pouring(path):
                    time.sleep(1)
                    cpu[kind].append(_cpu_share(terminal))
                    keys[kind] += _latencies(terminal)
    view, log, none = (p50(cpu[kind]) for kind in ("view", "log", "none"))
    pressed = keys["view"]
    return [
        Row("5,000 lines/s: % of a core", f"no log {none:.1f} %", f"{view:.1f} %", view, 6.0),
        Row("5,000 lines/s: CPU", f"Log {log:.1f} %", f"{view:.1f} %", view / log, 1.0),
        versus("key → paint meanwhile", "no log", keys["none"], keys["view"], 3.0),
        Row("key → paint meanwhile, p50 in ms", *_both(keys, 50), percentile(pressed, 50) * 1e3, 12),
        Row("key → paint meanwhile, p95 in ms", *_both(keys, 95), percentile(pressed, 95) * 1e3, 25),
    ]


@contextmanager
def pouring(path: Path) -> Iterator[None]:
    """Lines are appended to the file for as long as the block runs."""
    over = threading.Event()

    def write() -> None:
        number, step = 0, LINES_A_SECOND // WRITES_A_SECOND
        next_at = time.monotonic()
        with path.open("ab", buffering=0) as file:
            while not over.wait(max(0.0, next_at - time.monotonic())):
                file.write("".join(f"{SAMPLE.format(number + i)}\n" for i in range(step)).encode())
                number += step
                next_at += 1 / WRITES_A_SECOND

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cpu_share(terminal: WatchedTerminal) -> float:
    """Percent of a core that the program takes."""
    began, used = time.monotonic(), cpu_seconds(terminal.pid)
    time.sleep(SECONDS)
    return 100 * (cpu_seconds(terminal.pid) - used) / (time.monotonic() - began)


def _latencies(terminal: WatchedTerminal) -> list[float]:
    """Keys at moments that have nothing to do with the ticks."""
    found = []
    for number in range(2, KEYS + 2):
        time.sleep(random.uniform(0.02, 0.08))
        found.append(terminal.press(b"x", b"<answer %d>" % number))
    return found


def _both(keys: dict[str, list[float]], percent: float) -> tuple[str, str]:
    none, log, view = (ms(percentile(times, percent)) for times in keys.values())
    return f"Log {log}, no log {none}", view


@bench
def log_open(folder: Path) -> list[Row]:
    """From being asked for a log to its end on the screen, headless, 120×34."""
    line = f"{SAMPLE.format(0)}\n".encode()
    ten, huge = GrowingLog(folder / "10MB.log"), GrowingLog(folder / "1GB.log")
    ten.write(line * (10 * MB // len(line)))
    huge.make_sparse(GB, b"\n" + line * (MB // len(line)))
    log = [_painted(Log(), lambda widget: _fill(widget, ten.path, 10 * MB)) for _ in range(3)]
    rich = [20 * _painted(RichLog(), lambda widget: _fill(widget, ten.path, MB // 2)) for _ in range(3)]
    small, large = ([_painted(LogView(), _shows(source)) for _ in range(9)] for source in (ten, huge))
    gc.collect()
    before = resident(os.getpid())
    _painted(LogView(), _shows(huge))
    grown = resident(os.getpid()) - before
    return [
        Row("open 10 MB, ms", "—", spread(small), p50(small) * 1e3, 60),
        Row("open 1 GB, ms", "—", spread(large), p50(large) * 1e3, 60),
        versus("open 1 GB against 10 MB", "10 MB", small, large, 1.3),
        versus("open 10 MB", "Log", log, small, 0.1),
        versus("open 10 MB", "RichLog, 0.5 MB × 20", rich, small, 0.01),
        Row("memory for a 1 GB log, MiB", "954 MiB", f"{grown:.1f} MiB", grown, 5),
    ]


@bench
def log_tick(folder: Path) -> list[Row]:
    """Processor time of one tick of the pane, without what the toolkit then paints."""
    log = GrowingLog(folder / "worker.log")
    busy: list[float] = []
    quiet: list[float] = []
    paused: list[float] = []

    def ticks(view: LogView) -> None:
        view.show("shop", log.read)
        for times, still in ((busy, False), (paused, True)):
            if still:
                view.scroll_pages(-3)
            for number in range(60):
                log.lines(number * 1000, 1000, SAMPLE)
                times.append(_cpu(view.poll))
                quiet.append(_cpu(view.poll))

    _painted(LogView(), ticks)
    return [
        Row("tick with 1,000 new lines, ms p95", "—", spread(busy), percentile(busy, 95) * 1e3, 10),
        Row("the same, reader scrolled up, ms p95", "—", spread(paused), percentile(paused, 95) * 1e3, 2),
        Row("tick with nothing new, ms p95", "—", spread(quiet), percentile(quiet, 95) * 1e3, 1),
    ]


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _painted(widget: W, work: Callable[[W], object]) -> float:
    """Seconds until the work is done and painted."""

    class Host(App[None]):
        def compose(self) -> ComposeResult:
            yield widget

    async def run() -> float:
        async with Host().run_test(size=(120, 34)) as pilot:
            await pilot.pause()
            began = time.perf_counter()
            work(widget)
            await pilot.pause()
            return time.perf_counter() - began

    return asyncio.run(run())


def _shows(log: GrowingLog) -> Callable[[LogView], None]:
    return lambda view: view.show("shop", log.read)


def _fill(widget: Log | RichLog, path: Path, size: int) -> None:
    with path.open("rb") as file:
        widget.write(file.read(size).decode())
