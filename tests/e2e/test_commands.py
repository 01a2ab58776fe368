"""The commands as a person, a script or a fuzzer gives them: results on stdout, one sentence on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cli import (
    LAUNCHER,
    active,
    completed,
    environment,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What the command complained: one line on stderr, nothing on stdout."""
    assert done.stdout == ""
    assert done.stderr.startswith("prd-tui: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# -- words -----------------------------------------------------------------------------------------------


def test_help_and_version(tmp_path: Path) -> None:
    for words in (["--help"], ["help"], ["run", "--help"], ["status", "--help"], ["config", "--help"]):
        shown = prd_tui(tmp_path, *words)
        assert shown.returncode == 0
        assert shown.stdout.startswith("usage: prd-tui")
        assert shown.stderr == ""
    assert prd_tui(tmp_path, "--version").stdout == "prd-tui 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["statsu"], "did you mean status?"),
        (["logn"], "did you mean login?"),
        (["--sttaus"], "did you mean --status?"),
        (["run", "logn"], "did you mean login?"),
        (["run", "--frob"], "run does not take --frob"),
        (["run", "--watc"], "run does not take --watc"),
        (["run", "--max-prds", "0"], "no number from 1 up"),
        (["run", "--timeout", "0"], "is no duration"),
        (["run", "--timeout", "soon"], "write 90s, 15m, 8h or 1d"),
        (["status", "--frob"], "no option --frob"),
        (["stop"], "Name the PRDs to stop, or say --all"),
        (["stop", "--all", "login"], "Name the PRDs to stop, or say --all"),
        (["stop", "nobody"], "nobody is no PRD"),
        (["retry"], "required: PRD"),
        (["logs", "login"], "login has no log"),
        (["logs", "../login"], "has no log"),
        (["config", "get", "coordinator.max_prd"], "did you mean coordinator.max_prds?"),
        (["config", "frob"], "config takes get KEY"),
        (["config", "set", "coordinator.max_prds", "many"], "a whole number from 1 to 1000"),
        (["add", "nowhere"], "there is nothing here"),
        (["x" * 5000], "…"),
        (["logs", "x" * 5000], "…"),
        (["validate", "x" * 5000], "File name too long"),
        (["-C", "x" * 5000, "run"], "File name too long"),
        (["\x1b[2J"], r"'\x1b[2J'"),
        (["", "x"], "'' is neither a command"),
        (["logs", os.fsdecode(b"\xff")], r"'\udcff'"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], says: str) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "login")
    refused = prd_tui(repo, *words)
    assert refused.returncode in (1, 2)
    assert says in one_sentence(refused)


_COMMANDS = ("status", "stop", "retry", "logs", "validate", "add", "config", "get", "set", "hold", "release")
_OPTIONS = ("-C", "--", "-", "-n", "--json", "--short", "--all", "--fresh", "--stop", "0", "..", "login")
_WORDS = st.sampled_from([*_COMMANDS, *_OPTIONS])
_ODD = st.binary(max_size=8).filter(lambda data: b"\0" not in data).map(os.fsdecode)


def test_odd_words_never_make_a_traceback(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "login")

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(_WORDS, _ODD), max_size=4).filter(lambda words: "-f" not in words))
    def check(words: list[str]) -> None:
        done = prd_tui(repo, *words, timeout=30)
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1, 2)
        if done.returncode == 2:
            assert done.stderr

    check()


