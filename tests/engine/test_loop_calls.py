"""Calls of the built-in loop that hang, linger or are asked to end, and where it refuses to work at all."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import prd_tui
from tests.support.loops import GOOD, LoopSite
from tests.support.processes import ESCAPE
from tests.support.repos import make_repo, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

ONE: dict[str, Any] = {"userStories": [{"id": "US-001", "title": "Only one"}]}

#: A tool in a session of its own, as agents start theirs.
TOOL = 'told("tool", str(subprocess.Popen(["sleep", "600"], start_new_session=True).pid))'


def test_an_agent_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more="attempt_minutes = 0.02\nmax_attempts = 1", **ONE)
    site.agent(f"print('thinking', flush=True)\n{TOOL}\ntold('agent')\nwait_for('never')")
    done = site.worker()
    assert done.returncode == 1
    assert site.refusals == ["the agent was not done within 0.02 minutes and was ended"]
    assert site.record[1]["output"] == "thinking"
    assert site.gone("agent")
    assert site.gone("tool")


def test_a_daemon_that_holds_the_output_open_hangs_nobody(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    escape = tmp_path / "escape.py"
    escape.write_text(ESCAPE.replace("os.closerange(0, 256)", "pass"))
    site.agent(
        f"{GOOD}\nsubprocess.run([sys.executable, {str(escape)!r}, {str(tmp_path / 'daemon')!r}, '/'], check=True)\n"
        "wait_for('daemon')\nprint('the last word', flush=True)"
    )
    began = time.monotonic()
    done = site.worker()
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - began < 5
    assert "the last word" in done.stdout
    assert site.gone("daemon")


def test_what_a_gate_leaves_running_is_ended_too(tmp_path: Path) -> None:
    stories = [{"id": "a", "title": "A", "verify": [f"setsid sleep 600 & echo $! > {tmp_path}/gate.part; "
                                                    f"mv {tmp_path}/gate.part {tmp_path}/gate"]}]  # fmt: skip
    site = LoopSite(tmp_path, userStories=stories)
    assert site.worker().returncode == 0
    assert site.gone("gate")


def test_a_gate_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    stories = [{"id": "a", "title": "A", "verify": ["echo waiting; exec sleep 600"]}]
    site = LoopSite(
        tmp_path, more="max_attempts = 1\n[coordinator]\ngate_minutes = 0.01", userStories=stories
    )
    assert site.worker().returncode == 1
    assert site.refusals == ["gate `echo waiting; exec sleep 600` took too long and was ended: waiting"]


def test_output_of_any_kind_arrives_as_it_is(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    site.agent(
        f"{GOOD}\nsys.stdout.flush()\n"
        "os.write(1, b'\\xff\\xfe\\x00\\x1b[31mred\\n' + b'x' * 300_000 + b'\\n')\nos.write(2, b'no line end')"
    )
    log = tmp_path / "log"
    with log.open("wb") as out, site.started() as process:
        assert process.stdout is not None
        out.write(process.stdout.buffer.read())  # type: ignore[attr-defined]
    data = log.read_bytes()
    assert b"\xff\xfe\x00\x1b[31mred\n" + b"x" * 300_000 + b"\nno line end\n[US-001] done" in data
    done = site.record[-1]
    assert done["what"] == "done"
    assert "no line end" in site.progress()
    assert len(site.progress()) < 5000


def test_term_finishes_the_call_and_begins_no_other(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    site.agent(f"told('here'); wait_for('go')\n{GOOD}")
    with site.started() as process:
        site.pid("here")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert process.wait(20) == 143
        assert process.stdout is not None
        assert "stopped by a signal" in process.stdout.read()
    assert site.whats == [("US-001", "attempt")], "neither refused nor done"
    assert (site.worktree / "US-001.txt").exists()
    site.new_run()
    assert site.worker().returncode == 0
    assert site.subjects() == ["US-001: Story 1", "US-002: Story 2"]


@pytest.mark.parametrize(
    "code", ["wait_for('never')", "signal.signal(15, lambda *_: sys.exit(1)); wait_for('never')"]
)
def test_an_agent_that_dies_of_the_same_signal_is_not_refused(tmp_path: Path, code: str) -> None:
    site = LoopSite(tmp_path)
    site.agent(f"claim(); told('here'); {code}")
    with site.started() as process:
        agent = site.pid("here")
        process.send_signal(signal.SIGTERM)
        os.kill(agent.pid, signal.SIGTERM)
        assert process.wait(20) == 143
    assert site.whats == [("US-001", "attempt")]
    assert site.passing == [], "its claim is put back all the same"


def test_term_during_the_last_gate_still_commits_what_it_proved(tmp_path: Path) -> None:
    gate = f"touch {tmp_path}/gate; while ! test -e {tmp_path}/go; do sleep 0.02; done"
    site = LoopSite(
        tmp_path, userStories=[{"id": "a", "title": "A", "verify": [gate]}, {"id": "b", "title": "B"}]
    )
    with site.started() as process:
        wait_until((tmp_path / "gate").exists, what="the gate runs")
        process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert process.wait(20) == 143
    assert site.passing == ["a"]
    assert site.whats == [("a", "attempt"), ("a", "done")]


def test_a_second_interrupt_ends_the_call_at_once(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    site.agent("told('here'); wait_for('never')")
    with site.started() as process:
        site.pid("here")
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("a signal asks for the end" in line for line in process.stdout), "the first was handled"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert site.gone("here")


def test_a_pause_of_the_whole_tree_uses_no_time_of_the_attempt(tmp_path: Path) -> None:
    """Stopped for longer than the limit allows: what is left of it counts on afterwards."""
    site = LoopSite(tmp_path, more="attempt_minutes = 0.07\nmax_attempts = 1", **ONE)  # 4.2 s
    site.agent(f"told('here'); wait_for('go')\n{GOOD}")
    with site.started() as process:
        agent = site.pid("here")
        for pid in (process.pid, agent.pid):
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 4.4, what="more than the limit has passed")
        for pid in (agent.pid, process.pid):
            os.kill(pid, signal.SIGCONT)
        (tmp_path / "go").touch()
        assert process.wait(20) == 0
    assert site.record[-1]["seconds"] < 4.2


def test_no_agent_program_uses_no_attempt(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    config = site.repo / ".claude-loop" / "config.toml"
    config.write_text('[worker]\nagent = "fake"\n[agents.fake]\ncommand = ["no-such-agent"]\n')
    done = site.worker()
    assert done.returncode == 127
    assert "The program of agent fake, 'no-such-agent' is not on PATH" in done.stdout
    assert site.record == []
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    config.write_text(f'[worker]\nagent = "fake"\n[agents.fake]\ncommand = ["{broken}"]\n')
    done = site.worker()
    assert done.returncode == 127
    assert "cannot be executed" in done.stdout
    assert "refused" not in {what for _, what in site.whats}


def test_it_refuses_to_work_anywhere_else(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    mine = site.repo / "prds" / "active" / "p" / "prd.json"
    mine.parent.mkdir(parents=True)
    mine.write_text(prd_json())
    before = fingerprint(site.repo)
    inside = str(site.folder / "prd.json")
    for path, run_id in (
        (str(mine), site.run_id),
        (inside, "20010101T000000000-0000"),
        (inside, "*"),
        (inside, "../../p"),
        (inside, ""),
        (str(tmp_path / "nowhere" / "prd.json"), site.run_id),
    ):
        done = prd_tui(site.repo, "worker", path, env={"PRD_RUN_ID": run_id})
        assert done.returncode == 2, (path, run_id)
        assert "is not in the worktree of a run" in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert fingerprint(site.repo) == before
    assert site.record == []
    other = make_repo(tmp_path / "other")
    assert prd_tui(other, "worker", str(mine), env={"PRD_RUN_ID": site.run_id}).returncode == 2


def test_a_dry_run_prints_the_prompt_anywhere_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    (folder / "prd.json").write_text(
        prd_json(title="Loose", description="Words {story_id}", verify=["make test"])
    )
    done = prd_tui(tmp_path, "worker", "loose/prd.json", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "# Loose" in done.stdout
    assert "US-001 Story 1" in done.stdout
    assert "Words {story_id}" in done.stdout, "what is filled in is not filled in again"
    assert "make test" not in done.stdout, "which is run with the last story"
    assert [entry.name for entry in folder.iterdir()] == ["prd.json"]

    site = LoopSite(tmp_path / "site")
    before = fingerprint(site.repo)
    (site.repo / "prompt.txt").write_text(
        "{prd_id}: do {story_id}, try {attempt} of {max_attempts}, {unknown}\n{failure}\nend"
    )
    site.configure('prompt = "prompt.txt"')
    done = prd_tui(site.repo, "worker", str(site.folder / "prd.json"), "--dry-run")
    assert done.stdout == "p: do US-001, try 1 of 3, {unknown}\nend\n"
    (site.repo / "prompt.txt").unlink()
    assert fingerprint(site.repo) == before

    (folder / "prd.json").write_text(prd_json(userStories=[{"id": "a", "title": "A", "passes": True}]))
    done = prd_tui(tmp_path, "worker", "loose/prd.json", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Every story passes" in done.stderr


def test_a_template_of_the_person(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more='prompt = "docs/prompt.md"', **ONE)
    refused = site.worker()
    assert refused.returncode == 2
    assert "worker.prompt names docs/prompt.md, which is no file" in refused.stdout
    (site.repo / "docs").mkdir()
    (site.repo / "docs" / "prompt.md").write_text("Please do {story_title}.\n")
    assert site.worker().returncode == 0
    assert site.prompt("US-001", 1) == "Please do Only one.\n"


def test_an_unknown_agent_and_none(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    done = site.worker("--agent", "cluade")
    assert done.returncode == 2
    assert "There is no agent cluade: did you mean claude?" in done.stdout
    (site.repo / ".claude-loop" / "config.toml").write_text("")
    done = site.worker()
    assert done.returncode == 2
    assert "No agent is chosen" in done.stdout


def test_environment_of_the_agent(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    config = site.repo / ".claude-loop" / "config.toml"
    config.write_text(config.read_text() + 'env = { OF_THE_AGENT = "yes" }\n')
    site.agent(f"{GOOD}\nwrite('env.json', json.dumps(dict(os.environ)))")
    done = site.worker(env={"MINE": "kept"})
    assert done.returncode == 0, done.stdout
    seen = json.loads((site.worktree / "env.json").read_text())
    assert seen["PRD_STORY"] == "US-001"
    assert seen["PRD_ATTEMPT"] == "1"
    assert seen["PRD_RUN_ID"] == site.run_id
    assert seen["OF_THE_AGENT"] == "yes"
    assert seen["MINE"] == "kept"
