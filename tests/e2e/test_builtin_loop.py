"""`prd-tui run` with the built-in loop: chosen by a setting or on the command line, from folder to branch."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.cli import completed, failed, make_project, prd_tui, registry, running, wait_for_status
from tests.support.loops import GOOD, loop_config, write_agent
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until


def project(tmp_path: Path, code: str = GOOD, more: str = "", agent: str = "") -> Path:
    return make_project(tmp_path, config=loop_config(write_agent(tmp_path, code), more, agent))


def test_three_stories_become_three_commits_and_the_prd_completes(tmp_path: Path) -> None:
    repo = project(tmp_path)
    drop_prd(repo, "shop", prd_json(3, title="The shop", verify=["test -f US-003.txt"]))
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    log = git(
        repo,
        "log",
        "--reverse",
        "--format=%s | %(trailers:key=PRD,valueonly,separator=%x2C)",
        "main..feature/shop",
    )
    assert log.splitlines() == [f"US-00{number}: Story {number} | shop" for number in (1, 2, 3)]
    assert git(repo, "diff", "--name-only", "main", "feature/shop").split() == [
        "US-001.txt",
        "US-002.txt",
        "US-003.txt",
    ]
    moved = repo / "prds" / "completed" / "shop"
    assert all(story["passes"] for story in json.loads((moved / "prd.json").read_text())["userStories"])
    assert (moved / "progress.txt").read_text().count("done at attempt 1") == 3
    assert completed(repo)["shop"]["stories_completed"] == 3


def test_a_story_given_up_is_the_reason_of_the_failure(tmp_path: Path) -> None:
    repo = project(tmp_path, "claim() if story == 'US-002' else write(story)")
    drop_prd(repo, "liar", prd_json(3))
    assert prd_tui(repo, "run").returncode == 1
    entry = failed(repo)["liar"]
    assert entry["error"] == ("US-002 failed 3×: the agent marked the story as passing, but changed nothing")
    assert entry["exit_code"] == 1
    worktree = repo / ".claude-loop" / "worktrees" / "liar"
    stories = json.loads((worktree / "prds" / "active" / "liar" / "prd.json").read_text())["userStories"]
    assert [story["passes"] for story in stories] == [True, False, False]
    assert (
        "The agent had marked the story as passing"
        in (worktree / "prds" / "active" / "liar" / "progress.txt").read_text()
    )
    write_agent(tmp_path, GOOD)
    assert prd_tui(repo, "retry", "liar").returncode == 0
    assert prd_tui(repo, "run").returncode == 0
    assert git(repo, "log", "--format=%s", "main..feature/liar").splitlines() == [
        "US-003: Story 3",
        "US-002: Story 2",
        "US-001: Story 1",
    ]


def test_a_shutdown_in_the_middle_and_the_next_run_goes_on(tmp_path: Path) -> None:
    repo = project(
        tmp_path,
        f"""
        {GOOD}
        if story == "US-002" and not (home / "go").exists():
            told("second")
            wait_for("never")
        """,
    )
    drop_prd(repo, "p", prd_json(3))
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        wait_until((tmp_path / "second").exists, 30, "the second story is worked on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["p"]
    (tmp_path / "go").touch()
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    assert git(repo, "log", "--format=%s", "main..feature/p").splitlines() == [
        "US-003: Story 3",
        "US-002: Story 2",
        "US-001: Story 1",
    ]
    record = (repo / ".claude-loop" / "worktrees" / "p" / ".claude-loop" / "stories.jsonl").read_text()
    assert "refused" not in record


def test_a_stop_gives_the_agent_its_clean_signal_first(tmp_path: Path) -> None:
    repo = project(
        tmp_path,
        """
        def in_order(*_):
            told("clean", "session written down")
            sys.exit(1)
        signal.signal(signal.SIGINT, in_order)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        told("here")
        wait_for("never")
        """,
        agent='stop = "INT"',
    )
    drop_prd(repo, "p")
    with running(repo) as process:
        wait_until((tmp_path / "here").exists, 30, "the agent is at work")
        assert prd_tui(repo, "stop", "p").returncode == 0
        assert (tmp_path / "clean").read_text() == "session written down"
        assert process.wait(30) == 1
    assert failed(repo)["p"]["status"] == "stopped"


def test_the_command_line_chooses_an_agent(tmp_path: Path) -> None:
    """Over a loop script of the settings, too."""
    script = write_agent(tmp_path, GOOD)
    config = loop_config(script).replace('agent = "fake"', 'command = ["false"]')
    repo = make_project(tmp_path, config=config)
    drop_prd(repo, "p", prd_json(1))
    assert prd_tui(repo, "run", "--agent", "fake").returncode == 0
    assert git(repo, "log", "--format=%s", "main..feature/p") == "US-001: Story 1"
    refused = prd_tui(repo, "run", "--agent", "fkae")
    assert refused.returncode == 2
    assert "There is no agent fkae: did you mean fake?" in refused.stderr


def test_without_a_choice_both_ways_are_named(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config="")
    drop_prd(repo, "p")
    refused = prd_tui(repo, "run")
    assert refused.returncode == 2
    for word in ("worker.command", "worker.agent", "prd-tui init"):
        assert word in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ('[worker]\nagent = "x"\n[agents.x]\ncommand = ["no-such-agent"]\n', "is not on PATH"),
        ('[worker]\nagent = "x"\nprompt = "no.md"\n[agents.x]\ncommand = ["true"]\n', "which is no file"),
    ],
)
def test_an_agent_that_cannot_work_holds_the_queue(tmp_path: Path, config: str, sentence: str) -> None:
    repo = make_project(tmp_path, config=config)
    drop_prd(repo, "one")
    drop_prd(repo, "two")
    done = prd_tui(repo, "run")
    assert done.returncode == 1
    assert "held: " in done.stderr
    assert sentence in done.stderr
    document = registry(repo)
    assert {entry["prd_id"] for entry in document["queued_prds"]} == {"one", "two"}
    assert not document["failed_prds"]


def test_it_runs_where_the_project_has_packages_of_the_same_names(tmp_path: Path) -> None:
    repo = project(tmp_path)
    trap = "raise SystemExit('imported by mistake')\n"
    names = ("app/__init__.py", "coordinator/__init__.py", "json.py", "tomllib.py")
    for name in names:
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(trap)
    git(repo, "add", *names)
    git(repo, "commit", "-q", "-m", "names")
    drop_prd(repo, "p", prd_json(1))
    done = prd_tui(repo, "run", env={"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
