"""Trying the gates of the settings on the base, before anybody has worked on it.

It runs in a worktree of its own, `<root>/~base`, in no PRD's slot. What a check is about to do lies on disk
before it does it, so that whoever comes after a crash finds all that is left of one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from coordinator import branches, processes
from coordinator.config import Settings
from coordinator.context import Context
from coordinator.errors import GitError, PrdTuiError, StateError
from coordinator.events import BaseCheckBegun, BaseChecked, BaseUnchanged
from coordinator.faultpoints import reach
from coordinator.files import read_json, write_json
from coordinator.gates import look_outside
from coordinator.git import Git
from coordinator.model import OUTSIDE, Run
from coordinator.paths import Paths
from coordinator.removal import erase
from coordinator.runs import new_run_id, record_of, run_of
from coordinator.setup import tear_down
from coordinator.shell_jobs import ShellKind, ShellResult
from coordinator.state import BASE_CHECK
from coordinator.worktree_files import copy_files
from coordinator.worktrees import Worktrees

#: The reason in git's lock of the worktree: by it the worktree is known as ours.
_REASON = "prd-tui: gates on the base"
#: Bases found green that are remembered.
_REMEMBERED = 50
_ATTEMPTS = 4
_FILL_TIMEOUT = 1800.0  # seconds, as for a run's worktree
#: Characters of the last line of output in a sentence.
_LAST_LINE = 120
#: Seconds between TERM and KILL when the engine ends, and those it waits for all of it.
CLOSING_GRACE, CLOSING_PATIENCE = 2.0, 8.0


def digest(settings: Settings) -> str:
    """What of the settings a check depends on; "" where there is no gate to try."""
    if not settings.coordinator.verify:
        return ""
    coordinator = settings.coordinator
    more = [coordinator.base_branch, coordinator.gates_outside, coordinator.gate_minutes]
    return _hash([*_made_with(settings), *more, settings.worktree.setup_minutes])


def left_over(paths: Paths) -> bool:
    """Whether a check was cut off by a crash, or could not be cleared away."""
    return _folder(paths).exists()


def end_jobs(paths: Paths, grace: float) -> None:
    """Ends the gates and set-up commands of a check, its coordinator's or a dead one's; blocks.

    What tears down is let finish.
    """
    for kind in (ShellKind.GATE, ShellKind.SETUP):
        folder = _folder(paths) / kind.folder
        for job_dir in sorted(folder.iterdir()) if folder.is_dir() else ():
            processes.terminate(job_dir, None, grace)


def _folder(paths: Paths) -> Path:
    return paths.home / "base" / "check"


def _made_with(settings: Settings) -> list[object]:
    worktree = settings.worktree
    return [list(settings.coordinator.verify), list(worktree.setup), list(worktree.copy), dict(worktree.env)]


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class _GivenUp(Exception):
    pass


@dataclass(frozen=True)
class _Attempt:
    given_up: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


class BaseChecker:
    """Carries out `CheckBase`, `EndBaseCheck` and `ClearBase`; thread-safe, one check at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._home = context.paths.home / "base"
        self._folder = _folder(context.paths)
        self._turn = threading.Lock()  # held for a whole check
        self._lock = threading.Lock()  # around the two below
        self._attempt: _Attempt | None = None
        self._not_wanted = False  # the check that was given up had not begun yet
        self._closing = False

    def check(self, unless: str = "") -> None:
        """Posts BaseChecked, or BaseUnchanged where what is found is `unless`."""
        with self._turn:
            attempt = self._begin()
            try:
                event = self._check(unless, attempt)
            except _GivenUp:
                event = BaseChecked(given_up=True)
            except Exception as error:  # noqa: BLE001 - a queue that waits for a word must get one
                self._context.log.failure("checking the base", error)
                why = str(error) if isinstance(error, PrdTuiError) else f"{type(error).__name__}: {error}"
                event = BaseChecked(f"the gates could not be tried on the base: {why}")
            with self._lock:
                self._attempt = None
            attempt.over.set()
        self._context.post(event)

    def give_up(self, grace: float) -> None:
        """Ends the check that is under way, or about to begin; `grace`: seconds between TERM and KILL. Blocks."""
        with self._lock:
            attempt = self._attempt
            self._not_wanted = attempt is None
        if attempt is not None:
            attempt.given_up.set()
            while not attempt.over.wait(0.02):
                end_jobs(self._context.paths, grace)

    def close(self) -> None:
        """The engine ends: nothing of a check goes on. What cannot be cleared in time is left to the next start."""
        self._closing = True
        if self._turn.locked():
            thread = threading.Thread(target=self.give_up, args=(CLOSING_GRACE,), name="base", daemon=True)
            thread.start()
            thread.join(CLOSING_PATIENCE)

    def clear(self) -> None:
        """Removes what a check left that was cut off by a crash."""
        with self._turn:
            self._clear()

    def _begin(self) -> _Attempt:
        with self._lock:
            attempt = self._attempt = _Attempt()
            if self._not_wanted:
                attempt.given_up.set()
            self._not_wanted = False
        return attempt

    def _clear(self) -> None:
        if self._folder.exists():
            end_jobs(self._context.paths, self._context.settings().coordinator.stop_grace)
            self._take_down(self._run())

    # -- one check ------------------------------------------------------------------------------------

    def _check(self, unless: str, attempt: _Attempt) -> BaseChecked | BaseUnchanged:
        context = self._context
        settings = context.settings()
        if not settings.coordinator.verify:
            return BaseChecked()
        try:
            name, commit = branches.base(context.git, settings.coordinator.base_branch)
        except PrdTuiError as error:
            return BaseUnchanged() if unless == "none" else BaseChecked(str(error), key="none")
        key = _hash(
            [context.git.tree_of(commit), *_made_with(settings), *_stamps(settings, context.paths.root)]
        )
        run = self._new_run(name, commit)
        outside = look_outside(context, run, 0, settings.coordinator.verify)
        found = f"{key} {outside}" if outside else key
        if found == unless:
            return BaseUnchanged()
        if outside:
            return BaseChecked(outside, OUTSIDE, found)
        if key in self._green():
            return BaseChecked()
        return self._try(run, settings, key, attempt)

    def _try(self, run: Run, settings: Settings, key: str, attempt: _Attempt) -> BaseChecked:
        self._make(run, settings)
        try:
            for number, command in enumerate(settings.worktree.setup, 1):
                result = self._command(run, ShellKind.SETUP, number, command, attempt)
                if not result.ok:
                    return BaseChecked(self._sentence(run, result, "mend worktree.setup"), key=key)
            if outside := look_outside(self._context, run, 0, settings.coordinator.verify):
                return BaseChecked(outside, OUTSIDE, key)
            for number, command in enumerate(settings.coordinator.verify, 1):
                result = self._command(run, ShellKind.GATE, number, command, attempt)
                if not result.ok:
                    self._keep_output(run, number)
                    return BaseChecked(self._sentence(run, result, "mend it there"), key=key)
            write_json(self._home / "green.json", [*self._green(), key][-_REMEMBERED:])
            reach("base-green")
            return BaseChecked()
        finally:
            if not (self._closing and settings.worktree.teardown):  # which take their time
                self._take_down(run)

    def _command(
        self, run: Run, kind: ShellKind, number: int, command: str, attempt: _Attempt
    ) -> ShellResult:
        if attempt.given_up.is_set() or self._closing:
            raise _GivenUp
        self._context.post(BaseCheckBegun(command))
        settings = self._context.settings()
        is_gate = kind is ShellKind.GATE
        minutes = settings.coordinator.gate_minutes if is_gate else settings.worktree.setup_minutes
        result = self._context.shell.run(run, 0, kind, number, command, minutes=minutes)
        if attempt.given_up.is_set():
            raise _GivenUp
        return result

    def _sentence(self, run: Run, result: ShellResult, mend: str) -> str:
        last = result.output.strip().splitlines()[-1:]
        said = f": {last[0][:_LAST_LINE]}" if last else ""
        log = Path(run.log).relative_to(self._context.paths.root)
        return f"{result.sentence()} on the base {run.base_branch}{said}; {mend} (output: {log})"

    def _keep_output(self, run: Run, number: int) -> None:
        with (
            (Path(run.run_dir) / ShellKind.GATE.folder / f"{number:03}" / "output").open("rb") as output,
            Path(run.log).open("ab") as log,
        ):
            shutil.copyfileobj(output, log)

    def _green(self) -> list[str]:
        try:
            keys = read_json(self._home / "green.json")
        except StateError:
            return []
        return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []

    # -- its place ------------------------------------------------------------------------------------

    def _new_run(self, base_branch: str, base_commit: str) -> Run:
        """What a check is to the rest of the engine: a run of nobody's."""
        context = self._context
        return Run(
            prd_id=BASE_CHECK,
            run_id=new_run_id(context.clock.now()),
            generation=1,
            worktree=str(context.worktrees.path_for(BASE_CHECK)),
            branch="",
            branch_asked="",
            base_branch=base_branch,
            base_commit=base_commit,
            run_dir=str(self._folder),
            log=str(context.paths.logs / "base.log"),
        )

    def _run(self) -> Run:
        """The check that is recorded on disk."""
        try:
            recorded = read_json(self._folder / "run.json")
            return run_of(self._context.paths, recorded or {}, self._folder)
        except (StateError, KeyError, TypeError):
            return self._new_run("", "")

    def _make(self, run: Run, settings: Settings) -> None:
        context = self._context
        self._clear()
        Path(run.log).unlink(missing_ok=True)
        self._folder.mkdir(parents=True)
        write_json(self._folder / "run.json", record_of(context.paths, run))
        reach("base-check-begun")
        _add_worktree(context.git, context.worktrees, Path(run.worktree), run.base_commit)
        reach("base-worktree-added")
        for warning in copy_files(context.git, settings.worktree.copy, Path(run.worktree)):
            context.log.warn(f"the base: {warning}")

    def _take_down(self, run: Run) -> None:
        """Removes the worktree and the record. What cannot be removed is named, and tried again by the next one."""
        context = self._context
        try:
            if (Path(run.worktree) / ".git").is_file():
                for warning in tear_down(context.shell, run, 0):
                    context.log.warn(warning)
            _remove_worktree(context.git, context.worktrees, context.paths, Path(run.worktree))
            shutil.rmtree(self._folder)
        except (PrdTuiError, OSError) as error:
            context.log.failure("clearing away the check of the base", error)


