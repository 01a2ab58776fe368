"""Pausing and going on, whatever comes between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordinator import pausing
from coordinator.clock import SystemClock, iso
from coordinator.commands import Accepted, Command, CommandId, PausePrds, Rejected, ResumePrds, StopPrds
from coordinator.effects import AnswerCommand, ContinueRun, Effect, EndRun, PauseRun, VerifyRun
from coordinator.engine_log import EngineLog
from coordinator.entries import metrics_event, registry_entry, view
from coordinator.events import (
    CommandReceived,
    Event,
    PauseFailed,
    ProgressMade,
    RunPaused,
    RunSwept,
    WorkerExited,
)
from coordinator.history import describe
from coordinator.lifecycle import step
from coordinator.model import Exit, Prd, PrdState, Progress, Run, Story
from coordinator.pausing import Pauses, read_pauses
from coordinator.policy import Policy
from coordinator.recorder import Transition
from coordinator.reducer import reduce
from coordinator.scheduler import nothing_can_run
from coordinator.state import EngineState, Record

RUN = Run("a", "a-1", 1, "/w", "feature/a", "feature/a", "main", "0" * 40, "/r", "/l")
PRD = Prd("p", "t", "", None, None, (), (), (Story("US-1", "one", passes=False),))


def a_record(state: PrdState = PrdState.RUNNING) -> Record:
    return Record("a", "a", state, prd=PRD, run=RUN, slot=1, pid=42, started_at=1.0)


def engine(*records: Record) -> EngineState:
    return EngineState(looked=True, records={record.prd_id: record for record in records})


def give(state: EngineState, command: Command, now: float = 10.0) -> tuple[EngineState, tuple[Effect, ...]]:
    return reduce(state, CommandReceived("c", command), now)


def answers(effects: tuple[Effect, ...]) -> list[Accepted | Rejected]:
    return [effect.answer for effect in effects if isinstance(effect, AnswerCommand)]


# -- words -----------------------------------------------------------------------------------------------


def test_a_pause_is_answered_twice_and_told_as_such() -> None:
    state, effects = give(engine(a_record()), PausePrds(("a", "a")))
    assert [effect for effect in effects if isinstance(effect, PauseRun)] == [PauseRun(RUN, 1)]
    assert answers(effects) == [Accepted(CommandId("c"), "pausing 1 run", done=False)]
    assert state.records["a"].state is PrdState.PAUSING
    state, effects = reduce(state, RunPaused("a", "a-1", 1), 20.0)
    assert answers(effects) == [Accepted(CommandId("c"), "paused: a", done=True)]
    paused = state.records["a"]
    assert (paused.state, paused.reason, paused.slot) == (PrdState.PAUSED, "paused by you", 1)
    assert registry_entry(paused, "/")["status"] == "paused"
    assert metrics_event(paused.state, PrdState.PAUSING) == "prd_paused"
    assert not nothing_can_run(state), "a paused run is work"
    state, effects = give(state, ResumePrds(("a",)), 50.0)
    assert [effect for effect in effects if isinstance(effect, ContinueRun)] == [ContinueRun(RUN, 2)]
    goes_on = state.records["a"]
    assert metrics_event(goes_on.state, PrdState.PAUSED) == "prd_resumed"
    assert describe(Transition(goes_on, PrdState.PAUSED, 50.0)) == "goes on"
    row = view(goes_on, 0)
    assert (row.paused_at, row.paused_seconds, row.since, row.slot) == (0.0, 30.0, 50.0, 1)


@pytest.mark.parametrize("command", [PausePrds(("a",)), ResumePrds(("a",))])
@pytest.mark.parametrize("state", sorted(set(PrdState) - {PrdState.BLOCKED}))
def test_what_does_not_run_is_refused_with_its_state(state: PrdState, command: Command) -> None:
    if state in (PrdState.RUNNING, PrdState.WAITING, PrdState.PAUSED, PrdState.PAUSING):
        return
    after, effects = give(engine(a_record(state)), command)
    (answer,) = answers(effects)
    verb = "does not run" if isinstance(command, PausePrds) else "is not paused"
    assert answer == Rejected(CommandId("c"), f"a {verb}: it is {state.value}")
    assert after.records["a"].state is state
    assert len(effects) == 1


def test_an_unknown_prd_is_refused_and_nothing_else_is_done() -> None:
    for command in (PausePrds(("a", "ghost")), ResumePrds(("a", "ghost"))):
        state, effects = give(engine(a_record()), command)
        assert answers(effects) == [Rejected(CommandId("c"), "ghost is no PRD of this repository")]
        assert state.records["a"].state is PrdState.RUNNING


def test_everything_is_what_runs_or_is_paused() -> None:
    state, effects = give(engine(a_record(), Record("b", "b", PrdState.QUEUED)), PausePrds(everything=True))
    assert len(effects) == 2
    state, effects = give(state, ResumePrds(everything=True))
    assert [type(effect) for effect in effects] == [ContinueRun, AnswerCommand, AnswerCommand]
    assert state.records["a"].state is PrdState.RUNNING
    _, effects = give(state, ResumePrds(everything=True))
    assert answers(effects) == [Accepted(CommandId("c"), "nothing is paused", done=True)]


def test_a_pause_that_fails_says_why() -> None:
    state, _ = give(engine(a_record()), PausePrds(("a",)))
    state, effects = reduce(state, PauseFailed("a", "a-1", 1, "stubborn"), 20.0)
    assert state.records["a"].state is PrdState.RUNNING
    why = "a is not paused: it is running (could not be paused: stubborn)"
    assert answers(effects) == [Rejected(CommandId("c"), why)]


def test_the_time_of_a_pause_ends_with_the_worker() -> None:
    state = engine(a_record())
    state, _ = give(state, PausePrds(("a",)))
    state, _ = reduce(state, RunPaused("a", "a-1", 1), 20.0)
    ended, _ = reduce(state, WorkerExited("a", "a-1", Exit(137, 9, 25.0)), 90.0)
    assert ended.records["a"].state is PrdState.VERIFYING
    assert ended.records["a"].paused_seconds == 5.0
    stopped, effects = give(state, StopPrds(("a",)), 30.0)
    assert stopped.records["a"].paused_seconds == 10.0
    assert [effect for effect in effects if isinstance(effect, EndRun)]


# -- any order -------------------------------------------------------------------------------------------


class PauseMachine(RuleBasedStateMachine):
    """One run; wishes are carried out and told of late and in any order, as threads do."""

    def __init__(self) -> None:
        super().__init__()
        self.state = engine(a_record())
        self.now = 10.0
        self.given = 0
        self.alive = True
        self.stands = False
        self.ended = False  # a stop, or the judging of the run, has closed it for pauses
        self.wishes: list[PauseRun | ContinueRun] = []
        self.carried_out = 0
        self.unheard: list[RunPaused | PauseFailed] = []
        self.wants_pause = 0  # the number of the last wish, if that was a pause

    def feed(self, event: Event) -> None:
        self.now += 1.0
        self.state, effects = reduce(self.state, event, self.now)
        for effect in effects:
            match effect:
                case PauseRun(_, wish):
                    self.wishes.append(effect)
                    self.wants_pause = wish
                case ContinueRun():
                    self.wishes.append(effect)
                    self.wants_pause = 0
                case EndRun() | VerifyRun():
                    self.ended, self.stands = True, False

    @property
    def now_in(self) -> PrdState:
        return self.state.records["a"].state

    @rule(command=st.sampled_from([PausePrds(("a",)), ResumePrds(("a",)), PausePrds(everything=True)]))
    def wish(self, command: Command) -> None:
        self.given += 1
        self.feed(CommandReceived(f"c{self.given}", command))

    @precondition(lambda self: self.wishes)
    @rule(which=st.integers(min_value=0), works=st.booleans())
    def carry_out(self, which: int, works: bool) -> None:
        effect = self.wishes.pop(which % len(self.wishes))
        if effect.wish <= self.carried_out or self.ended:
            return
        self.carried_out = effect.wish
        self.stands = isinstance(effect, PauseRun) and works and self.alive
        if isinstance(effect, PauseRun):
            run = effect.run
            failed = PauseFailed(run.prd_id, run.run_id, effect.wish, "it did not work")
            self.unheard.append(RunPaused("a", run.run_id, effect.wish) if self.stands else failed)

    @precondition(lambda self: self.unheard)
    @rule(which=st.integers(min_value=0))
    def hear(self, which: int) -> None:
        event = self.unheard.pop(which % len(self.unheard))
        if isinstance(event, PauseFailed) and self.wants_pause == event.wish:
            self.wants_pause = 0
        self.feed(event)

    @rule()
    def progress(self) -> None:
        self.feed(ProgressMade("a", "a-1", Progress(0, 1), "US-1"))

    @precondition(lambda self: self.given > 2)
    @rule()
    def stop(self) -> None:
        self.feed(CommandReceived("s", StopPrds(("a",))))

    @precondition(lambda self: self.given > 2 and self.alive)
    @rule(killed=st.booleans())
    def end(self, killed: bool) -> None:
        self.alive = self.stands = False
        self.feed(WorkerExited("a", "a-1", Exit(137, 9, self.now) if killed else None))
        self.feed(RunSwept("a", "a-1"))

    @rule()
    def settle(self) -> None:
        """Once everything is carried out and told, what the row says is what the processes do."""
        while self.wishes:
            self.carry_out(0, works=True)
        while self.unheard:
            self.hear(0)
        assert self.now_in is not PrdState.PAUSING or not self.alive or self.ended
        if self.alive and not self.ended:
            assert (self.now_in is PrdState.PAUSED) == self.stands
            assert (self.now_in is PrdState.RUNNING) == (not self.stands)
            assert not self.state.open_pauses

    @invariant()
    def what_is_to_be_paused_is_never_called_running(self) -> None:
        if self.wants_pause and self.alive and not self.ended:
            assert self.now_in in (PrdState.PAUSING, PrdState.PAUSED)

    @invariant()
    def an_ended_run_is_neither_running_nor_paused(self) -> None:
        if not self.alive:
            assert self.now_in in (PrdState.VERIFYING, PrdState.STOPPING, PrdState.STOPPED)

    @invariant()
    def only_a_pause_that_lasts_has_a_beginning(self) -> None:
        record = self.state.records["a"]
        assert bool(record.paused_at) == (record.state is PrdState.PAUSED)
        assert 0 <= record.paused_seconds <= self.now


PauseMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestPauses = PauseMachine.TestCase


@pytest.mark.parametrize("wishes", ["pr", "rp", "prp", "ppr", "prpr"])
def test_the_last_wish_is_the_last_one_carried_out(
    tmp_path: Path, wishes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late an earlier one comes; and none after the run was closed."""
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def pause(*_: object) -> str:
        begun.set()
        go_on.wait(10)
        done.append("p")
        return ""

    monkeypatch.setattr(pausing, "pause_run", pause)
    monkeypatch.setattr(pausing, "continue_run", lambda *_: done.append("r"))
    told: list[Event] = []
    pauses = Pauses(told.append, SystemClock(), EngineLog(tmp_path / "log"))
    first = threading.Thread(target=pauses.pause, args=(RUN, 0))
    first.start()
    assert begun.wait(10)
    threads = [
        threading.Thread(target=pauses.pause if wish == "p" else pauses.resume, args=(RUN, number))
        for number, wish in reversed(list(enumerate(wishes, 1)))
    ]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in (first, *threads):
        thread.join(10)
    assert done[-1] == wishes[-1]
    pauses.close(RUN)
    count = len(done)
    pauses.pause(RUN, 99)
    pauses.resume(RUN, 100)
    assert len(done) == count


