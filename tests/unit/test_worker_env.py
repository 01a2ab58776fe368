"""What a worker is told, and how its program is found."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from coordinator.model import Run
from coordinator.worker_env import PORT_BASE, NoWorker, Place, find_program, worker_port
from tests.support.repos import make_repo

RUN = Run("p", "r1", 1, "/w/p", "feature/p", "feature/p", "main", "0" * 40, "/runs", "/log")
PLACE = Place(RUN, slot=2, port=21020)


def test_placeholders_are_filled_and_other_braces_stay() -> None:
    assert PLACE.fill("{prd_json}") == "/w/p/prds/active/p/prd.json"
    assert PLACE.fill("--dir={prd_dir} {worktree} {slot}/{port}") == "--dir=/w/p/prds/active/p /w/p 2/21020"
    assert PLACE.fill('{"json": {unknown}} ${HOME}') == '{"json": {unknown}} ${HOME}'


def test_a_value_with_braces_is_not_filled_again() -> None:
    odd = Place(Run(**{**RUN.__dict__, "branch": "feature/{slot}"}), 2, 21020)
    assert odd.fill("{branch}") == "feature/{slot}"


def test_the_environment_is_the_persons_less_what_misleads_git() -> None:
    env = PLACE.env(
        {"GIT_DIR": "/elsewhere", "API_KEY": "k", "PAGER": "less"}, {"GIT_DIR"}, {"PORT": "{port}"}
    )
    assert "GIT_DIR" not in env
    assert env["API_KEY"] == "k"
    assert (env["PAGER"], env["GIT_TERMINAL_PROMPT"], env["GIT_EDITOR"]) == ("cat", "0", "true")
    assert (env["PRD_ID"], env["PRD_RUN_ID"], env["PRD_SLOT"], env["PORT"]) == ("p", "r1", "2", "21020")


def test_git_does_not_climb_from_a_worktree_without_its_link_to_the_checkout(tmp_path: Path) -> None:
    worktree = make_repo(tmp_path / "repo") / "worktrees" / "p"
    (worktree / "deep").mkdir(parents=True)
    place = Place(Run(**{**RUN.__dict__, "worktree": str(worktree)}), 2, 21020)
    env = place.env({**os.environ, "GIT_CEILING_DIRECTORIES": "/theirs"}, (), {})
    assert env["GIT_CEILING_DIRECTORIES"].endswith(":/theirs")
    for where in (worktree, worktree / "deep"):
        words = ["git", "rev-parse", "--git-dir"]
        assert subprocess.run(words, cwd=where, env=env, check=False, capture_output=True).returncode == 128


def test_slots_have_ports_of_their_own() -> None:
    ports = [worker_port(slot) for slot in (1, 2, 3)]
    assert len({port // 10 for port in ports}) == 3
    assert all(PORT_BASE < port < 32768 for port in ports)


def test_the_worktrees_program_comes_before_the_checkouts(tmp_path: Path) -> None:
    worktree, root = tmp_path / "w", tmp_path / "r"
    for folder in (worktree, root):
        folder.mkdir()
        (folder / "loop.sh").write_text("#!/bin/sh\n")
        (folder / "loop.sh").chmod(0o755)
    assert find_program("./loop.sh", worktree, root, None) == str(worktree / "loop.sh")
    (worktree / "loop.sh").unlink()
    assert find_program("./loop.sh", worktree, root, None) == str(root / "loop.sh")
    (root / "loop.sh").chmod(0o644)
    with pytest.raises(NoWorker, match="chmod"):
        find_program("./loop.sh", worktree, root, None)
    with pytest.raises(NoWorker, match="does not exist"):
        find_program("./nothing.sh", worktree, root, None)
    with pytest.raises(NoWorker, match="PATH"):
        find_program("no-such-program", worktree, root, "/nonexistent")
    assert find_program("sh", worktree, root, "/bin") == "/bin/sh"
