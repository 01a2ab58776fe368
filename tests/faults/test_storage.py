"""Disks that are full or read-only: what was there stays whole, it is said, and it goes on once it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.identity import alive
from tests.support.cli import (
    CONFIG,
    LAUNCHER,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
    workers,
)
from tests.support.disks import full, read_only, small_disk
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.terminal import Terminal, dashboard
from tests.support.waiting import wait_until

#: Of a disk that is small from the start nothing is to be said.
SMALL = CONFIG + '[coordinator]\nmin_free_disk = "0 MB"\nmax_prds = 5\n'


Change = Callable[[str], str]


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
            late = repo / "prds" / "late"
            late.mkdir()
            (late / "prd.json").write_text(prd_json())
            with full(disk):
                late.rename(repo / "prds" / "active" / "late")  # which takes no room
                (tmp_path / "gate").touch()
                (tmp_path / "seven").touch()
                wait_until(lambda: not alive(started["seven"]), 30, "the worker ends")
                wait_until(lambda: "late  queued  /" in said(repo), 30, "the start waits for room")
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


def test_a_registry_that_cannot_be_written_is_shown_and_written_later(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("a", "b"):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name)))
    state = repo / ".claude-loop" / "coordinator"
    with dashboard(repo) as terminal:
        terminal.wait_for("2 PRDs are ready")
        terminal.press("P")
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
        with read_only(state):
            before = (state / "registry.json").read_bytes()
            (tmp_path / "a").touch()
            wait_until((repo / "prds" / "completed" / "a").is_dir, 30, "the work goes on")
            terminal.wait_for("cannot be written (Read-only file system)")
            assert (state / "registry.json").read_bytes() == before
            status = prd_tui(repo, "status")
            assert "running" in status.stdout
            stop = prd_tui(repo, "stop", "b")
            assert stop.returncode == 1
            assert stop.stderr.count("\n") == 1, "one sentence"
        terminal.wait_for(lambda: "cannot be written" not in terminal.text())
        wait_until(lambda: "a" in completed(repo), 30, "it is recorded in the end")
        (tmp_path / "b").touch()
        wait_until(lambda: "b" in completed(repo), 30)
    check_invariant(repo, ["a", "b"])


def test_a_start_where_nothing_can_be_written_says_so_and_changes_nothing(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    assert prd_tui(repo, "run").returncode == 0
    drop_prd(repo, "q")
    for place in (".git/prd-tui", ".claude-loop"):
        with read_only(repo / place):
            done = prd_tui(repo, "run", "--timeout", "20s")
            assert done.returncode == 1
            assert "Read-only file system" in done.stderr, done.stderr
            assert "Traceback" not in done.stderr
            assert prd_tui(repo, "status").returncode == 0
    with read_only(repo / ".claude-loop"), Terminal(repo, LAUNCHER) as terminal:
        assert terminal.wait_exit() == 1
        terminal.check_restored()
        assert "Read-only file system" in terminal.afterwards
        assert "Traceback" not in terminal.afterwards
    assert prd_tui(repo, "run").returncode == 0
    check_invariant(repo, ["p", "q"])


def is_whole(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (OSError, ValueError):
        return False


def newer(text: str) -> str:
    return text.replace('"version": "1.0"', '"version": "2.0"')


@pytest.mark.parametrize(
    ("registry_becomes", "backup_becomes"),
    [
        (lambda text: text[: len(text) // 2], lambda text: text),
        (lambda text: "", lambda text: "{"),
    ],
    ids=["torn", "both torn"],
)
def test_a_damaged_registry_loses_no_prd(
    tmp_path: Path, registry_becomes: Change, backup_becomes: Change
) -> None:
    repo = make_project(tmp_path)
    go = tmp_path / "go"
    drop_prd(repo, "done")
    drop_prd(repo, "broken", prd_json(mode="exit7"))
    drop_prd(repo, "runs", prd_json(gate_file=str(go)))
    drop_prd(repo, "waits", prd_json(dependsOn=["runs"]))
    with running(repo) as process:
        wait_for_status(repo, "runs", "running")
        wait_until(lambda: "done" in completed(repo) and "broken" in failed(repo), 30)
        alone = workers(repo)["runs"]
        process.kill()
        process.wait()
        state = repo / ".claude-loop" / "coordinator"
        for name, change in (("registry.json", registry_becomes), ("registry.json.bak", backup_becomes)):
            (state / name).write_text(change((state / name).read_text()))
        with running(repo) as second:
            wait_until(lambda: is_whole(state / "registry.json"), 30, "there is a registry again")
            wait_until(lambda: workers(repo).get("runs") == alone, 30, "it is adopted")
            go.touch()
            assert second.wait(60) == 1
    assert set(completed(repo)) == {"done", "runs", "waits"}
    assert failed(repo)["broken"]["exit_code"] == 7
    assert all(runs_started(repo, name) == 1 for name in ("done", "broken", "runs", "waits"))
    for left in state.glob("registry.json.corrupt-*"):  # kept for a person
        left.unlink()
    check_invariant(repo, ["done", "broken", "runs", "waits"])


def test_a_newer_registry_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    assert prd_tui(repo, "run", "--hold").returncode == 1
    state = repo / ".claude-loop" / "coordinator"
    (state / "registry.json").write_text(newer((state / "registry.json").read_text()))
    before = {path: path.read_bytes() for path in state.glob("registry*")}
    for words in (("run",), ("status",), ("retry", "p"), ("stop", "--all")):
        done = prd_tui(repo, *words)
        assert done.returncode in (1, 2), words
        assert "update prd-tui" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in state.glob("registry*")} == before
    assert runs_started(repo, "p") == 0


def test_torn_records_of_runs_harm_no_worker_and_lose_no_prd(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    names = ("intent", "start", "journal", "exit", "swept")
    for name in names:
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name)))
    with running(repo, "--max-prds", "5") as process:
        for name in names:
            wait_for_status(repo, name, "running")
        alone = workers(repo)
        dirs = {name: run_dir(repo, name) for name in names}
        process.kill()
        process.wait()
        for name in ("exit", "swept", "journal"):
            (tmp_path / name).touch()
            wait_until((dirs[name] / "swept.json").exists, 30)
        for name, record in (("intent", "intent.json"), ("start", "start.json"), ("exit", "exit.json")):
            text = (dirs[name] / record).read_bytes()
            (dirs[name] / record).write_bytes(text[: len(text) // 2])
        (dirs["swept"] / "swept.json").write_bytes(b"")
        with (dirs["journal"] / "journal.jsonl").open("ab") as file:
            file.write(b'{"at": "2026-01-')
        with running(repo, "--max-prds", "5") as second:
            wait_until(lambda: {"exit", "swept", "journal"} <= completed(repo).keys(), 30)
            assert alive(alone["intent"])
            assert alive(alone["start"])
            for name in ("intent", "start"):
                (tmp_path / name).touch()
            assert second.wait(60) == 0
    assert set(completed(repo)) == set(names)
    assert all(runs_started(repo, name) == 1 for name in names), "all had done their work"
    lines = (dirs["journal"] / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines if line.endswith("}")][-1] == "completed"


def run_dir(repo: Path, name: str) -> Path:
    (found,) = (repo / ".git" / "prd-tui" / "runs" / name).iterdir()
    return found
