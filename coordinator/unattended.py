"""Commands for a repository that nobody owns: the same reducer, without its threads.

The caller holds the repository for as long as the command takes, so that no coordinator starts meanwhile.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from coordinator import branches, config, dropping, prd_file
from coordinator.base_worktree import end_jobs
from coordinator.cleaning import Cleaner
from coordinator.clock import SystemClock
from coordinator.commands import (
    Accepted,
    Answer,
    CleanUp,
    Command,
    DropPrds,
    PausePrds,
    Rejected,
    ResumePrds,
    RetryPrds,
    StopMode,
    StopPrds,
)
from coordinator.config import Settings
from coordinator.drop_steps import BY_DROP
from coordinator.dropbox import DropBox
from coordinator.dropping import Dropper
from coordinator.effects import AnswerCommand, CleanRepository, ContinueRun, DropPrd, Effect, EndRun, PauseRun
from coordinator.ending import stop_run
from coordinator.engine_log import EngineLog
from coordinator.entries import metrics_event
from coordinator.errors import OwnedElsewhere
from coordinator.events import (
    CommandReceived,
    DropRefused,
    Event,
    FolderAdmitted,
    FolderRefused,
    PauseFailed,
    RunPaused,
    RunSwept,
    StopRequested,
    WorkerExited,
)
from coordinator.folders import make_private
from coordinator.git import Git
from coordinator.jobs import inspect
from coordinator.locks import OwnerLock
from coordinator.metrics import Metrics
from coordinator.model import PERSON, PrdState
from coordinator.moved import reconnect
from coordinator.paths import Paths
from coordinator.pausing import continue_run, pause_run
from coordinator.recorder import apply
from coordinator.recovery import recover
from coordinator.reducer import reduce
from coordinator.registry import Registry
from coordinator.state import EngineState
from coordinator.takedown import Tools, tools_alone

_UNFILED = "its work is verified and not filed yet: start prd-tui, which files it, then drop it"


def execute(paths: Paths, command: Command, *, grace: float) -> Answer:
    """Carries the command out and says what changed for the next start. Raises OwnedElsewhere, PrdTuiError."""
    make_private(paths.locks)
    lock = OwnerLock(paths.locks / "coordinator.lock", "command")
    if not lock.acquire_after_commands(grace + 30.0):
        raise OwnedElsewhere("Another coordinator has just started: give the command again.")
    try:
        answer = _Session(paths, grace).execute(command)
        DropBox(paths.commands).answer_alike(command, answer)
        return answer
    finally:
        lock.release()


class _Session:
    def __init__(self, paths: Paths, grace: float) -> None:
        self._paths = paths
        self._grace = grace
        self._clock = SystemClock()
        self._log = EngineLog(paths.engine_log, self._clock)
        self._registry = Registry(paths, self._clock, warn=self._log.warn)
        document = self._registry.read()
        found = recover(paths, document, grace)
        person = document["holds"].get(PERSON)
        self._known = {one.record.prd_id: one.record for one in found}
        self._state = EngineState(
            stop_grace=grace,
            max_prds=document["max_parallel_prds"],
            records=self._known,
            holds={PERSON: person} if person else {},
        )
        self._answers: list[Answer] = []
        self._looks_only = False

    def execute(self, command: Command) -> Answer:
        self._looks_only = isinstance(command, CleanUp) and command.dry_run
        if not self._looks_only:  # what an earlier drop did not come to goes on
            going = dict.fromkeys(dropping.wanted(self._paths), False)
            self._state = replace(self._state, drops=going)
        self._apply(StopRequested(StopMode.DETACH))  # nothing starts here
        if isinstance(command, RetryPrds | DropPrds):
            self._admit(command.prd_ids, drops=isinstance(command, DropPrds))
        if isinstance(command, StopPrds) and command.everything:
            end_jobs(self._paths, 0.0 if command.kill else self._grace)
        self._apply(CommandReceived("unattended", command))
        if isinstance(command, DropPrds):
            self._refuse_unfiled(command.prd_ids)
        before = self._known
        if not self._looks_only:
            self._registry.update(
                lambda document: apply(document, before, self._state, str(self._paths.root))
            )
            self._note()
        refused = [answer for answer in self._answers if isinstance(answer, Rejected)]
        if refused:
            return refused[0]
        final = next(answer for answer in self._answers if isinstance(answer, Accepted) and answer.done)
        at_once = isinstance(command, StopPrds | PausePrds | ResumePrds | DropPrds | CleanUp)
        later = "" if at_once else " (no coordinator runs: at the next start)"
        return Accepted(final.command_id, final.message + later, True)

    def _refuse_unfiled(self, names: tuple[str, ...]) -> None:
        """Work that is verified is filed before it goes, and nobody files it here."""
        for name in names:
            if self._state.drops.get(name) is False:
                self._apply(DropRefused(name, _UNFILED))

    def _apply(self, event: Event) -> None:
        self._state, effects = reduce(self._state, event, self._clock.now())
        for effect in effects:
            self._perform(effect)
        self._end([effect for effect in effects if isinstance(effect, EndRun)])

    def _perform(self, effect: Effect) -> None:
        match effect:
            case AnswerCommand(answer):
                self._answers.append(answer)
            case PauseRun(run, wish, by):
                reason = pause_run(run, self._clock, self._log, by)
                failed = PauseFailed(run.prd_id, run.run_id, wish, reason)
                self._apply(failed if reason else RunPaused(run.prd_id, run.run_id, wish))
            case ContinueRun(run):
                continue_run(run, self._clock, self._log)
            case DropPrd():
                metrics = Metrics(self._paths.metrics, self._clock)
                self._apply(Dropper(self._tools, metrics, self._base, nullcontext).carry_out(effect))
            case CleanRepository():
                self._apply(Cleaner(self._tools, lambda: self._settings).clean(effect))
            case _:
                return  # whatever else there is to do waits for a coordinator

    def _end(self, endings: list[EndRun]) -> None:
        """All of them side by side: each may take its grace. Raises what the first one that failed raised."""
        survivors: dict[str, tuple[str, ...]] = {}
        failures: list[Exception] = []

        def end(ending: EndRun) -> None:
            try:
                if ending.by == BY_DROP:
                    dropping.want(self._paths, ending.run.prd_id, self._clock.now())
                left = stop_run(ending.run, ending.by, ending.grace, self._clock, self._log)
                survivors[ending.run.run_id] = left
            except Exception as error:  # noqa: BLE001 - raised below, once the others have had their turn
                failures.append(error)

        threads = [threading.Thread(target=end, args=(ending,), daemon=True) for ending in endings]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in (ending.run for ending in endings if ending.run.run_id in survivors):
            self._apply(WorkerExited(run.prd_id, run.run_id, inspect(Path(run.run_dir)).exit))
            self._apply(RunSwept(run.prd_id, run.run_id, survivors[run.run_id]))
        if failures:
            raise failures[0]

    @cached_property
    def _settings(self) -> Settings:
        return config.load(self._paths, Git(self._paths), refuse_unapproved=False).settings

    @cached_property
    def _tools(self) -> Tools:
        tools = tools_alone(self._paths, self._settings, self._clock, self._log)
        for line in () if self._looks_only else reconnect(tools.git, tools.worktrees):
            self._log.write(line)
        return tools

    def _base(self) -> str:
        return branches.base_commit(self._tools.git, self._settings.coordinator.base_branch)

    def _admit(self, prd_ids: tuple[str, ...], *, drops: bool) -> None:
        """A retry needs the folder to be there; its text is read again at the start."""
        for prd_id in prd_ids:
            folder = self._paths.active / prd_id
            if folder.parent != self._paths.active or not folder.is_dir():
                continue  # a name that leads elsewhere
            try:
                data = prd_file.read_bytes(folder)
                self._apply(FolderAdmitted(prd_id, prd_file.parse(data), data, self._clock.now()))
            except prd_file.PrdInvalid as error:
                if drops:
                    self._apply(FolderRefused(prd_id, str(error)))

    def _note(self) -> None:
        metrics = Metrics(self._paths.metrics, self._clock)
        for prd_id, record in self._state.records.items():
            old = self._known.get(prd_id)
            if record.state is PrdState.DROPPED:
                continue  # a step of its drop, written by that
            if old is None or old.state is not record.state:
                came_from = old.state if old else None
                metrics.record(metrics_event(record.state, came_from), prd_id, reason=record.reason)
