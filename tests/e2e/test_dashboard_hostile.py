"""Text from outside on a real terminal: whatever it holds, nothing but the dashboard's own writing gets there."""

from __future__ import annotations

import json
import re
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cli import ROOT, make_project
from tests.support.frames import choose, fills, focused, frame, prd_row
from tests.support.repos import drop_prd, prd_json
from tests.support.terminal import Terminal, dashboard
from tests.unit.test_text import ATTACKS, SAMPLE, is_harmless

#: All that the dashboard itself says to a terminal: colours, moves, modes and questions about modes, the shape of
#: the pointer, the bell.
OWN = re.compile(
    r"\x1b\]22;[a-z-]*\x07|\x1b\[[0-9;]*m|\x1b\[\d+;\d+H|\x1b\[\?\d+(?:[hl]|\$p)|\x1b\[[<>]\d*u|\r\n|\x07"
)

UNFINISHED = re.compile(rb"\x1b\][a-z0-9;-]*\Z|\x1b(?:\[[0-9;?<>]*\$?)?\Z|\r\Z")

ENCODED = [attack.encode(errors="surrogatepass") for attack in ATTACKS]
LINE = st.one_of(
    st.text(st.characters(codec="utf-8")).map(str.encode),
    st.text(st.sampled_from(SAMPLE)).map(str.encode),
    st.sampled_from(ENCODED),
    st.binary(max_size=80),
)


def foreign(raw: bytes) -> str:
    """What was written that is not the dashboard's, with what stands around it; "" if there is nothing.

    The last sequence and the last character may still be on their way.
    """
    text = getincrementaldecoder("utf-8")().decode(UNFINISHED.sub(b"", raw))
    if is_harmless(OWN.sub("", text)):
        return ""
    place = 0
    while (own := OWN.match(text, place)) or is_harmless(text[place]):
        place = own.end() if own else place + 1
    return ascii(text[max(0, place - 80) : place + 80])


#: A thread writes as the driver does, and is interrupted all the time.
INTERRUPTED = """
import asyncio, signal, sys, threading
sys.path.insert(0, {root!r})
from textual.app import App
from app.driver import Driver

signal.signal(signal.SIGWINCH, lambda *_: None)

async def opened():
    return Driver(App())._file

file = asyncio.run(opened())

def write():
    for _ in range(20):
        file.write("x" * 100_000)
    file.flush()

writer = threading.Thread(target=write)
writer.start()
while writer.is_alive():
    signal.pthread_kill(writer.ident, signal.SIGWINCH)
"""


def test_nothing_is_lost_however_python_was_told_to_write(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED.format(root=str(ROOT)))
    with Terminal(tmp_path, [sys.executable, "-u", str(script)]) as terminal:
        assert terminal.wait_exit() == 0, terminal.written
        assert terminal.raw.count(b"x") == 2_000_000


def project(tmp_path: Path) -> Path:
    """PRDs with a hostile word in every place that holds words, and one whose log is still to be written."""
    repo = make_project(tmp_path)
    go = str(tmp_path / "go")
    short = [attack[:300] for attack in ATTACKS if attack.isprintable() or "\ud800" not in attack]
    stories = [
        {"id": f"US-{number:03}", "title": title, "description": title, "passes": False}
        for number, title in enumerate(short, 1)
    ]
    drop_prd(
        repo,
        "titles",
        json.dumps({"project": "x", "title": short[1], "userStories": stories, "gate_file": go}),
    )
    for number, attack in enumerate(short):
        broken = {"userStories": [{"id": attack, "title": 1, attack: attack, "dependsOn": attack}]}
        drop_prd(repo, f"broken-{number}", json.dumps(broken))
    for attack in (
        "\x1b]52;c;b3duZWQ=\x07",
        "\x1b[2J",
        "\x9b2J",
        "\u202egpj",
        "[bold]x[",
        "e\u0301\u0301日👨‍👩‍👧",
    ):
        drop_prd(repo, attack)
    drop_prd(repo, "waits", prd_json(dependsOn=["\x1b[2J", "[/x]"]))
    drop_prd(repo, "log", prd_json(1, gate_file=go, priority=-1))
    return repo


