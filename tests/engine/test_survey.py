"""What a repository has and lacks, found out without changing it, and the steps that mend it."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from coordinator.errors import PrdTuiError
from coordinator.git import discover
from coordinator.paths import Paths
from coordinator.survey import (
    Choice,
    choose_base,
    choose_worker,
    complete_command,
    make_prd_folder,
    survey,
)
from tests.support.repos import git, make_repo, prd_json
from tests.support.untouched import fingerprint

LOOP = "#!/bin/sh\n"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """git and sh are there, no agent is, and nobody's settings count."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def site(tmp_path: Path, **files: str) -> Paths:
    named = {name.replace("__", "."): text for name, text in files.items()}
    return discover(make_repo(tmp_path / "repo", {"README.md": "# shop\n"} | named))


def local(paths: Paths) -> dict[str, Any]:
    return tomllib.loads(paths.local_config.read_text())


def configure(paths: Paths, text: str) -> None:
    paths.state.mkdir(exist_ok=True)
    paths.local_config.write_text(text)


def install(tmp_path: Path, name: str) -> Path:
    program = tmp_path / "tools" / name
    program.write_text(LOOP)
    program.chmod(0o755)
    return program


def choices(paths: Paths) -> dict[str, Choice]:
    return {choice.name: choice for choice in survey(paths).choices}


def test_a_repository_as_it_was_cloned(tmp_path: Path) -> None:
    paths = site(tmp_path)
    before = fingerprint(paths.root)
    found = survey(paths)
    assert (found.branch, found.branches, found.base_branch, found.base_problem) == (
        "main",
        ("main",),
        "",
        "",
    )
    assert not found.base_unclear
    assert (found.worker, found.worker_source, found.worker_problem) == ("", "default", "")
    assert (found.gates, found.pending, found.prds, found.has_prd_folder) == ((), (), (), False)
    assert not found.has_identity
    assert int(found.git.split(".")[0]) >= 2
    assert fingerprint(paths.root) == before
    assert not paths.state.exists()


def test_agents_on_the_path_and_agents_of_the_settings(tmp_path: Path) -> None:
    paths = site(tmp_path)
    assert "not on PATH" in choices(paths)["claude"].problem
    assert choices(paths)["offline"].problem == ""
    program = install(tmp_path, "claude")
    configure(paths, '[agents.mine]\ncommand = ["sh", "agent.sh"]\n[agents.broken]\nprompt = "stdin"\n')
    found = choices(paths)
    assert found["claude"].detail == f"the built-in loop with {program}"
    assert (found["mine"].problem, found["mine"].is_agent) == ("", True)
    assert "has no command" in found["broken"].problem


def test_loop_scripts(tmp_path: Path) -> None:
    names = ["loop.sh", "my-Loop.py", "ralph-mine.sh", "ralph.sh", "claude-loop.sh", "loop.txt", "build.sh"]
    paths = site(tmp_path, **dict.fromkeys(names, LOOP))
    (paths.root / "late-loop.sh").write_text(LOOP)
    (paths.root / "loop-folder.sh").mkdir()
    (paths.root / "loop\x1b.sh").write_text(LOOP)
    scripts = {name: choice.problem for name, choice in choices(paths).items() if not choice.is_agent}
    assert [name for name, problem in scripts.items() if not problem] == [
        "./loop.sh",
        "./my-Loop.py",
        "./ralph-mine.sh",
    ]
    assert scripts["./late-loop.sh"] == "not executable: chmod +x late-loop.sh"
    assert scripts["./ralph.sh"].startswith("not supported yet")
    assert scripts["./claude-loop.sh"].startswith("not supported yet")
    assert len(scripts) == 6


@pytest.mark.parametrize(
    ("config", "worker", "problem"),
    [
        ('command = ["./loop.sh", "{prd_json}", "a b"]', "./loop.sh {prd_json} 'a b'", ""),
        ('command = ["./gone.sh"]', "./gone.sh", "does not exist"),
        ('command = ["{worktree}/made-later.sh"]', "{worktree}/made-later.sh", ""),
        ('agent = "offline"', "offline", ""),
        ('agent = "claude"', "claude", "not on PATH"),
        ('agent = "clude"', "clude", "did you mean claude?"),
        ('preset = "ralph"', "ralph", "not supported yet"),
    ],
)
def test_a_worker_that_is_set(tmp_path: Path, config: str, worker: str, problem: str) -> None:
    paths = site(tmp_path, loop__sh=LOOP)
    configure(paths, f"[worker]\n{config}\n")
    found = survey(paths)
    assert (found.worker, found.worker_source) == (worker, ".claude-loop/config.toml")
    assert problem in found.worker_problem
    assert bool(problem) == bool(found.worker_problem)


def test_shared_commands_wait_for_approval(tmp_path: Path) -> None:
    shared = '[worker]\ncommand = ["sh", "x"]\n[coordinator]\nverify = ["true"]\nmax_prds = 2\n'
    found = survey(site(tmp_path, **{"prd-tui.toml": shared}))
    assert sorted(found.pending) == ["coordinator.verify", "worker.command"]
    assert (found.worker, found.gates) == ("", ())


