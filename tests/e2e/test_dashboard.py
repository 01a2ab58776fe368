"""The dashboard as a person has it: the real command on a real terminal, keys in, a screen out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.api import read_owner_pid
from coordinator.git import discover
from tests.support.cli import LAUNCHER, completed, make_project, pauses, prd_tui, workers
from tests.support.frames import bar, choose, chosen_row, fills, focused, frame, prd_row
from tests.support.invariant import runs_started
from tests.support.repos import drop_prd, make_repo, prd_json
from tests.support.terminal import Terminal, dashboard
from tests.support.waiting import wait_until
from tests.support.workers import LOOP

#: Goes on until the test makes the file that is its last word, and shows meanwhile that it does.
TICKS = 'while [ ! -e "$1" ]; do echo . >> "$0"; sleep 0.02; done'


def guide(tmp_path: Path) -> str:
    """A PRD for the offline agent: a short story, and one that takes as long as the test wants."""
    wait = ["sh", "-c", TICKS, str(tmp_path / "ticks"), str(tmp_path / "go")]
    first = {"say": [], "write": {"docs/guide.md": "# Guide\n"}}
    second = {"say": ["Now for the pictures."], "write": {"docs/more.md": "# More\n"}, "run": [wait]}
    stories = [
        {"id": f"US-00{number}", "title": title, "passes": False, "offline": offline}
        for number, (title, offline) in enumerate((("Text", first), ("Pictures", second)), 1)
    ]
    return json.dumps({"project": "shop", "priority": -1, "userStories": stories})


def until_it_ticks(tmp_path: Path) -> None:
    """Until the agent's child has gone on."""
    ticks = tmp_path / "ticks"
    before = ticks.stat().st_size if ticks.exists() else 0
    wait_until(lambda: ticks.exists() and ticks.stat().st_size > before, 60, "it goes on")


def stop(terminal: Terminal, prd_id: str) -> None:
    choose(terminal, prd_id)
    terminal.press("s")
    terminal.wait_for(f"Stop {prd_id}?")
    terminal.press("right", "enter")
    terminal.wait_for(lambda: "stopped" in prd_row(terminal, prd_id))
    assert "■" in prd_row(terminal, prd_id)


def test_the_demo_from_the_first_picture_to_the_last(tmp_path: Path) -> None:
    folders = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    for folder in folders.values():
        Path(folder).mkdir()
    with Terminal(tmp_path, [*LAUNCHER, "demo"], env=folders) as terminal:
        terminal.wait_for("slots 3/3")
        (repo,) = (tmp_path / "tmp").glob("prd-tui-demo-*/shop")
        terminal.repo = repo
        dropped_into_the_queue(terminal, repo, tmp_path)
        paused_and_continued(terminal, repo, tmp_path)
        stopped_and_retried(terminal, tmp_path)
        read_in_its_log(terminal)
        before = workers(repo)["guide"]
        terminal.write("qq")  # the second one comes before the question is on the screen
        assert terminal.wait_exit() == 0
        terminal.check_restored()
        told = terminal.afterwards
        assert re.search(r"^\d workers? goe?s? on without a screen: .*\bguide\b", told, re.MULTILINE)
        assert f"-C {repo} stop --all" in told
        assert f"rm -rf {repo.parent}" in told
        assert workers(repo)["guide"] == before
        until_it_ticks(tmp_path)
        with dashboard(repo, env=folders) as again:
            come_back(again, repo, tmp_path)


def dropped_into_the_queue(terminal: Terminal, repo: Path, tmp_path: Path) -> None:
    """Of the highest priority it is next; a slot that becomes free is its own."""
    drop_prd(repo, "guide", guide(tmp_path))
    terminal.wait_for(lambda: "0/2" in prd_row(terminal, "guide"))
    empty = bar(prd_row(terminal, "guide"))
    stop(terminal, "search-index")
    terminal.wait_for(lambda: "▶" in prd_row(terminal, "guide"))
    terminal.wait_for(lambda: "1/2" in prd_row(terminal, "guide"))
    assert bar(prd_row(terminal, "guide")) > empty == 0
    assert fills(terminal)


def paused_and_continued(terminal: Terminal, repo: Path, tmp_path: Path) -> None:
    until_it_ticks(tmp_path)
    choose(terminal, "guide")
    terminal.press("p")
    terminal.wait_for(lambda: "paused by you" in prd_row(terminal, "guide"))
    assert "‖" in prd_row(terminal, "guide")
    assert pauses(repo, "guide")
    ticks = (tmp_path / "ticks").stat().st_size
    others = size_of_logs(repo)
    wait_until(lambda: size_of_logs(repo) > others, 60, "the others go on")
    assert (tmp_path / "ticks").stat().st_size == ticks
    assert pauses(repo, "guide")
    terminal.press("p")
    terminal.wait_for(lambda: "▶" in prd_row(terminal, "guide"))
    until_it_ticks(tmp_path)


def stopped_and_retried(terminal: Terminal, tmp_path: Path) -> None:
    stop(terminal, "guide")
    terminal.press("r")
    terminal.wait_for(lambda: "▶" in prd_row(terminal, "guide"))
    until_it_ticks(tmp_path)
    terminal.wait_for(lambda: "1/2" in prd_row(terminal, "guide"))


def read_in_its_log(terminal: Terminal) -> None:
    choose(terminal, "guide")
    terminal.press("l")
    terminal.wait_for(lambda: any("Now for the pictures." in line for line in frame(terminal, "guide").lines))
    assert "following" in frame(terminal, "guide").title
    terminal.press("escape")  # and wait: what follows it at once would be a key with alt
    terminal.wait_for(focus_is_on(terminal, "PRDs"))


