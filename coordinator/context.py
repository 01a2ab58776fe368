"""What every effect needs: the collaborators of one engine, wired once in `engine.py`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from coordinator.clock import Clock
from coordinator.config import Settings
from coordinator.engine_log import EngineLog
from coordinator.events import Event
from coordinator.executor import Executor
from coordinator.exits import ExitWatcher
from coordinator.git import Git
from coordinator.metrics import Metrics
from coordinator.model import Run
from coordinator.paths import Paths
from coordinator.shell_jobs import ShellJobs
from coordinator.worktrees import Worktrees


@dataclass(frozen=True)
class Context:
    paths: Paths
    clock: Clock
    git: Git
    worktrees: Worktrees
    executor: Executor
    exits: ExitWatcher
    shell: ShellJobs
    metrics: Metrics
    log: EngineLog
    settings: Callable[[], Settings]
    post: Callable[[Event], None]  # into the reducer's inbox
    closing: Callable[[], bool]  # the engine ends: what fails from now on may fail because of that
    stop_wanted: Callable[[str], bool]  # a stop came for this PRD while it starts
    at_work: Callable[[], list[str]]  # the PRDs that have a run which is not over
    look_at_stories: Callable[[Run], None]  # what the run's worktree says now is told
    undisturbed: Callable[
        [], AbstractContextManager[object]
    ]  # nobody looks at prds/active, or tells of a look
    look_anew: Callable[[str], None]  # what lies there under this name is told again