def test_prds(tmp_path: Path) -> None:
    paths = site(tmp_path)
    for name, text in (("good", prd_json(3, title="Good one")), ("bad", "{"), (".hidden", ""), ("b c", "{}")):
        (paths.active / name).mkdir(parents=True)
        (paths.active / name / "prd.json").write_text(text)
    (paths.active / "file.txt").write_text("")
    found = {prd.prd_id: prd for prd in survey(paths).prds}
    assert set(found) == {"good", "bad", "b c"}
    assert (found["good"].title, found["good"].open_stories, found["good"].problem) == ("Good one", 3, "")
    assert found["bad"].problem
    assert "characters other than" in found["b c"].problem


# -- the base --------------------------------------------------------------------------------------------


def test_where_the_base_is_unclear(tmp_path: Path) -> None:
    paths = site(tmp_path)
    git(paths.root, "switch", "-q", "-c", "try-it")
    assert survey(paths).base_unclear, "main is there, and it is not what is checked out"
    configure(paths, '[coordinator]\nbase_branch = "try-it"\n')
    assert not survey(paths).base_unclear
    configure(paths, '[coordinator]\nbase_branch = "nowhere"\n')
    assert survey(paths).base_unclear
    assert "nowhere does not exist" in survey(paths).base_problem
    configure(paths, "")
    git(paths.root, "branch", "-q", "-D", "main")
    assert not survey(paths).base_unclear, "there is no other that it could be"
    git(paths.root, "switch", "-q", "--detach")
    assert survey(paths).base_unclear
    assert survey(paths).branch == ""


def test_choosing_the_base(tmp_path: Path) -> None:
    paths = site(tmp_path)
    choose_base(paths, "main")
    assert local(paths) == {"coordinator": {"base_branch": "main"}}
    for name in ("nowhere", "", "-x", "main~0", "HEAD"):
        with pytest.raises(PrdTuiError, match="There is no branch"):
            choose_base(paths, name)


# -- the worker ------------------------------------------------------------------------------------------


def test_choosing_a_worker_keeps_what_is_there(tmp_path: Path) -> None:
    paths = site(tmp_path, loop__sh=LOOP)
    configure(paths, "[coordinator]\nmax_prds = 7\n[worker]\nmax_attempts = 5\n")
    choose_worker(paths, command=["./loop.sh", "--fast"])
    command = ["./loop.sh", "--fast", "{prd_json}"]
    assert local(paths) == {
        "coordinator": {"max_prds": 7},
        "worker": {"max_attempts": 5, "command": command},
    }
    choose_worker(paths, agent="offline")
    assert local(paths)["worker"] == {"max_attempts": 5, "command": [], "agent": "offline"}
    assert survey(paths).worker == "offline"
    choose_worker(paths, command=command)
    assert survey(paths).worker == "./loop.sh --fast {prd_json}"
    assert ".claude-loop/" in (paths.common / "info" / "exclude").read_text()


@pytest.mark.parametrize("weaker", ['preset = "ralph"', 'command = ["sh", "theirs.sh"]'])
def test_a_choice_hides_what_weaker_layers_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weaker: str
) -> None:
    own = tmp_path / "xdg" / "prd-tui" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f"[worker]\n{weaker}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    paths = site(tmp_path)
    choose_worker(paths, agent="offline")
    assert (survey(paths).worker, survey(paths).worker_problem) == ("offline", "")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"agent": "claude"}, "not on PATH"),
        ({"agent": "clade"}, "did you mean claude?"),
        ({"command": []}, "is empty"),
        ({"command": [" "]}, "is empty"),
        ({"command": ["./gone.sh"]}, "does not exist"),
        ({"command": ["./README.md"]}, "not executable"),
    ],
)
def test_workers_that_cannot_be_chosen(tmp_path: Path, wanted: dict[str, Any], says: str) -> None:
    paths = site(tmp_path)
    with pytest.raises(PrdTuiError, match=says):
        choose_worker(paths, **wanted)
    assert not paths.local_config.exists()


@pytest.mark.parametrize("word", ["{prd_json}", "--prd={prd_json}", "{prd_dir}", "{prd_id}"])
def test_a_command_that_names_the_prd_stays_as_it_is(tmp_path: Path, word: str) -> None:
    assert complete_command(site(tmp_path), ["sh", word]) == ["sh", word]


# -- the folder ------------------------------------------------------------------------------------------


def test_making_the_folder(tmp_path: Path) -> None:
    paths = site(tmp_path)
    for _ in range(2):
        make_prd_folder(paths)
        assert survey(paths).has_prd_folder
    assert (paths.common / "info" / "exclude").read_text().count("/.claude-loop/") == 1
    paths.active.rmdir()
    paths.active.parent.rmdir()
    paths.active.parent.write_text("in the way")
    with pytest.raises(PrdTuiError, match="cannot be made"):
        make_prd_folder(paths)
