"""The user's stashes, which git shares over all worktrees: kept safe from workers, and watched."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.git import Git


@dataclass(frozen=True)
class StashChange:
    """Stash commits that went and that came."""

    gone: tuple[str, ...]
    added: tuple[str, ...]


def pin_stashes(git: Git) -> tuple[str, ...]:
    """Keeps every stash under `refs/prd/stash/`, so that a `git stash pop` loses none; returns them all.

    Commit ids, the newest first. Can be repeated.
    """
    present = stashes(git)
    if not present:
        return ()
    pinned = set(git.refs("refs/prd/stash/").values())
    lines = [f"update refs/prd/stash/{commit} {commit}\n" for commit in present if commit not in pinned]
    if lines:
        git.run("update-ref", "--stdin", input="".join(lines).encode())
    return present


def stashes(git: Git) -> tuple[str, ...]:
    """The stash list as commit ids, the newest first."""
    done = git.run("log", "-g", "-z", "--format=%H", "refs/stash", "--", check=False)
    return tuple(done.fields()) if done.returncode == 0 else ()


def stash_changed(git: Git, before: tuple[str, ...]) -> StashChange | None:
    """How the stash list differs from `before`; None if it does not."""
    now = stashes(git)
    if now == before:
        return None
    gone = tuple(commit for commit in before if commit not in now)
    return StashChange(gone, tuple(commit for commit in now if commit not in before))
