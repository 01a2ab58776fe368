"""`status` against the bare interpreter: the command a prompt or a status bar calls all the time."""

from __future__ import annotations

import sys
from pathlib import Path

from coordinator.clock import SystemClock
from coordinator.git import discover
from coordinator.registry import Registry
from tests.bench.harness import Row, bench, call, interleaved, versus
from tests.bench.registries import filled
from tests.support.cli import LAUNCHER
from tests.support.repos import make_repo

ROUNDS = 40


@bench
def status(folder: Path) -> list[Row]:
    rows = []
    for finished in (0, 10_000):
        repo = make_repo(folder / f"repo-{finished}")
        filled(Registry(discover(repo), SystemClock()), active=50, finished=finished)
        bare, json, table = interleaved(
            ROUNDS,
            lambda: call(sys.executable, "-c", "pass", cwd=repo),  # noqa: B023 - called right here
            lambda: call(*LAUNCHER, "status", "--json", cwd=repo),  # noqa: B023
            lambda: call(*LAUNCHER, "status", cwd=repo),  # noqa: B023
        )
        rows += [
            versus(f"status --json, 50 active, {finished} finished", "python -c pass", bare, json, 3.0),
            versus(f"status table, 50 active, {finished} finished", "python -c pass", bare, table, 4.4),
        ]
    return rows