def come_back(terminal: Terminal, repo: Path, tmp_path: Path) -> None:
    """The workers are adopted as they are, and end as if nothing had been."""
    terminal.wait_for("Resume previous session?")
    terminal.press("enter")
    terminal.wait_for(lambda: "▶" in prd_row(terminal, "guide"))
    running = workers(repo)["guide"]
    starts = runs_started(repo, "guide")
    until_it_ticks(tmp_path)
    assert workers(repo)["guide"] == running
    (tmp_path / "go").touch()
    terminal.wait_for(lambda: "✓" in prd_row(terminal, "guide"))
    assert runs_started(repo, "guide") == starts == 2, "one run, stopped, and the one of the retry"
    assert "guide" in completed(repo)
    terminal.press("q")
    terminal.wait_for("under way.")
    terminal.press("right", "right", "enter")
    assert terminal.wait_exit() == 0
    terminal.check_restored()


def size_of_logs(repo: Path) -> int:
    logs = (repo / ".claude-loop" / "coordinator" / "logs").glob("*_worker.log")
    return sum(log.stat().st_size for log in logs)


def test_the_first_time_in_ones_own_repository(tmp_path: Path) -> None:
    """A question, an answer, a key: nothing has happened before it."""
    repo = make_repo(tmp_path / "repo", {"README.md": "# shop\n", "loop.py": LOOP})
    for name in ("login", "search"):
        drop_prd(repo, name)
    drop_prd(repo, "blocked", prd_json(dependsOn=["nobody"]))
    with dashboard(repo, size=(80, 24)) as terminal:
        terminal.wait_for("Who shall work through the PRDs?")
        terminal.wait_for(lambda: "your loop script" in terminal.row_of("./loop.py"))
        terminal.press("enter")
        terminal.wait_for(lambda: "✓" in terminal.row_of("./loop.py"))
        terminal.press("enter")
        terminal.wait_for("2 PRDs are ready")
        assert runs_started(repo, "login") == 0
        assert fills(terminal)
        terminal.press("P")
        terminal.wait_for(lambda: all("✓" in prd_row(terminal, name) for name in ("login", "search")))
        terminal.press("q")
        assert terminal.wait_exit() == 0, "nothing runs: there is nothing to ask"
        terminal.check_restored()
        assert terminal.afterwards == ""
    assert set(completed(repo)) == {"login", "search"}


def test_sizes_overlays_and_a_second_one(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("login", "search"):
        drop_prd(repo, name)
    with dashboard(repo, env={"COLUMNS": "80", "LINES": "24"}) as terminal:
        terminal.wait_for("2 PRDs are ready")
        resized(terminal)
        overlaid(terminal)
        owner = read_owner_pid(discover(repo))
        assert owner == terminal.process.pid
        with Terminal(repo, LAUNCHER) as second:
            assert second.wait_exit() == 3
            assert f"process {owner}" in second.afterwards
            check_one_sentence(second)
        assert read_owner_pid(discover(repo)) == owner
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
        terminal.check_restored()


def resized(terminal: Terminal) -> None:
    for columns, rows in ((80, 24), (40, 10), (200, 60), (200, 10), (59, 40), (80, 24), (120, 35)):
        terminal.resize(columns, rows)
        if columns < 60 or rows < 16:
            terminal.wait_for(
                lambda: [row.strip() for row in terminal.screen() if row] == ["prd-tui needs 60×16  2·"]
            )
        else:
            terminal.wait_for(lambda: fills(terminal) and prd_row(terminal, "search"))


def overlaid(terminal: Terminal) -> None:
    """What lies over the screen comes and goes, and the keys are the screen's again."""
    terminal.write(b"\xff\xc3(")  # no text at all: passed over
    choose(terminal, "search")
    for keys, shown in (
        ("?", "show the chosen PRD alone, then its log"),
        ("\x10", "Search for commands"),
        ("ss", "Stop search?"),
    ):
        terminal.write(keys)
        terminal.wait_for(shown)
        terminal.press("escape")
        terminal.wait_for(is_gone(terminal, shown))
    for pane in ("search", "Log", "Queue", "PRDs"):
        terminal.press("tab")
        terminal.wait_for(focus_is_on(terminal, pane))
    terminal.press("k")
    terminal.wait_for(lambda: "login" in chosen_row(terminal))


def is_gone(terminal: Terminal, text: str) -> Callable[[], bool]:
    return lambda: text not in terminal.text() and fills(terminal)


def focus_is_on(terminal: Terminal, pane: str) -> Callable[[], bool]:
    return lambda: focused(terminal).startswith(pane)


def check_one_sentence(terminal: Terminal) -> None:
    assert terminal.raw.startswith(b"prd-tui: ")
    assert terminal.raw.count(b"\n") == 1
    assert b"\x1b" not in terminal.raw
    assert terminal.attributes == terminal.attributes_before


@pytest.mark.parametrize("redirection", ["</dev/null", "| cat", "2>{there}"])
def test_without_a_terminal_it_says_so(tmp_path: Path, redirection: str) -> None:
    repo = make_project(tmp_path)
    there = tmp_path / "stderr"
    line = f'set -o pipefail; "$@" {redirection.format(there=there)}'
    with Terminal(repo, ["/bin/bash", "-c", line, "bash", *LAUNCHER]) as terminal:
        assert terminal.wait_exit() == 2
        if there.exists():
            assert terminal.raw == b""
            assert there.read_text().startswith("prd-tui: The dashboard needs a terminal")
        else:
            assert b"The dashboard needs a terminal" in terminal.raw
            check_one_sentence(terminal)
    refused = prd_tui(repo)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
