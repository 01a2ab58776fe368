"""A PRD's life under any order of events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coordinator.commands import (
    Command,
    HoldQueue,
    PausePrds,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopMode,
    StopPrds,
)
from coordinator.effects import AnswerCommand, CompleteRun, Effect, EndRun, PauseRun, StartRun, VerifyRun
from coordinator.events import (
    CommandReceived,
    Event,
    FirstLookTaken,
    FolderAdmitted,
    FolderRefused,
    FolderVanished,
    Refusal,
    RunCompleted,
    RunEvent,
    RunHung,
    RunPaused,
    RunPrepared,
    RunRevived,
    RunSwept,
    RunVerified,
    SetUpBegun,
    SlotFreed,
    StartRefused,
    StopRequested,
    TimePassed,
    Verdict,
    WaitBegan,
    WaitEnded,
    WorkerExited,
    WorkerStarted,
)
from coordinator.lifecycle import exit_sentence, step
from coordinator.model import Exit, Prd, PrdState, Run, Story
from coordinator.policy import Policy
from coordinator.reducer import reduce, start_due
from coordinator.scheduler import nothing_can_run
from coordinator.state import HUNG, EngineState, Record, slots_used

IDS = ["a", "b", "c", "d"]
prd_ids = st.sampled_from(IDS)


def a_prd(*needs: str) -> Prd:
    return Prd("p", "t", "", None, None, needs, (), (Story("US-1", "one", passes=False),))


def a_run(prd_id: str, generation: int) -> Run:
    run_id = f"{prd_id}-{generation}"
    return Run(prd_id, run_id, generation, "/w", f"feature/{prd_id}", "", "main", "0" * 40, "/r", "/l")


def test_exit_sentences_name_the_signal() -> None:
    assert exit_sentence(None) == "the worker vanished without a recorded exit"
    assert exit_sentence(Exit(7, None, 0.0)) == "the worker exited with 7"
    assert exit_sentence(Exit(137, 9, 0.0)) == "the worker was killed by SIGKILL (exit 137)"


def test_events_of_an_older_run_change_nothing() -> None:
    record = Record("a", "a", PrdState.RUNNING, run=a_run("a", 2))
    assert step(record, WorkerExited("a", "a-1", None), Policy(0.0)) == (record, ())


def test_a_lost_run_is_started_once_more_then_waits_for_a_person() -> None:
    record = Record("a", "a", PrdState.VERIFYING, run=a_run("a", 1), swept=True)
    verdict = RunVerified("a", "a-1", Verdict(False, "nothing done"))
    again, _ = step(record, verdict, Policy(0.0))
    assert (again.state, again.lost_before) == (PrdState.QUEUED, True)
    lost, _ = step(replace(record, lost_before=True), verdict, Policy(0.0))
    assert lost.state is PrdState.LOST


def test_automatic_retries_back_off_and_end() -> None:
    record = Record("a", "a", PrdState.VERIFYING, run=a_run("a", 1), exit=Exit(1, None, 0.0))
    verdict = RunVerified("a", "a-1", Verdict(False, "why"))
    waits = []
    for _ in range(3):
        record, _ = step(replace(record, state=PrdState.VERIFYING), verdict, Policy(100.0, max_retries=2))
        waits.append(record.not_before - 100.0)
    assert waits[:2] == [5.0, 10.0]
    assert record.state is PrdState.FAILED


def test_a_start_that_the_machine_could_not_bear_is_tried_again_and_uses_no_attempt() -> None:
    record = Record("a", "a", PrdState.STARTING, prd=a_prd(), slot=1)
    later, _ = step(record, StartRefused("a", Refusal.LATER, "no memory"), Policy(100.0))
    assert (later.state, later.not_before, later.slot, later.retries) == (PrdState.QUEUED, 105.0, 0, 0)


def test_a_freed_slot_starts_the_next_one_before_the_verdict() -> None:
    running = Record("a", "a", PrdState.VERIFYING, prd=a_prd(), run=a_run("a", 1), slot=1, swept=True)
    waiting = Record("b", "b", PrdState.QUEUED, prd=a_prd())
    state = EngineState(max_prds=1, looked=True, records={"a": running, "b": waiting})
    assert start_due(state, 0.0) == (state, ())
    freed, _ = reduce(state, SlotFreed("a", "a-1"), 0.0)
    _, effects = start_due(freed, 0.0)
    assert [effect.prd_id for effect in effects if isinstance(effect, StartRun)] == ["b"]


def test_a_run_that_waits_is_no_failure_keeps_its_slot_and_can_be_paused_and_ended() -> None:
    record = Record("a", "a", PrdState.RUNNING, run=a_run("a", 1), slot=1, hung="no progress for 15m")
    waiting, _ = step(record, WaitBegan("a", "a-1", "limit until 14:30"), Policy(0.0))
    assert (waiting.state, waiting.reason, waiting.hung) == (PrdState.WAITING, "limit until 14:30", "")
    assert waiting.holds_slot
    going, _ = step(waiting, WaitEnded("a", "a-1"), Policy(0.0))
    assert (going.state, going.reason) == (PrdState.RUNNING, "")
    ended, _ = step(waiting, WorkerExited("a", "a-1", Exit(0, None, 1.0)), Policy(2.0))
    assert ended.state is PrdState.VERIFYING
    state = EngineState(looked=True, records={"a": waiting})
    paused, effects = reduce(state, CommandReceived("c", PausePrds(("a",))), 0.0)
    assert paused.records["a"].state is PrdState.PAUSING
    assert any(isinstance(effect, PauseRun) for effect in effects)


@pytest.mark.parametrize("state", list(PrdState))
def test_every_state_survives_every_folder_event(state: PrdState) -> None:
    record = Record("a", "a", state, prd=a_prd(), run=a_run("a", 1))
    for event in (FolderAdmitted("a", a_prd(), b"{}", 1.0), FolderRefused("a", "bad"), FolderVanished("a")):
        after, effects = step(record, event, Policy(0.0))
        assert after.prd_id == "a"
        assert effects == ()


class EngineMachine(RuleBasedStateMachine):
    """Random events, as the world might send them; effects are remembered, and answered in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = EngineState(max_prds=2)
        self.now = 0.0
        self.generation = dict.fromkeys(IDS, 0)
        self.live: dict[str, str] = {}  # PRD → run whose worker lives: at most one
        self.answers = 0
        self.commands = 0
        self.feed(FirstLookTaken())

    def feed(self, event: Event) -> None:
        self.now += 1.0
        self.state, effects = reduce(self.state, event, self.now)
        self.check_all(effects)
        self.state, effects = start_due(self.state, self.now)
        self.check_all(effects)

    def check_all(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self.check(effect)

    def check(self, effect: Effect) -> None:
        match effect:
            case StartRun(prd_id=prd_id):
                assert prd_id not in self.live, "two workers for one PRD"
                assert not self.state.holds, "started in spite of a hold"
                assert self.state.ending is None, "started while ending"
            case VerifyRun(run=run) | CompleteRun(run=run):
                assert self.live.get(run.prd_id) != run.run_id, "judged while its worker lives"
            case EndRun(run=run):
                assert self.state.records[run.prd_id].state is PrdState.STOPPING
            case AnswerCommand(answer):
                self.answers += 1
                assert answer.command_id

    def record(self, prd_id: str) -> Record | None:
        return self.state.records.get(prd_id)

    @rule(prd_id=prd_ids, needs=st.lists(prd_ids, max_size=2))
    def admit(self, prd_id: str, needs: list[str]) -> None:
        self.feed(FolderAdmitted(prd_id, a_prd(*(need for need in needs if need != prd_id)), b"{}", self.now))

    @rule(prd_id=prd_ids)
    def refuse(self, prd_id: str) -> None:
        self.feed(FolderRefused(prd_id, "broken"))

    @rule(prd_id=prd_ids)
    def vanish(self, prd_id: str) -> None:
        self.feed(FolderVanished(prd_id))

    @rule(prd_id=prd_ids, kind=st.sampled_from(["go", "hold", "fail"]))
    def start(self, prd_id: str, kind: str) -> None:
        record = self.record(prd_id)
        if (
            record is None
            or record.state not in (PrdState.STARTING, PrdState.STOPPING)
            or prd_id in self.live
        ):
            return
        if (
            record.run is not None
            and record.run.run_id.endswith(f"-{self.generation[prd_id]}")
            and record.pid
        ):
            return
        if kind == "go":
            self.generation[prd_id] += 1
            run = a_run(prd_id, self.generation[prd_id])
            self.feed(RunPrepared(prd_id, run))
            self.feed(SetUpBegun(prd_id, run.run_id, "npm ci"))
            self.live[prd_id] = run.run_id
            self.feed(WorkerStarted(prd_id, run.run_id, 42, self.now))
        else:
            refusal = Refusal.HOLD if kind == "hold" else Refusal.FAIL
            self.feed(StartRefused(prd_id, refusal, "cannot start"))

    @rule(prd_id=prd_ids, code=st.sampled_from([None, 0, 1, 137]))
    def end(self, prd_id: str, code: int | None) -> None:
        run_id = self.live.pop(prd_id, None)
        if run_id is not None:
            exit = None if code is None else Exit(code, 9 if code == 137 else None, self.now)
            self.feed(WorkerExited(prd_id, run_id, exit))
            self.feed(RunSwept(prd_id, run_id))

    @rule(prd_id=prd_ids, ok=st.booleans())
    def judge(self, prd_id: str, ok: bool) -> None:
        record = self.record(prd_id)
        if record and record.state in (PrdState.VERIFYING, PrdState.STOPPING) and record.run and record.swept:
            self.feed(RunVerified(prd_id, record.run.run_id, Verdict(ok, "looked at")))

    @rule(prd_id=prd_ids)
    def file(self, prd_id: str) -> None:
        record = self.record(prd_id)
        if record and record.verified and record.run:
            self.feed(RunCompleted(prd_id, record.run.run_id, self.now))

    @rule(prd_id=prd_ids)
    def stand_still(self, prd_id: str) -> None:
        record = self.record(prd_id)
        if record and record.state is PrdState.PAUSING and record.run:
            self.feed(RunPaused(prd_id, record.run.run_id, record.wish))

    @rule(prd_id=prd_ids, what=st.sampled_from([RunHung, RunRevived, WaitBegan, WaitEnded]))
    def tell(self, prd_id: str, what: type[RunEvent]) -> None:
        more = {RunHung: (900.0,), WaitBegan: ("limit until 12:00",)}.get(what, ())
        if prd_id in self.live:
            self.feed(what(prd_id, self.live[prd_id], *more))

    @rule(
        prd_id=prd_ids,
        what=st.sampled_from(
            ["stop", "kill", "retry", "fresh", "all", "hold", "release", "pause", "resume", "pause all"]
        ),
    )
    def command(self, prd_id: str, what: str) -> None:
        commands: dict[str, Command] = {
            "pause": PausePrds((prd_id,)),
            "resume": ResumePrds((prd_id,)),
            "pause all": PausePrds(everything=True),
            "stop": StopPrds((prd_id,)),
            "kill": StopPrds((prd_id,), kill=True),
            "all": StopPrds(everything=True),
            "retry": RetryPrds((prd_id,)),
            "fresh": RetryPrds((prd_id,), fresh=True),
            "hold": HoldQueue(),
            "release": ReleaseQueue(),
        }
        self.commands += 1
        before = self.answers
        self.feed(CommandReceived(f"c{self.commands}", commands[what]))
        assert self.answers > before, "a command without an answer"

    @rule()
    def tick(self) -> None:
        self.feed(TimePassed())

    @rule(mode=st.sampled_from([StopMode.TERM, StopMode.DRAIN]))
    def shutdown(self, mode: StopMode) -> None:
        self.feed(StopRequested(mode))

    @invariant()
    def slots_are_never_overdrawn(self) -> None:
        used = [record.slot for record in self.state.records.values() if record.holds_slot]
        assert slots_used(self.state) <= self.state.max_prds
        assert len(used) == len(set(used)), "two PRDs in one slot"

    @invariant()
    def a_live_worker_is_known(self) -> None:
        for prd_id, run_id in self.live.items():
            record = self.state.records[prd_id]
            assert record.run is not None
            assert record.run.run_id == run_id
            assert record.holds_slot, f"{record.state} with a live worker"

    @invariant()
    def only_what_runs_hangs(self) -> None:
        for record in self.state.records.values():
            assert HUNG not in record.shown_marks or record.state is PrdState.RUNNING

    @invariant()
    def the_end_is_never_called_while_work_runs(self) -> None:
        if self.live:
            assert not nothing_can_run(self.state)


EngineMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEngine = EngineMachine.TestCase