def test_a_pause_that_breaks_leaves_nothing_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise OSError("no descriptors left")

    done: list[str] = []
    monkeypatch.setattr(pausing, "pause_run", broken)
    monkeypatch.setattr(pausing, "continue_run", lambda *_: done.append("r"))
    told: list[Event] = []
    Pauses(told.append, SystemClock(), EngineLog(tmp_path / "log")).pause(RUN, 1)
    assert told == [PauseFailed("a", "a-1", 1, "no descriptors left")]
    assert done == ["r"]


# -- the journal -----------------------------------------------------------------------------------------


def journal(*entries: tuple[str, float]) -> list[dict[str, str]]:
    return [{"what": what, "at": iso(at)} for what, at in entries]


def test_the_journal_tells_whether_and_for_how_long_a_run_was_paused() -> None:
    assert read_pauses([], 0.0) == pausing.PauseRecord()
    once = [("pause wanted", 10.0), ("paused", 10.5), ("resumed", 20.0)]
    assert read_pauses(journal(*once), 0.0) == pausing.PauseRecord(False, 0.0, 10.0)
    again = [*once, ("pause wanted", 30.0)]
    assert read_pauses(journal(*again), 0.0) == pausing.PauseRecord(True, 30.0, 10.0)
    assert read_pauses(journal(*again), 35.0) == pausing.PauseRecord(False, 0.0, 15.0), "its worker ended"
    assert read_pauses(journal(*again, ("stop wanted", 34.0)), 35.0).seconds == 14.0
    assert read_pauses([{"what": "paused"}, {"what": "resumed", "at": "noon"}], 0.0).seconds == 0.0


def test_an_answer_to_an_earlier_run_changes_nothing() -> None:
    record = a_record(PrdState.PAUSING)
    assert step(record, RunPaused("a", "a-0", 0), Policy(0.0)) == (record, ())
