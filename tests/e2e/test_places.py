"""Where `prd-tui` is started: whatever surrounds it, it works on the right repository or says why it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.cli import LAUNCHER, completed, environment, make_project, prd_tui, registry
from tests.support.repos import drop_prd, git, make_repo, prd_json
from tests.support.untouched import fingerprint

#: A worker without Python, so that nothing put in Python's way can stop it. It brings its own identity.
SCRIPT = """#!/bin/sh
sed -i 's/"passes": false/"passes": true/' "$1"
echo "$PRD_ID" > "$PRD_ID.txt"
echo left > left-over.txt
git add -- "$PRD_ID.txt"
exec git -c user.name=W -c user.email=w@example.invalid -c commit.gpgsign=false -c core.hooksPath=/dev/null \\
    commit -q -m "did it"
"""
CONFIG = '[worker]\ncommand = ["sh", "work.sh", "{prd_json}"]\n'


def project(tmp_path: Path, files: Mapping[str, str] | None = None) -> Path:
    repo = make_project(tmp_path, config=CONFIG, files={"work.sh": SCRIPT} | dict(files or {}))
    drop_prd(repo, "p")
    return repo


def check_run(repo: Path, place: Path, env: Mapping[str, str] | None = None) -> None:
    """The one PRD completes in `repo`, and both `run` and `status` say so at `place`."""
    done = prd_tui(place, "run", env=env)
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"p"}
    assert git(repo, "diff", "--name-only", "main", "feature/p") == "p.txt"
    shown = prd_tui(place, "status", env=env)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("repo: ")
    assert "feature/p" in shown.stdout


def test_a_repository_with_packages_of_the_same_names(tmp_path: Path) -> None:
    theirs = 'raise SystemExit("the program of the user ran")\n'
    packages = [
        f"{name}/{part}.py"
        for name in ("app", "coordinator", "tests", "styles")
        for part in ("__init__", "cli")
    ]
    modules = ["json.py", "git.py", "psutil.py", "watchfiles.py", "typing.py", "prd_tui.py"]
    repo = project(tmp_path, dict.fromkeys([*packages, *modules], theirs))
    check_run(repo, repo, {"PYTHONPATH": "."})
    drop_prd(repo, "q")
    assert prd_tui(repo, "run", env={"PYTHONPATH": str(repo)}).returncode == 0


def test_a_subdirectory(tmp_path: Path) -> None:
    repo = project(tmp_path, {"docs/deep/page.md": "text\n"})
    check_run(repo, repo / "docs" / "deep")


def test_named_with_c(tmp_path: Path) -> None:
    repo = project(tmp_path, {"docs/page.md": "text\n"})
    done = prd_tui(tmp_path, "-C", "repo", "-C", "docs", "run")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"p"}
    assert "feature/p" in prd_tui(tmp_path, "-Crepo", "status").stdout
    for words in (["-C", "nowhere", "status"], ["-C", "nowhere", "run"], ["-C"]):
        wrong = prd_tui(repo, *words)
        assert wrong.returncode == 2
        assert wrong.stderr.count("\n") == 1


def test_one_of_its_own_worktrees_and_one_of_the_users(tmp_path: Path) -> None:
    repo = project(tmp_path)
    git(repo, "worktree", "add", "-q", "-b", "mine", str(tmp_path / "linked"))
    check_run(repo, tmp_path / "linked")
    assert not (tmp_path / "linked" / ".claude-loop").exists()
    drop_prd(repo, "q")
    done = prd_tui(repo / ".claude-loop" / "worktrees" / "p", "run")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"p", "q"}
    assert not (repo / ".claude-loop" / "worktrees" / "p" / "prds" / "completed").exists()


def test_no_home_and_no_identity(tmp_path: Path) -> None:
    repo = project(tmp_path)
    check_run(repo, repo, {"HOME": "", "USER": "", "LOGNAME": ""})
    assert git(repo, "log", "-1", "--format=%an", "refs/prd/salvage/p/" + salvaged(repo)) == "prd-tui"
    drop_prd(repo, "q")
    env = environment()
    del env["HOME"]
    done = subprocess.run([*LAUNCHER, "run"], cwd=repo, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def salvaged(repo: Path) -> str:
    """The run whose left-overs were kept."""
    return git(repo, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/prd/salvage/p")


def test_variables_that_lead_git_elsewhere(tmp_path: Path) -> None:
    repo = project(tmp_path)
    other = make_repo(tmp_path / "other")
    before = fingerprint(other)
    leaked = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
    }
    check_run(repo, repo, leaked)
    assert fingerprint(other) == before
    assert not (tmp_path / "index").exists()


def test_signing_that_cannot_work_and_hooks_that_must_not_run(tmp_path: Path) -> None:
    repo = project(tmp_path)
    told, hooks = tmp_path / "hook-ran", tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "pre-commit", "post-commit", "reference-transaction"):
        for folder in (hooks, repo / ".git" / "hooks"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(f"#!/bin/sh\necho {name} >> {told}\n")
            (folder / name).chmod(0o755)
    for key, value in (
        ("core.hooksPath", str(hooks)),
        ("commit.gpgsign", "true"),
        ("gpg.program", "/nonexistent/gpg"),
    ):
        git(repo, "config", key, value)
    before = (repo / ".git" / "config").read_bytes()
    check_run(repo, repo)
    # what the worker itself calls would run them too, had it not switched them off
    assert not told.exists(), told.read_text()
    assert (repo / ".git" / "config").read_bytes() == before


def test_a_checkout_on_no_branch_is_refused_before_anything_fails(tmp_path: Path) -> None:
    repo = project(tmp_path)
    git(repo, "switch", "-q", "--detach")
    refused = prd_tui(repo, "run")
    assert refused.returncode == 2
    assert "base_branch" in refused.stderr
    assert not registry(repo)
    assert prd_tui(repo, "config", "set", "coordinator.base_branch", "nowhere").returncode == 0
    assert "nowhere does not exist" in prd_tui(repo, "run").stderr
    assert prd_tui(repo, "config", "set", "coordinator.base_branch", "main").returncode == 0
    assert prd_tui(repo, "run").returncode == 0


COMMANDS = (["run"], ["stop", "--all"], ["hold"], ["add", "x"], ["config"], ["validate"], ["retry", "x"])


def check_refusal(place: Path, says: str, env: Mapping[str, str] | None = None) -> None:
    """Every command refuses `place` with one and the same sentence, and leaves nothing there."""
    before = sorted(path.name for path in place.iterdir())
    for words in COMMANDS:
        refused = prd_tui(place, *words, env=env)
        assert refused.returncode == 2, words
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""
    assert sorted(path.name for path in place.iterdir()) == before


def test_outside_of_a_repository(tmp_path: Path) -> None:
    check_refusal(tmp_path, "is not in a git repository")
    assert prd_tui(tmp_path, "status").returncode == 2


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    check_refusal(tmp_path, "has no commit yet: make a first commit")


def test_a_bare_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare")
    check_refusal(tmp_path, "is a bare repository")


def test_a_git_that_is_too_old_and_none_at_all(tmp_path: Path) -> None:
    repo = project(tmp_path)
    real, old = shutil.which("git"), tmp_path / "bin"
    old.mkdir()
    script = f'#!/bin/sh\ncase "$*" in *version*) echo git version 2.37.9;; *) exec {real} "$@";; esac\n'
    (old / "git").write_text(script)
    (old / "git").chmod(0o755)
    check_refusal(repo, "git 2.37 is too old", {"PATH": f"{old}:{os.environ['PATH']}"})
    missing = prd_tui(repo, "run", env={"PATH": "/nonexistent"})
    assert missing.returncode == 2
    assert "not installed" in missing.stderr


def test_shared_settings_that_run_commands_wait_for_approval(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"work.sh": SCRIPT, "prd-tui.toml": CONFIG})
    drop_prd(repo, "p")
    for _ in range(2):
        refused = prd_tui(repo, "run")
        assert refused.returncode == 2
        assert "prd-tui config approve" in refused.stderr
    assert not (repo / ".claude-loop").exists()
    shown = prd_tui(repo, "config", "approve")
    assert 'worker.command = ["sh", "work.sh", "{prd_json}"]' in shown.stdout
    check_run(repo, repo)
    (repo / "prd-tui.toml").write_text(CONFIG + '[coordinator]\nverify = ["true"]\n')
    drop_prd(repo, "q")
    assert prd_tui(repo, "run").returncode == 2
    assert "coordinator.verify" in prd_tui(repo, "config", "approve").stdout
    assert prd_tui(repo, "run").returncode == 0


def test_inside_a_worker(tmp_path: Path) -> None:
    nested = f"#!/bin/sh\n{' '.join(LAUNCHER)} run > nested.txt 2>&1\necho $? >> nested.txt\nexit 3\n"
    repo = make_project(tmp_path, config=CONFIG, files={"work.sh": nested})
    drop_prd(repo, "p", prd_json(stories=1))
    assert prd_tui(repo, "run").returncode == 1
    said = (repo / ".claude-loop" / "worktrees" / "p" / "nested.txt").read_text().splitlines()
    assert "inside a worker of this repository" in said[0]
    assert said[1:] == ["2"]


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for words in ("run", "status"):
        gone.mkdir()
        script = f"rmdir ../gone && exec {' '.join(LAUNCHER)} {words}"
        done = subprocess.run(
            ["sh", "-c", script], cwd=gone, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1, done.stderr
