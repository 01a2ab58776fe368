"""The runs' worktrees: made so that a crash leaves nothing in doubt, removed only on proof."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from coordinator import branches, faultpoints, removal
from coordinator.errors import GitError, PrdTuiError, git_error
from coordinator.files import write_atomic
from coordinator.git import Git, held
from coordinator.paths import Paths
from coordinator.removal import erase
from coordinator.salvage import Salvage
from coordinator.turns import Turns
from coordinator.worktree_entries import entry_of, is_placed, pointer

#: How the lock of a worktree of ours begins; the run that made it follows.
REASON = "prd:"
#: How that of the worktree begins in which gates are tried on the base.
BASE_REASON = "prd-tui:"
#: Agents run git too: `add` may lose a race against theirs. The waits add up to 1.6 s.
_ATTEMPTS = 6
#: Seconds one checkout may take: a large repository on a slow disk, or a partial clone that fetches.
FILL_TIMEOUT = 1800.0


@dataclass(frozen=True)
class Entry:
    """One worktree as git knows it. `run_id` is set where the lock's reason says that it is ours."""

    path: Path
    head: str | None
    branch: str | None
    lock_reason: str | None
    prunable: bool

    @property
    def run_id(self) -> str | None:
        reason = self.lock_reason or ""
        return reason.removeprefix(REASON) if reason.startswith(REASON) else None


@dataclass(frozen=True)
class _Made:
    """`directory` is where git keeps what belongs to one worktree: its HEAD, its index."""

    directory: Path
    run_id: str


