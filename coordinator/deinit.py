"""`deinit`: takes prd-tui out of a repository without a trace but PRDs, branches and the refs it names.

Every step looks for what is still there, so that a second call finishes what a crash cut off.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from coordinator import base_worktree, config
from coordinator.cleaning import amount, used
from coordinator.clock import SystemClock
from coordinator.config import Settings
from coordinator.dropping import wanted
from coordinator.engine_log import EngineLog
from coordinator.errors import ConfigError, GitError, OwnedElsewhere, PrdTuiError
from coordinator.faultpoints import reach
from coordinator.files import left_over_tmp, write_atomic
from coordinator.git import Git
from coordinator.jobs import JobStatus, inspect
from coordinator.kept_refs import refs_that_hold_work
from coordinator.locks import OwnerLock, read_owner
from coordinator.model import Run
from coordinator.moved import reconnect
from coordinator.paths import Paths
from coordinator.removal import erase, left_overs, set_all_aside, why_it_stays
from coordinator.runs import recorded_prds, runs_of
from coordinator.takedown import take_down, tools_alone
from coordinator.worktrees import Entry

_EXCLUDED = b"/.claude-loop/"
_ARCHIVE = re.compile(r"\.?.+-\d{8}T\d{9}-[0-9a-f]{4}\.tar\.gz(\.tmp)?")


def deinit(paths: Paths, *, dry_run: bool) -> list[str]:
    """Does it, or only tells what would be done; a line for each thing.

    Raises OwnedElsewhere while a coordinator lives, PrdTuiError while a worker does or where a worktree cannot
    be proved safe: nothing was changed then.
    """
    lock = paths.locks / "coordinator.lock"
    owner = read_owner(lock)
    if owner is not None and owner.kind != "command":
        raise OwnedElsewhere(
            f"A coordinator (process {owner.pid}) runs this repository: leave it with q, or prd-tui stop --all "
            "and wait for its end, then prd-tui deinit."
        )
    if dry_run or not paths.home.exists():
        going = _Going(paths)
        if dry_run or not going.lines:
            lines = [*going.report("would remove:"), *going.left]
            return lines if going.lines else ["nothing of prd-tui is here"]
    held = OwnerLock(lock, "command")
    if not held.acquire_after_commands(30.0):
        raise OwnedElsewhere("A coordinator has just started here: stop it, then prd-tui deinit.")
    try:
        going = _Going(paths, reconnected=True)
        going.carry_out()
    finally:
        held.release()
    return [*going.report("removed:"), *going.left]


class _Going:
    """`lines`: what goes, for people; `left`: what stays, and why."""

    def __init__(self, paths: Paths, *, reconnected: bool = False) -> None:
        """Looks, and changes nothing. Raises PrdTuiError where something forbids it.

        `reconnected`: the worktrees of a repository that was moved are made its own again first.
        """
        self._paths = paths
        self._git = Git(paths)
        try:
            settings = config.load(paths, self._git, refuse_unapproved=False).settings
        except ConfigError:  # it goes, too; git knows where the worktrees are
            settings = Settings()
        clock = SystemClock()
        self._tools = tools_alone(paths, settings, clock, EngineLog(paths.engine_log, clock))
        if reconnected:
            reconnect(self._git, self._tools.worktrees)
        self._root = self._tools.worktrees.path_for("any").parent
        self._worktrees = [entry for entry in self._tools.worktrees.entries()[1:] if entry.run_id]
        self._refuse()
        self._needed, self._spare = refs_that_hold_work(self._git)
        self._state, foreign = self._sorted_state()
        self.lines = list(self._lines())
        self.left = list(self._left(foreign))

    # -- looking --------------------------------------------------------------------------------------

    def _refuse(self) -> None:
        paths = self._paths
        for prd_id in recorded_prds(paths):
            if any(
                inspect(start.parent).status is JobStatus.RUNNING
                for start in (paths.runs / prd_id).glob("**/start.json")
            ):
                raise PrdTuiError(f"{prd_id} still runs: prd-tui stop --all ends it, then prd-tui deinit.")
        if going := sorted(wanted(paths)):
            raise PrdTuiError(f"{going[0]} is half dropped: prd-tui drop {going[0]} finishes it first.")
        reasons = [
            reason
            for entry in self._worktrees
            if not self._is_half_made(entry) and (reason := self._why(entry))
        ]
        if reasons:
            raise PrdTuiError(f"Nothing was changed: {'; '.join(reasons)}.")

    def _why(self, entry: Entry) -> str:
        try:
            return why_it_stays(self._git, entry)
        except GitError as error:
            return str(error)

    def _is_half_made(self, entry: Entry) -> bool:
        run_dir = self._paths.run_dir(entry.path.name, entry.run_id or "")
        return run_dir.is_dir() and not any((run_dir / name).exists() for name in ("filled", "start.json"))

    def _sorted_state(self) -> tuple[list[Path], list[str]]:
        """Of `.claude-loop`: what is ours, and the names of what is not, or is tracked."""
        state = self._paths.state
        if not state.is_dir() or state.is_symlink():
            return [], []
        tracked = self._git.run("ls-files", "-z", "--", ":(top,literal).claude-loop").fields()
        ours = [self._paths.local_config, self._paths.coordinator, *left_over_tmp(state)]
        archives = self._paths.archives
        if archives.is_dir():
            ours += [place for place in sorted(archives.iterdir()) if _ARCHIVE.fullmatch(place.name)]
        ours = [
            place
            for place in ours
            if os.path.lexists(place)
            and not any(Path(self._paths.root, name).is_relative_to(place) for name in tracked)
        ]
        found = set(state.iterdir()) - set(ours) - {archives, self._root}
        if archives.is_dir():
            found |= set(archives.iterdir()) - set(ours)
        return ours, sorted(str(place.relative_to(self._paths.root)) for place in found)

    def _lines(self) -> Iterator[str]:
        for entry in self._worktrees:
            branch = f", its branch {entry.branch} stays" if entry.branch else ""
            yield f"worktree {self._short(entry.path)}{branch} ({amount(used(entry.path))})"
        archives = [place for place in self._state if place.parent == self._paths.archives]
        for place in self._state:
            if place not in archives:
                yield f"{self._short(place)} ({amount(used(place))})"
        if archives:
            size = amount(sum(map(used, archives)))
            yield f"{self._short(self._paths.archives)}, {len(archives)} of it ({size})"
        if self._paths.home.exists():
            yield f"{self._paths.home} ({amount(used(self._paths.home))})"
        if _EXCLUDED in _lines_of(self._exclude):
            yield f"the line {_EXCLUDED.decode()} in {self._exclude}"
        for ref, _commit in self._spare:
            yield f"{ref}: a branch, or the stash list, holds it"

    def _left(self, foreign: list[str]) -> Iterator[str]:
        ours = {entry.path for entry in self._worktrees} | set(left_overs(self._root))
        others = (
            [place for place in sorted(self._root.iterdir()) if place not in ours]
            if self._root.is_dir()
            else []
        )
        for name in (*foreign, *map(self._short, others)):
            yield f"left as it is: {name}, which is not prd-tui's, or is tracked"
        if self._needed:
            yield "kept, as only these hold the work (git update-ref -d REF deletes one):"
            yield from (f"  {ref}" for ref in self._needed)
        if self._worktrees:
            yield "What is not committed in a worktree is set aside under refs/prd/salvage/ first."
        yield "Branches and PRDs stay; git branch and prds/ show them."

    @property
    def _exclude(self) -> Path:
        return self._paths.common / "info" / "exclude"

    def _short(self, path: Path) -> str:
        root = self._paths.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    def report(self, title: str) -> list[str]:
        return [title, *(f"  {line}" for line in self.lines)]

    # -- doing ----------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        """First all uncommitted work is set aside, then everything goes, what could be lost last of all."""
        self._take_worktrees_down()
        reach("deinit-worktrees-gone")
        self._needed, self._spare = refs_that_hold_work(self._git)
        for ref, commit in self._spare:
            self._git.run("update-ref", "-d", ref, commit)
        foreign = self._sorted_state()[1]
        self.left = list(self._left(foreign))
        for place in self._sorted_state()[0]:
            if place.is_dir() and not place.is_symlink():
                erase(place)
            else:
                place.unlink(missing_ok=True)
        for place in (self._root, self._paths.archives, self._paths.state):
            _remove_if_empty(place)
        reach("deinit-state-gone")
        self._include_again()
        prds = self._paths.active.parent
        for place in (self._paths.active, self._paths.completed, self._paths.dropped, prds):
            _remove_if_empty(place)
        for folder, _, _ in os.walk(self._paths.common / "refs" / "prd", topdown=False):
            _remove_if_empty(Path(folder))
        shutil.rmtree(self._paths.home)

    def _take_worktrees_down(self) -> None:
        base_worktree.clear(self._tools, grace=0.0)
        for line in self._tools.worktrees.reclaim(()):
            self._tools.log.write(line)
        there = [entry for entry in self._tools.worktrees.entries()[1:] if entry.run_id]
        for entry in there:
            if entry.path.exists():
                set_all_aside(self._git, entry.path, entry.path.name, self._run_id(entry))
        for entry in there:
            run = self._newest_run(entry)
            if run is not None:
                take_down(self._tools, run.prd_id, run)
            else:
                self._tools.worktrees.remove(entry.path.name, self._run_id(entry), path=entry.path)
        self._tools.worktrees.sweep()

    def _newest_run(self, entry: Entry) -> Run | None:
        history = runs_of(self._paths, entry.path.name)
        fits = bool(history) and Path(history[-1].run.worktree) == entry.path
        return history[-1].run if fits else None

    def _run_id(self, entry: Entry) -> str:
        run = self._newest_run(entry)
        return run.run_id if run else entry.run_id or ""

    def _include_again(self) -> None:
        """Takes our line out of info/exclude, and the file where it is only ours."""
        lines = _lines_of(self._exclude)
        if _EXCLUDED not in lines:
            return
        kept = [line for line in lines if line != _EXCLUDED]
        if kept:
            write_atomic(self._exclude, b"\n".join(kept) + b"\n")
        else:
            self._exclude.unlink()
            _remove_if_empty(self._exclude.parent)


def _lines_of(file: Path) -> list[bytes]:
    try:
        return file.read_bytes().splitlines()
    except OSError:
        return []


def _remove_if_empty(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.rmdir()
