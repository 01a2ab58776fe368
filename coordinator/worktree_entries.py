"""Entries in git's list of worktrees: the files that link them, and those that a `git worktree add` left half-made."""

from __future__ import annotations

import os
from pathlib import Path

from coordinator.files import write_atomic

#: What git writes there: from `<common dir>/worktrees/<name>` to the common dir.
_COMMON_DIR = b"../..\n"


def pointer(path: Path) -> str:
    """The path in a file of one line. Raises OSError, also for what is no plain file: a worker may plant anything."""
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path} is no plain file")
    with path.open("rb") as file:
        found = os.fsdecode(file.read(8192)).rstrip("\n")
    if "\0" in found:
        raise OSError(f"{path} names no path")
    return found


def entry_of(worktree: Path) -> Path:
    """Where git keeps what belongs to a worktree, by the worktree's own `.git`. Raises OSError, as `pointer`."""
    return worktree / pointer(worktree / ".git").removeprefix("gitdir: ")


def is_placed(entry: Path) -> bool:
    """Whether git knows where the worktree of an entry is; no command lists one of which it does not."""
    try:
        return (entry / "gitdir").stat().st_size > 0
    except FileNotFoundError:
        return False


def mend_entries(common: Path) -> None:
    """Writes the rest of every `commondir` that is empty, whoever's it is; raises StateError or OSError.

    With such a one git can neither list, add nor remove worktrees any more, in the whole repository. Nothing is
    lost by it: git itself would have written the same.
    """
    for file in common.glob("worktrees/*/commondir"):
        if file.is_file() and file.stat().st_size == 0:
            write_atomic(file, _COMMON_DIR)
