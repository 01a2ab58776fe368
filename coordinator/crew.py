"""Who works for one engine, built in the order in which they need each other. Nobody here changes its state."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coordinator.clock import Clock
from coordinator.commands import Answer
from coordinator.config import Settings
from coordinator.context import Context
from coordinator.dropbox import DropBox
from coordinator.engine_log import EngineLog
from coordinator.events import Event
from coordinator.executor import LocalExecutor
from coordinator.exits import ExitWatcher
from coordinator.git import Git
from coordinator.health import HealthWatch
from coordinator.intake import Intake
from coordinator.metrics import Metrics
from coordinator.model import ACTIVE
from coordinator.paths import Paths
from coordinator.performer import Performer
from coordinator.progress import ProgressWatch
from coordinator.recorder import Recorder
from coordinator.redaction import Redactor
from coordinator.registry import Registry
from coordinator.room import RoomWatch
from coordinator.sampler import Sampler
from coordinator.shell_jobs import ShellJobs
from coordinator.state import Record
from coordinator.worktrees import Worktrees


@dataclass(frozen=True)
class Desk:
    """What the engine offers to those who work for it; all of it may be called from any thread."""

    paths: Paths
    clock: Clock
    git: Git
    settings: Callable[[], Settings]
    records: Callable[[], Mapping[str, Record]]  # those of now
    post: Callable[[Event], None]  # into the reducer's inbox
    take_commands: Callable[[], None]  # out of the drop box
    stop_wanted: Callable[[str], bool]  # a stop came for this PRD while it starts
    deliver: Callable[[Answer], None]  # to whoever gave the command
    tell: Callable[[str], None]  # a sentence to the person
    fault: Callable[
        [str, str], None
    ]  # kind, sentence: what is wrong with the engine itself; "": nothing any more


class Crew:
    def __init__(self, desk: Desk) -> None:
        paths, clock, git, settings = desk.paths, desk.clock, desk.git, desk.settings
        self._closing = threading.Event()
        redactor = Redactor(more=settings().worktree.env)
        self.log = EngineLog(paths.engine_log, redactor=redactor, tell=desk.tell)
        self.registry = Registry(paths, clock, warn=self.log.warn, redactor=redactor)
        self.metrics = Metrics(paths.metrics, clock, redactor=redactor)
        self.exits = ExitWatcher()
        self.dropbox = DropBox(paths.commands)
        self.intake = Intake(paths, desk.post, take_commands=desk.take_commands, warn=self.log.warn)
        refresh, hang_after = _seconds(settings, "refresh"), _seconds(settings, "hang_after")
        self.progress = ProgressWatch(desk.records, desk.post, refresh, clock)
        self.health = HealthWatch(desk.records, desk.post, hang_after, clock, self.log)
        worktrees = paths.root / settings().worktree.root
        self.room = RoomWatch((worktrees, paths.root, paths.home), settings, desk.post)
        executor = LocalExecutor()
        self.context = Context(
            paths=paths,
            clock=clock,
            git=git,
            worktrees=Worktrees(git, paths, worktrees),
            executor=executor,
            exits=self.exits,
            shell=ShellJobs(executor, self.exits, git, clock, settings),
            metrics=self.metrics,
            log=self.log,
            settings=settings,
            post=desk.post,
            closing=self._closing.is_set,
            stop_wanted=desk.stop_wanted,
            at_work=lambda: at_work(desk.records()),
            look_at_stories=self.progress.look,
            undisturbed=self.intake.undisturbed,
            look_anew=self.intake.look_anew,
        )
        self.sampler = Sampler(self.metrics, paths.root, clock)
        self.recorder = Recorder(
            self.registry,
            self.metrics,
            self.log,
            root=str(paths.root),
            session={"coordinator_pid": os.getpid(), "api_limit": settings().coordinator.api_limit},
            answer=desk.deliver,
            fault=desk.fault,
        )
        self.performer = Performer(self.context, answer=self.recorder.answer, look=self.intake.look)

    def start_watching(self) -> None:
        """From now on what changes outside is noticed."""
        self.intake.start()
        self.progress.start()
        self.health.start()

    def stop(self) -> None:
        """Everybody ends within moments; runs go on."""
        self._closing.set()
        self.performer.stop()
        self.intake.stop()
        self.progress.stop()
        self.health.stop()
        self.exits.stop()
        self.recorder.stop(timeout=5.0)


def at_work(records: Mapping[str, Record]) -> list[str]:
    """The PRDs that have a run which is not over."""
    return sorted(
        name for name, record in records.items() if record.state in ACTIVE and record.run is not None
    )


def _seconds(settings: Callable[[], Settings], name: str) -> Callable[[], float]:
    """A setting of `[coordinator]` as it is now."""
    return lambda: float(getattr(settings().coordinator, name))
