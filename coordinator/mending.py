"""A worktree that its worker broke: mended where that is sure, else moved aside whole, so that a retry goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path

from coordinator.errors import GitError
from coordinator.files import write_atomic
from coordinator.folders import free_name
from coordinator.git import Git
from coordinator.moved import belongs_elsewhere
from coordinator.removal import directory_of, loose_commits
from coordinator.worktrees import Entry, Worktrees


def mend(git: Git, worktrees: Worktrees, prd_id: str, run_id: str) -> str | None:
    """Sees to it that the worktree of `prd_id`, last used by `run_id`, is sound or out of the way.

    A `.git` that is gone is written anew. Anything else, such as a repository of its own there or a branch
    that is gone, is left to a person: the folder is renamed to `<ID>~<run-id>`, its last commit kept by a
    ref. Returns a sentence on what was done; None where nothing had to be. Raises GitError, OSError.
    """
    path = worktrees.path_for(prd_id)
    if not path.exists() or _is_sound(git, path):
        return None
    if belongs_elsewhere(path, git.paths.common):
        raise GitError(f"{path} is a worktree of another repository: set worktree.root elsewhere")
    with git.locked():
        own = directory_of(git, path)
        if own is not None and not (path / ".git").exists():
            write_atomic(path / ".git", f"gitdir: {own}\n".encode())
            if _is_sound(git, path):
                return f"the .git file of {path} was gone and was written anew"
        kept = _keep_last_commit(git, own, prd_id, run_id) if own else ""
        _keep_others(git, worktrees.entry(path), f"refs/prd/salvage/{prd_id}/{run_id}-head")
        aside = free_name(path.with_name(f"{path.name}~{run_id}"))  # a name that no PRD can have
        path.rename(aside)
        worktrees.forget(path)
    return f"{path} was no sound worktree any more and was moved to {aside}{kept}"


def _is_sound(git: Git, path: Path) -> bool:
    try:
        git.own_directory(path)
    except GitError:
        return False
    return git.head_commit("HEAD", cwd=path) is not None


def _keep_last_commit(git: Git, own: Path, prd_id: str, run_id: str) -> str:
    """Its HEAD's log goes with the worktree, and may be all that still names the commits of a deleted branch."""
    words: list[str] = []
    with contextlib.suppress(OSError):
        for line in (own / "logs" / "HEAD").read_text(errors="replace").splitlines():
            words += line.split(" ", 2)[:2]
    commit = next((word for word in reversed(words) if git.head_commit(word)), None)
    if commit is None:
        return ""
    ref = f"refs/prd/salvage/{prd_id}/{run_id}-head"
    git.run("update-ref", ref, commit)
    return f", its last commit kept as {ref}"


def _keep_others(git: Git, entry: Entry | None, ref: str) -> None:
    """Keeps, by refs beside `ref`, what else was committed there and that neither it nor a branch holds."""
    kept = [ref]
    while entry is not None and (loose := loose_commits(git, entry, kept)):
        kept.append(f"{ref}-{len(kept)}")
        git.run("update-ref", kept[-1], loose[0])
