"""Coming back after every kind of end: what is asked, what goes on by itself, what waits for a person."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from coordinator.identity import alive
from tests.support.cli import (
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
from tests.support.frames import prd_row
from tests.support.invariant import check_invariant, exits, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.terminal import Terminal, dashboard
from tests.support.waiting import wait_until

ONE = ("--max-prds", "1")
QUESTION = "Resume previous session?"


def queued(repo: Path) -> list[str]:
    return [entry["prd_id"] for entry in registry(repo)["queued_prds"]]


def waiting(repo: Path, tmp_path: Path, *names: str) -> None:
    for priority, name in enumerate(names):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / name), priority=priority))


def test_the_question_after_a_crash_and_after_leaving(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    waiting(repo, tmp_path, "login", "search", "mail")
    with dashboard(repo, *ONE) as first:  # whatever is left ends with it
        first.wait_for("3 PRDs are ready")
        first.press("P")
        wait_for_status(repo, "login", "running")
        before = workers(repo)
        first.signal(signal.SIGKILL)
        first.wait_exit()

        with Terminal(repo, [*LAUNCHER, *ONE]) as second:
            second.wait_for(QUESTION)
            second.wait_for("Starts in its turn: search, mail.")
            second.wait_for("Runs on in any case: login.")
            (tmp_path / "login").touch()
            wait_until(lambda: "login" in completed(repo), 30, "what lives is finished meanwhile")
            assert runs_started(repo, "search") == 0
            second.press("n")
            second.wait_for("Held by you")
            wait_until(lambda: registry(repo)["holds"].keys() == {"person"}, 10)
            second.press("q")
            assert second.wait_exit() == 0
        assert not any(alive(worker) for worker in before.values())

        with Terminal(repo, [*LAUNCHER, *ONE]) as third:
            third.wait_for("Held by you")
            assert QUESTION not in third.text()
            third.press("P")
            third.wait_for(lambda: "US-001" in prd_row(third, "search"))
            third.press("q")
            third.wait_for("Leave running")
            third.press("q")
            assert third.wait_exit() == 0

        with Terminal(repo, [*LAUNCHER, *ONE]) as fourth:
            fourth.wait_for("Starts in its turn: mail.")
            (tmp_path / "search").touch()
            wait_until(lambda: "search" in completed(repo), 30)
            assert runs_started(repo, "mail") == 0
            fourth.press("y")
            fourth.wait_for(lambda: "US-001" in prd_row(fourth, "mail"))
            fourth.signal(signal.SIGTERM)
            assert fourth.wait_exit() == 143

        with Terminal(repo, [*LAUNCHER, *ONE]) as fifth:
            fifth.wait_for(lambda: "US-001" in prd_row(fifth, "mail"))
            assert QUESTION not in fifth.text(), "nothing was queued"
            (tmp_path / "mail").touch()
            wait_until(lambda: "mail" in completed(repo), 30)
    check_invariant(repo, ["login", "search", "mail"])
    assert all(runs_started(repo, name) == 1 for name in ("login", "search", "mail"))


def test_a_shutdown_is_resumed_and_what_a_person_ended_is_not(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    waiting(repo, tmp_path, "cut", "killed", "stopped", "later")
    drop_prd(repo, "broken", prd_json(mode="exit7"))
    with running(repo, "--max-prds", "3") as process:
        for name in ("cut", "killed", "stopped"):
            wait_for_status(repo, name, "running")
        assert prd_tui(repo, "stop", "stopped").returncode == 0
        wait_for_status(repo, "later", "running")
        assert prd_tui(repo, "stop", "later").returncode == 0
        wait_until(lambda: "broken" in failed(repo), 30)
        # A logout: the coordinator goes first, then the rest of what ran.
        alone = workers(repo)
        process.kill()
        process.wait()
        for worker in alone.values():
            signal.pidfd_send_signal(pidfd(worker.pid), signal.SIGTERM)
        wait_until(lambda: all(len(exits(repo, name)) == 1 for name in ("cut", "killed")), 30)
        for name in ("cut", "killed", "stopped", "later"):
            (tmp_path / name).touch()

        with Terminal(repo, LAUNCHER) as terminal:
            terminal.wait_for("Goes on where it was: cut, killed.")
            terminal.press("escape")
            terminal.wait_for(lambda: QUESTION not in terminal.text())
            terminal.press("q")
            assert terminal.wait_exit() == 0
        assert sorted(queued(repo)) == ["cut", "killed"]

        named = prd_tui(repo, "run", "stopped", "--timeout", "60s")
        assert named.returncode == 0, named.stderr
        assert set(completed(repo)) == {"stopped"}
        assert sorted(queued(repo)) == ["cut", "killed"], "what is not named stays queued"

        with Terminal(repo, [*LAUNCHER, "--resume"]) as terminal:
            wait_until(lambda: {"cut", "killed"} <= completed(repo).keys(), 60)
            assert QUESTION not in terminal.text()
            terminal.press("q")
            assert terminal.wait_exit() == 0
    assert {name: entry["status"] for name, entry in failed(repo).items()} == {
        "later": "stopped",
        "broken": "failed",
    }
    check_invariant(repo, ["cut", "killed", "stopped", "later", "broken"])
    assert [runs_started(repo, name) for name in ("cut", "stopped", "later", "broken")] == [2, 2, 1, 1]


def pidfd(pid: int) -> int:
    return os.pidfd_open(pid)
