"""Setting uncommitted work aside, and putting it back: nothing is thrown away, nothing enters the branch."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coordinator import faultpoints
from coordinator.errors import GitError
from coordinator.git import Git
from coordinator.git_locks import clear_index_lock
from coordinator.snapshot import (
    GITLINK,
    GONE,
    Snapshot,
    differences,
    entries_of,
    index_environment,
    is_litter,
    take,
)

#: Commits that git keeps only in these files while a merge, pick or rebase is under way.
_PENDING = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD")
_AUTOSTASHES = ("MERGE_AUTOSTASH", "rebase-merge/autostash", "rebase-apply/autostash")
_INTERRUPTED = (
    *_PENDING,
    *("MERGE_AUTOSTASH", "MERGE_MSG", "MERGE_MODE", "MERGE_RR", "SQUASH_MSG", "AUTO_MERGE"),
    *("rebase-merge", "rebase-apply", "sequencer"),
)


@dataclass(frozen=True)
class Salvage:
    """Work set aside: `commit`, kept by `ref`, is its first parent with the worktree's changes on top."""

    ref: str
    commit: str


def salvage_ref(prd_id: str, run_id: str) -> str:
    return f"refs/prd/salvage/{prd_id}/{run_id}"


def set_aside(git: Git, worktree: Path, prd_id: str, run_id: str) -> Salvage | None:
    """Commits everything uncommitted to the run's salvage ref; None if there is nothing.

    Uncommitted are tracked, staged and untracked files, but not `prds/`, worker state and ignored files. The
    worktree, its index and its branch stay as they are. What the ref holds already is not committed
    again; what it held before becomes a parent. Raises GitError.
    """
    ref = salvage_ref(prd_id, run_id)
    with git.scratch() as scratch:
        now = take(git, worktree, scratch)
    own = git.own_directory(worktree)
    stashed = _commits(git, own, _AUTOSTASHES)
    if not now.changes and now.staged is None and not stashed:
        return None
    before = held(git, prd_id, run_id)
    if (
        before is not None
        and not _missing(git, now, before)
        and all(git.is_ancestor(commit, before.commit) for commit in stashed)
    ):
        return before
    staged = [] if now.staged is None else [_commit(git, now.staged, [now.head], f"Staged by {prd_id}")]
    older = [] if before is None else [before.commit]
    parents = [now.head, *staged, *_commits(git, own, _PENDING), *stashed, *older]
    commit = _commit(git, now.tree, parents, f"Uncommitted work of {prd_id}, run {run_id}")
    expected = "0" * len(commit) if before is None else before.commit
    git.run("update-ref", ref, commit, expected)
    faultpoints.reach("set-aside")
    return Salvage(ref, commit)


def held(git: Git, prd_id: str, run_id: str) -> Salvage | None:
    """What has been set aside for the run before; None if nothing was."""
    ref = salvage_ref(prd_id, run_id)
    commit = git.head_commit(ref)
    return None if commit is None else Salvage(ref, commit)


def salvaged_paths(git: Git, salvage: Salvage) -> list[str]:
    return git.changed_paths(f"{salvage.commit}^1", salvage.commit)


def clean(git: Git, worktree: Path, salvage: Salvage | None) -> tuple[str, ...]:
    """Brings the worktree to its HEAD, `prds/`, worker state and ignored files apart.

    Every byte that goes is proved to be in `salvage` first, else GitError is raised and nothing changes. Can
    be repeated. Returns the paths that were left: repositories inside the worktree, and what they block.
    """
    own = git.own_directory(worktree)
    with git.scratch() as scratch:
        now = take(git, worktree, scratch)
    missing = _missing(git, now, salvage)
    if missing:
        raise GitError(f"{missing[0]} in {worktree} has changed since it was set aside: set it aside again")
    clear_index_lock(own, worktree)
    if now.pristine:
        _forget_interrupted(own)
        return ()
    _reset_index(git, own, worktree, now.head)
    for path in _untracked(git, worktree):
        if path in now.changes:
            _remove_file(worktree, path)
    differing = _differing(git, worktree)
    blocked = {path for path in differing if not _has_room(worktree, path)}
    _write_files(git, worktree, sorted(differing - blocked))
    _forget_interrupted(own)
    return (*now.nested, *sorted(blocked))


