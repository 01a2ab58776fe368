"""The engine: one reducer thread that owns the state, and the threads that feed it and carry out its wishes."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from shutil import disk_usage
from typing import Any

from coordinator import dropping, entries
from coordinator.api import EventPage, LogChunk
from coordinator.base_check import digest
from coordinator.base_worktree import left_over
from coordinator.clock import Clock, JumpWatch, SystemClock
from coordinator.command_steps import requeued
from coordinator.commands import Answer, Command, CommandId, StopMode
from coordinator.crew import Crew, Desk
from coordinator.effects import ClearBase, Effect
from coordinator.errors import OwnedElsewhere, PrdTuiError
from coordinator.events import ClockJumped, CommandReceived, Event, FirstLookTaken, StopRequested, TimePassed
from coordinator.folders import make_private
from coordinator.git import Git
from coordinator.git_locks import clear_own_locks
from coordinator.history import History
from coordinator.housekeeping import Housekeeper
from coordinator.left_overs import sweep_left_overs
from coordinator.locks import OwnerLock, read_owner
from coordinator.log_caps import cap_logs, logs_of
from coordinator.log_reading import read_chunk
from coordinator.model import FAILED, PERSON, EngineSnapshot, PrdState
from coordinator.moved import gone, reconnect
from coordinator.paths import Paths
from coordinator.recorder import transitions_between
from coordinator.recovery import COPIED, Found, recover
from coordinator.reducer import reduce, start_due
from coordinator.runs import recorded_prds
from coordinator.settings_watch import SettingsWatch
from coordinator.state import Base, EngineState, at_work
from coordinator.surroundings import Surroundings

#: Seconds that verified work may still take to be filed once the engine was asked to end.
FILING_GRACE = 10.0
#: Seconds that effects under way are given to end by themselves before the repository is left to the next one.
LAST_EFFECTS = 0.4
#: Seconds to wait for a command that holds the repository: a stop takes its grace, and the machine's time.
COMMAND_PATIENCE = 120.0


class Engine:
    """`EngineApi` in this process."""

    def __init__(
        self,
        paths: Paths,
        *,
        overrides: Mapping[str, Any],
        only: Collection[str] | None,
        hold_first: bool = False,
        ask_to_resume: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._paths = paths
        self._clock = clock or SystemClock()
        self._git = Git(paths)
        self._only = frozenset(only) if only is not None else None
        self._hold_first = hold_first
        self._ask_to_resume = ask_to_resume
        self._settings = SettingsWatch(paths, self._git, overrides, self._post)
        self._surroundings = Surroundings(
            paths, self._git, self._clock, lambda: self._settings.current().coordinator.base_branch
        )
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = OwnerLock(paths.locks / "coordinator.lock", "run")
        self._history = History()
        self._state = EngineState()
        self._snapshot = EngineSnapshot()
        self._rows = entries.Rows()
        self._faults: dict[str, str] = {}
        self._shown: object = None  # what of the snapshot is no part of the state
        self._alive_at = self._clock.monotonic()
        self._reducing = False
        self._ended = threading.Event()
        self._received: set[str] = set()
        self._thread = threading.Thread(target=self._loop, name="reducer", daemon=True)

    # -- the door -------------------------------------------------------------------------------------

    def start(self) -> None:
        self._own()
        if self._paths.active.exists() and not self._paths.active.is_dir():
            raise PrdTuiError("prds/active is not a folder: move it away, then start again.")
        make_private(self._paths.logs)
        make_private(self._paths.commands)
        self._git.ensure_excluded()
        self._crew = Crew(
            Desk(
                paths=self._paths,
                clock=self._clock,
                git=self._git,
                settings=self._settings.current,
                records=lambda: self._state.records,
                post=self._post,
                take_commands=self._take_commands,
                stop_wanted=self._stop_wanted,
                deliver=self._deliver,
                tell=lambda sentence: self._history.say(sentence, self._clock.now()),
                fault=self._fault,
            )
        )
        self._housekeeper = Housekeeper(self._chores(), self._crew.log)
        found = self._recover()
        for key in self._settings.without_effect:
            self._history.say(f"{key} is set, and has no effect in this version", self._clock.now())
        self._crew.recorder.start(EngineState())
        self._crew.recorder.record(self._state, ())
        self._surroundings.look()
        self._crew.room.look()  # before anything can start
        self._publish()
        self._thread.start()
        for one in found:
            self._perform(one.effects)
        if left_over(self._paths):
            self._perform((ClearBase(),))
        self._crew.intake.look()
        self._post(FirstLookTaken())
        self._take_commands()  # that of an owner that died, too: soon they would mean something else
        self._crew.start_watching()
        self._housekeeper.start()

    def snapshot(self) -> EngineSnapshot:
        return self._snapshot

    def events_after(self, seq: int, limit: int) -> EventPage:
        return self._history.after(seq, limit)

    def read_log(self, prd_id: str, offset: int, max_bytes: int) -> LogChunk:
        return read_chunk(self._paths.worker_log(prd_id), offset, max_bytes)

    def submit(self, command: Command) -> CommandId:
        command_id = CommandId(f"local-{time.monotonic_ns()}")
        self._post(CommandReceived(command_id, command))
        return command_id

    def request_stop(self, mode: StopMode) -> None:
        self._post(StopRequested(mode))

    def join(self, timeout: float) -> bool:
        return self._ended.wait(timeout)

    def is_idle(self) -> bool:
        quiet = self._inbox.empty() and not self._reducing
        return quiet and self._crew.performer.in_flight == 0 and self._crew.recorder.idle

    def alive_at(self) -> float:
        return self._alive_at

    # -- beginning ------------------------------------------------------------------------------------

    def _own(self) -> None:
        """Waits for a command that holds the repository meanwhile. Raises OwnedElsewhere."""
        if self._lock.acquire_after_commands(COMMAND_PATIENCE):
            return
        owner = read_owner(self._paths.locks / "coordinator.lock")
        who = f" (process {owner.pid})" if owner else ""
        raise OwnedElsewhere(
            f"Another coordinator{who} runs this repository: prd-tui status shows its work, "
            "prd-tui stop, pause, resume, retry, hold and release steer it."
        )

    def _recover(self) -> list[Found]:
        """The state that an earlier session left, and what has to go on. The same after any kind of end."""
        settings = self._settings.current().coordinator
        document = self._crew.registry.update(lambda document: document.update(coordinator_pid=os.getpid()))
        for line in reconnect(self._git, self._crew.context.worktrees):
            self._crew.log.warn(line)
        found = recover(self._paths, document, float(settings.stop_grace))
        records = {one.record.prd_id: one.record for one in found}
        now = self._clock.now()
        for prd_id in self._only or ():
            record = records.get(prd_id)
            if record is not None and record.state in FAILED:
                records[prd_id] = requeued(record, now)
        live = [one.record.run.run_id for one in found if one.effects and one.record.run]
        worktrees = self._paths.root / self._settings.current().worktree.root
        for line in clear_own_locks(self._paths, worktrees):
            self._crew.log.write(line)
        for line in self._crew.context.worktrees.reclaim(live):
            self._crew.log.write(line)
        sweep_left_overs(self._paths, worktrees)
        if any(one.copied for one in found):
            self._crew.log.warn(COPIED)
        person = document["holds"].get(PERSON)
        first = self._hold_first and self._only is None and not any(recorded_prds(self._paths))
        asks = self._ask_to_resume and self._only is None and not (first or person)
        self._state = EngineState(
            max_prds=settings.max_prds,
            max_retries=settings.max_retries,
            stop_grace=float(settings.stop_grace),
            records=records,
            holds={PERSON: person} if person else {},
            only=self._only,
            base=Base(digest(self._settings.current())),
            hold_first=first,
            left_over=frozenset(one.record.prd_id for one in found if asks and one.left_over),
            drops=dict.fromkeys(dropping.wanted(self._paths), False),
        )
        self._crew.log.write(f"coordinator {os.getpid()} started with {len(records)} known PRDs")
        return found

    # -- the reducer thread ---------------------------------------------------------------------------

    def _post(self, event: Event) -> None:
        self._inbox.put(event)

    def _loop(self) -> None:
        last_tick = self._clock.monotonic()
        jumps = JumpWatch(self._clock)
        filing_since: float | None = None
        while True:
            try:
                event: Event = self._inbox.get(timeout=1.0)
            except queue.Empty:
                event = TimePassed()
            self._alive_at = self._clock.monotonic()
            self._reducing = True
            try:
                if jumped := jumps.look():
                    self._reduce(ClockJumped(jumped))
                self._reduce(event)
                if self._clock.monotonic() - last_tick >= 1.0:
                    last_tick = self._clock.monotonic()
                    self._reduce(TimePassed())
            except Exception as error:  # noqa: BLE001 - a fault of ours must be seen, and must not end the night
                self._crew.log.failure(f"reducing {type(event).__name__}", error)
                self._fault("engine", f"the engine stumbled over {type(event).__name__}: see coordinator.log")
            finally:
                self._reducing = False
            if self._state.ending is not None and at_work(self._state) == 0:
                filing_since = filing_since or self._clock.monotonic()
            if self._may_end(filing_since):
                break
        self._close()

    def _reduce(self, event: Event) -> None:
        now = self._clock.now()
        self._move(*reduce(self._state, event, now), now)
        self._move(*start_due(self._state, now), now)
        if self._shown != (self._faults, self._surroundings.branch):
            self._publish()

    def _move(self, after: EngineState, effects: tuple[Effect, ...], now: float) -> None:
        """The new state is shown and its effects are begun before it is written down: a refill waits for no disk."""
        before = self._state
        if after is before:
            self._perform(effects)
            return
        self._state = after
        transitions = transitions_between(before, after, now)
        self._history.add(transitions, before, after, now)
        self._publish()
        self._perform(effects)
        self._crew.recorder.record(after, transitions)

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._crew.performer.perform(effect)

    def _publish(self) -> None:
        faults, branch = self._faults, self._surroundings.branch
        self._shown = (faults, branch)
        self._snapshot = entries.snapshot(
            self._state,
            self._rows,
            self._snapshot.version + 1,
            tuple(sentence for sentence in faults.values() if sentence),
            repository=self._surroundings.repository,
            branch=branch,
        )

    def _may_end(self, filing_since: float | None) -> bool:
        """DETACH: now. Otherwise once no run holds a slot and what was verified is filed."""
        if self._state.ending is None:
            return False
        if self._state.ending is StopMode.DETACH:
            return True
        if filing_since is None or at_work(self._state):
            return False
        records = self._state.records.values()
        filing = any(record.state is PrdState.VERIFYING and not record.gates_held for record in records)
        return not filing or self._clock.monotonic() - filing_since > FILING_GRACE

    def _close(self) -> None:
        self._housekeeper.stop()
        self._crew.stop()
        self._crew.log.write(f"coordinator {os.getpid()} ended")
        if self._crew.performer.at_rest(LAST_EFFECTS):
            self._lock.release()
        # Else the lock goes with this process, and with it what is still under way: until then nobody may go on.
        self._ended.set()

    # -- what the other threads ask -------------------------------------------------------------------

    def _stop_wanted(self, prd_id: str) -> bool:
        record = self._state.records.get(prd_id)
        return record is not None and record.state is PrdState.STOPPING

    def _take_commands(self) -> None:
        for command_id, command in self._crew.dropbox.take():
            if command_id not in self._received:
                self._received.add(command_id)
                self._post(CommandReceived(command_id, command))

    def _deliver(self, answer: Answer) -> None:
        self._history.answered(answer, self._clock.now())
        if not answer.command_id.startswith("local-"):
            self._crew.dropbox.answer(answer)

    def _fault(self, kind: str, sentence: str) -> None:
        if self._faults.get(kind, "") != sentence:
            self._faults = {**self._faults, kind: sentence}
            if sentence:
                self._crew.log.warn(sentence)
            self._post(TimePassed())  # the reducer publishes; nobody else touches the snapshot

    def _chores(self) -> tuple[Callable[[], object], ...]:
        """Once a second."""
        return (
            self._look_at_settings,
            self._crew.room.look,
            self._take_commands,
            lambda: self._crew.dropbox.tidy(self._clock.now()),
            lambda: self._crew.sampler.look(self._snapshot),
            self._cap_logs,
            self._look_around,
            self._check_ownership,
        )

    def _cap_logs(self) -> None:
        limit = self._settings.current().worker.max_log.of(disk_usage(self._paths.root).total)
        for record in self._state.records.values():
            for said in cap_logs(logs_of(record), limit):
                self._crew.log.write(f"{record.prd_id}: {said}")

    def _look_at_settings(self) -> None:
        self._settings.look()
        self._fault("settings", self._settings.problem)

    def _look_around(self) -> None:
        if self._surroundings.look():
            self._post(TimePassed())

    def _check_ownership(self) -> None:
        """Somebody deleted the lock file: it is taken anew, or, where another coordinator was faster, left to it."""
        if self._lock.still_valid() or self._ended.is_set():
            return
        if not self._paths.root.is_dir():
            # The lock went with it, and is free at the new place once this process lets go.
            self._fault("owner", gone(self._paths))
            self.request_stop(StopMode.DETACH)
            return
        self._lock.release()
        if self._lock.acquire(timeout=0.0):
            self._crew.log.warn("coordinator.lock was deleted under this coordinator and was taken anew")
        else:
            self._fault("owner", "coordinator.lock was deleted, and another coordinator took over")
            self.request_stop(StopMode.DETACH)
