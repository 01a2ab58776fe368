"""Lock files that a killed git left: git never removes them, and whatever needs the lock fails for ever."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from coordinator.errors import GitError
from coordinator.model import Run
from coordinator.paths import Paths
from coordinator.worktree_entries import entry_of


def clear_index_lock(own: Path, worktree: Path, patience: float = 10.0) -> None:
    """Removes an index.lock nobody holds any more; waits up to `patience` seconds for one that lives.

    `own` is the git directory of `worktree`. Raises GitError.
    """
    lock = own / "index.lock"
    holder = _wait_for(lock, time.monotonic() + patience, worktree)
    if holder:
        raise GitError(f"process {holder} holds the index of {worktree}: wait for its end, or end it")
    if holder == 0:
        _remove(lock)


def clear_run_locks(paths: Paths, run: Run, patience: float = 10.0) -> list[str]:
    """Removes the locks of the run's branch and HEAD once nobody can hold them; waits up to `patience` seconds.

    Nobody is at work in the run's worktree; a git elsewhere in the repository, ours among them, may be about to
    take them. Returns a sentence for each lock removed.
    """
    locks = [paths.common / f"refs/heads/{run.branch}.lock"]
    with contextlib.suppress(OSError):
        locks.append(entry_of(Path(run.worktree)) / "HEAD.lock")
    deadline = time.monotonic() + patience
    places = (paths.root, paths.common, Path(run.worktree))
    return [_remove(lock) for lock in locks if lock.is_file() and _wait_for(lock, deadline, *places) == 0]


def clear_own_locks(paths: Paths, worktrees: Path) -> list[str]:
    """Removes the locks of refs under `refs/prd/`, and of packed refs, unless any git is at work here.

    `worktrees`: the folder that holds those of runs. Returns a sentence for each lock removed.
    """
    locks = [*(paths.common / "refs" / "prd").rglob("*.lock"), paths.common / "packed-refs.lock"]
    places = (paths.root, paths.common, worktrees)
    return [_remove(lock) for lock in locks if lock.is_file() and _user_of(lock, *places) is None]


def _wait_for(lock: Path, deadline: float, *places: Path) -> int | None:
    """Waits, up to the `deadline` (monotonic), until the lock is gone (None), or nobody can hold it (0).

    Else the process that still may.
    """
    while lock.exists():
        holder = _user_of(lock, *places) or 0
        if not holder or time.monotonic() > deadline:
            return holder
        time.sleep(0.02)
    return None


def _remove(lock: Path) -> str:
    lock.unlink(missing_ok=True)
    return f"removed {lock}, which a git that was killed had left"


def _user_of(lock: Path, *places: Path) -> int | None:
    """A process that has the lock file open, or a git at work in one of the places: git closes the file early."""
    tops = [os.path.realpath(place) for place in places]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cwd = os.readlink(entry / "cwd")  # noqa: PTH115 - a deleted directory is no path
            name = (entry / "comm").read_text()
            if name.startswith("git") and any(cwd == top or cwd.startswith(f"{top}/") for top in tops):
                return int(entry.name)
            for descriptor in (entry / "fd").iterdir():
                if os.readlink(descriptor) == str(lock):  # noqa: PTH115
                    return int(entry.name)
        except OSError:
            continue  # it ended, or is another user's
    return None
