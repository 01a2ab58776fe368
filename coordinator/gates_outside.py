"""Whether a gate would run a program of another checkout, and so test code that is not the run's.

An editable install in the main checkout's `.venv` is such a program: it imports the main checkout's code,
wherever it is started. What a command line runs is told as far as it can be told; the rest passes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_SEPARATORS = frozenset({"&&", ";", "||", "|", "&", "|&"})
#: What goes before a program and runs it; `timeout` has a word of its own before the program.
_WRAPPERS = frozenset({"env", "exec", "command", "nice", "nohup", "time", "timeout", "stdbuf", "setsid"})
_SHELLS = frozenset({"sh", "bash", "dash"})
#: What only prepares: the command behind it is the one that counts.
_PREPARING = frozenset({"set", "export", "ulimit", "umask", "true", ":", "echo", "mkdir"})
#: Characters by which a word is not what it seems.
_UNTOLD = frozenset("$`*?[{")


class _Untold(Exception):
    """What the command runs cannot be told."""


def outside_gate(
    commands: Iterable[str], worktree: Path, checkouts: Iterable[Path], env: Mapping[str, str]
) -> str:
    """The first gate whose program lies in another checkout than `worktree`, as a sentence; "" if there is none.

    `checkouts`: every checkout of the repository. `env`: what the gate will see.
    """
    own = Path(os.path.realpath(worktree))
    roots = {own, *(Path(os.path.realpath(root)) for root in checkouts)}
    for command in commands:
        program = program_of(command, worktree, env)
        if program is None:
            continue
        for place in _places(program):
            owner = _owner(place, roots)
            if owner not in (None, own):
                return (
                    f"gate `{command}` would test the wrong code: it runs {place.relative_to(owner)} of the checkout "
                    f"{owner}; make a venv in worktree.setup, or set gates_outside = true"
                )
    return ""


def program_of(command: str, worktree: Path, env: Mapping[str, str]) -> Path | None:
    """The program that a gate runs first of all, its folder's links followed; None where it cannot be told."""
    try:
        return _program(_words(command), worktree, dict(env), worktree)
    except _Untold:
        return None


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        raise _Untold from None


def _program(words: list[str], cwd: Path, env: dict[str, str], worktree: Path) -> Path | None:
    while words:
        end = next((place for place, word in enumerate(words) if word in _SEPARATORS), len(words))
        part, separator, words = words[:end], words[end : end + 1], words[end + 1 :]
        rest = _after_assignments(part, env)
        if not rest:
            continue
        if rest[0] == "cd":
            if len(rest) != 2 or separator not in (["&&"], [";"]):
                raise _Untold
            cwd = cwd / _plain(rest[1])
            continue
        if rest[0] in _PREPARING and words:
            if rest[0] == "export":
                _after_assignments(rest[1:], env)
            continue
        return _found(rest, cwd, env, worktree)
    return None


def _after_assignments(part: list[str], env: dict[str, str]) -> list[str]:
    """What is left behind `NAME=value`, which `env` gets to know, and behind what only runs the program."""
    rest = list(part)
    while rest:
        if found := _ASSIGNMENT.fullmatch(rest[0]):
            if found[1] == "PATH":
                env["PATH"] = _plain(re.sub(r"\$(PATH\b|\{PATH\})", lambda _: env.get("PATH", ""), found[2]))
            rest = rest[1:]
        elif rest[0] in _WRAPPERS and len(rest) > 1:
            operands = 1 if rest[0] == "timeout" else 0
            rest = rest[1:]
            while rest and rest[0].startswith("-"):
                if "=" not in rest[0] and rest[0] not in ("-i", "-", "--", "-p"):
                    raise _Untold  # an option that may have a word of its own
                rest = rest[1:]
            rest = rest[operands:]
        else:
            break
    return rest


def _found(words: list[str], cwd: Path, env: dict[str, str], worktree: Path) -> Path | None:
    word = _plain(words[0])
    if Path(word).name in _SHELLS and "/" not in word:
        if len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
            return _program(_words(words[2]), cwd, env, worktree)
        if len(words) > 1 and not words[1].startswith("-"):
            return _real(cwd / _plain(words[1]))
    if "/" in word:
        return _real(cwd / word)
    folders = [cwd / folder for folder in env.get("PATH", os.defpath).split(os.pathsep)]
    for folder in folders:
        if not folder.is_dir() and folder.is_relative_to(worktree):
            return None  # set-up makes it, and perhaps the program in it
        if found := shutil.which(word, path=str(folder)):
            return _real(Path(found))
    return None


def _plain(word: str) -> str:
    if _UNTOLD.intersection(word):
        raise _Untold
    return os.path.expanduser(word)  # noqa: PTH111 - Path("~") would need the rest of the word to be a path


def _real(program: Path) -> Path:
    """With its folder's links followed: a venv's `python` is itself a link to one outside of any checkout."""
    return Path(os.path.realpath(program.parent)) / program.name


def _places(program: Path) -> Iterator[Path]:
    """Where the program lies: by its name, behind its links, and what a script of this kind is run by.

    A venv that was copied runs the Python of the one it was copied from.
    """
    yield program
    yield Path(os.path.realpath(program))
    try:
        with program.open("rb") as file:
            first = file.readline(1000)
    except OSError:
        return
    if first.startswith(b"#!") and (words := first[2:].split()):
        yield _real(Path(os.fsdecode(words[0])))


def _owner(program: Path, roots: Iterable[Path]) -> Path | None:
    """The checkout that the program lies in: worktrees may lie within the main one."""
    holding = [root for root in roots if program.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=None)
