"""What a log says, on a real terminal: nothing of it is an instruction."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.growing_log import GrowingLog
from tests.support.watched_terminal import in_terminal
from tests.unit.test_text import ATTACKS

SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x1b\x07]*(?:\x07|\x1b\\)|[ -/]*[0-~])")


def spoken(log: Path) -> tuple[set[str], str]:
    """The kinds of sequences that reach the terminal while a log is read through, and all other characters."""
    with in_terminal(["-m", "tests.support.log_app", "view", str(log)]) as terminal:
        terminal.wait_for(b"the end")
        for number, key in enumerate(b"gw" + b" " * 30 + b"gw" + b" " * 10, 1):
            terminal.press(bytes([key]), b"<answer %d>" % number)
        output = terminal.output.decode("utf-8", "replace")
    kinds = {re.sub(r"\d+", "1", found) for found in SEQUENCE.findall(output) if not found.endswith("m")}
    return kinds, SEQUENCE.sub("", output)


def test_nothing_in_a_log_is_an_instruction_to_the_terminal(tmp_path: Path) -> None:
    hostile, ordinary = GrowingLog(tmp_path / "hostile.log"), GrowingLog(tmp_path / "ordinary.log")
    for attack in ATTACKS:
        hostile.write(attack.encode(errors="surrogatepass").replace(b"\n", b" ") + b"\n\xff\xfe\x9b2J\n")
    ordinary.lines(0, 2000)
    for log in (hostile, ordinary):
        log.write(b"the end\n")
    allowed, _ = spoken(ordinary.path)
    kinds, rest = spoken(hostile.path)
    assert kinds <= allowed
    assert "PWNED" not in rest
    assert "not bold" in rest, "the lines were on the screen"
    assert all(char.isprintable() for char in rest if char not in "\r\n")