def _stamps(settings: Settings, root: Path) -> Iterator[list[object]]:
    """What the copied files look like now."""
    for pattern in settings.worktree.copy:
        try:
            found = sorted(root.glob(pattern))
        except (ValueError, NotImplementedError):
            continue
        for path in found:
            status = path.lstat()
            yield [str(path), status.st_mtime_ns, status.st_size]


def _add_worktree(git: Git, worktrees: Worktrees, path: Path, commit: str) -> None:
    """A detached worktree with every file in it. Raises PrdTuiError where something else is there."""
    if path.exists() and any(path.iterdir()):
        raise PrdTuiError(f"{path} is in the way: move it elsewhere")
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):  # agents run git too
        with git.locked() as keep_open:
            args = ("--detach", "--no-checkout", "--lock", "--reason", _REASON, "--", str(path), commit)
            done = git.run("worktree", "add", *args, check=False, keep_open=keep_open)
        if _is_ours(worktrees, path):
            break
        _remove_worktree(git, worktrees, git.paths, path)
        time.sleep(0.05 * 2**attempt)
    else:
        raise GitError(f"the worktree {path} could not be made: {done.stderr.strip()}")
    git.run("reset", "--hard", "-q", "--no-recurse-submodules", cwd=path, timeout=_FILL_TIMEOUT)


def _is_ours(worktrees: Worktrees, path: Path) -> bool:
    entry = worktrees.entry(path)
    return entry is not None and entry.lock_reason == _REASON


def _remove_worktree(git: Git, worktrees: Worktrees, paths: Paths, path: Path) -> None:
    """Removes it with all in it, if it is ours, and what a crash left of one that was being added."""
    with git.locked() as keep_open:
        if _is_ours(worktrees, path):
            remove = ("worktree", "remove", "-f", "-f", "--", str(path))
            if git.run(*remove, check=False, keep_open=keep_open).returncode != 0:
                erase(path)
                worktrees.forget(path)
        for reason in paths.common.glob("worktrees/*/locked"):
            if (
                reason.read_text(errors="replace").strip() == _REASON
                and not (reason.parent / "gitdir").exists()
            ):
                shutil.rmtree(reason.parent)
        if path.is_dir() and [child.name for child in path.iterdir()] in ([], [".git"]):
            erase(path)
    if _is_ours(worktrees, path):
        raise GitError(f"{path} cannot be removed: see whose files are in it and remove them by hand")
