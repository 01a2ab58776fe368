"""Taking one worktree down: proved, torn down, set aside, removed. The one way, whoever wants it gone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from coordinator.archive import archive_of, write_archive
from coordinator.clock import Clock
from coordinator.config import Settings
from coordinator.context import Context
from coordinator.engine_log import EngineLog
from coordinator.errors import GitError, PrdTuiError
from coordinator.executor import LocalExecutor
from coordinator.exits import ExitWatcher
from coordinator.git import Git
from coordinator.jobs import JobStatus, inspect
from coordinator.model import Run
from coordinator.moved import reconnect
from coordinator.paths import Paths
from coordinator.removal import set_all_aside, why_it_stays
from coordinator.runs import Journal, job_dirs, runs_of
from coordinator.salvage import Salvage
from coordinator.setup import tear_down
from coordinator.shell_jobs import ShellJobs
from coordinator.worktree_files import copy_prd, make_real_folders
from coordinator.worktrees import Worktrees

#: In a run directory: the PRD's folder as the worker left it, for a worktree that is made anew.
_WORKED = "worked"


@dataclass(frozen=True)
class Tools:
    """What it takes, with a coordinator and without."""

    paths: Paths
    git: Git
    worktrees: Worktrees
    shell: ShellJobs
    clock: Clock
    log: EngineLog


def tools_of(context: Context) -> Tools:
    return Tools(context.paths, context.git, context.worktrees, context.shell, context.clock, context.log)


def tools_alone(paths: Paths, settings: Settings, clock: Clock, log: EngineLog) -> Tools:
    """For a command that holds a repository nobody else owns; one that was moved meanwhile is put right first."""
    git = Git(paths)
    shell = ShellJobs(LocalExecutor(), ExitWatcher(), git, clock, lambda: settings)
    worktrees = Worktrees(git, paths, Path(settings.worktree.root))
    for line in reconnect(git, worktrees):
        log.warn(line)
    return Tools(paths, git, worktrees, shell, clock, log)


def why_not(tools: Tools, prd_id: str, run: Run, kept: Collection[str] = ()) -> str:
    """Why the worktree of the PRD's newest run has to stay, a sentence; empty if it may go, or has gone."""
    entry = tools.worktrees.entry(Path(run.worktree))
    if entry is None:
        return ""
    if any(inspect(job_dir).status is JobStatus.RUNNING for job_dir in job_dirs(run)):
        return f"{prd_id} is at work in {entry.path}: stop it first"
    try:
        return why_it_stays(tools.git, entry, kept)
    except GitError as error:
        return str(error)


def take_down(tools: Tools, prd_id: str, run: Run, kept: Collection[str] = ()) -> Salvage | None:
    """Removes the worktree of the PRD's newest run; returns what had to be set aside.

    Its commits are on a branch or held by one of the refs `kept`. A later run finds its uncommitted work and
    its PRD folder again. Can be repeated. Raises PrdTuiError or OSError, the worktree whole.
    """
    path = Path(run.worktree)
    if tools.worktrees.entry(path) is None:
        return None
    if reason := why_not(tools, prd_id, run, kept):
        raise PrdTuiError(reason)
    before = None
    if path.exists():
        _keep_folder(tools, run)
        # The commands that follow may clean up after themselves, and more.
        before = set_all_aside(tools.git, path, prd_id, run.run_id)
        tools.worktrees.unmark_set_up(prd_id)
        for warning in tear_down(tools.shell, run, _slot(tools, run)):
            tools.log.warn(warning)
    salvage = tools.worktrees.remove(prd_id, run.run_id, path=path, kept=kept) or before
    journal = Journal(run.run_dir)
    if salvage is not None:
        journal.write("set aside", tools.clock.now(), ref=salvage.ref)
    journal.write("worktree removed", tools.clock.now())
    tools.log.write(f"{prd_id}: removed the worktree {path}")
    return salvage


def bring_back(paths: Paths, run: Run) -> None:
    """Puts the PRD's folder, as the last worker left it, into a worktree that was made anew for `run`.

    What the worker committed of it, which the checkout has brought, may be older.
    """
    for intent in reversed(runs_of(paths, run.prd_id)):
        if intent.run.run_id == run.run_id:
            continue
        if Journal(intent.run.run_dir).last("left behind"):
            return
        folder = Path(intent.run.run_dir) / _WORKED / "prds" / "active" / run.prd_id
        if folder.is_dir():
            copy_prd(folder, Path(run.worktree), run.prd_id, overwrite=True)
            return
        if (Path(intent.run.run_dir) / "start.json").exists():
            return  # its worker went on from what an earlier one left, and kept of it what it committed


def _keep_folder(tools: Tools, run: Run) -> None:
    """Of the worktree's PRD folder git keeps nothing: it goes into the run directory, and into the archive."""
    places = [Path(run.worktree) / "prds" / place / run.prd_id for place in ("active", "completed")]
    folder = next((place for place in places if place.is_dir() and not place.is_symlink()), None)
    if folder is not None:
        kept = Path(run.run_dir) / _WORKED
        shutil.rmtree(kept, ignore_errors=True)
        make_real_folders(kept.parent, kept)
        for warning in copy_prd(folder, kept, run.prd_id):
            tools.log.warn(f"{run.prd_id}: {warning}")
    if not archive_of(tools.paths.archives, run).exists():
        write_archive(tools.paths.archives, run, folder or places[0], tools.clock.now())


def _slot(tools: Tools, run: Run) -> int:
    with contextlib.suppress(StopIteration):
        return next(one.slot for one in runs_of(tools.paths, run.prd_id) if one.run.run_id == run.run_id)
    return 1
