"""Trying the gates on the base, in the engine itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator import protection
from coordinator.commands import StopPrds
from coordinator.git import discover
from coordinator.jobs import JobStatus, inspect
from coordinator.model import BASE, OUTSIDE, PrdState
from coordinator.unattended import execute
from tests.support.cli import CONFIG, make_project
from tests.support.engines import engine_on, said, wait_for_state
from tests.support.processes import Jobs
from tests.support.repos import drop_prd, git
from tests.support.waiting import wait_until


def project(tmp_path: Path, *gates: str, more: str = "", files: dict[str, str] | None = None) -> Path:
    config = f"{CONFIG}[coordinator]\nverify = {json.dumps(gates)}\n{more}"
    repo = make_project(tmp_path, config=config, files=files)
    drop_prd(repo, "p")
    return repo


def test_a_base_that_moves_is_judged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "LOOK_EVERY", 0.5)
    repo = project(tmp_path, "test -f mended", f"echo again >> {tmp_path / 'second'}")
    with engine_on(repo) as engine:
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (BASE,), 30)
        (repo / "other").write_text("")
        git(repo, "add", "other")
        git(repo, "commit", "-qm", "something else")
        wait_until(lambda: said(engine).count("checking the gates on the base: test -f mended") == 2, 30)
        (repo / "mended").write_text("")
        git(repo, "add", "mended")
        git(repo, "commit", "-qm", "mended")
        wait_for_state(engine, "p", PrdState.COMPLETED)
        assert "the gates pass on the base" in said(engine)
    assert (tmp_path / "second").read_text() == "again\n" * 2, "on the base once, and for p"


def test_its_worktree_is_set_up_and_torn_down_like_any_other(tmp_path: Path) -> None:
    note = tmp_path / "note"
    more = (
        f'[worktree]\ncopy = [".env"]\nsetup = ["echo up $PRD_ID $PRD_SLOT >> {note}; cat .env; touch made"]\n'
        f'teardown = ["echo down $PRD_ID >> {note}"]\nenv = {{WHO = "{{prd_id}}"}}\n'
    )
    repo = project(tmp_path, f"test -f made && test -f .env && echo gate $WHO >> {note}", more=more)
    (repo / ".git" / "info" / "exclude").write_text(".env\nmade\n")
    (repo / ".env").write_text("A=1\n")
    with engine_on(repo) as engine:
        wait_for_state(engine, "p", PrdState.COMPLETED)
    assert note.read_text().splitlines()[:4] == ["up ~base 0", "gate ~base", "down ~base", "up p 1"]
    (repo / ".env").write_text("B=2\n")
    drop_prd(repo, "q")
    with engine_on(repo) as engine:
        wait_for_state(engine, "q", PrdState.COMPLETED)
    assert note.read_text().count("gate ~base") == 2, "what is copied in is another than before"


def test_a_set_up_that_fails_on_the_base_says_so(tmp_path: Path) -> None:
    repo = project(tmp_path, "true", more='[worktree]\nsetup = ["echo no network; exit 3"]\n')
    with engine_on(repo) as engine:
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (BASE,), 30)
        [why] = engine.snapshot().queue.holds
        assert why.startswith(
            "set-up command `echo no network; exit 3` failed with exit 3 on the base main: no network"
        )
        assert "mend worktree.setup, see .claude-loop/coordinator/logs/base.log" in why
    assert "no network" in (repo / ".claude-loop" / "coordinator" / "logs" / "base.log").read_text()


def test_a_gate_that_set_up_links_to_the_main_checkout_is_found_out(tmp_path: Path) -> None:
    more = '[worktree]\nsetup = ["ln -s ../../../tools tools"]\n'
    repo = project(tmp_path, "tools/gate", more=more)
    (repo / "tools").mkdir()
    (repo / "tools" / "gate").write_text("#!/bin/sh\n")
    (repo / "tools" / "gate").chmod(0o755)
    with engine_on(repo) as engine:
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (OUTSIDE,), 30)


def test_what_is_in_its_place_is_left_alone(tmp_path: Path) -> None:
    repo = project(tmp_path, "true", more='[worktree]\nteardown = ["rm -rf precious"]\n')
    place = repo / ".claude-loop" / "worktrees" / "~base"
    place.parent.mkdir()
    git(repo, "worktree", "add", "-q", "--detach", str(place))
    (place / "precious").write_text("mine\n")
    with engine_on(repo) as engine:
        wait_until(lambda: engine.snapshot().queue.hold_kinds == (BASE,), 30)
        assert "is in the way: move it elsewhere" in engine.snapshot().queue.holds[0]
    assert (place / "precious").read_text() == "mine\n"
    assert str(place) in git(repo, "worktree", "list", "--porcelain")


def test_stop_all_without_a_coordinator_ends_what_a_dead_one_left_of_a_check(tmp_path: Path) -> None:
    repo = project(tmp_path, "true")
    jobs = Jobs(tmp_path / "jobs")
    job_dir = repo / ".git" / "prd-tui" / "base" / "check" / "gates" / "001"
    try:
        jobs.executor.submit(replace(jobs.spec("gate", "sleep", "600"), job_dir=job_dir))
        assert inspect(job_dir).status is JobStatus.RUNNING
        execute(discover(repo), StopPrds(everything=True), grace=5.0)
        assert inspect(job_dir).status is JobStatus.ENDED
    finally:
        jobs.close()
