"""The offline agent, started as a loop starts it: its instructions, what it refuses, how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coordinator.agents import offline
from tests.support.waiting import wait_until

AGENT = Path(offline.__file__)


class Desk:
    """A folder with a PRD in it, and the agent called for its stories."""

    def __init__(self, root: Path) -> None:
        self.root = root / "worktree"
        self.folder = self.root / "prds" / "active" / "cart"
        self.folder.mkdir(parents=True)
        self.prd_json = self.folder / "prd.json"

    def ask(self, **instructions: Any) -> None:
        """One story US-001 with these instructions."""
        self.ask_for({"id": "US-001", "title": "Totals", "passes": False, "offline": instructions})

    def ask_for(self, *stories: dict[str, Any]) -> None:
        self.prd_json.write_text(json.dumps({"project": "shop", "userStories": list(stories)}))

    def put(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def environment(self, **extra: str) -> dict[str, str]:
        told = {
            "PRD_ID": "cart",
            "PRD_JSON": str(self.prd_json),
            "PRD_STORY": "US-001",
            "PRD_OFFLINE_PACE": "0",
        }
        kept = {"PATH": os.environ["PATH"], "LANG": "C"}
        return {name: value for name, value in (kept | told | extra).items() if value}

    def call(self, prompt: str = "", **extra: str) -> tuple[int, str]:
        """(exit code, log)."""
        done = subprocess.run(
            [sys.executable, "-I", str(AGENT)],
            cwd=self.root,
            env=self.environment(**extra),
            input=prompt.encode(),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == b""
        return done.returncode, done.stdout.decode()

    def files(self) -> set[str]:
        """All but the PRD."""
        paths = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        return paths - {"prds/active/cart/prd.json"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# -- instructions ----------------------------------------------------------------------------------------


def test_it_edits_runs_and_tells(desk: Desk) -> None:
    script = desk.put("run.sh", "#!/bin/sh\n")
    script.chmod(0o755)
    desk.put("cart.py", "total = 0\nname = 'x'\n")
    desk.ask(
        say=["The cart has no total yet.", "Now the tests."],
        write={"tests/test_cart.py": "import unittest\n", "run.sh": "#!/bin/sh\nexit 3\n"},
        append={"cart.py": "end = 1\n", "new.txt": "first\n"},
        replace=[{"path": "cart.py", "old": "total = 0", "new": "total = 1\nrest = 2"}],
        run=[["python3", "-c", "print('ran')"], ["./run.sh"], ["no-such-program"]],
    )
    code, log = desk.call()
    assert code == 0
    assert (desk.root / "cart.py").read_text() == "total = 1\nrest = 2\nname = 'x'\nend = 1\n"
    assert (desk.root / "new.txt").read_text() == "first\n"
    assert script.stat().st_mode & 0o777 == 0o755
    assert log.splitlines() == [
        "● US-001 Totals",
        "  Read prds/active/cart/prd.json",
        "  Write tests/test_cart.py +1 −0",
        "  The cart has no total yet.",
        "  Edit run.sh +1 −0",
        "  Edit cart.py +1 −0",
        "  Write new.txt +1 −0",
        "  Now the tests.",
        "  Edit cart.py +2 −1",
        "  Run python3 -c print('ran')",
        "    ran",
        "    exit 0",
        "  Run ./run.sh",
        "    exit 3",
        "  Run no-such-program",
        "    it cannot be started: [Errno 2] No such file or directory: 'no-such-program'",
        "  US-001 is done: 4 files changed, +6 −1.",
    ]
    assert json.loads(desk.prd_json.read_text())["userStories"][0]["passes"] is False
    assert not list((desk.root / ".claude-loop").glob("*.part"))


def test_a_second_attempt_finds_its_edits_made(desk: Desk) -> None:
    cart = desk.put("cart.py", "a\n")
    desk.ask(
        append={"cart.py": "z\n"},
        replace=[
            {"path": "cart.py", "old": "a\n", "new": "a\nb\n"},
            {"path": "cart.py", "old": "z", "new": ""},
        ],
    )
    assert desk.call()[0] == 0
    assert cart.read_text() == "a\nb\n\n"
    desk.ask(append={"cart.py": "z\n"}, replace=[{"path": "cart.py", "old": "a\n", "new": "a\nb\n"}])
    for _ in range(2):
        assert desk.call()[0] == 0
        assert cart.read_text() == "a\nb\n\nz\n"
    assert "Edit cart.py is done already" in desk.call(PRD_ATTEMPT="3")[1]
    assert "● US-001 Totals, attempt 3" in desk.call(PRD_ATTEMPT="3")[1]


def test_what_is_to_be_replaced_must_be_there(desk: Desk) -> None:
    desk.put("cart.py", "a\n")
    for path in ("cart.py", "nowhere.py"):
        desk.ask(replace=[{"path": path, "old": "b", "new": "c"}])
        code, log = desk.call()
        assert code == 1
        assert log.splitlines()[-1] == f"  Error: {path} does not hold the text to be replaced: 'b'."
    assert (desk.root / "cart.py").read_text() == "a\n"


def test_failing_calls_are_counted_per_story_and_leave_half_the_work(desk: Desk) -> None:
    edits = {"one.txt": "1\n", "two.txt": "2\n"}
    other = {"id": "US-002", "title": "Other", "offline": {"write": {"other.txt": ""}}}
    desk.ask_for({"id": "US-001", "title": "Totals", "offline": {"fail": 2, "write": edits}}, other)
    for call in (1, 2):
        code, log = desk.call()
        assert code == 1
        assert f"Error: The answer broke off in the middle: call {call} of US-001 is told to fail." in log
        assert desk.files() - {"other.txt"} == {"one.txt", ".claude-loop/offline.json"}
        assert desk.call(PRD_STORY="US-002")[0] == 0
    assert desk.call()[0] == 0
    assert "two.txt" in desk.files()
    assert json.loads((desk.root / ".claude-loop/offline.json").read_text()) == {"US-001": 3, "US-002": 2}


def test_failing_for_good(desk: Desk) -> None:
    desk.put(".claude-loop/offline.json", '["not", "a count"]')
    desk.ask(fail=-1, say=["I try."])
    for _ in range(3):
        code, log = desk.call()
        assert code == 1
        assert log.splitlines()[-1].endswith("every call of US-001 is told to fail.")


def test_a_lie(desk: Desk) -> None:
    desk.ask(lie=True, write={"never.txt": ""}, say=["That was easy."])
    code, log = desk.call()
    assert code == 0
    assert "That was easy." in log
    assert "US-001 is done" in log
    assert desk.files() == {".claude-loop/offline.json"}
    assert json.loads(desk.prd_json.read_text())["userStories"][0]["passes"] is True


def test_time_is_spread_over_the_lines(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ask(say=["x" * 80, ""], slow=8)
    slept: list[float] = []
    for name, value in desk.environment(PRD_OFFLINE_PACE="2").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(desk.root)
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    offline.work()
    assert slept == [2 * 0.5 + 2, 2 * 1.5 + 2, 2 * 0.5 + 2, 2 * 1 + 2]  # read, two lines, done


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0.3), ("0.05", 0.05), ("-1", 0), ("nan", 0.3), ("1e9", 60), ("inf", 0.3), ("fast", 0.3)],
)
def test_the_pace(text: str, seconds: float) -> None:
    assert offline.pace(text) == seconds


# -- stories ---------------------------------------------------------------------------------------------


def test_a_story_without_instructions_gets_a_note(desk: Desk) -> None:
    desk.ask_for({"id": "US-001", "title": "Totals", "acceptanceCriteria": ["sums up", "rounds"]})
    code, log = desk.call()
    assert code == 0
    assert "no instructions" in log
    note = (desk.root / "docs/cart/US-001.md").read_text()
    assert note.startswith("# Totals\n\nStory US-001 of cart asks for:\n\n- sums up\n- rounds\n")


def test_odd_ids_make_harmless_file_names(desk: Desk) -> None:
    desk.ask_for({"id": "../../x y", "title": None}, {"id": 7})
    assert desk.call(PRD_STORY="../../x y", PRD_ID="")[0] == 0
    assert desk.call(PRD_STORY="7")[0] == 0
    assert desk.files() == {"docs/cart/x-y.md", "docs/cart/7.md", ".claude-loop/offline.json"}


def test_the_prompt_names_the_story_where_the_environment_does_not(desk: Desk) -> None:
    done = {"id": "US-1", "passes": True, "offline": {"write": {"1": ""}}}
    desk.ask_for(done, {"id": "US-2", "offline": {"write": {"2": ""}}}, {"id": "US-22", "offline": {}})
    assert desk.call("US-1 is done, now do US-2.", PRD_STORY="")[0] == 0
    assert "2" in desk.files()
    assert "● US-22 " in desk.call("Do US-22.", PRD_STORY="")[1]
    assert "● US-1 " in desk.call("Do US-1.", PRD_STORY="")[1]
    code, log = desk.call("Do something.", PRD_STORY="")
    assert (code, log) == (1, "  Error: The prompt names no story.\n")


@pytest.mark.parametrize("text", ["", "{", "7", '{"userStories": {}}', "[[]]", "[" * 100_000])
def test_an_unreadable_prd_is_one_sentence(desk: Desk, text: str) -> None:
    desk.prd_json.write_text(text)
    code, log = desk.call()
    assert code == 1
    assert log.startswith("  Error: ")
    assert log.count("\n") == 1


def test_no_prd_at_all(desk: Desk) -> None:
    assert desk.call(PRD_JSON="")[0] == 1
    assert desk.call(PRD_JSON=str(desk.root))[0] == 1


# -- hostile instructions --------------------------------------------------------------------------------


OUTSIDE = ("/etc/x", "../x", "a/../../x", "out/x", "deep/link/x", "link.txt")
CLOSED = (".git", ".GIT/config", "a/.git/x", ".claude-loop/x")
NO_FILES = ("", ".", "a//b", "a\nb", "a\0b", "\ud800", "x" * 2000, "pipe", "folder")


@pytest.mark.parametrize("path", [*OUTSIDE, *CLOSED, *NO_FILES], ids=lambda path: ascii(path)[:20])
@pytest.mark.parametrize("key", ["write", "append", "replace"])
def test_nothing_outside_the_worktree_is_touched(desk: Desk, tmp_path: Path, key: str, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("theirs")
    (desk.root / "out").symlink_to(outside)
    (desk.root / "deep").mkdir()
    (desk.root / "deep" / "link").symlink_to("../../outside")
    (desk.root / "link.txt").symlink_to(outside / "x")
    os.mkfifo(desk.root / "pipe")
    (desk.root / "folder").mkdir()
    change = [{"path": path, "old": "theirs", "new": "mine"}] if key == "replace" else {path: "mine"}
    desk.ask(**{"write": {"first.txt": ""}} | {key: change})
    code, log = desk.call()
    assert code == 1
    assert log.splitlines()[-1].startswith("  Error: ")
    assert "first.txt" not in desk.files(), "checked before anything is written"
    assert [entry.read_text() for entry in outside.iterdir()] == ["theirs"]
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "instructions",
    [
        {"wirte": {}},
        {"say": "text"},
        {"say": [1]},
        {"write": []},
        {"write": {"a": None}},
        {"replace": {}},
        {"replace": [{"path": "a", "old": "b"}]},
        {"replace": [{"path": "a", "old": "", "new": "c"}]},
        {"run": ["ls"]},
        {"run": [[]]},
        {"fail": True},
        {"fail": 1.5},
        {"lie": 1},
        {"slow": -1},
        {"slow": float("nan")},
        {"slow": "1"},
    ],
    ids=str,
)
def test_instructions_that_are_not_understood(desk: Desk, instructions: dict[str, Any]) -> None:
    desk.ask(**{"write": {"never.txt": ""}} | instructions)
    code, log = desk.call()
    assert code == 1
    assert log.splitlines()[-1].startswith("  Error: ")
    assert "never.txt" not in desk.files()


def test_instructions_that_are_no_object(desk: Desk) -> None:
    desk.ask_for({"id": "US-001", "offline": None})
    assert desk.call() == (1, '● US-001 None\n  Error: "offline" is not an object.\n')


def test_hostile_texts_go_into_the_log_as_they_are(desk: Desk) -> None:
    desk.ask(say=["\x1b[31m[bold]", "\ud800"])
    code, log = desk.call()
    assert code == 0
    assert "\x1b[31m[bold]" in log
    assert "?" in log.splitlines()[3]


# -- ending ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_says_so(desk: Desk, number: signal.Signals) -> None:
    desk.ask(write={"one.txt": "1\n"}, run=[["sh", "-c", "echo $$; exec sleep 600"]])
    process = subprocess.Popen(
        [sys.executable, "-I", str(AGENT)],
        cwd=desk.root,
        env=desk.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        told: list[str] = []
        while not told or not told[-1].strip().isdigit():
            told.append(process.stdout.readline())
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 143
    assert rest == "  I was asked to end; what is done so far stays.\n"
    assert "one.txt" in desk.files()
    wait_until(lambda: not Path("/proc", told[-1].strip()).exists(), what="the end of what it ran")


def test_whoever_reads_its_log_may_go_away(desk: Desk) -> None:
    desk.ask(say=["line"] * 50)
    script = f"{sys.executable} -I {AGENT} 2>&1 | head -n 1 > out; echo ${{PIPESTATUS[0]}} >> out"
    subprocess.run(
        ["bash", "-c", script],
        cwd=desk.root,
        env=desk.environment(PRD_OFFLINE_PACE="0.01"),
        stdin=subprocess.DEVNULL,
        check=True,
    )
    assert (desk.root / "out").read_text() == "● US-001 Totals\n1\n"
