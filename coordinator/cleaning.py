"""`clean`: removes what is provably no longer needed, and says what it leaves and why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coordinator import branches
from coordinator.config import Settings
from coordinator.effects import CleanRepository, Standing
from coordinator.errors import PrdTuiError
from coordinator.events import CleanedUp
from coordinator.files import left_over_tmp
from coordinator.kept_refs import old_refs
from coordinator.left_overs import places_written
from coordinator.model import ACTIVE, COMPLETED, PrdState, Run
from coordinator.removal import erase, left_overs
from coordinator.runs import recorded_prds, runs_of
from coordinator.state import BASE_CHECK
from coordinator.takedown import Tools, why_not
from coordinator.tidying import merged_branches, superfluous, take_down_if_newest
from coordinator.worktrees import BASE_REASON, Entry

_DAY = 86400.0
_OVER = COMPLETED | {PrdState.DROPPED}


@dataclass(frozen=True)
class Item:
    """One thing that goes. `what` and `why` are for people; `size` in bytes; `remove` raises if it cannot."""

    what: str
    why: str
    size: int
    remove: Callable[[], object]

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f" ({amount(self.size)})" if self.size else "")


class Cleaner:
    """Carries out `CleanRepository`."""

    def __init__(self, tools: Tools, settings: Callable[[], Settings]) -> None:
        self._tools = tools
        self._settings = settings

    def clean(self, wanted: CleanRepository) -> CleanedUp:
        """Does it, or only tells what would be done; whatever goes wrong is in the answer."""
        try:
            plan = Plan(self._tools, self._settings(), wanted.standings)
            gone: list[Item] = []
            left = plan.left
            for item in plan.items:
                try:
                    if not wanted.dry_run:
                        item.remove()
                    gone.append(item)
                except (PrdTuiError, OSError) as error:
                    left.append(f"{item.what}: {error}")
            return CleanedUp(wanted.command_id, report(gone, left, dry_run=wanted.dry_run))
        except (PrdTuiError, OSError) as error:
            return CleanedUp(wanted.command_id, "", str(error).rstrip("."))
        except Exception as error:  # noqa: BLE001 - whoever asked must get an answer
            self._tools.log.failure("cleaning", error)
            return CleanedUp(wanted.command_id, "", f"{type(error).__name__}: {error}")


class Plan:
    """`items` go, in this order; `left`: what stays though one might expect otherwise, a sentence each."""

    def __init__(self, tools: Tools, settings: Settings, standings: tuple[Standing, ...]) -> None:
        self._tools = tools
        self._settings = settings.worktree
        self._standings: Mapping[str, Standing] = {one.prd_id: one for one in standings}
        wanted = settings.coordinator.base_branch or tools.git.current_branch() or ""
        self._base_name = wanted
        self._base = branches.base_commit(tools.git, wanted)
        self._now = tools.clock.now()
        self._entries = tools.worktrees.entries()[1:]
        self.left: list[str] = []
        worktrees = list(self._worktrees())
        self._going = {path for path, _ in worktrees}
        self.items = [
            *(item for _, item in worktrees),
            *self._branches(),
            *self._runs(),
            *self._refs(),
            *self._temporary_files(),
        ]

    # -- worktrees ------------------------------------------------------------------------------------

    def _worktrees(self) -> Iterator[tuple[Path, Item]]:
        root = self._tools.worktrees.path_for("any").parent
        due = superfluous(self._tools, self._settings, self._standings.values(), self._base)
        reasons = {Path(run.worktree): why for run, why in due}
        for entry in self._entries:
            if entry.run_id is None:
                if not (entry.lock_reason or "").startswith(BASE_REASON) and entry.path.is_relative_to(root):
                    self.left.append(f"worktree {self._short(entry.path)}: it is not prd-tui's")
                continue
            found = self._worktree(entry, entry.run_id, reasons.get(entry.path, ""))
            if found is not None:
                yield entry.path, found
        known = {entry.path for entry in self._entries} | {root / BASE_CHECK}
        for place in sorted(root.iterdir()) if root.is_dir() else ():
            if place not in known and not place.name.startswith("."):
                self.left.append(f"{self._short(place)}: it is no worktree of prd-tui's")

    def _worktree(self, entry: Entry, run_id: str, why: str) -> Item | None:
        tools, prd_id = self._tools, entry.path.name
        standing = self._standings.get(prd_id)
        name = f"worktree {self._short(entry.path)}"
        if standing is not None and standing.state in ACTIVE:
            return None
        run_dir = tools.paths.run_dir(prd_id, run_id)
        if not run_dir.is_dir():
            self.left.append(f"{name}: nothing is recorded of its run {run_id}")
            return None
        if not (run_dir / "filled").exists() and not (run_dir / "start.json").exists():
            return Item(name, "half-made", used(entry.path), lambda: self._reclaim(prd_id))
        if standing is None or standing.run is None:
            self.left.append(f"{name}: its PRD is in no list, and may come back; its branch has its commits")
            return None
        run = standing.run
        if standing.state is PrdState.DROPPED:
            why = "its PRD was dropped"
        elif not entry.path.exists():
            why = "its folder is gone"
        if not why or Path(run.worktree) != entry.path:
            return None
        if reason := why_not(tools, prd_id, run):
            self.left.append(f"{name}: {reason}")
            return None
        return Item(name, why, used(entry.path), lambda: take_down_if_newest(tools, run))

    def _reclaim(self, prd_id: str) -> None:
        with self._tools.worktrees.turns.of(prd_id):
            self._tools.worktrees.reclaim_one(prd_id)

    # -- branches and runs ----------------------------------------------------------------------------

    def _branches(self) -> Iterator[Item]:
        """Merged ones that our runs made, of PRDs that are over."""
        git, base = self._tools.git, self._base
        owners = {
            one.run.run_id: one.run
            for prd_id in recorded_prds(self._tools.paths)
            for one in runs_of(self._tools.paths, prd_id)
        }
        used_by = {entry.branch: entry.path for entry in self._tools.worktrees.entries()}
        for name in sorted(merged_branches(self._tools, base) - {self._base_name, ""}):
            run_id = branches.created_by(git, name)
            if run_id not in owners or not self._is_over(owners[run_id], name):
                continue
            place = used_by.get(name)
            if place is not None and place not in self._going:
                self.left.append(f"branch {name}: it is checked out in {self._short(place)}")
                continue
            yield Item(f"branch {name}", f"merged into {self._base_name}", 0, self._deletion(name, run_id))

    def _is_over(self, run: Run, branch: str) -> bool:
        standing = self._standings.get(run.prd_id)
        if standing is None or (standing.run is not None and standing.run.branch != branch):
            return True
        return standing.state in _OVER

    def _deletion(self, name: str, run_id: str) -> Callable[[], object]:
        def delete() -> None:
            if not branches.delete_merged(self._tools.git, name, (run_id,), self._base):
                raise PrdTuiError("it is in use, or has moved meanwhile")

        return delete

    def _runs(self) -> Iterator[Item]:
        """Records of runs that are over for long, and of which neither worktree nor branch is left."""
        paths = self._tools.paths
        inhabited = {entry.run_id for entry in self._entries}
        there = {ref.removeprefix("refs/heads/") for ref in self._tools.git.refs("refs/heads/")}
        for prd_id in recorded_prds(paths):
            standing = self._standings.get(prd_id)
            if standing is not None and standing.state not in _OVER:
                continue
            history = [one.run for one in runs_of(paths, prd_id)]
            listed = standing is not None and standing.state is not PrdState.DROPPED
            for run in history[: -1 if listed else None]:
                place = Path(run.run_dir)
                if run.run_id in inhabited or run.branch in there or self._is_young(place):
                    continue
                yield Item(f"record of run {prd_id}/{run.run_id}", "over", used(place), _erasure(place))

    def _is_young(self, place: Path) -> bool:
        changed = max((entry.stat().st_mtime for entry in place.iterdir()), default=0.0)
        return changed > self._now - self._settings.keep_days * _DAY

    # -- refs and files -------------------------------------------------------------------------------

    def _refs(self) -> Iterator[Item]:
        days = self._settings.keep_days
        needed = {
            (one.prd_id, one.run.run_id)
            for one in self._standings.values()
            if one.run is not None and one.state not in _OVER
        }
        for ref, commit in old_refs(self._tools.git, self._now - days * _DAY):
            kind, *words = ref.removeprefix("refs/prd/").split("/")
            if kind == "salvage" and tuple(words) in needed:
                continue  # a retry puts it back
            delete = partial(self._tools.git.run, "update-ref", "-d", ref, commit)
            yield Item(f"ref {ref}", f"older than {days} days", 0, delete)

    def _temporary_files(self) -> Iterator[Item]:
        paths = self._tools.paths
        own = (paths.state, paths.coordinator, paths.commands, paths.home)
        root = self._tools.worktrees.path_for("any").parent
        files = [file for place in (*own, *places_written(paths, root)) for file in left_over_tmp(place)]
        folders = [
            *left_overs(root),
            *self._tools.git.left_over_scratch(),
            *(
                place
                for place in (paths.coordinator / "incoming").glob("*-*")
                if _is_dead(place.name.rpartition("-")[2])
            ),
        ]

        def remove() -> None:
            for file in files:
                file.unlink(missing_ok=True)
            for folder in folders:
                erase(folder)

        if count := len(files) + len(folders):
            size = sum(used(place) for place in (*files, *folders))
            yield Item(
                f"{count} temporary file{'s' if count > 1 else ''}",
                "whoever wrote them is gone",
                size,
                remove,
            )

    def _short(self, path: Path) -> str:
        root = self._tools.paths.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def report(gone: list[Item], left: list[str], *, dry_run: bool) -> str:
    """The answer, line by line."""
    lines = []
    if gone:
        freed = sum(item.size for item in gone)
        lines.append("would remove:" if dry_run else "removed:")
        lines += [f"  {item}" for item in gone]
        lines.append(f"{amount(freed)} {'would be ' if dry_run else ''}freed")
    else:
        lines.append("nothing to clean")
    if left:
        lines += ["left as it is:", *(f"  {line}" for line in left)]
    return "\n".join(lines)


def used(place: Path) -> int:
    """Bytes on disk of a file, or of a folder with all below it; no link is followed."""
    total = _blocks(place)
    for folder, names, files in os.walk(place):
        total += sum(_blocks(Path(folder, name)) for name in (*names, *files))
    return total


def amount(size: int) -> str:
    """A number of bytes for people: `812 kB`, `1.4 GB`."""
    value, unit = size / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "kB" else f"{value:.1f} {unit}"


def _blocks(place: Path) -> int:
    try:
        return place.lstat().st_blocks * 512
    except OSError:
        return 0


def _erasure(place: Path) -> Callable[[], object]:
    def remove() -> None:
        shutil.rmtree(place)
        if not any(place.parent.iterdir()):
            place.parent.rmdir()

    return remove


def _is_dead(pid: str) -> bool:
    return pid.isdigit() and not Path("/proc", pid).exists()
