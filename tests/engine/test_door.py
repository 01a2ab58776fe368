"""The engine's door, as a front end uses it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from coordinator.api import open_engine, read_owner_pid
from coordinator.commands import HoldQueue, PausePrds, ReleaseQueue, ResumePrds
from coordinator.git import discover
from coordinator.log_reading import read_chunk
from coordinator.model import FIRST, PERSON, WORKER, PrdState
from tests.support.cli import make_project, prd_tui, registry, running
from tests.support.engines import engine_on, give, row, wait_for_state
from tests.support.invariant import runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until

# -- the first start -------------------------------------------------------------------------------------


def test_at_the_first_start_nothing_runs_before_a_person_says_so(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    with engine_on(repo, hold_first=True) as engine:
        assert wait_for_state(engine, "p", PrdState.QUEUED).stories
        wait_until(lambda: engine.snapshot().queue.holds)
        queue = engine.snapshot().queue
        assert queue.hold_kinds == (FIRST,)
        assert queue.holds == ("first start in this repository: nothing runs before you say so",)
        give(engine, HoldQueue())
        assert engine.snapshot().queue.hold_kinds == (FIRST, PERSON)
        assert set(registry(repo)["holds"]) == {PERSON}, "only what a person placed survives"
        assert runs_started(repo, "p") == 0
        engine.submit(ReleaseQueue())
        wait_for_state(engine, "p", PrdState.COMPLETED)
        assert engine.snapshot().queue.holds == ()
    drop_prd(repo, "q")
    with engine_on(repo, hold_first=True) as engine:
        wait_for_state(engine, "q", PrdState.COMPLETED)


def test_a_folder_that_is_still_being_copied_waits_too(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    folder = repo / "prds" / "active" / "p"
    folder.mkdir(parents=True)
    (folder / "prd.json").write_text(prd_json())
    with engine_on(repo, hold_first=True) as engine:
        wait_for_state(engine, "p", PrdState.QUEUED)
        assert engine.snapshot().queue.hold_kinds == (FIRST,)


@pytest.mark.parametrize("why", ["nothing there", "nothing usable", "named", "not asked for"])
def test_where_there_is_nothing_to_hold_or_a_person_said_so_work_begins(tmp_path: Path, why: str) -> None:
    repo = make_project(tmp_path)
    if why == "nothing usable":
        drop_prd(repo, "broken", "{")
    elif why != "nothing there":
        drop_prd(repo, "p")
    only = ["p"] if why == "named" else None
    with engine_on(repo, hold_first=why != "not asked for", only=only) as engine:
        if why == "nothing usable":
            wait_for_state(engine, "broken", PrdState.INVALID)
        if why.startswith("nothing"):
            wait_until(engine.is_idle, 30)
            drop_prd(repo, "p")
        wait_for_state(engine, "p", PrdState.COMPLETED)
        assert engine.snapshot().queue.hold_kinds == ()


# -- no worker -------------------------------------------------------------------------------------------


def test_without_a_worker_the_queue_holds_until_one_is_chosen(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config="")
    drop_prd(repo, "p")
    with engine_on(repo) as engine:
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (WORKER,), 30)
        assert "No worker is chosen" in engine.snapshot().queue.holds[0]
        waiting = row(engine, "p")
        assert (waiting.state, waiting.slot, waiting.position) == (PrdState.QUEUED, 0, 1)
        chosen = prd_tui(repo, "config", "set", "worker.command", '["./loop.py", "{prd_json}"]')
        assert chosen.returncode == 0, chosen.stderr
        wait_for_state(engine, "p", PrdState.COMPLETED)
        assert engine.snapshot().queue.hold_kinds == ()


# -- what a screen shows ---------------------------------------------------------------------------------


def test_a_snapshot_names_the_repository_its_branch_and_every_moment(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "go")))
    before = time.time()
    with engine_on(repo) as engine:
        working = wait_for_state(engine, "p", PrdState.RUNNING)
        snapshot = engine.snapshot()
        assert (snapshot.repository, snapshot.branch) == ("repo", "main")
        assert working.queued_at <= working.since <= time.time()
        assert working.since > before
        assert working.slot == 1
        give(engine, PausePrds(("p",)))
        halted = row(engine, "p")
        assert halted.since == halted.paused_at > working.since
        give(engine, ResumePrds(("p",)))
        (tmp_path / "go").touch()
        ready = wait_for_state(engine, "p", PrdState.COMPLETED)
        assert (ready.paused_at, ready.slot) == (0.0, 0)
        assert 0 < ready.paused_seconds < ready.ended_at - ready.started_at


def test_the_branch_follows_the_checkout_unless_it_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.surroundings.LOOK_EVERY", 0.0)
    repo = make_project(tmp_path)
    with engine_on(repo) as engine:
        assert engine.snapshot().branch == "main"
        git(repo, "switch", "-q", "-c", "other")
        wait_until(lambda: engine.snapshot().branch == "other")
        git(repo, "checkout", "-q", "--detach")
        wait_until(lambda: engine.snapshot().branch == "")
    with engine_on(repo, overrides={"coordinator.base_branch": "main"}) as engine:
        assert engine.snapshot().branch == "main"


def test_the_engine_goes_round_and_says_when_it_has_ended(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    with engine_on(repo) as engine:
        then = engine.alive_at()
        assert then <= time.monotonic()
        wait_until(lambda: engine.alive_at() > then)
        assert not engine.join(0)
    assert engine.join(0)


# -- owners and logs -------------------------------------------------------------------------------------


def test_the_owner_is_a_coordinator_that_lives_and_no_command(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    paths = discover(repo)
    assert read_owner_pid(paths) is None
    with engine_on(repo):
        assert read_owner_pid(paths) == os.getpid()
    assert read_owner_pid(paths) is None
    with running(repo, "--watch") as process:
        wait_until(lambda: read_owner_pid(paths) == process.pid, 30)
        process.kill()
        process.wait()
        assert read_owner_pid(paths) is None


def test_a_log_is_read_in_parts_from_both_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"0123456789")
    assert read_chunk(log, 0, 4).data == b"0123"
    assert (read_chunk(log, -3, 100).offset, read_chunk(log, -3, 100).data) == (7, b"789")
    assert read_chunk(log, -30, 2).data == b"01"
    assert (read_chunk(log, 20, 5).data, read_chunk(log, 20, 5).size) == (b"", 10)


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder", "socket", "loop", "name too long", "no name"])
def test_a_log_that_cannot_be_read_is_empty(tmp_path: Path, kind: str) -> None:
    log = tmp_path / ("x" * 300 if kind == "name too long" else "\0" if kind == "no name" else "log")
    if kind == "fifo":
        os.mkfifo(log)
    elif kind == "folder":
        log.mkdir()
    elif kind == "socket":
        os.mknod(log, 0o140600)
    elif kind == "loop":
        log.symlink_to(log)
    chunk = read_chunk(log, -100, 100)
    assert (chunk.offset, chunk.data, chunk.size) == (0, b"", 0)


def test_an_engine_that_never_started_has_a_log_too(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    assert open_engine(discover(repo)).read_log("nobody", 0, 100).data == b""
