"""Giving PRDs up, as the reducer sees it."""

from __future__ import annotations

from dataclasses import replace

from coordinator.commands import Accepted, Command, DropPrds, Rejected, RetryPrds, StopMode
from coordinator.effects import AnswerCommand, CompleteRun, DropPrd, Effect, EndRun
from coordinator.events import (
    CommandReceived,
    DropRefused,
    Event,
    FolderAdmitted,
    FolderArriving,
    PrdDropped,
    RunCompleted,
    RunSwept,
    RunVerified,
    StopRequested,
    Verdict,
)
from coordinator.model import Prd, PrdState, Run, Story
from coordinator.reducer import reduce
from coordinator.scheduler import nothing_can_run
from coordinator.state import EngineState, Record

RUN = Run("a", "a-1", 1, "/w", "feature/a", "feature/a", "main", "0" * 40, "/r", "/l")
PRD = Prd("p", "t", "", None, None, (), (), (Story("US-1", "one", passes=False),))


class Told:
    """A state, and the effects of everything it was told."""

    def __init__(self, *records: Record, **more: object) -> None:
        known = {record.prd_id: record for record in records}
        self.state = EngineState(looked=True, records=known, **more)  # type: ignore[arg-type]
        self.effects: list[Effect] = []

    def hears(self, *events: Event | Command) -> Told:
        for one in events:
            event = CommandReceived("c", one) if isinstance(one, Command) else one
            self.state, effects = reduce(self.state, event, 10.0)
            self.effects += effects
        return self

    def record(self, name: str = "a") -> Record:
        return self.state.records[name]

    @property
    def drops(self) -> list[DropPrd]:
        return [effect for effect in self.effects if isinstance(effect, DropPrd)]

    @property
    def answers(self) -> list[Accepted | Rejected]:
        return [effect.answer for effect in self.effects if isinstance(effect, AnswerCommand)]


def a_record(state: PrdState, name: str = "a", **more: object) -> Record:
    record = Record(name, name, state, prd=PRD, run=replace(RUN, prd_id=name))
    return replace(record, **more)  # type: ignore[arg-type]


def test_what_runs_is_stopped_first_and_waited_for() -> None:
    told = Told(a_record(PrdState.RUNNING, slot=1)).hears(DropPrds(("a",)))
    assert [effect for effect in told.effects if isinstance(effect, EndRun)] == [EndRun(RUN, "drop", 30.0)]
    assert told.record().state is PrdState.STOPPING
    assert not told.drops
    told.hears(StopRequested(StopMode.TERM))
    assert told.record().wanted == "drop", "a shutdown does not make it go on at the next start"
    assert not nothing_can_run(told.state)
    told.hears(RunSwept("a", "a-1"))
    assert told.drops == [DropPrd("a", RUN, completed=False)]
    refused = told.hears(RetryPrds(("a",))).answers[-1]
    assert isinstance(refused, Rejected)
    assert "being dropped" in refused.reason
    told.hears(PrdDropped("a", "a dropped: no work"))
    assert told.record().state is PrdState.DROPPED
    assert told.answers[-1] == Accepted(told.answers[0].command_id, "a dropped: no work", done=True)
    assert len(told.drops) == 1
    assert nothing_can_run(told.state)


def test_what_was_verified_meanwhile_is_filed_before_it_goes() -> None:
    told = Told(a_record(PrdState.VERIFYING, slot=1, swept=True)).hears(DropPrds(("a",)))
    told.hears(RunVerified("a", "a-1", Verdict(True, "fine")))
    assert any(isinstance(effect, CompleteRun) for effect in told.effects)
    assert not told.drops
    told.hears(RunCompleted("a", "a-1", 5.0))
    assert told.drops == [DropPrd("a", RUN, completed=True)]
    told.hears(DropRefused("a", "a is merged already"))
    assert told.record().state is PrdState.COMPLETED
    assert isinstance(told.answers[-1], Rejected)


def test_one_answer_for_several() -> None:
    broken = Record("broken", "broken", PrdState.INVALID, reason="no stories")
    told = Told(a_record(PrdState.QUEUED, run=None), broken, a_record(PrdState.LOST, "lost"))
    told.hears(DropPrds(("a", "broken", "lost", "lost")))
    assert [drop.prd_id for drop in told.drops] == ["a", "broken", "lost"]
    assert {record.state for record in told.state.records.values()} == {PrdState.STOPPED, PrdState.LOST}
    told.hears(DropRefused("broken", "it cannot be moved"), PrdDropped("a", "a dropped"))
    assert len(told.answers) == 1
    told.hears(PrdDropped("lost", "lost dropped"))
    answer = told.answers[-1]
    assert isinstance(answer, Rejected)
    assert answer.reason == "broken was not dropped: it cannot be moved; a dropped; lost dropped"
    assert told.record("broken").state is PrdState.INVALID, "it was never more than that"


def test_what_cannot_be_dropped_is_refused_at_once() -> None:
    for record in (
        a_record(PrdState.ARRIVING),
        a_record(PrdState.MERGED),
        a_record(PrdState.MERGING, slot=1),
    ):
        told = Told(record).hears(DropPrds(("a",)))
        assert isinstance(told.answers[0], Rejected)
        assert told.record().state is record.state
    assert isinstance(Told().hears(DropPrds(("nobody",))).answers[0], Rejected)


def test_a_dropped_prd_that_comes_back_is_a_new_one() -> None:
    told = Told(a_record(PrdState.DROPPED, reason="a dropped"))
    assert isinstance(told.hears(DropPrds(("a",))).answers[0], Accepted)
    assert not told.drops
    told.hears(FolderArriving("a"), FolderAdmitted("a", PRD, b"{}", 7.0))
    assert told.record().fresh
    assert told.record().run == RUN, "the count of runs goes on"


def test_a_drop_that_a_crash_cut_off_goes_on_by_itself() -> None:
    told = Told(a_record(PrdState.QUEUED), drops={"a": False, "gone": False})
    told.hears(StopRequested(StopMode.DETACH))
    assert {drop.prd_id for drop in told.drops} == {"a", "gone"}
