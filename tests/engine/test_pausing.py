"""A run is paused and goes on with every process it has, in whatever session."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coordinator import processes
from coordinator.api import EngineApi
from coordinator.commands import Command, PausePrds, ResumePrds, StopMode, StopPrds
from coordinator.identity import alive
from coordinator.model import PrdState, PrdView
from coordinator.proctable import read_process
from tests.support.cli import make_project
from tests.support.engines import engine_on, give, row, said, wait_for_state
from tests.support.processes import stands_still
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

PAUSE, RESUME, STOP = PausePrds(("p",)), ResumePrds(("p",)), StopPrds(("p",))


class Tree:
    """A run of PRD `p` whose worker waits for a file, and which has a child in a session of its own."""

    def __init__(self, engine: EngineApi, folder: Path) -> None:
        self.engine = engine
        self.ticks = folder / "ticks"
        self.go = folder / "go"
        self.row = wait_for_state(engine, "p", PrdState.RUNNING)
        self.run_dir = folder / "repo" / ".git" / "prd-tui" / "runs" / "p" / self.row.run_id
        self.until_it_ticks()

    def until_it_ticks(self) -> None:
        """Until the child has made its file longer."""
        before = self.ticks.stat().st_size if self.ticks.exists() else 0
        wait_until(lambda: self.ticks.exists() and self.ticks.stat().st_size > before, what="a tick")

    def stands_still(self) -> bool:
        return stands_still(self.run_dir)

    def goes_on(self) -> bool:
        found = [read_process(who.pid) for who in processes.members(self.run_dir)]
        return not any(process is not None and processes.held(process) for process in found)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "go"), ticks=str(tmp_path / "ticks")))
    with engine_on(repo) as engine:
        yield Tree(engine, tmp_path)


def paused(tree: Tree) -> PrdView:
    give(tree.engine, PAUSE)
    return row(tree.engine, "p")


def test_a_paused_run_does_nothing_and_goes_on_where_it_was(tree: Tree) -> None:
    now = paused(tree)
    assert (now.state, now.reason, now.slot) == (PrdState.PAUSED, "paused by you", 1)
    assert now.paused_at > now.started_at
    assert tree.stands_still()
    size = tree.ticks.stat().st_size
    tree.go.touch()
    give(tree.engine, PausePrds(("p",)))  # takes a while, and is refused
    assert "command refused: p does not run: it is paused" in said(tree.engine)
    assert not tree.engine.snapshot().exhausted
    assert tree.ticks.stat().st_size == size
    give(tree.engine, RESUME)
    assert row(tree.engine, "p").paused_seconds > 0
    ready = wait_for_state(tree.engine, "p", PrdState.COMPLETED)
    assert ready.paused_seconds < ready.ended_at - ready.started_at
    assert {"paused by you", "goes on"} <= set(said(tree.engine))


@pytest.mark.parametrize("wishes", ["prp", "pr", "prprprp", "prrpr", "pprp"])
def test_of_wishes_given_quickly_the_last_one_holds(tree: Tree, wishes: str) -> None:
    for wish in wishes:
        tree.engine.submit(PAUSE if wish == "p" else RESUME)
    wait_until(tree.engine.is_idle, 30)
    if wishes[-1] == "p":
        assert row(tree.engine, "p").state is PrdState.PAUSED
        assert tree.stands_still()
    else:
        assert row(tree.engine, "p").state is PrdState.RUNNING
        wait_until(tree.goes_on)
        tree.until_it_ticks()
    give(tree.engine, RESUME)
    tree.go.touch()
    wait_for_state(tree.engine, "p", PrdState.COMPLETED)


@pytest.mark.parametrize("before", [[PAUSE], []], ids=["paused", "pausing"])
def test_a_stop_ends_a_paused_run_without_waiting_for_the_grace(tree: Tree, before: list[Command]) -> None:
    members = processes.members(tree.run_dir)
    for command in before:
        give(tree.engine, command)
    for command in (STOP,) if before else (PAUSE, STOP):
        tree.engine.submit(command)
    stopped = wait_for_state(tree.engine, "p", PrdState.STOPPED, timeout=20)  # the grace is 30 s
    assert not any(alive(who) for who in members)
    assert (stopped.paused_at, stopped.slot) == (0.0, 0)


def test_a_worker_killed_while_paused_is_judged_as_usual(tree: Tree) -> None:
    now = paused(tree)
    os.kill(now.pid, signal.SIGKILL)
    ended = wait_for_state(tree.engine, "p", PrdState.FAILED)
    assert "SIGKILL" in ended.reason
    assert not processes.members(tree.run_dir)


def test_a_pause_that_cannot_be_made_whole_is_taken_back(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., bool] = processes.suspend

    def half(*args: object) -> bool:
        whole(*args)
        return False

    monkeypatch.setattr(processes, "suspend", half)
    give(tree.engine, PAUSE)
    now = row(tree.engine, "p")
    assert now.state is PrdState.RUNNING
    assert "could not be paused" in now.reason
    wait_until(tree.goes_on)
    tree.until_it_ticks()


def test_leaving_does_not_lose_a_wish(tree: Tree) -> None:
    tree.engine.submit(PAUSE)
    tree.engine.request_stop(StopMode.DETACH)
    assert tree.engine.join(20)
    assert tree.stands_still()
