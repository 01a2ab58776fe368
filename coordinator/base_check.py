"""Trying the gates of the settings on the base, before anybody has worked on it.

It runs in a worktree of its own, `<root>/~base`, in no PRD's slot. What a check is about to do lies on disk
before it does it, so that whoever comes after a crash finds all that is left of one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from coordinator import base_worktree, branches
from coordinator.config import Settings
from coordinator.context import Context
from coordinator.errors import PrdTuiError, StateError
from coordinator.events import BaseCheckBegun, BaseChecked, BaseUnchanged
from coordinator.faultpoints import reach
from coordinator.files import read_json, write_json
from coordinator.gates import look_outside
from coordinator.model import OUTSIDE, Run
from coordinator.shell_jobs import ShellKind, ShellResult
from coordinator.takedown import tools_of
from coordinator.worktree_files import copy_files

#: Bases found green that are remembered.
_REMEMBERED = 50
#: Characters of the last line of output in a sentence.
_LAST_LINE = 60
#: Seconds between TERM and KILL when the engine ends, and those it waits for all of it.
CLOSING_GRACE, CLOSING_PATIENCE = 2.0, 8.0


def digest(settings: Settings) -> str:
    """What of the settings a check depends on; "" where there is no gate to try."""
    if not settings.coordinator.verify:
        return ""
    coordinator = settings.coordinator
    more = [coordinator.base_branch, coordinator.gates_outside, coordinator.gate_minutes]
    return _hash([*_made_with(settings), *more, settings.worktree.setup_minutes])


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
    cleared: threading.Event = field(default_factory=threading.Event)  # from here on its folder goes
    over: threading.Event = field(default_factory=threading.Event)
    ending: threading.Lock = field(default_factory=threading.Lock)  # around whatever touches its jobs


class BaseChecker:
    """Carries out `CheckBase`, `EndBaseCheck` and `ClearBase`; thread-safe, one check at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._home = context.paths.home / "base"
        self._tools = tools_of(context)
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
                with attempt.ending:
                    if not attempt.cleared.is_set():
                        base_worktree.end_jobs(self._context.paths, grace)

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
            base_worktree.clear(self._tools, self._context.settings().coordinator.stop_grace)

    def _begin(self) -> _Attempt:
        with self._lock:
            attempt = self._attempt = _Attempt()
            if self._not_wanted:
                attempt.given_up.set()
            self._not_wanted = False
        return attempt

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
        run = base_worktree.new_run(self._tools, name, commit)
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
        base_worktree.clear(self._tools, settings.coordinator.stop_grace)
        try:
            base_worktree.make(self._tools, run)
            for warning in copy_files(self._context.git, settings.worktree.copy, Path(run.worktree)):
                self._context.log.warn(f"the base: {warning}")
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
                with attempt.ending:
                    attempt.cleared.set()
                base_worktree.take_down(self._tools, run)

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
        said = f": {result.last_line[:_LAST_LINE]}" if result.last_line else ""
        log = Path(run.log).relative_to(self._context.paths.root)
        return f"{result.sentence()} on the base {run.base_branch}{said}; {mend}, see {log}"

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