class Worktrees:
    """Worktrees `<root>/<ID>`, each locked with the reason `prd:<run-id>` of the run that made it.

    `turns`: by PRD, for whoever puts a worktree to use or takes it down.
    """

    def __init__(self, git: Git, paths: Paths, root: Path) -> None:
        self._git = git
        self._paths = paths
        self._root = paths.root / root
        self.turns = Turns()

    def path_for(self, prd_id: str) -> Path:
        """Where the worktree of `prd_id` is or would be. Raises PrdTuiError if that is outside the root."""
        root = self._real_root()
        path = root / prd_id
        if path.parent != root or prd_id in {"", ".", ".."} or path.is_symlink():
            raise PrdTuiError(f"{path} is no place for a worktree: rename the PRD, or remove the link there")
        return path

    # -- questions ------------------------------------------------------------------------------------
    def entries(self) -> list[Entry]:
        """All worktrees of the repository, the main checkout first."""
        blocks = (
            block.split(b"\0") for block in self._git.worktree_list().split(b"\0\0") if block.strip(b"\0")
        )
        return [_parse([os.fsdecode(field) for field in block if field]) for block in blocks]

    def entry(self, path: Path) -> Entry | None:
        return next((entry for entry in self.entries() if entry.path == path), None)

    def owner(self, path: Path) -> str | None:
        """The run that made the worktree; None if there is none, or it is not ours."""
        entry = self.entry(path)
        return entry.run_id if entry else None

    def is_filled(self, prd_id: str) -> bool:
        """Whether the worktree is there and every file was checked out once; a later run inherits it."""
        made = self._made(self.path_for(prd_id))
        return made is not None and self._mark(prd_id, made.run_id).exists()

    def is_set_up(self, prd_id: str) -> bool:
        """Whether the set-up commands have succeeded in the worktree that is there."""
        mark = self._set_up_mark(prd_id)
        return mark is not None and mark.exists()

    # -- making ---------------------------------------------------------------------------------------
    def add(self, prd_id: str, run_id: str, branch: str) -> Path:
        """Registers the worktree for an existing branch, without files; a second call finds it done.

        A worktree of ours whose directory is gone gives way. Raises PrdTuiError where somebody else's things
        are in the way, GitError where git goes on refusing; nothing half-made is left then.
        """
        path = self.path_for(prd_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        said = ""
        with self._git.locked() as keep_open:
            for attempt in range(_ATTEMPTS):
                if self._is_added(path, run_id, branch):
                    break
                if (
                    attempt > 0 or path.exists()
                ):  # asking git costs a tenth of a start, and seldom tells anything
                    self._make_room(path, run_id, branch)
                self._mark(prd_id, run_id).unlink(missing_ok=True)
                args = ("--lock", "--reason", f"{REASON}{run_id}", "--no-checkout", "--", str(path), branch)
                done = self._git.run("worktree", "add", *args, check=False, keep_open=keep_open)
                # The code alone proves nothing either way: only what exists now counts.
                if self._is_added(path, run_id, branch):
                    break
                said = done.stderr.strip()
                self._undo_add(path, run_id)
                time.sleep(0.05 * 2**attempt)
            else:
                reason = said.splitlines()[-1] if said else "it gave no reason"
                raise git_error(f"the worktree {path} could not be made: {reason}; retry later", said)
        faultpoints.reach("worktree-added")
        return path

    def fill(self, worktree: Path) -> str | None:
        """Checks every file out, unless that has been done; warns if git calls some modified at once.

        That comes from filters and line ends and is so in the user's own checkout too. Raises GitError if any
        file is missing afterwards. A git left over from a crash, still filling, is waited for.
        """
        made = self._made(worktree)
        if made is None:
            raise GitError(f"{worktree} is not a worktree of prd-tui's: retry with --fresh makes a new one")
        mark = self._mark(worktree.name, made.run_id)
        if mark.exists():
            return None
        with held(mark.with_name("fill.lock"), FILL_TIMEOUT) as keep_open:
            # Whoever fills holds the lock we have: this file is from one that died.
            (made.directory / "index.lock").unlink(missing_ok=True)
            reset = ("reset", "--hard", "-q", "--no-recurse-submodules")
            self._git.run(*reset, cwd=worktree, keep_open=keep_open, timeout=FILL_TIMEOUT)
            modified = self._check_filled(worktree)
        faultpoints.reach("worktree-filled")
        if not modified:
            return None
        return (
            f"git shows {len(modified)} files as modified right after the checkout, {modified[0]} among "
            "them: see the filters and line ends in .gitattributes"
        )

    def mark_filled(self, prd_id: str, run_id: str) -> None:
        """Records for good that the worktree made by `run_id` is complete: now a worker may start there."""
        mark = self._mark(prd_id, run_id)
        mark.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(mark, b"")
        faultpoints.reach("filled-marked")

    def mark_set_up(self, prd_id: str) -> None:
        """Records that the set-up commands succeeded in the worktree that is there. Raises StateError."""
        if (mark := self._set_up_mark(prd_id)) is not None:
            write_atomic(mark, b"")

    def unmark_set_up(self, prd_id: str) -> None:
        """Before it is torn down: should the worktree stay after all, it is set up again."""
        if (mark := self._set_up_mark(prd_id)) is not None:
            mark.unlink(missing_ok=True)

    # -- taking down ----------------------------------------------------------------------------------
    def remove(
        self, prd_id: str, run_id: str, *, path: Path | None = None, kept: Collection[str] = ()
    ) -> Salvage | None:
        """Removes the worktree once all in it is proved to be kept; returns what had to be set aside.

        Its commits must be on a local branch or held by one of the refs `kept`, no repository may be hidden in
        it, and nobody at work there; else GitError is raised and it stays. `prds/`, worker state and files that
        git ignores go with it. It goes in one move: a crash leaves it whole or gone. None there: nothing to do.
        """
        path = path or self.path_for(prd_id)
        entry = self.entry(path)
        if entry is None:
            return None
        if reason := removal.why_it_stays(self._git, entry, kept):
            raise GitError(reason)
        going = removal.place_to_go(path, run_id)
        salvage = removal.set_all_aside(self._git, path, prd_id, run_id) if path.exists() else None
        with self._git.locked():
            try:
                if path.exists():
                    path.rename(going)
            except OSError as error:
                raise GitError(
                    f"{path} cannot be moved away ({error.strerror}): see what holds it"
                ) from error
            faultpoints.reach("worktree-moved-away")
            self.forget(path)
        for mark in ("filled", "set-up"):
            self._mark(prd_id, entry.run_id or run_id).with_name(mark).unlink(missing_ok=True)
        erase(going)
        removal.require_gone(going)
        return salvage

    def sweep(self) -> list[Path]:
        """Deletes what a crash left of worktrees that had gone; returns what that was."""
        found = removal.left_overs(self._real_root())
        for path in found:
            erase(path)
        return found

    def reclaim(self, live_runs: Collection[str]) -> list[str]:
        """Removes what a crash left half-made: own worktrees never filled, whose run is not in `live_runs`.

        Their branches go with them if nothing was done on them. Returns a sentence for each thing that was
        done, or that is left because it cannot be proved to be such a left-over.
        """
        done = []
        with self._git.locked() as keep_open:
            for entry in self.entries():
                if entry.run_id is not None and entry.run_id not in live_runs:
                    done += self._reclaim_one(entry, entry.run_id, keep_open)
            done += self._reclaim_fragments(live_runs)
        self._git.sweep_scratch()
        return done

    def reclaim_one(self, prd_id: str) -> list[str]:
        """As `reclaim`, for one PRD none of whose runs lives; the branch stays, to be used again."""
        entry = self.entry(self.path_for(prd_id))
        if entry is None or entry.run_id is None:
            return []
        with self._git.locked() as keep_open:
            return self._reclaim_one(replace(entry, branch=None), entry.run_id, keep_open)

    # -- details --------------------------------------------------------------------------------------
    def _real_root(self) -> Path:
        return Path(os.path.realpath(self._root))

    def _mark(self, prd_id: str, run_id: str) -> Path:
        return self._paths.run_dir(prd_id, run_id) / "filled"

    def _set_up_mark(self, prd_id: str) -> Path | None:
        """Of the worktree that is there; None if none is."""
        made = self._made(self.path_for(prd_id))
        return None if made is None else self._mark(prd_id, made.run_id).with_name("set-up")

    def _made(self, path: Path) -> _Made | None:
        """What git recorded of a worktree of ours at `path`, read from its files: no git is started."""
        try:
            directory = entry_of(path).resolve()
            back = pointer(directory / "gitdir")
            reason = pointer(directory / "locked").strip()
        except (OSError, RuntimeError):  # a link that leads to itself is the latter
            return None
        ours = directory.parent == self._paths.common / "worktrees" and reason.startswith(REASON)
        if not ours or (directory / back).resolve() != path.resolve() / ".git":
            return None
        return _Made(directory, reason.removeprefix(REASON))

    def _is_added(self, path: Path, run_id: str, branch: str) -> bool:
        made = self._made(path)
        if made is None or made.run_id != run_id:
            return False
        if (made.directory / "HEAD").read_bytes() == b"ref: refs/heads/" + os.fsencode(branch) + b"\n":
            return True
        entry = self.entry(path)  # with reftables that file does not tell
        return entry is not None and entry.branch == branch

    def _make_room(self, path: Path, run_id: str, branch: str) -> None:
        """Removes own entries that stand where the new one goes and hold nothing; refuses all else."""
        for entry in self.entries():
            if entry.path != path:
                if entry.branch == branch:
                    raise PrdTuiError(
                        f"the branch {branch} is checked out in {entry.path}: take another name"
                    )
            elif entry.run_id is None:
                raise PrdTuiError(
                    f"{path} is somebody else's worktree: remove it, or set worktree.root elsewhere"
                )
            elif not path.exists():
                self.forget(path)
            elif entry.run_id != run_id or self._mark(path.name, run_id).exists():
                raise PrdTuiError(
                    f"{path} still holds an earlier run: retry goes on there, `prd-tui clean` removes it"
                )
            else:
                self.discard(path)  # this run's own, cut off before anything was in it
        if path.exists() and any(path.iterdir()):
            raise PrdTuiError(f"{path} is in the way of a new worktree: move it elsewhere, then retry")

    def _undo_add(self, path: Path, run_id: str) -> None:
        """Removes what a failed `worktree add` made; before it there was nothing at `path`."""
        if self.owner(path) == run_id:
            self.discard(path)
        elif path.is_dir() and [child.name for child in path.iterdir()] in ([], [".git"]):
            erase(path)
        self._remove_fragments({run_id})

    def forget(self, path: Path) -> None:
        """Takes the entry of a worktree whose directory is gone out of git's list."""
        self._git.run("worktree", "remove", "-f", "-f", "--", str(path), check=False)

    def discard(self, path: Path, keep_open: tuple[int, ...] = ()) -> None:
        """Removes the worktree with all that is in it; the caller has the proof. Raises GitError."""
        remove = ("worktree", "remove", "-f", "-f", "--", str(path))
        if self._git.run(*remove, check=False, keep_open=keep_open).returncode != 0:
            # git does not delete what is half-made or read-only, but it forgets what is gone.
            erase(path)
            self.forget(path)
        if path.exists() or self.entry(path) is not None:
            raise removal.left_behind(path)

    def _check_filled(self, worktree: Path) -> list[str]:
        args = ("--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
        fields = self._git.run("status", *args, cwd=worktree).fields()
        missing = [field[3:] for field in fields if field[:2] != " M"]
        if missing:
            raise GitError(
                f"{missing[0]} could not be checked out in {worktree}: see `git status` there, then retry"
            )
        return [field[3:] for field in fields]

    def _reclaim_one(self, entry: Entry, run_id: str, keep_open: tuple[int, ...]) -> list[str]:
        prd_id = entry.path.name
        run_dir = self._paths.run_dir(prd_id, run_id)
        if (run_dir / "filled").exists() or (run_dir / "start.json").exists():
            return []
        if not run_dir.is_dir():
            return [f"{entry.path} is left as it is: nothing is recorded of its run {run_id}"]
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(held(run_dir / "fill.lock", 10.0))
                self.discard(entry.path, keep_open)
            except GitError as error:
                return [str(error)]
        if entry.branch is not None:
            branches.withdraw(self._git, entry.branch, run_id)
        return [f"removed the half-made worktree {entry.path} of run {run_id}"]

    def _reclaim_fragments(self, live_runs: Collection[str]) -> list[str]:
        ours = {run_id for run_id in self._fragments().values() if run_id not in live_runs}
        self._remove_fragments(ours)
        return [f"removed what was left of a worktree of run {run_id}" for run_id in sorted(ours)]

    def _fragments(self) -> dict[Path, str]:
        """Entries of ours that were cut off before git knew where the worktree is: no command lists them."""
        found = {}
        for reason in self._paths.common.glob("worktrees/*/locked"):
            text = reason.read_text(errors="replace").strip()
            if text.startswith(REASON) and not is_placed(reason.parent):
                found[reason.parent] = text.removeprefix(REASON)
        return found

    def _remove_fragments(self, run_ids: Collection[str]) -> None:
        for directory, run_id in self._fragments().items():
            if run_id in run_ids:
                shutil.rmtree(directory)


def _parse(fields: list[str]) -> Entry:
    values = {name: value for name, _, value in (field.partition(" ") for field in fields)}
    branch = values.get("branch")
    return Entry(
        path=Path(values["worktree"]),
        head=values.get("HEAD"),
        branch=branch.removeprefix("refs/heads/") if branch else None,
        lock_reason=values.get("locked"),
        prunable="prunable" in values,
    )
