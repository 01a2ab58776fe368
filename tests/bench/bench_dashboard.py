"""The dashboard in a pseudo-terminal against twins made of the toolkit alone: rows that change, idleness, memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.bench.dashboard_app import ROWS
from tests.bench.harness import Row, bench, cpu_seconds, ms, p50, percentile, resident, versus
from tests.support.cli import LAUNCHER, ROOT, make_project
from tests.support.repos import drop_prd
from tests.support.watched_terminal import WatchedTerminal, in_terminal

APP = ("-m", "tests.bench.dashboard_app")
SIZE, KEEP = (120, 60), 1 << 17
#: Rounds, seconds of one of them, and those that a screen has to come to rest.
ROUNDS, SPAN, SETTLE = 5, 8.0, 4.0
IDLE_SPAN = 30.0
FIRST_ROUNDS = 15
DOWN = b"\x1b[B"


@bench
def dashboard_rows(_folder: Path) -> list[Row]:
    """50 rows at 4 Hz: all of them, a tenth, none; keys meanwhile."""
    kinds = {
        "table": ("table", "100"),
        "all": ("ours", "100"),
        "tenth": ("ours", "10"),
        "none": ("ours", "0"),
    }
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    keys: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name, argv in kinds.items():
            with in_terminal([*APP, *argv], keep=KEEP, size=SIZE) as terminal:
                terminal.wait_for(b"feature-49")
                time.sleep(SETTLE)
                cpu[name].append(share(terminal, SPAN))
                keys[name] += _latencies(terminal)
    table, everything, tenth, none = (p50(cpu[name]) for name in kinds)
    what, pressed = f"{ROWS} rows at 4 Hz", keys["all"]
    anchors = ", ".join(
        f"{name} {ms(p50(keys[key]))}" for name, key in (("DataTable", "table"), ("at rest", "none"))
    )
    return [
        Row(f"{what}: CPU", f"DataTable {table:.1f} %", _percent(cpu["all"]), everything / table, 0.16),
        Row(f"{what}: % of a core", f"at rest {none:.2f} %", _percent(cpu["all"]), everything, 6.0),
        Row(
            f"{what}, a tenth of them: % of a core",
            f"at rest {none:.2f} %",
            _percent(cpu["tenth"]),
            tenth,
            2.5,
        ),
        Row("key → paint meanwhile, p50 in ms", anchors, ms(p50(pressed)), p50(pressed) * 1e3, 12),
        Row(
            "key → paint meanwhile, p95 in ms",
            anchors,
            ms(percentile(pressed, 95)),
            percentile(pressed, 95) * 1e3,
            25,
        ),
    ]


def _latencies(terminal: WatchedTerminal) -> list[float]:
    """Down the list, at moments that have nothing to do with the changes: until the new place is told."""
    found = []
    for place in range(2, ROWS):
        time.sleep(0.03 + 0.0071 * (place % 8))
        found.append(terminal.press(DOWN, f"{place}/{ROWS}".encode()))
    return found


@bench
def dashboard_idle(folder: Path) -> list[Row]:
    """All at the same time, each in a terminal of its own, while nothing happens."""
    repo = make_project(folder)
    (repo / "prds" / "active").mkdir(parents=True)
    commands = {
        "bare": [*APP, "bare"],
        **{kind: [*APP, kind] for kind in ("idle", "clocks", "no-look", "no-tick", "no-sample")},
        "real": LAUNCHER[1:],
    }
    with ExitStack() as stack:
        terminals = {
            name: stack.enter_context(in_terminal(argv, keep=KEEP, cwd=repo if name == "real" else ROOT))
            for name, argv in commands.items()
        }
        terminals["bare"].wait_for(b"first-paint")
        terminals["real"].wait_for(b"IDLE")
        time.sleep(2 * SETTLE)
        began = time.perf_counter()
        used = {name: cpu_seconds(terminal.pid) for name, terminal in terminals.items()}
        time.sleep(IDLE_SPAN)
        took = time.perf_counter() - began
        cpu = {
            name: 100 * (cpu_seconds(terminal.pid) - used[name]) / took
            for name, terminal in terminals.items()
        }
    anchor = f"an app without anything {cpu['bare']:.2f} %"
    timers = {"look, 5 Hz": "no-look", "tick, 1 Hz": "no-tick", "sample, 0.5 Hz": "no-sample"}
    return [
        _core("at rest, no engine: % of a core", anchor, cpu["idle"], 0.5),
        *(
            _core(f"of which {timer} (for information)", anchor, cpu["idle"] - cpu[without], float("inf"))
            for timer, without in timers.items()
        ),
        _core("at rest, three clocks: % of a core", anchor, cpu["clocks"], 0.5),
        _core("an empty repository with its engine: % of a core", anchor, cpu["real"], 0.5),
    ]


@bench
def first_row(folder: Path) -> list[Row]:
    """From the start of the process to the first row of a held repository with 10 PRDs, each time by turns."""
    repo = make_project(folder)
    for number in range(10):
        drop_prd(repo, f"feature-{number:02}")
    # Compiled, as after an installation: the first round compiles, and reads from the disk.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    bare, ours = [], []
    for _ in range(FIRST_ROUNDS + 1):
        bare.append(_shows([*APP, "bare"], b"first-paint", ROOT, compiled))
        ours.append(_shows(LAUNCHER[1:], b"feature-00", repo, compiled))
    (wall, cpu), (our_wall, our_cpu) = (list(zip(*times[1:], strict=True)) for times in (bare, ours))
    anchor = "an app without anything"
    return [
        versus("first row of 10 PRDs", anchor, wall, our_wall, 1.2),
        versus("first row of 10 PRDs, processor time", anchor, cpu, our_cpu, 1.2),
    ]


def _shows(argv: list[str], wanted: bytes, cwd: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Seconds until it is on the screen, and those of processor time that it took."""
    began = time.perf_counter()
    with in_terminal(argv, keep=KEEP, cwd=cwd, env=env) as terminal:
        terminal.wait_for(wanted)
        return time.perf_counter() - began, cpu_seconds(terminal.pid)


@bench
def dashboard_memory(folder: Path) -> list[Row]:
    """A repository with 50 PRDs that wait, its engine at work."""
    repo = make_project(folder)
    for number in range(ROWS):
        drop_prd(repo, f"feature-{number:02}")
    with in_terminal([*APP, "bare"]) as bare, in_terminal(LAUNCHER[1:], cwd=repo, size=SIZE) as terminal:
        bare.wait_for(b"first-paint")
        terminal.wait_for(b"feature-49")
        for _ in range(10):
            terminal.press(DOWN, b"feature-")
        time.sleep(2 * SETTLE)
        least, ours = resident(bare.pid), resident(terminal.pid)
    return [
        Row(
            f"resident with {ROWS} PRDs, of 80 MB",
            f"an app without anything {least:.1f} MiB",
            f"{ours:.1f} MiB",
            ours * 2**20 / 80e6,
            1.0,
        )
    ]


def share(terminal: WatchedTerminal, span: float) -> float:
    """Percent of a core that the program takes for `span` seconds."""
    before, began = cpu_seconds(terminal.pid), time.perf_counter()
    time.sleep(span)
    return 100 * (cpu_seconds(terminal.pid) - before) / (time.perf_counter() - began)


def _percent(values: list[float]) -> str:
    return f"{p50(values):.2f} % (±{(percentile(values, 75) - percentile(values, 25)) / 2:.2g})"


def _core(what: str, anchor: str, percent: float, budget: float) -> Row:
    return Row(what, anchor, f"{percent:.2f} %", percent, budget)
