"""`prd-tui pause` and `prd-tui resume`, with an owner, without one, and over its death."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.cli import (
    active,
    completed,
    failed,
    make_project,
    pauses,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until


def project(tmp_path: Path, *names: str) -> Path:
    """PRDs whose workers wait for the file `go`, each with a child in a session of its own."""
    repo = make_project(tmp_path)
    for name in names:
        text = prd_json(gate_file=str(tmp_path / "go"), ticks=str(tmp_path / f"{name}.ticks"))
        drop_prd(repo, name, text)
    return repo


def until_it_ticks(repo: Path, prd_id: str) -> None:
    """Until the child has made its file longer: it runs, and by then the whole tree is there."""
    ticks = repo.parent / f"{prd_id}.ticks"
    before = ticks.stat().st_size if ticks.exists() else 0
    wait_until(lambda: ticks.exists() and ticks.stat().st_size > before, 30, f"{prd_id} ticks")


def test_pause_and_resume_while_it_runs(tmp_path: Path) -> None:
    repo = project(tmp_path, "a", "b")
    with running(repo) as process:
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
            until_it_ticks(repo, name)
        done = prd_tui(repo, "pause", "a")
        assert (done.returncode, done.stdout) == (0, "paused: a\n"), done.stderr
        assert active(repo)["a"]["status"] == "paused"
        assert pauses(repo, "a")
        until_it_ticks(repo, "b")
        assert "paused by you" in prd_tui(repo, "status").stdout
        (tmp_path / "go").touch()
        wait_until(lambda: "b" in completed(repo), 30)
        assert process.poll() is None, "a paused run is work that is left"
        assert prd_tui(repo, "resume", "--all").stdout == "goes on: a\n"
        assert process.wait(30) == 0
    assert set(completed(repo)) == {"a", "b"}
    lines = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text().splitlines()
    events = [event["event"] for event in map(json.loads, lines) if event.get("prd_id") == "a"]
    assert [name for name in events if "pau" in name or "resum" in name] == [
        "prd_pausing",
        "prd_paused",
        "prd_resumed",
    ]


def test_a_paused_run_survives_its_coordinator(tmp_path: Path) -> None:
    repo = project(tmp_path, "p")
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        until_it_ticks(repo, "p")
        assert prd_tui(repo, "pause", "p").returncode == 0
        process.kill()
        process.wait()
        assert pauses(repo, "p")
        (tmp_path / "go").touch()
        with running(repo) as again:
            wait_until(lambda: registry(repo)["coordinator_pid"] == again.pid, 30)
            assert prd_tui(repo, "pause", "p").stderr == "prd-tui: Refused: p does not run: it is paused.\n"
            assert active(repo)["p"]["status"] == "paused"
            assert pauses(repo, "p")
            assert prd_tui(repo, "resume", "p").stdout == "goes on: p\n"
            assert again.wait(30) == 0
    assert set(completed(repo)) == {"p"}
    assert runs_started(repo, "p") == 1
    check_invariant(repo, ["p"])


def test_without_an_owner_the_workers_that_go_on_are_paused_and_continued(tmp_path: Path) -> None:
    repo = project(tmp_path, "a", "b")
    drop_prd(repo, "waits", prd_json(dependsOn=["a"]))
    with running(repo) as process:
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
            until_it_ticks(repo, name)
        process.kill()
        process.wait()
        assert prd_tui(repo, "pause", "a").stdout == "paused: a\n"
        assert pauses(repo, "a")
        assert active(repo)["a"]["status"] == "paused"
        assert prd_tui(repo, "pause", "--all").stdout == "paused: b\n"
        assert pauses(repo, "b")
        assert "it is paused" in prd_tui(repo, "pause", "a").stderr
        assert prd_tui(repo, "resume", "b").stdout == "goes on: b\n"
        until_it_ticks(repo, "b")
        for refused, says in (
            (("resume", "b"), "b is not paused: it is running"),
            (("pause", "waits"), "queued"),
        ):
            done = prd_tui(repo, *refused)
            assert done.returncode == 2
            assert says in done.stderr
        assert prd_tui(repo, "stop", "a").stdout == "stopped\n"
        assert failed(repo)["a"]["status"] == "stopped"
        (tmp_path / "go").touch()
        wait_until((Path(active(repo)["b"]["run_dir"]) / "swept.json").exists, 30)
        done = prd_tui(repo, "pause", "b")
        assert "b is not paused" in done.stderr
        assert "its worker has ended" in done.stderr
        assert prd_tui(repo, "run").returncode == 1, "a was stopped"
        assert set(completed(repo)) == {"b"}
