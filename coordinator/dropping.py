"""Giving a PRD up: its work goes onto a ref, its folder to `prds/dropped`, its worktree away.

A journal of its own says that it is wanted, before anything is done; every step can be repeated, so that the
next start finishes what a crash cut off.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from coordinator import branches, mending, salvage
from coordinator.effects import DropPrd
from coordinator.errors import PrdTuiError
from coordinator.events import DropRefused, PrdDropped
from coordinator.faultpoints import reach
from coordinator.files import sync_directory, write_atomic
from coordinator.folders import free_name
from coordinator.metrics import Metrics
from coordinator.model import Run
from coordinator.paths import Paths
from coordinator.removal import loose_commits, set_all_aside
from coordinator.runs import Journal, new_run_id, runs_of
from coordinator.takedown import Tools, take_down, why_not


def dropped_ref(run: Run) -> str:
    return f"refs/prd/dropped/{run.prd_id}/{run.run_id}"


def want(paths: Paths, prd_id: str, now: float) -> Journal:
    """The journal of the drop, begun if it is not. Durable on return."""
    journal = Journal(paths.drops / prd_id)
    if journal.last("drop wanted") is None:
        journal.path.parent.mkdir(parents=True, exist_ok=True)
        journal.write("drop wanted", now, key=new_run_id(now))
    reach("drop-wanted")
    return journal


def wanted(paths: Paths) -> frozenset[str]:
    """The PRDs whose drop was begun and is not over."""
    if not paths.drops.is_dir():
        return frozenset()
    return frozenset(place.name for place in paths.drops.iterdir() if Journal(place).last("drop wanted"))


class Dropper:
    """Carries out `DropPrd` for a PRD at rest; thread-safe.

    `base`: the commit that work is merged into, empty if there is none. `undisturbed`: while it is held nobody
    looks at the PRD folders.
    """

    def __init__(
        self,
        tools: Tools,
        metrics: Metrics,
        base: Callable[[], str],
        undisturbed: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._tools = tools
        self._metrics = metrics
        self._base = base
        self._undisturbed = undisturbed

    def carry_out(self, effect: DropPrd) -> PrdDropped | DropRefused:
        """As `drop`; whatever goes wrong is said, and never raised."""
        try:
            said = self.drop(effect.prd_id, effect.run, completed=effect.completed)
            return PrdDropped(effect.prd_id, said)
        except (PrdTuiError, OSError) as error:
            return DropRefused(effect.prd_id, str(error))
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self._tools.log.failure(f"dropping {effect.prd_id}", error)
            return DropRefused(effect.prd_id, f"{type(error).__name__}: {error}")

    def drop(self, prd_id: str, run: Run | None, *, completed: bool) -> str:
        """Does what is not done yet; returns what became of the work, a sentence. Raises PrdTuiError, OSError.

        After an error the PRD is not dropped any more, and all of it is still there. `run`: its newest one.
        """
        paths, now = self._tools.paths, self._tools.clock.now()
        with self._tools.worktrees.turns.of(prd_id):
            journal = want(paths, prd_id, now)
            try:
                ref = self._keep(run, journal, completed=completed) if run else ""
                reach("drop-kept")
                if run:
                    take_down(self._tools, prd_id, run, kept=(ref,) if ref else ())
                reach("drop-freed")
                folder = self._move(prd_id, run, journal, completed=completed)
                reach("drop-moved")
            except Exception:
                shutil.rmtree(journal.path.parent, ignore_errors=True)
                raise
            branch = self._free_branch(run) if run else ""
            self._record(prd_id, run, journal, ref)
        work = f"work kept as {ref}" if ref else "there was no work to keep"
        place = f", folder in prds/dropped/{folder}" if folder else ""
        return f"{prd_id} dropped: {work}{place}{branch}"

    def _keep(self, run: Run, journal: Journal, *, completed: bool) -> str:
        """The ref that holds every commit and every change of the PRD; empty where there is none to hold."""
        if (done := journal.last("kept")) is not None:
            return str(done["ref"])
        tools, git = self._tools, self._tools.git
        tip = git.branch_commit(run.branch)
        if completed and (tip is None or self._is_on_base(tip, run)):
            raise PrdTuiError(f"{run.prd_id} is merged already: there is nothing to give up")
        for line in _made_good(tools, run):
            tools.log.write(line)
        entry = tools.worktrees.entry(Path(run.worktree))
        loose = loose_commits(git, entry) if entry else []
        # What is on no branch will be held by the ref, and is no reason to stay.
        if reason := why_not(tools, run.prd_id, run, kept=loose):
            raise PrdTuiError(reason)
        if entry and entry.path.exists():
            set_all_aside(git, entry.path, run.prd_id, run.run_id)
        ref = dropped_ref(run)
        found = [
            git.head_commit(salvage.salvage_ref(run.prd_id, run.run_id)),
            tip,
            *loose,
            git.head_commit(ref),
        ]
        parents = [commit for commit in dict.fromkeys(found) if commit and not self._is_on_base(commit, run)]
        if parents:
            message = f"Dropped: the work of {run.prd_id}, run {run.run_id}"
            words = [word for parent in parents for word in ("-p", parent)]
            tree = git.tree_of(parents[0])
            made = git.run("commit-tree", tree, *words, "-m", message, env=git.identity()).text
            git.run("update-ref", ref, made)
        journal.write("kept", tools.clock.now(), ref=ref if parents else "")
        return ref if parents else ""

    def _is_on_base(self, commit: str, run: Run) -> bool:
        """Whether it is no work of this PRD's own, or merged."""
        bases = (self._base(), run.base_commit)
        return any(base and self._tools.git.is_ancestor(commit, base) for base in bases)

    def _move(self, prd_id: str, run: Run | None, journal: Journal, *, completed: bool) -> str:
        """The folder's new name in `prds/dropped`; made from the run's own copy where the folder is gone."""
        paths = self._tools.paths
        begun = journal.last("moving") or {"name": "", "inode": 0}
        there = paths.dropped / str(begun["name"])
        if begun["name"] and os.path.lexists(there) and there.lstat().st_ino == begun["inode"]:
            return there.name
        source = (paths.completed if completed else paths.active) / prd_id
        if not os.path.lexists(source):
            copy = Path(run.run_dir) / "source.json" if run else None
            if copy is None or not copy.exists():
                return ""
            source = journal.path.with_name("folder")
            source.mkdir(exist_ok=True)
            write_atomic(source / "prd.json", copy.read_bytes())
        paths.dropped.mkdir(parents=True, exist_ok=True)
        target = free_name(paths.dropped / prd_id)
        journal.write("moving", self._tools.clock.now(), name=target.name, inode=source.lstat().st_ino)
        with self._undisturbed():
            shutil.move(source, target)
        sync_directory(paths.dropped)
        return target.name

    def _free_branch(self, run: Run) -> str:
        """Says what became of it: it goes where all of it is on the base, else it stays as it is."""
        git = self._tools.git
        known = {intent.run.run_id for intent in runs_of(self._tools.paths, run.prd_id)}
        base = self._base()
        if git.branch_commit(run.branch) is None or (
            base and branches.delete_merged(git, run.branch, known, base)
        ):
            return ""
        return f", branch {run.branch} stays"

    def _record(self, prd_id: str, run: Run | None, journal: Journal, ref: str) -> None:
        wanted_as = str((journal.last("drop wanted") or {}).get("key", ""))
        key = run.run_id if run else wanted_as
        if not self._metrics.has("prd_dropped", key):
            self._metrics.record("prd_dropped", prd_id, run_id=key, ref=ref)
        if run is not None and Journal(run.run_dir).last("dropped") is None:
            Journal(run.run_dir).write("dropped", self._tools.clock.now(), ref=ref)
        reach("drop-recorded")
        shutil.rmtree(journal.path.parent, ignore_errors=True)


def _made_good(tools: Tools, run: Run) -> list[str]:
    """A worktree half made is removed; one that its worker broke is mended, or moved aside whole."""
    done = tools.worktrees.reclaim_one(run.prd_id)
    if any((Path(one.run.run_dir) / "filled").exists() for one in runs_of(tools.paths, run.prd_id)):
        mended = mending.mend(tools.git, tools.worktrees, run.prd_id, run.run_id)
        done += [mended] if mended else []
    return done
