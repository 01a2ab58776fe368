"""Leaving the dashboard in every way there is: the terminal is as it was, and the workers go on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coordinator import processes
from coordinator.api import read_owner_pid
from coordinator.git import discover
from coordinator.identity import Identity, alive
from tests.support.cli import (
    LAUNCHER,
    ROOT,
    active,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    workers,
)
from tests.support.frames import choose, frame, prd_row
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.terminal import PATIENCE, Terminal
from tests.support.waiting import wait_until

NAMES = ("login", "search")

#: A dashboard with a pane that cannot draw itself once a file is there. What it stumbles over is hostile.
BROKEN = """
import pathlib, sys
sys.path.insert(0, {root!r})
from app.widgets.prd_list import PrdList
from prd_tui import main

draw = PrdList.render_line

def broken(self, y):
    if pathlib.Path({trigger!r}).exists():
        raise ValueError("[/x] \\x1b]52;c;b3duZWQ=\\x07 \\x1b[2J \\x9b2J \\u202e stumbled over")
    return draw(self, y)

PrdList.render_line = broken
sys.exit(main())
"""


def project(tmp_path: Path, *names: str, config: str | None = None) -> Path:
    """PRDs whose workers wait for the file `go`."""
    repo = make_project(tmp_path) if config is None else make_project(tmp_path, config=config)
    for name in names:
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / "go"), title=f"The {name}"))
    return repo


@contextmanager
def at_work(tmp_path: Path, argv: Sequence[str] = LAUNCHER) -> Iterator[tuple[Terminal, Path]]:
    """A dashboard whose workers run."""
    repo = project(tmp_path, *NAMES)
    with Terminal(repo, argv, repo=repo) as terminal:
        terminal.wait_for("2 PRDs are ready")
        terminal.press("P")
        terminal.wait_for(lambda: all("US-001" in prd_row(terminal, name) for name in NAMES))
        assert terminal.modes, "the screen is open"
        yield terminal, repo


def check_they_go_on(repo: Path, before: dict[str, Identity]) -> None:
    """Nobody owns the repository, the same workers live, and the next run finishes what they do."""
    assert set(before) == set(NAMES)
    assert all(alive(worker) for worker in before.values())
    assert read_owner_pid(discover(repo)) is None
    with running(repo) as process:
        wait_until(lambda: registry(repo)["coordinator_pid"] == process.pid, PATIENCE, "an owner")
        wait_until(lambda: set(workers(repo)) == set(NAMES), PATIENCE, "both are adopted")
        assert workers(repo) == before
        (repo.parent / "go").touch()
        assert process.wait(PATIENCE) == 0
    assert set(completed(repo)) == set(NAMES)
    assert [runs_started(repo, name) for name in NAMES] == [1, 1]
    check_invariant(repo, NAMES)


def check_farewell(text: str, repo: Path) -> None:
    assert "2 workers go on without a screen: login, search." in text
    assert f"-C {repo}" in text
    assert "stop --all" in text
    assert "Traceback" not in text


def test_cancel_stays_and_leaving_leaves_them_running(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        before = workers(repo)
        for keys in (("escape",), ("left", "enter")):  # from the first answer leftwards to the last
            terminal.press("q")
            terminal.wait_for(lambda: "2 runs are under way." in "".join(frame(terminal, "Leave").lines))
            terminal.press(*keys)
            terminal.wait_for(lambda: "under way" not in terminal.text())
        choose(terminal, "login")
        choose(terminal, "search")
        terminal.press("q")
        terminal.wait_for("2 runs are under way.")
        terminal.press("enter")
        assert terminal.wait_exit() == 0
        terminal.check_restored()
        check_farewell(terminal.afterwards, repo)
        check_they_go_on(repo, before)


def test_the_signal_to_end_leaves_the_workers_running(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        before = workers(repo)
        terminal.signal(signal.SIGTERM)
        assert terminal.wait_exit() == 143
        terminal.check_restored()
        check_farewell(terminal.afterwards, repo)
        check_they_go_on(repo, before)


def test_hang_ups_in_a_row_as_a_closing_shell_sends_them(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        before = workers(repo)
        terminal.signal(signal.SIGHUP)
        terminal.wait_for(lambda: b"\x1b[?1049l" in terminal.raw)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            terminal.signal(number)
        assert terminal.wait_exit() == 129
        terminal.check_restored()
        check_farewell(terminal.afterwards, repo)
        check_they_go_on(repo, before)


def test_the_terminal_is_closed(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        before = workers(repo)
        terminal.close_master()
        assert terminal.wait_exit() == 129
        check_they_go_on(repo, before)


def test_a_pane_that_stumbles_ends_the_screen_and_nothing_else(tmp_path: Path) -> None:
    script, trigger = tmp_path / "broken.py", tmp_path / "trigger"
    script.write_text(BROKEN.format(root=str(ROOT), trigger=str(trigger)))
    with at_work(tmp_path, [sys.executable, str(script)]) as (terminal, repo):
        before = workers(repo)
        shown = len(terminal.raw)
        trigger.touch()
        terminal.press("j")
        assert terminal.wait_exit() == 1
        terminal.check_restored()
        assert "ValueError: [/x]" in terminal.afterwards
        assert "2 workers go on without a screen: login, search." in terminal.afterwards
        raw = terminal.raw[shown:].decode()
        for foreign in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
            assert foreign not in raw
        assert len(raw) < 20_000, "what went wrong, and not every variable"
        check_they_go_on(repo, before)


def test_drain_ends_when_the_running_ones_have(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        terminal.press("q")
        terminal.wait_for("2 runs are under way.")
        terminal.press("right", "enter")
        terminal.wait_for("DRAINING")
        drop_prd(repo, "later")
        terminal.wait_for(lambda: prd_row(terminal, "later"))
        assert terminal.process.poll() is None
        (tmp_path / "go").touch()
        assert terminal.wait_exit() == 0
        terminal.check_restored()
        assert terminal.afterwards == ""
        assert set(completed(repo)) == set(NAMES)
        assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["later"]
        assert runs_started(repo, "later") == 0
        assert alive_in(repo) == []


def test_stop_all_ends_with_nothing_alive(tmp_path: Path) -> None:
    with at_work(tmp_path) as (terminal, repo):
        run_dirs = [Path(entry["run_dir"]) for entry in active(repo).values()]
        terminal.press("q")
        terminal.wait_for("2 runs are under way.")
        terminal.press("right", "right", "enter")
        assert terminal.wait_exit() == 0
        terminal.check_restored()
        assert not any(processes.members(run_dir) for run_dir in run_dirs)
        assert alive_in(repo) == []
        assert not active(repo)
        assert not failed(repo)
        (tmp_path / "go").touch()
        assert prd_tui(repo, "run").returncode == 0, "the next start goes on"
        assert set(completed(repo)) == set(NAMES)


def alive_in(repo: Path) -> list[str]:
    """Processes that work in one of its worktrees."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(repo / ".claude-loop" / "worktrees"):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
