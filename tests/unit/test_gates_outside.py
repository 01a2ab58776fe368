"""Which program a gate would run, as far as it can be told, and whose checkout that lies in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gates_outside import outside_gate, program_of


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A main checkout with an environment of its own, and a worktree within it with its own script."""
    main = tmp_path / "shop"
    program(main / ".venv" / "bin" / "pytest")
    (main / ".venv" / "bin" / "python").symlink_to("/usr/bin/env")
    program(main / "tools" / "check.sh")
    worktree = main / ".claude-loop" / "worktrees" / "a"
    program(worktree / "check.sh")
    program(worktree / "sub" / "check.sh")
    return main


def outside(main: Path, command: str, *, path: str | None = None) -> str:
    worktree = main / ".claude-loop" / "worktrees" / "a"
    env = {"PATH": path or f"{main / '.venv' / 'bin'}:/usr/bin:/bin"}
    return outside_gate([command], worktree, [main, worktree, main.parent / "other"], env)


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q",
        "python -m pytest",
        "PYTHONPATH=. X='a b' pytest",
        "env FOO=1 pytest",
        "exec pytest -q",
        "timeout 60 pytest",
        "cd sub && pytest",
        "set -e; cd sub; pytest -q | tail",
        "export FOO=1 && python -m pytest",
        "sh -ec 'cd sub && pytest'",
        "MAIN/tools/check.sh",
        "sh MAIN/tools/check.sh",
        "../../../tools/check.sh",
        "PATH=MAIN/tools:$PATH check.sh",
        "set -e\npytest\n",
    ],
)
def test_programs_of_the_main_checkout_are_found_out(place: Path, command: str) -> None:
    said = outside(place, command.replace("MAIN", str(place)))
    assert f"of the checkout {place};" in said
    assert "worktree.setup" in said
    assert "gates_outside" in said


@pytest.mark.parametrize(
    "command",
    [
        "./check.sh",
        "cd sub && ./check.sh",
        "sh check.sh",
        "true",
        "test -f README.md",
        "nowhere-to-be-found --x",
        "$PYTHON -m pytest",
        "`which pytest`",
        ". MAIN/.venv/bin/activate && pytest",
        "cd $HOME && pytest",
        "PATH=/usr/bin pytest",
        "'unbalanced",
        "",
        "(pytest)",
        "if true; then pytest; fi",
    ],
)
def test_the_worktrees_own_and_what_cannot_be_told_pass(place: Path, command: str) -> None:
    assert outside(place, command.replace("MAIN", str(place))) == ""


def test_a_path_into_the_worktree_that_set_up_has_not_made_yet_cannot_be_told(place: Path) -> None:
    worktree = place / ".claude-loop" / "worktrees" / "a"
    path = f"{worktree / '.venv' / 'bin'}:{place / '.venv' / 'bin'}"
    assert outside(place, "pytest", path=path) == ""
    program(worktree / ".venv" / "bin" / "pytest")
    assert outside(place, "pytest", path=path) == ""
    (worktree / ".venv" / "bin" / "pytest").unlink()
    assert "wrong code" in outside(place, "pytest", path=path)


def test_links_are_followed(place: Path) -> None:
    worktree = place / ".claude-loop" / "worktrees" / "a"
    (worktree / ".venv").symlink_to(place / ".venv")
    assert "wrong code" in outside(place, ".venv/bin/python -m pytest", path="/usr/bin")
    (worktree / "gate").symlink_to(place / "tools" / "check.sh")
    assert "wrong code" in outside(place, "./gate", path="/usr/bin")
    program(worktree / "copied" / "pytest", f"#!{place}/.venv/bin/python -s\n")
    assert "wrong code: it runs .venv/bin/python of" in outside(place, "copied/pytest", path="/usr/bin")
    elsewhere = place.parent / "elsewhere"
    program(elsewhere / "tool")
    (worktree / "tool").symlink_to(elsewhere / "tool")
    assert outside(place, "./tool", path="/usr/bin") == ""


@given(st.text(max_size=60))
def test_no_command_line_is_a_stumbling_block(command: str) -> None:
    found = program_of(command, Path("/nowhere"), {"PATH": os.defpath})
    assert found is None or found.is_absolute()
