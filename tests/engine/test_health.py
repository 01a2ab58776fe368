"""Whether a run hangs is told by what it does, not by how long it says nothing."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path

from coordinator.clock import SystemClock
from coordinator.commands import PausePrds, ResumePrds
from coordinator.engine_log import EngineLog
from coordinator.health import HealthWatch
from coordinator.model import PrdState
from coordinator.state import Record
from tests.support.cli import CONFIG, make_project, registry
from tests.support.engines import engine_on, give, row, said, wait_for_state
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

#: Names a way to be alive, then waits; told `go`, it is over.
SCRIPT = """#!/usr/bin/env python3
import json, os, pathlib, subprocess, sys, time
path = pathlib.Path(sys.argv[1]); mode = json.loads(path.read_text())["mode"]; here = pathlib.Path(os.environ["FLAGS"])
begun = time.monotonic()
while not (here / "go").exists():
    if mode == "prints": print("still here", flush=True)
    if mode == "computes":
        while time.monotonic() - begun < 0.1: pass
    if mode == "saves": os.utime(path)
    if mode == "commits": subprocess.run(["git", "-c", "user.name=W", "-c", "user.email=w@x", "commit", "-q",
                                          "--allow-empty", "-m", "x"])
    if mode == "tools": subprocess.run(["sh", "-c", "i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done"])
    time.sleep(0.05); begun = time.monotonic()
"""
ALIVE = ("prints", "computes", "saves", "commits", "tools")


def project(tmp_path: Path) -> Path:
    """Its limit is far above the pace of the script and far below that of a person."""
    config = (
        '[worker]\ncommand = ["./script.py", "{prd_json}"]\n'
        f"[worktree]\nenv = {{FLAGS = {json.dumps(str(tmp_path))}}}\n"
        "[coordinator]\nhang_after = 2\nmax_prds = 6\n"
    )
    return make_project(tmp_path, config=config, files={"script.py": SCRIPT})


def test_a_run_that_does_nothing_is_marked_and_one_that_does_anything_is_not(tmp_path: Path) -> None:
    repo = project(tmp_path)
    for mode in (*ALIVE, "nothing"):
        drop_prd(repo, mode, prd_json(mode=mode))
    with engine_on(repo) as engine:
        for mode in (*ALIVE, "nothing"):
            wait_for_state(engine, mode, PrdState.RUNNING)
        wait_until(lambda: "hung" in row(engine, "nothing").marks, 60, "the silent one is marked")
        assert [mode for mode in ALIVE if "hung" in row(engine, mode).marks] == []
        assert row(engine, "nothing").reason == "no progress for 2s"
        assert "hung: no progress for 2s" in said(engine)
        wait_until(lambda: registry(repo)["active_prds"]["nothing"].get("hung") is True)
        Path(row(engine, "nothing").worktree, "prds", "active", "nothing", "prd.json").touch()
        wait_until(
            lambda: "hung" not in row(engine, "nothing").marks, 30, "a sign of life takes the mark off"
        )
        assert row(engine, "nothing").reason == ""


def test_no_time_of_a_pause_counts(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nhang_after = 3\nmax_prds = 2\n")
    for name in ("paused", "other"):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / "never")))
    with engine_on(repo) as engine:
        wait_for_state(engine, "paused", PrdState.RUNNING)
        give(engine, PausePrds(("paused",)))
        # The other one, not paused, is the clock: more than the limit has passed when it was marked.
        wait_until(lambda: "hung" in row(engine, "other").marks, 30)
        assert "hung" not in row(engine, "paused").marks
        Path(row(engine, "other").worktree, "prds", "active", "other", "prd.json").touch()
        wait_until(lambda: "hung" not in row(engine, "other").marks, 30)
        give(engine, ResumePrds(("paused",)))
        assert "hung" not in row(engine, "paused").marks
        wait_until(lambda: "hung" in row(engine, "paused").marks, 30, "from now on it counts")
        give(engine, PausePrds(("paused",)))
        assert "hung" not in row(engine, "paused").marks, "a paused one does not hang"
        assert [text for text in said(engine) if "not hung any more" in text], said(engine)


def test_a_look_that_fails_is_not_the_last_one(tmp_path: Path) -> None:
    looks = 0

    def records() -> Mapping[str, Record]:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return {}

    clock = SystemClock()
    watch = HealthWatch(records, lambda _event: None, lambda: 1.0, clock, EngineLog(tmp_path / "log", clock))
    watch.start()
    try:
        wait_until(lambda: looks > 1)
    finally:
        watch.stop()
    assert "Too many open files" in (tmp_path / "log").read_text()
