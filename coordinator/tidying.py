"""Which worktrees of ended PRDs are to go, and letting them go while the engine runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from coordinator import branches
from coordinator.config import Settings
from coordinator.effects import Standing
from coordinator.errors import PrdTuiError
from coordinator.model import COMPLETED, PrdState, Run
from coordinator.runs import runs_of
from coordinator.salvage import Salvage
from coordinator.settings_schema import WorktreeSettings
from coordinator.takedown import Tools, take_down


def superfluous(
    tools: Tools, settings: WorktreeSettings, ended: Iterable[Standing], base: str
) -> list[tuple[Run, str]]:
    """The runs whose worktree goes, each with the reason. `base`: the commit that work is merged into, or ""."""
    there = [
        (standing, standing.run)
        for standing in ended
        if standing.run is not None and Path(standing.run.worktree).is_dir()
    ]
    if not there:
        return []
    merged = merged_branches(tools, base)
    found: list[tuple[Run, str]] = []
    unmerged: list[tuple[float, Run]] = []
    for standing, run in there:
        if standing.state is PrdState.FAILED and settings.cleanup_on_failure:
            found.append((run, "failed"))
        elif standing.state in COMPLETED and run.branch not in merged:
            unmerged.append((standing.ended_at, run))
        elif standing.state in COMPLETED and settings.cleanup_on_success:
            found.append((run, "merged"))
    newest_first = sorted(unmerged, key=lambda one: (one[0], one[1].run_id), reverse=True)
    beyond = newest_first[settings.keep :]
    return found + [(run, f"beyond the {settings.keep} kept, completed") for _, run in beyond]


def merged_branches(tools: Tools, base: str) -> frozenset[str]:
    """The local branches whose commits are all on `base`, asked in one call."""
    if not base:
        return frozenset()
    args = ("for-each-ref", f"--merged={base}", "--format=%(refname)", "refs/heads/")
    return frozenset(name.removeprefix("refs/heads/") for name in tools.git.run(*args).text.split("\n"))


class Tidier:
    """Carries out `TidyWorktrees`, one look at a time. `say` gets a sentence for each worktree that has to stay."""

    def __init__(self, tools: Tools, settings: Callable[[], Settings], say: Callable[[str], None]) -> None:
        self._tools = tools
        self._settings = settings
        self._say = say
        self._lock = threading.Lock()
        self._due: deque[tuple[Standing, ...]] = deque(maxlen=1)
        self._said: set[str] = set()

    def tidy(self, ended: Iterable[Standing]) -> None:
        """What cannot be proved to be kept is left, and told once.

        Where somebody is at it, who may be long in tearing down, they take the newest wish over.
        """
        self._due.append(tuple(ended))
        while self._due and self._lock.acquire(blocking=False):
            try:
                if self._due:
                    self._look(self._due.pop())
            finally:
                self._lock.release()

    def _look(self, ended: tuple[Standing, ...]) -> None:
        self._tools.worktrees.sweep()
        settings = self._settings()
        base = branches.base_commit(self._tools.git, settings.coordinator.base_branch)
        for run, why in superfluous(self._tools, settings.worktree, ended, base):
            try:
                kept = take_down_if_newest(self._tools, run)
                if kept is not None:
                    self._tell(
                        f"what was not committed in the worktree of {run.prd_id} is kept as {kept.ref}"
                    )
            except (PrdTuiError, OSError) as error:
                self._tell(f"the worktree of {run.prd_id} ({why}) is left: {error}")

    def _tell(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)


def take_down_if_newest(tools: Tools, run: Run) -> Salvage | None:
    """Takes the worktree down, unless a newer run has begun to use it meanwhile; what had to be set aside.

    Raises PrdTuiError, OSError.
    """
    with tools.worktrees.turns.of(run.prd_id):
        history = runs_of(tools.paths, run.prd_id)
        if not history or history[-1].run.run_id != run.run_id:
            return None
        return take_down(tools, run.prd_id, run)
