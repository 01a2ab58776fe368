"""Registry updates against the least that a durable replace costs on this disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from coordinator.clock import SystemClock
from coordinator.git import discover
from coordinator.registry import Registry
from tests.bench.harness import Row, bench, interleaved, ms, p50, percentile, spread
from tests.bench.registries import filled
from tests.support.cli import ROOT, environment
from tests.support.repos import make_repo

ROUNDS = 300
WRITERS, UPDATES = 4, 200

#: What the budgets in milliseconds were set against: a bare durable replace took 0.6 ms then.
REPLACE = 0.0006

#: Adds 1 to one of the document's counters, argv[3] times.
WRITER = """
import sys
from pathlib import Path
from coordinator.clock import SystemClock
from coordinator.git import discover
from coordinator.registry import Registry
registry = Registry(discover(Path(sys.argv[1])), SystemClock())
def add(document):
    entry = document["active_prds"][sys.argv[2]]
    entry["count"] = entry.get("count", 0) + 1
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    registry.update(add)
"""


@bench
def registry(folder: Path) -> list[Row]:
    repo = make_repo(folder / "repo")
    small = filled(Registry(discover(repo), SystemClock()), active=50, finished=0)
    data = discover(repo).registry.read_bytes()
    old = make_repo(folder / "old")
    large = filled(Registry(discover(old), SystemClock()), active=50, finished=10_000)
    target = folder / "target"
    bare, updates, late = interleaved(
        ROUNDS, lambda: _replace(target, data), lambda: small.update(_change), lambda: large.update(_change)
    )
    anchor = f"bare replace with fsync {spread(bare)}"
    return [
        Row(
            "registry update p50, 50 active",
            anchor,
            spread(updates),
            p50(updates) / p50(bare),
            0.0015 / REPLACE,
        ),
        Row(
            "registry update p99, 50 active",
            f"bare replace p99 {ms(percentile(bare, 99))}",
            ms(percentile(updates, 99)),
            percentile(updates, 99) / max(REPLACE, percentile(bare, 99)),
            0.010 / REPLACE,
        ),
        Row(
            "registry update, 10,000 finished",
            f"none finished {spread(updates)}",
            spread(late),
            p50(late) / p50(updates),
            1.2,
        ),
        *_many_writers(repo, bare),
    ]


def _many_writers(repo: Path, bare: list[float]) -> list[Row]:
    env = environment({"PYTHONPATH": str(ROOT)})
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(repo), f"ACTIVE-{number:02}", str(UPDATES)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline()
    began = time.perf_counter()
    for writer in writers:
        writer.communicate(b"go\n")
    rate = WRITERS * UPDATES / (time.perf_counter() - began)
    entries = Registry(discover(repo), SystemClock()).read()["active_prds"]
    lost = WRITERS * UPDATES - sum(entry.get("count", 0) for entry in entries.values())
    possible = 1 / p50(bare)
    return [
        Row(
            f"{WRITERS} writers, updates per second",
            f"bare replaces by one {possible:.0f}/s",
            f"{rate:.0f}/s",
            rate / possible,
            500 * REPLACE,
            at_least=True,
        ),
        Row(f"{WRITERS} writers, updates lost", f"of {WRITERS * UPDATES}", str(lost), lost, 0),
    ]


def _change(document: dict[str, Any]) -> None:
    entry = document["active_prds"]["ACTIVE-07"]
    entry["tick"] = entry.get("tick", 0) + 1


def _replace(target: Path, data: bytes) -> None:
    part = target.with_name("part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, data)
    os.fsync(file)
    os.close(file)
    part.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
