"""`prd-tui init` as a person meets it: on a terminal, and in a script."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import LAUNCHER, completed, make_project, prd_tui
from tests.support.repos import drop_prd, git, make_repo, prd_json
from tests.support.terminal import Terminal
from tests.support.untouched import fingerprint
from tests.support.workers import LOOP


def project(tmp_path: Path, files: Mapping[str, str] | None = None) -> Path:
    return make_repo(tmp_path / "repo", {"README.md": "# shop\n"} | dict(files or {}))


def settings(repo: Path) -> dict[str, Any]:
    path = repo / ".claude-loop" / "config.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


# -- on a terminal ---------------------------------------------------------------------------------------


def test_choosing_a_script_and_running_it(tmp_path: Path) -> None:
    repo = project(tmp_path, {"loop.py": LOOP, "ralph.sh": "#!/bin/sh\n"})
    drop_prd(repo, "login")
    before = fingerprint(repo)
    with Terminal(repo, [*LAUNCHER, "init"]) as person:
        person.until("Number, 1 to ")
        for bad in ("9\r", "x\r", "0\r", "-1\r", "²\r"):
            person.write(bad)
            person.until("is none of these")
            person.until("Number, 1 to ")
        person.write("\r")
        assert person.wait_exit() == 0
    assert re.search(r"1 +\./loop\.py +your loop script", person.written)
    assert re.search(r"- +\./ralph\.sh +not supported yet", person.written)
    assert "worker  ./loop.py {prd_json}" in person.written
    assert "PRDs    prds/active: login" in person.written
    assert settings(repo) == {
        "coordinator": {"base_branch": "main"},
        "worker": {"command": ["./loop.py", "{prd_json}"]},
    }
    assert fingerprint(repo) == before
    assert not (repo / ".claude-loop" / "coordinator").exists(), "nothing was started"
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"login"}


def test_typing_a_command(tmp_path: Path) -> None:
    repo = project(tmp_path, {"my script.sh": "#!/bin/sh\n"})
    with Terminal(repo, [*LAUNCHER, "init"]) as person:
        person.until("Number, 1 to 2")
        person.write("2\r")
        for bad, says in (
            ("\r", "is empty"),
            ("./gone.sh\r", "does not exist"),
            ("'./my\r", "close its quotes"),
        ):
            person.until("Command line")
            person.write(bad)
            person.until(says)
        person.until("Command line")
        person.write("'./my script.sh' --fast\r")
        assert person.wait_exit() == 0
    assert settings(repo)["worker"]["command"] == ["./my script.sh", "--fast", "{prd_json}"]
    assert (repo / "prds" / "active").is_dir()


def test_asking_for_the_base_only_where_it_is_unclear(tmp_path: Path) -> None:
    repo = project(tmp_path)
    git(repo, "switch", "-q", "-c", "try-it")
    with Terminal(repo, [*LAUNCHER, "init"]) as person:
        person.until("Number, 1 to ")
        person.write("1\r")
        person.until("The checkout is on try-it.")
        person.until("[try-it]: ")
        person.write("nowhere\r")
        person.until("There is no branch nowhere; there are main, try-it.")
        person.until("[try-it]: ")
        person.write("main\r")
        assert person.wait_exit() == 0
    assert settings(repo) == {"coordinator": {"base_branch": "main"}, "worker": {"agent": "offline"}}


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)])
def test_giving_up_changes_nothing(tmp_path: Path, key: str, code: int) -> None:
    repo = project(tmp_path)
    git(repo, "switch", "-q", "--detach")
    before, exclude = fingerprint(repo), (repo / ".git/info/exclude").read_text()
    with Terminal(repo, [*LAUNCHER, "init"]) as person:
        person.until("Number, 1 to ")
        person.write("1\r")
        person.until("The checkout is on no branch")
        person.until("[main]: ")
        person.write(key)
        assert person.wait_exit() == code
    assert "Nothing was changed" in person.written
    assert "Traceback" not in person.written
    assert fingerprint(repo) == before
    assert (repo / ".git/info/exclude").read_text() == exclude
    assert not (repo / ".claude-loop").exists()
    assert not (repo / "prds").exists()


# -- without a terminal ----------------------------------------------------------------------------------


def test_options_instead_of_questions(tmp_path: Path) -> None:
    repo = project(tmp_path, {"loop.sh": "#!/bin/sh\n"})
    open_question = prd_tui(repo, "init")
    assert open_question.returncode == 2
    assert "--agent NAME or --worker COMMAND" in open_question.stderr
    assert not (repo / ".claude-loop").exists()
    done = prd_tui(repo, "init", "--agent", "offline")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert settings(repo)["worker"] == {"agent": "offline"}
    again = prd_tui(repo, "init")
    assert again.returncode == 0
    assert "worker  offline  (as before)" in again.stdout
    assert "base    main  (as before)" in again.stdout
    for words in (["sh", "loop.sh", "--fast"], ["sh loop.sh --fast"]):
        assert prd_tui(repo, "init", "--worker", *words).returncode == 0
        assert settings(repo)["worker"]["command"] == ["sh", "loop.sh", "--fast", "{prd_json}"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--agent", "clade"], "There is no agent clade"),
        (["--agent", ""], "There is no agent"),
        (["--agent", "offline", "--base", "nowhere"], "There is no branch 'nowhere'"),
        (["--worker"], "is empty"),
        (["--worker", "./gone.sh"], "does not exist"),
        (["--worker", "sh 'x"], "close its quotes"),
        (["--agent", "offline", "--worker", "sh"], "not allowed with"),
        (["--frob"], "init does not take --frob"),
    ],
)
def test_wrong_options(tmp_path: Path, words: list[str], says: str) -> None:
    repo = project(tmp_path)
    done = prd_tui(repo, "init", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (repo / ".claude-loop").exists()
    assert not (repo / "prds").exists()


def test_a_detached_checkout_needs_a_base(tmp_path: Path) -> None:
    repo = project(tmp_path)
    git(repo, "switch", "-q", "--detach")
    done = prd_tui(repo, "init", "--agent", "offline")
    assert done.returncode == 2
    assert "--base BRANCH" in done.stderr
    assert prd_tui(repo, "init", "--agent", "offline", "--base", "main").returncode == 0
    assert settings(repo)["coordinator"]["base_branch"] == "main"


def test_what_others_have_set_is_said_and_not_written_again(tmp_path: Path) -> None:
    shared = '[worker]\ncommand = ["sh", "x.sh"]\n[coordinator]\nbase_branch = "main"\n'
    repo = project(tmp_path, {"prd-tui.toml": shared})
    waiting = prd_tui(repo, "init")
    assert waiting.returncode == 0, waiting.stderr
    assert "prd-tui config approve" in waiting.stdout
    assert settings(repo) == {}
    assert prd_tui(repo, "config", "approve").returncode == 0
    done = prd_tui(repo, "init")
    assert "worker  sh x.sh  (as before)" in done.stdout
    assert settings(repo) == {}


def test_broken_settings_are_mended_by_hand(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config="[worker\n")
    done = prd_tui(repo, "init", "--agent", "offline")
    assert done.returncode == 2
    assert ".claude-loop/config.toml is not valid TOML" in done.stderr


def test_where_it_refuses(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "empty")
    git(tmp_path, "init", "-q", "--bare", "bare")
    for place, says in (
        ("empty", "no commit yet"),
        ("bare", "bare repository"),
        (".", "not in a git repository"),
    ):
        refused = prd_tui(tmp_path / place, "init", "--agent", "offline")
        assert refused.returncode == 2
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_inside_a_worker(tmp_path: Path) -> None:
    nested = f"#!/bin/sh\n{' '.join(LAUNCHER)} init --agent offline > nested.txt 2>&1\necho $? >> nested.txt\nexit 3\n"
    repo = make_project(
        tmp_path, config='[worker]\ncommand = ["sh", "work.sh", "{prd_json}"]\n', files={"work.sh": nested}
    )
    drop_prd(repo, "p", prd_json(stories=1))
    assert prd_tui(repo, "run").returncode == 1
    said = (repo / ".claude-loop" / "worktrees" / "p" / "nested.txt").read_text().splitlines()
    assert "inside a worker of this repository" in said[0]
    assert said[1:] == ["2"]
