"""A repository that was moved, or copied with its runs: what is recorded with absolute paths follows it.

Runs record places as seen from the checkout (`runs.py`), and who wrote them by boot and directory (`jobs.py`), so
that the processes of a copy's original are nobody's there. What is left is how git links worktrees.
"""

from __future__ import annotations

from pathlib import Path

from coordinator.files import write_atomic
from coordinator.git import Git
from coordinator.paths import Paths
from coordinator.worktree_entries import entry_of, pointer
from coordinator.worktrees import BASE_REASON, REASON, Worktrees


def gone(paths: Paths) -> str:
    """What a person reads once the checkout is not where it was."""
    return (
        f"{paths.root} was moved or deleted: prd-tui ends here, runs go on; start it again at the new place."
    )


def reconnect(git: Git, worktrees: Worktrees) -> list[str]:
    """Makes every worktree entry of ours mean the one that lies in this repository; a sentence for each it mended.

    By the two files that link a worktree, as git's repository layout documents them: `git worktree repair`
    would follow the link of a copy, and turn the original's to here. Raises PrdTuiError, OSError.
    """
    done = []
    for reason in sorted(git.paths.common.glob("worktrees/*/locked")):
        own = reason.parent
        if (
            not reason.read_text(errors="replace").startswith((REASON, BASE_REASON))
            or not (own / "gitdir").is_file()
        ):
            continue
        recorded = own / pointer(own / "gitdir")
        if _target(recorded) == own:
            continue
        link = worktrees.path_for(recorded.parent.name) / ".git"
        pointed, foreign = _target(link), belongs_elsewhere(link.parent, git.paths.common)
        if recorded == link and not foreign and (pointed is None or pointed.exists()):
            continue  # it was not moved: whatever its worker made of it is another matter
        with git.locked():
            if pointed is not None and not foreign:
                write_atomic(link, f"gitdir: {own}\n".encode())
                done.append(f"{link.parent} was moved with the repository and is connected again")
            elif recorded.exists():
                # Another repository's worktree, and nothing of ours may ever look into it.
                if link.exists():
                    link = link.parent.with_name(f"{link.parent.name}~{own.name}") / ".git"
            else:
                continue
            write_atomic(own / "gitdir", f"{link}\n".encode())
    return done


def belongs_elsewhere(worktree: Path, common: Path) -> bool:
    """Whether it is a sound worktree of another repository than that of the git common dir `common`."""
    own = _target(worktree / ".git")
    if own is None or common in own.parents:
        return False
    try:
        return own / pointer(own / "gitdir") == worktree / ".git"
    except OSError:
        return False


def _target(link: Path) -> Path | None:
    """The git directory that a worktree's `.git` file names; None where there is no such file."""
    try:
        return entry_of(link.parent).resolve()
    except (OSError, RuntimeError):  # a link that leads to itself is the latter
        return None