def test_a_prd_named_like_a_command_and_words_that_are_prds(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("status", "login", "search"):
        drop_prd(repo, name)
    assert prd_tui(repo, "run", "--", "status").returncode == 0
    assert set(completed(repo)) == {"status"}
    assert prd_tui(repo, "--parallel", "login", "search").returncode == 0
    assert set(completed(repo)) == {"status", "login", "search"}
    drop_prd(repo, "mail")
    for words in ([], ["--", "mail"], ["mail", "--max-prds", "1"], ["--max-prds", "1"]):
        refused = prd_tui(repo, *words)
        assert refused.returncode == 2
        assert refused.stdout == ""
        assert refused.stderr.startswith("prd-tui: The dashboard needs a terminal")


# -- streams ---------------------------------------------------------------------------------------------


def test_streams_that_are_closed_full_or_narrow(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("a", "b"):
        drop_prd(repo, name)
    program = " ".join(LAUNCHER)

    def shell(script: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script.replace("prd-tui", program)],
            cwd=repo,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    # the reader goes after one line; the run goes on and keeps its exit code
    piped = shell("prd-tui run --json | head -1; exit ${PIPESTATUS[0]}")
    assert piped.returncode == 0, piped.stderr
    assert json.loads(piped.stdout)["seq"] == 1
    assert set(completed(repo)) == {"a", "b"}
    for command in ("status", "config", "run", "logs a", "hold", "release", "validate prds/completed/a"):
        closed = shell(f"prd-tui {command} >&- <&-")
        assert (closed.returncode, closed.stderr) == (0, ""), command
    full = shell("prd-tui status > /dev/full")
    assert full.returncode == 1
    assert "No space left" in one_sentence(full)
    narrow = shell("prd-tui status", PYTHONIOENCODING="ascii", TERM="dumb", NO_COLOR="1")
    assert narrow.returncode == 0
    assert "feature/a" in narrow.stdout


def test_state_that_cannot_be_used(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "login")
    (repo / "prd-tui.toml").write_text('[worker]\ncommand = ["./loop.py", "{prd_json}"]\n')
    (repo / ".claude-loop").rename(tmp_path / "aside")
    (repo / ".claude-loop").write_text("a file\n")
    for words in (
        ["run"],
        ["status", "--json"],
        ["hold"],
        ["stop", "--all"],
        ["config", "set", "worker.agent", "x"],
    ):
        refused = prd_tui(repo, *words)
        assert refused.returncode == 1, words
        assert ".claude-loop" in one_sentence(refused)
    assert (repo / ".claude-loop").read_text() == "a file\n"


# -- validate and add ------------------------------------------------------------------------------------


def test_validate_names_file_line_and_mend(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    assert "no PRD to check" in prd_tui(repo, "validate").stdout
    drop_prd(repo, "good", prd_json(stories=3))
    fine = prd_tui(repo, "validate")
    assert (fine.returncode, fine.stdout) == (0, "prds/active/good/prd.json: ok, 3 of 3 stories to do\n")
    drop_prd(repo, "bad", '{\n  "userStories": [\n    {"id": "a", "title": "t", "passes": "false"}\n  ]\n}\n')
    drop_prd(repo, "a..b")
    checked = prd_tui(repo, "validate")
    assert checked.returncode == 1
    lines = checked.stdout.splitlines()
    assert lines[0].startswith("prds/active/a..b")
    assert lines[1].startswith('prds/active/bad/prd.json:3: passes of story "a" is the text "false"')
    assert " — " in lines[1]
    assert lines[2].endswith("ok, 3 of 3 stories to do")
    assert prd_tui(repo / "prds", "validate", "active/good", "active/good/prd.json").returncode == 0


#: Spellings that are in use, each with the number of open stories.
SPELLINGS = {
    "stories": ('{"name": "x", "stories": [{"id": 1, "title": "t", "status": "done"}, {"title": "u"}]}', 1),
    "tasks": ('{"tasks": [{"id": "T1", "description": "first line\\nmore", "done": false}]}', 1),
    "features": ('{"features": [{"id": "F", "title": "t", "passes": false, "priority": "high"}]}', 1),
    "list": ('[{"id": "a", "title": "t", "passes": false}, {"id": "b", "title": "t", "passes": false}]', 2),
    "rich": (
        '{"project": "p", "branchName": "feature/p", "dependsOn": ["q"], "verify": ["true"], "extra": {"k": [1]},'
        ' "userStories": [{"id": "a", "title": "ä ☃", "passes": false, "acceptanceCriteria": ["x", "y"]}]}',
        1,
    ),
    "over": ('{"userStories": [{"id": "a", "title": "t", "passes": true}]}', 0),
}


def test_validate_understands_what_people_write(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name, (text, _todo) in SPELLINGS.items():
        (tmp_path / f"{name}.json").write_text(text)
    files = [str(tmp_path / f"{name}.json") for name in SPELLINGS]
    checked = prd_tui(repo, "validate", *files)
    assert checked.returncode == 0, checked.stdout
    verdicts = [line for line in checked.stdout.splitlines() if ": ok, " in line or "nothing left" in line]
    assert len(verdicts) == len(SPELLINGS)
    for line, (_text, todo) in zip(verdicts, SPELLINGS.values(), strict=True):
        assert (f"{todo} of " in line) if todo else ("nothing left to do" in line)


def test_add_puts_in_whole_folders_and_refuses_the_rest(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    folder = tmp_path / "login"
    (folder / "notes").mkdir(parents=True)
    (folder / "prd.json").write_text(prd_json())
    (folder / "notes" / "idea.md").write_text("idea\n")
    os.mkfifo(folder / "pipe")
    (tmp_path / "search.json").write_text(prd_json())
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "prd.json").write_text(prd_json())
    done = prd_tui(
        repo, "add", *(str(tmp_path / name) for name in ("login", "search.json", "broken.json", "a b"))
    )
    assert done.returncode == 2
    assert done.stdout == "added login\nadded search\n"
    assert len(done.stderr.splitlines()) == 2
    active_folder = repo / "prds" / "active"
    assert sorted(path.name for path in active_folder.iterdir()) == ["login", "search"]
    assert (active_folder / "login" / "notes" / "idea.md").read_text() == "idea\n"
    assert not (active_folder / "login" / "pipe").exists()
    assert (folder / "prd.json").exists()
    assert not list((repo / ".claude-loop" / "coordinator" / "incoming").iterdir())
    (tmp_path / "LOGIN.json").write_text(prd_json())
    for taken in ("login", "LOGIN.json"):
        assert "in prds/active already" in one_sentence(prd_tui(repo, "add", str(tmp_path / taken)))


# -- against a live owner --------------------------------------------------------------------------------


def test_status_and_commands_while_it_runs(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    assert "Nothing has run here yet" in prd_tui(repo, "status").stdout
    drop_prd(repo, "first", prd_json(gate_file=str(gate), priority=1))
    drop_prd(repo, "second", prd_json(gate_file=str(gate), priority=2))
    drop_prd(repo, "after", prd_json(dependsOn=["second"]))
    drop_prd(repo, "ghost", prd_json(dependsOn=["nobody"]))
    with running(repo, "--watch", "--max-prds", "1") as process:
        wait_for_status(repo, "first", "running")
        table = prd_tui(repo, "status")
        assert table.returncode == 0
        assert f"coordinator {process.pid} runs" in table.stdout
        words = {line.split()[1]: line.split()[2] for line in table.stdout.splitlines()[3:]}
        assert words == {"first": "running", "second": "queued", "after": "queued", "ghost": "blocked"}
        assert "nobody" in table.stdout
        document = json.loads(prd_tui(repo, "--status", "--json").stdout)
        assert set(document["active_prds"]) == {"first"}
        one = json.loads(prd_tui(repo, "--status", "first", "--json").stdout)
        assert one["branch"] == "feature/first"
        assert "1 ▶ running" in prd_tui(repo, "status", "--short").stdout

        assert prd_tui(repo, "hold").returncode == 0
        assert "held: held by a person" in prd_tui(repo, "status").stdout
        stopped = prd_tui(repo, "--stop", "first")
        assert stopped.stdout == "stopped\n"
        assert failed(repo)["first"]["status"] == "stopped"
        assert prd_tui(repo, "status").returncode == 1
        assert not active(repo), "held: nothing takes the free slot"
        assert prd_tui(repo, "release").returncode == 0
        wait_for_status(repo, "second", "running")
        gate.touch()
        wait_until(lambda: {"second", "after"} <= set(completed(repo)), 30, "both complete")
        assert prd_tui(repo, "retry", "first").returncode == 0
        wait_until(lambda: "first" in completed(repo), 30, "the stopped one completes")
        assert prd_tui(repo, "status").returncode == 0
        assert "nothing runs" in prd_tui(repo, "--stop-all").stdout
        assert prd_tui(repo, "status", "--short").stdout.rstrip().endswith("held")
        assert prd_tui(repo, "release").returncode == 0
    after_kill = prd_tui(repo, "status")
    assert "no coordinator runs; state as of" in after_kill.stdout


def test_stop_all_against_a_live_owner(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("a", "b", "c"):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / "never")))
    with running(repo, "--max-prds", "2") as process:
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
        assert prd_tui(repo, "--stop-all").returncode == 0
        assert {entry["status"] for entry in failed(repo).values()} == {"stopped"}
        assert process.wait(20) == 1, "c waits behind the hold"
        assert "held by stop --all" in prd_tui(repo, "status").stdout


def test_run_json_and_the_time_that_is_up(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "quick")
    drop_prd(repo, "endless", prd_json(gate_file=str(tmp_path / "never")))
    began = time.monotonic()
    done = prd_tui(repo, "run", "--json", "--timeout", "3s")
    assert time.monotonic() - began < 30
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    last = {event["prd_id"]: event["state"] for event in events}
    assert last["quick"] == "completed"
    assert "the time is up" in done.stderr
    assert not active(repo)
    assert registry(repo)["queued_prds"][0]["prd_id"] == "endless"


def test_the_summary_is_about_this_run(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "old")
    assert prd_tui(repo, "run").stdout.split()[:2] == ["old", "completed"]
    drop_prd(repo, "new")
    assert prd_tui(repo, "run").stdout.splitlines() == ["new  completed  feature/new"]


# -- logs ------------------------------------------------------------------------------------------------


def test_logs(tmp_path: Path) -> None:
    talk = "#!/bin/sh\nseq 1 300\nhead -c 200000 /dev/zero | tr '\\0' x\necho\nprintf 'the \\033[31mend'\nexit 3\n"
    repo = make_project(tmp_path, config='[worker]\ncommand = ["./talk.sh"]\n', files={"talk.sh": talk})
    drop_prd(repo, "login")
    assert prd_tui(repo, "run").returncode == 1
    whole = (repo / ".claude-loop" / "coordinator" / "logs" / "login_worker.log").read_text()
    lines = whole.splitlines(keepends=True)
    assert prd_tui(repo, "logs", "login", "-n", "1").stdout == "the \x1b[31mend"
    assert prd_tui(repo, "logs", "login", "-n", "2").stdout == "".join(lines[-2:])
    assert prd_tui(repo, "logs", "login", "-n", "4").stdout == "".join(lines[-4:])
    assert prd_tui(repo, "logs", "login").stdout == "".join(lines[-100:])
    assert prd_tui(repo, "logs", "login", "-n", "5000").stdout == whole
    assert "did you mean login?" in one_sentence(prd_tui(repo, "logs", "logn"))
    log = repo / ".claude-loop" / "coordinator" / "logs" / "login_worker.log"
    seen = tmp_path / "seen"
    with seen.open("w") as out:
        command = [*LAUNCHER, "logs", "login", "-f", "-n", "1"]
        follower = subprocess.Popen(command, cwd=repo, env=environment(), stdout=out)
    try:
        expected = "the \x1b[31mend"
        wait_until(lambda: seen.read_text() == expected, what="the end of the log is shown")
        with log.open("a") as file:
            file.write(" of it\nmore\n")
        expected += " of it\nmore\n"
        wait_until(lambda: seen.read_text() == expected, what="what was added is shown")
        log.write_text("anew\n")
        expected += "anew\n"
        wait_until(
            lambda: seen.read_text() == expected, what="a log that was cut short is shown from its start"
        )
    finally:
        follower.kill()
        follower.wait()
