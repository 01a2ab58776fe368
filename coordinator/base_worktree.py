"""The place in which the gates are tried on the base: a worktree of its own, and a folder that tells of it.

What a check is about to do lies on disk before it does it, so that whoever comes after a crash finds all that
is left of one.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from coordinator import processes
from coordinator.errors import GitError, PrdTuiError, StateError
from coordinator.faultpoints import reach
from coordinator.files import read_json, write_json
from coordinator.git import Git
from coordinator.model import Run
from coordinator.paths import Paths
from coordinator.removal import erase
from coordinator.runs import new_run_id, record_of, run_of
from coordinator.setup import tear_down
from coordinator.shell_jobs import ShellKind
from coordinator.state import BASE_CHECK
from coordinator.takedown import Tools
from coordinator.worktree_entries import is_placed
from coordinator.worktrees import BASE_REASON, FILL_TIMEOUT, Worktrees

#: The reason in git's lock of the worktree: by it the worktree is known as ours.
_REASON = f"{BASE_REASON} gates on the base"
_ATTEMPTS = 4


def folder(paths: Paths) -> Path:
    """Tells of the check that is under way: `run.json`, and the directories of its jobs."""
    return paths.home / "base" / "check"


def left_over(paths: Paths) -> bool:
    """Whether a check was cut off by a crash, or could not be cleared away."""
    return folder(paths).exists()


def new_run(tools: Tools, base_branch: str, base_commit: str) -> Run:
    """What a check is to the rest of the engine: a run of nobody's."""
    return Run(
        prd_id=BASE_CHECK,
        run_id=new_run_id(tools.clock.now()),
        generation=1,
        worktree=str(tools.worktrees.path_for(BASE_CHECK)),
        branch="",
        branch_asked="",
        base_branch=base_branch,
        base_commit=base_commit,
        run_dir=str(folder(tools.paths)),
        log=str(tools.paths.logs / "base.log"),
    )


def make(tools: Tools, run: Run) -> None:
    """A detached worktree with every file in it. Raises PrdTuiError, also where something else is there."""
    path = Path(run.worktree)
    Path(run.log).unlink(missing_ok=True)
    folder(tools.paths).mkdir(parents=True)
    write_json(folder(tools.paths) / "run.json", record_of(tools.paths, run))
    reach("base-check-begun")
    if path.exists() and any(path.iterdir()):
        raise PrdTuiError(f"{path} is in the way: move it elsewhere")
    _add(tools.git, tools.worktrees, path, run.base_commit)
    reach("base-worktree-added")


def end_jobs(paths: Paths, grace: float) -> None:
    """Ends the gates and set-up commands of a check, its coordinator's or a dead one's; blocks.

    What tears down is let finish.
    """
    for kind in (ShellKind.GATE, ShellKind.SETUP):
        jobs = folder(paths) / kind.folder
        for job_dir in sorted(jobs.iterdir()) if jobs.is_dir() else ():
            processes.terminate(job_dir, None, grace)


def clear(tools: Tools, grace: float) -> None:
    """Ends and removes what a check left that was cut off by a crash."""
    if left_over(tools.paths):
        end_jobs(tools.paths, grace)
        take_down(tools, _recorded(tools))


def take_down(tools: Tools, run: Run) -> None:
    """Removes the worktree and the record. What cannot be removed is named, and tried again by the next one."""
    try:
        if _is_ours(tools.worktrees, Path(run.worktree)) and Path(run.worktree).is_dir():
            for warning in tear_down(tools.shell, run, 0):
                tools.log.warn(warning)
        _remove(tools.git, tools.worktrees, Path(run.worktree))
        shutil.rmtree(folder(tools.paths))
    except (PrdTuiError, OSError) as error:
        tools.log.failure("clearing away the check of the base", error)


def _recorded(tools: Tools) -> Run:
    """The check that is recorded on disk."""
    place = folder(tools.paths)
    try:
        return run_of(tools.paths, read_json(place / "run.json") or {}, place)
    except (StateError, KeyError, TypeError):
        return new_run(tools, "", "")


def _add(git: Git, worktrees: Worktrees, path: Path, commit: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):  # agents run git too
        with git.locked() as keep_open:
            args = ("--detach", "--no-checkout", "--lock", "--reason", _REASON, "--", str(path), commit)
            done = git.run("worktree", "add", *args, check=False, keep_open=keep_open)
        if _is_ours(worktrees, path):
            break
        _remove(git, worktrees, path)
        time.sleep(0.05 * 2**attempt)
    else:
        raise GitError(f"the worktree {path} could not be made: {done.stderr.strip()}")
    git.run("reset", "--hard", "-q", "--no-recurse-submodules", cwd=path, timeout=FILL_TIMEOUT)


def _is_ours(worktrees: Worktrees, path: Path) -> bool:
    entry = worktrees.entry(path)
    return entry is not None and entry.lock_reason == _REASON


def _remove(git: Git, worktrees: Worktrees, path: Path) -> None:
    """Removes it with all in it, if it is ours, and what a crash left of one that was being added."""
    with git.locked() as keep_open:
        if _is_ours(worktrees, path):
            worktrees.discard(path, keep_open)
        for reason in git.paths.common.glob("worktrees/*/locked"):
            if reason.read_text(errors="replace").strip() == _REASON and not is_placed(reason.parent):
                shutil.rmtree(reason.parent)
        if path.is_dir() and [child.name for child in path.iterdir()] in ([], [".git"]):
            erase(path)
