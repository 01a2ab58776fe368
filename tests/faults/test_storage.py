"""Disks that are full or read-only: what was there stays whole, it is said, and it goes on once it can."""

from __future__ import annotations

import json
from pathlib import Path

from coordinator.identity import alive
from tests.support.cli import (
    CONFIG,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
    workers,
)
from tests.support.disks import full, small_disk
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

#: Of a disk that is small from the start nothing is to be said.
SMALL = CONFIG + '[coordinator]\nmin_free_disk = "0 MB"\nmax_prds = 5\n'


def said(repo: Path) -> str:
    return (repo.parent / "repo.stderr").read_text()


def test_a_full_disk_is_told_and_all_goes_on_once_there_is_room(tmp_path: Path) -> None:
    script = f"#!/bin/sh\nwhile [ ! -e {tmp_path}/seven ]; do sleep 0.02; done\nexit 7\n"
    loop = '#!/bin/sh\n[ "$PRD_ID" = seven ] && exec ./seven.sh\nexec ./loop.py "$1"\n'
    config = SMALL.replace("./loop.py", "./both.sh")
    with small_disk(tmp_path / "disk", 24) as disk:
        repo = make_project(disk, config=config, files={"seven.sh": script, "both.sh": loop})
        names = ("verified", "seven", "stopped", "late")
        for name in names[1:3]:
            drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name)))
        drop_prd(repo, "verified", prd_json(verify=[f"while [ ! -e {tmp_path}/gate ]; do sleep 0.02; done"]))
        with running(repo, "--watch") as process:
            for name in names[1:3]:
                wait_for_status(repo, name, "running")
            wait_for_status(repo, "verified", "verifying")
            before = registry(repo)
            started = workers(repo)
            drop_prd(repo, "late")
            with full(disk):
                (tmp_path / "gate").touch()
                (tmp_path / "seven").touch()
                wait_until(lambda: not alive(started["seven"]), 30, "the worker ends")
                wait_until(lambda: "cannot be written" in said(repo), 30, "the fault is told")
                stop = prd_tui(repo, "stop", "stopped")  # has no room for its wish either
                assert "Traceback" not in stop.stderr
                assert registry(repo).keys() == before.keys(), "the old one is whole"
                assert alive(started["stopped"]) or stop.returncode == 0
                assert process.poll() is None
            wait_until(lambda: {"verified", "late"} <= completed(repo).keys(), 60, "it goes on by itself")
            wait_until(lambda: "seven" in failed(repo), 60, "the exit was kept")
            assert failed(repo)["seven"]["exit_code"] == 7
            assert prd_tui(repo, "stop", "--all").returncode == 0
            assert failed(repo)["stopped"]["status"] == "stopped"
            process.terminate()
            assert process.wait(60) == 143
        check_invariant(repo, names)
        assert all(runs_started(repo, name) == 1 for name in names)
        metrics = [
            json.loads(line)
            for line in (repo / ".claude-loop/coordinator/metrics.jsonl").read_text().splitlines()
        ]
        for name, event in (("seven", "prd_failed"), ("late", "prd_started"), ("verified", "prd_completed")):
            assert [one["event"] for one in metrics if one["prd_id"] == name].count(event) == 1
