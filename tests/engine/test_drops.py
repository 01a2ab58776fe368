"""Giving PRDs up, where something is in the way."""

from __future__ import annotations

import signal
from pathlib import Path

from coordinator.commands import DropPrds, Rejected
from coordinator.git import discover
from coordinator.model import PrdState
from coordinator.processes import members
from coordinator.unattended import execute
from tests.support.cli import completed, make_project, prd_tui
from tests.support.engines import engine_on, row, wait_for_state
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until


def test_a_wish_that_cannot_be_written_down_leaves_no_worker_behind(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="hang"))
    home = repo / ".git" / "prd-tui"
    with engine_on(repo) as engine:
        wait_for_state(engine, "p", PrdState.RUNNING)
        (home / "drops").write_text("")  # no folder can be made there, by root neither
        engine.submit(DropPrds(("p",)))
        wait_until(lambda: row(engine, "p").reason.startswith("not dropped: "), 30)
        assert row(engine, "p").state is PrdState.STOPPED
        (run_dir,) = (home / "runs" / "p").iterdir()
        assert members(run_dir) == set(), "it is stopped all the same"
    (home / "drops").unlink()


def test_work_that_is_verified_is_filed_before_it_goes(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(stories=1))
    cut_off = prd_tui(repo, "run", env={"PRD_TUI_FAULT": "verdict-written"})
    assert cut_off.returncode == -signal.SIGKILL
    answer = execute(discover(repo), DropPrds(("p",)), grace=1.0)
    assert isinstance(answer, Rejected)
    assert "not filed yet" in answer.reason
    assert prd_tui(repo, "run").returncode == 0
    assert set(completed(repo)) == {"p"}
