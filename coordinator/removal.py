"""Proofs that a worktree may go: all in it is kept elsewhere, and nobody is at work in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from coordinator.errors import GitError
from coordinator.git import Git
from coordinator.proctable import read_process
from coordinator.salvage import Salvage, set_aside
from coordinator.snapshot import take
from coordinator.worktree_entries import pointer

if TYPE_CHECKING:
    from coordinator.worktrees import Entry

_GOING = ".going-"
_LEFT_OVER = re.compile(r"\..+\.going-.+-(\d+)")
#: How git begins what it notes of a commit that it made. Those of a rebase take each other's place.
_MADE = re.compile(r"(commit|cherry-pick|revert|am|merge|pull)\b(?!.*: Fast-forward)(?! --rebase)")


def why_it_stays(git: Git, entry: Entry, kept: Collection[str] = ()) -> str:
    """Why the worktree must not go, a sentence; empty if it may once its uncommitted work is set aside.

    Commits that one of the refs `kept` holds are in no danger. Raises GitError where git cannot tell.
    """
    path = entry.path
    if entry.run_id is None:
        return f"{path} is not a worktree of prd-tui's: remove it with `git worktree remove`"
    if entry.head is None:
        return f"{path} has no commit checked out: switch to a branch there"
    if loose := loose_commits(git, entry, kept):
        return f"{path} has commits on no branch: `git branch NAME {loose[0]}` gives them one"
    if not path.exists():
        return ""
    if inner := _worktree_inside(git, path):
        return f"{inner} is a worktree in {path}: `git worktree move` it elsewhere first"
    if nested := _nested(git, path):
        return f"{path} holds a repository of its own ({nested}): move that elsewhere first"
    if (modules := git.own_directory(path) / "modules").is_dir() and any(modules.iterdir()):
        return (
            f"{path} has submodules, whose commits no branch here holds: push them, run "
            f"`git submodule deinit -f --all` there and delete {modules}"
        )
    if somebody := next(_at_work_in(path), ""):
        return f"{somebody} is at work in {path}: let it end, or leave that folder"
    return ""


def loose_commits(git: Git, entry: Entry, kept: Collection[str] = ()) -> list[str]:
    """Commits made in the worktree that no branch, no tag and no ref of `kept` holds, the newest first.

    Those that an amended one took the place of, and those that a branch had in the past, do not count.
    """
    made = {entry.head} if entry.head else set()
    own = directory_of(git, entry.path)
    if own is not None:
        made |= _committed_there(own)
    if not made:
        return []
    refs = [ref for ref in kept if git.head_commit(ref) is not None]
    args = ("rev-list", "--ignore-missing", "--stdin", "--not", "--branches", "--tags", *refs)
    reached = git.run(*args, input="".join(f"{commit}\n" for commit in sorted(made)).encode()).text.split()
    loose = [commit for commit in reached if commit in made]
    if loose and loose != [entry.head]:
        past = set(git.run("log", "-g", "-z", "--format=%H", "--branches", "--", check=False).fields())
        loose = [commit for commit in loose if commit == entry.head or commit not in past]
    return loose


def directory_of(git: Git, path: Path) -> Path | None:
    """Where git keeps what belongs to the worktree at `path`, looked up from the repository's side."""
    for entry in git.paths.common.glob("worktrees/*"):
        with contextlib.suppress(OSError):
            if _link_of(entry) == path / ".git":
                return entry
    return None


def set_all_aside(git: Git, path: Path, prd_id: str, run_id: str) -> Salvage | None:
    """As `set_aside`, for a worktree that goes: with changes that git was told not to look for.

    Raises GitError.
    """
    listed = git.run("ls-files", "-v", "-z", cwd=path, check=False).fields()  # none of a damaged index
    hidden = [
        name
        for tag, _, name in (field.partition(" ") for field in listed)
        if (tag.islower() or tag == "S") and os.path.lexists(path / name)
    ]
    if hidden:
        names = b"".join(os.fsencode(name) + b"\0" for name in hidden)
        for flag in ("--no-assume-unchanged", "--no-skip-worktree"):
            git.run("update-index", flag, "-z", "--stdin", cwd=path, input=names)
    return set_aside(git, path, prd_id, run_id)


def place_to_go(path: Path, run_id: str) -> Path:
    """Where a worktree is moved before it is deleted: beside it, under a name that no PRD can have."""
    return path.with_name(f".{path.name}{_GOING}{run_id}-{os.getpid()}")


def left_overs(root: Path) -> list[Path]:
    """What processes that are gone did not come to delete, of worktrees that have gone from under `root`."""
    return sorted(
        path
        for path in root.glob(f".*{_GOING}*")
        if (name := _LEFT_OVER.fullmatch(path.name))
        and path.is_dir()
        and not path.is_symlink()
        and not Path("/proc", name[1]).exists()
    )


def erase(directory: Path) -> None:
    """Removes a directory with all in it, folders closed even to their owner too, following no link."""
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
    for folder, names, _ in os.walk(directory):
        for place in (Path(folder) / name for name in names):
            if not place.is_symlink():
                with contextlib.suppress(OSError):
                    place.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _committed_there(own: Path) -> set[str]:
    """Commits that the log of the worktree's HEAD says were made in it, less those amended since."""
    made: set[str] = set()
    amended: set[str] = set()
    with contextlib.suppress(OSError):
        for line in (own / "logs" / "HEAD").read_text(errors="replace").splitlines():
            ids, _, deed = line.partition("\t")
            old, new = [*ids.split(" ", 2), "", ""][:2]
            if _MADE.match(deed):
                made.add(new)
            if deed.startswith("commit (amend)"):
                amended.add(old)
    return made - amended


def _link_of(entry: Path) -> Path:
    """The `.git` file of a worktree that its entry names, be it as seen from there. Raises OSError."""
    return Path(os.path.normpath(entry / pointer(entry / "gitdir")))


def _worktree_inside(git: Git, path: Path) -> Path | None:
    """Another worktree that lies in it, be it in a folder that git ignores: somebody's, with work of its own."""
    for entry in git.paths.common.glob("worktrees/*"):
        with contextlib.suppress(OSError):
            inner = _link_of(entry).parent
            if path in inner.parents and inner.exists():
                return inner
    return None


def _nested(git: Git, path: Path) -> str:
    """A repository inside the worktree, whose content no salvage would hold; empty if there is none."""
    with git.scratch() as scratch:
        nested = take(git, path, scratch).nested
    if nested:
        return nested[0]
    return ""


def _at_work_in(path: Path) -> Iterator[str]:
    """Living processes with their working directory in the worktree, such as a person's shell; ours apart."""
    top = os.path.realpath(path)
    ours = os.getpid()
    for entry in os.listdir("/proc"):  # noqa: PTH208 - hot path
        if not entry.isdigit() or int(entry) == ours:
            continue
        try:
            where = os.readlink(f"/proc/{entry}/cwd")  # noqa: PTH115 - a deleted directory is no path
        except OSError:
            continue  # it ended, or is another user's
        if where != top and not where.startswith(f"{top}/"):
            continue
        process = read_process(entry)
        if process is not None and not process.dead and process.ppid != ours:
            yield f"{process.name.decode(errors='replace')} ({process.pid})"


def require_gone(path: Path) -> None:
    """Raises GitError while anything is left there."""
    if os.path.lexists(path):
        raise left_behind(path)


def left_behind(path: Path) -> GitError:
    """What a person reads where something cannot be removed."""
    return GitError(f"{path} cannot be removed completely: see whose files are in it and remove them by hand")
