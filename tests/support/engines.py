"""The engine itself, in the test's own process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coordinator import processes
from coordinator.api import EngineApi, open_engine
from coordinator.commands import Command, StopMode
from coordinator.git import discover
from coordinator.model import PrdState, PrdView
from tests.support.cli import environment
from tests.support.waiting import wait_until


@contextlib.contextmanager
def engine_on(repo: Path, *, environ: Mapping[str, str] | None = None, **options: Any) -> Iterator[EngineApi]:
    """A started engine; nothing of it and of its runs is left afterwards. `environ`: more variables."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment(environ))
    engine = open_engine(discover(repo), **options)
    try:
        engine.start()
        yield engine
    finally:
        engine.request_stop(StopMode.KILL)
        ended = engine.join(30)
        for run_dir in (repo / ".git" / "prd-tui" / "runs").glob("*/*"):
            processes.terminate(run_dir, None, 0.0, kill_now=True)
        os.environ.clear()
        os.environ.update(before)
    assert ended, "the engine did not end"


def row(engine: EngineApi, prd_id: str) -> PrdView:
    found = engine.snapshot().prd(prd_id)
    assert found is not None, f"{prd_id} is in no row"
    return found


def wait_for_state(engine: EngineApi, prd_id: str, state: PrdState, timeout: float = 30) -> PrdView:
    """Waits until a row shows the state; returns it."""

    def there() -> bool:
        found = engine.snapshot().prd(prd_id)
        return found is not None and found.state is state

    wait_until(there, timeout, f"{prd_id} is {state.value}")
    return row(engine, prd_id)


def said(engine: EngineApi) -> list[str]:
    """Every line of history so far."""
    return [event.text for event in engine.events_after(0, 5000).events]


def give(engine: EngineApi, command: Command) -> None:
    """Hands the command over and waits until nothing is left to do about it."""
    engine.submit(command)
    wait_until(engine.is_idle, 30, "the engine at rest")