def test_hostile_text(tmp_path: Path) -> None:
    repo = project(tmp_path)
    with dashboard(repo) as terminal:
        terminal.wait_for("are ready")
        terminal.press("P")
        terminal.wait_for(lambda: all("US-001" in prd_row(terminal, name) for name in ("log", "titles")))
        everywhere(terminal)
        lines_of_a_log(terminal, repo)
        searched_for(terminal)
        terminal.press("q")
        terminal.wait_for("under way")
        terminal.press("right", "right", "enter")
        assert terminal.wait_exit() == 0
        terminal.check_restored()
        assert foreign(terminal.raw) == ""


def everywhere(terminal: Terminal) -> None:
    """Every row with its detail, each pane in its place; and every size."""
    terminal.press("g")
    place, total = 1, 0
    while place != total:
        terminal.wait_for(is_at(terminal, place))
        total = int(frame(terminal, "PRDs").foot.partition("/")[2])
        terminal.press("j")
        place += 1
    assert total > len(ATTACKS)
    for columns, rows in ((80, 24), (200, 60), (120, 35)):
        terminal.resize(columns, rows)
        terminal.wait_for(lambda: fills(terminal))
        terminal.press("g", "G", "l")
        terminal.wait_for(lambda: "Log" in focused(terminal))
        terminal.press("escape")
        terminal.wait_for(lambda: focused(terminal).startswith("PRDs"))
    assert foreign(terminal.raw) == ""


def is_at(terminal: Terminal, place: int) -> Callable[[], bool]:
    """Whether the cursor is on that row, and everything is drawn straight."""
    return lambda: fills(terminal) and frame(terminal, "PRDs").foot.startswith(f"{place}/")


def lines_of_a_log(terminal: Terminal, repo: Path) -> None:
    """Made up ones, in one screen that goes on."""
    log = repo / ".claude-loop" / "coordinator" / "logs" / "log_worker.log"
    terminal.press("g")
    choose(terminal, "log")
    terminal.press("l")
    terminal.wait_for(lambda: focused(terminal).startswith("log"))
    numbers = count(1)

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(LINE, max_size=8), st.booleans())
    def nothing_foreign_and_straight(lines: list[bytes], wrap: bool) -> None:
        before = terminal.raw.rfind(b"\x1b")  # rather than in the middle of something
        mark = f"mark {next(numbers)}"
        if wrap:
            terminal.press("w")
        with log.open("ab", buffering=0) as file:
            file.write(b"\n".join([*lines, b"", mark.encode(), b""]))
        terminal.wait_for(lambda: fills(terminal) and mark in map(str.strip, frame(terminal, "log").lines))
        assert foreign(terminal.raw[before:]) == ""

    nothing_foreign_and_straight()


def searched_for(terminal: Terminal) -> None:
    """What a person types and pastes is foreign, too."""
    for keys, shown in (
        ("[/x]", "[/x]"),
        ("\x1b[200~[/b] \x9b2J\u202e\u0301 日\x07\x1b[201~", "[/b] "),
        ("\x1b[200~\n\x1b[201~", "search in the log"),
    ):
        terminal.press("/")
        terminal.wait_for("search in the log")
        terminal.write(keys)
        terminal.wait_for(bottom(terminal, shown, there=True))
        terminal.press("enter")
        terminal.wait_for(bottom(terminal, shown, there=False))


def bottom(terminal: Terminal, text: str, *, there: bool) -> Callable[[], bool]:
    """Whether the line above the keys has a text, or has it no more and the panes are back."""
    return lambda: (
        text in terminal.screen()[-2] if there else text not in terminal.screen()[-2] and fills(terminal)
    )
