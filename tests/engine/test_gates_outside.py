"""A run whose gate lies outside its worktree, in the engine itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from coordinator import config
from coordinator.engine import Engine
from coordinator.events import Event, GatesInside
from coordinator.git import Git, discover
from coordinator.model import OUTSIDE
from coordinator.verification import Verifier
from tests.support.cli import make_project
from tests.support.engines import engine_on
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until


def test_a_look_tells_only_that_the_gate_is_inside(tmp_path: Path) -> None:
    """The run may be judged anew by the time it is over; told that it waits, it would be judged twice at once."""
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(stories=1, verify=[str(repo / "loop.py")]))
    with engine_on(repo) as engine:
        assert isinstance(engine, Engine)
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (OUTSIDE,), 30)
        run = engine._state.records["p"].run
        assert run is not None
        told: list[Event] = []
        context = replace(engine._crew.context, post=told.append)
        Verifier(context).look_at_gates(run)
        assert told == []
        paths = discover(repo)
        allowed = config.load(paths, Git(paths), {"coordinator.gates_outside": True}).settings
        Verifier(replace(context, settings=lambda: allowed)).look_at_gates(run)
        assert told == [GatesInside("p", run.run_id)]