def put_back(git: Git, worktree: Path, salvage: Salvage) -> tuple[str, ...]:
    """Makes the set-aside paths what they were, as uncommitted changes; the index stays as it is.

    Can be repeated. Returns the paths left alone: those that have changed otherwise since, by
    commits too, and submodules.
    """
    with git.scratch() as scratch:
        now = take(git, worktree, scratch)
        base = f"{salvage.commit}^1"
        wanted = differences(git, base, salvage.commit)
        moved_on = differences(git, base, now.head)
        state = entries_of(git, now.head) | dict(now.changes)
        gone = (GONE, "0" * len(now.head))
        todo = {path: entry for path, entry in wanted.items() if state.get(path, gone) != entry}
        left = {
            path
            for path, entry in todo.items()
            if path in now.changes or path in moved_on or entry[0] == GITLINK
        }
        for path, entry in todo.items():
            if path not in left and entry[0] == GONE:
                _remove_file(worktree, path)
        present = {path for path, entry in todo.items() if path not in left and entry[0] != GONE}
        blocked = {path for path in present if not _has_room(worktree, path)}
        env = index_environment(scratch / "salvage")
        git.run("read-tree", salvage.commit, cwd=worktree, env=env)
        _write_files(git, worktree, sorted(present - blocked), env)
    return tuple(sorted(left | blocked))


def _missing(git: Git, now: Snapshot, salvage: Salvage | None) -> list[str]:
    """Changes of `now` that `salvage` does not hold."""
    tree = {} if salvage is None else entries_of(git, salvage.commit)
    staged = None
    if salvage is not None and now.staged is not None and git.head_commit(f"{salvage.commit}^2") is not None:
        staged = git.tree_of(f"{salvage.commit}^2")
    missing = [
        path
        for path, entry in now.changes.items()
        if salvage is None or (tree.get(path) != entry and not (entry[0] == GONE and path not in tree))
    ]
    return missing if now.staged == staged else [*missing, "the index"]


def _commit(git: Git, tree: str, parents: Iterable[str], message: str) -> str:
    args = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
    return git.run("commit-tree", tree, *args, "-m", message, env=git.identity()).text


def _commits(git: Git, own: Path, names: Iterable[str]) -> list[str]:
    """The commits that files of a merge, pick or rebase under way name."""
    words: list[str] = []
    for name in names:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            words += (own / name).read_text("ascii").split()
    return [commit for word in words if (commit := git.head_commit(word)) is not None]


def _forget_interrupted(own: Path) -> None:
    """Ends a merge, pick or rebase by hand: git itself would put an autostash onto the user's stash list."""
    for name in _INTERRUPTED:
        state = own / name
        if state.is_dir():
            shutil.rmtree(state)
        else:
            state.unlink(missing_ok=True)


def _reset_index(git: Git, own: Path, worktree: Path, head: str) -> None:
    reset = ("read-tree", "--reset", head)
    if git.run(*reset, cwd=worktree, check=False).returncode != 0:
        (own / "index").unlink(missing_ok=True)  # a damaged one; it holds nothing that is not set aside
        git.run(*reset, cwd=worktree)
    git.run("update-index", "-q", "--refresh", cwd=worktree, check=False)


def _untracked(git: Git, worktree: Path) -> list[str]:
    paths = git.run("ls-files", "-z", "--others", "--exclude-standard", cwd=worktree).fields()
    return [path for path in paths if not path.endswith("/") and not is_litter(path)]


def _differing(git: Git, worktree: Path) -> set[str]:
    """Files that are not what the index says; submodules and `prds/` apart."""
    fields = git.run("diff-files", "-z", "--ignore-submodules=all", cwd=worktree).fields()
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {path for raw, path in pairs if not is_litter(path) and raw[1:7] != GITLINK}


def _write_files(
    git: Git, worktree: Path, paths: Collection[str], env: Mapping[str, str] | None = None
) -> None:
    if paths:
        data = b"".join(os.fsencode(path) + b"\0" for path in paths)
        git.run("checkout-index", "-f", "-u", "-z", "--stdin", cwd=worktree, env=env, input=data)


def _remove_file(worktree: Path, path: str) -> None:
    """Removes a file, and the folders that it leaves empty."""
    place = worktree / path
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        place.unlink()
    with contextlib.suppress(OSError):  # not empty: somebody's
        for folder in place.parents:
            if folder == worktree:
                break
            folder.rmdir()


def _has_room(worktree: Path, path: str) -> bool:
    """Whether a file can be written there without removing anything but empty folders."""
    for parent in list((worktree / path).parents)[::-1]:
        if parent == worktree or not parent.is_relative_to(worktree):
            continue
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            return False
    place = worktree / path
    if place.is_dir() and not place.is_symlink():
        with contextlib.suppress(OSError):
            for folder, _, _ in os.walk(place, topdown=False):
                Path(folder).rmdir()
        return not place.exists()
    return True
