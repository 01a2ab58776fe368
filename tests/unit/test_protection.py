"""How the queue protects itself, as the reducer sees it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coordinator.commands import (
    Accepted,
    Command,
    HoldQueue,
    PausePrds,
    Rejected,
    ReleaseQueue,
    ResumePrds,
    StopMode,
    StopPrds,
)
from coordinator.effects import (
    AnswerCommand,
    CheckBase,
    ContinueRun,
    Effect,
    EndBaseCheck,
    EndRun,
    LookAtGates,
    PauseRun,
    StartRun,
    VerifyRun,
)
from coordinator.events import (
    BaseCheckBegun,
    BaseChecked,
    BaseUnchanged,
    CommandReceived,
    Event,
    GatesInside,
    GatesOutside,
    PauseFailed,
    RoomMeasured,
    RunPaused,
    RunVerified,
    SettingsChanged,
    StopRequested,
    TimePassed,
    Verdict,
)
from coordinator.model import BASE, DISK, MEMORY, OUTSIDE, PERSON, PrdState
from coordinator.reducer import reduce, start_due
from coordinator.scheduler import nothing_can_run
from coordinator.state import Base, BaseStatus, EngineState
from tests.unit.test_scheduler import engine, record, run_of

GATED = {"base": Base("digest")}
SHORT = RoomMeasured(disk="1 GB free")
STARVING = RoomMeasured(disk="1 MB free", starving=True)


class Bench:
    """An engine's state, moved by events as the engine moves it; what was wanted is kept in `effects`."""

    def __init__(self, state: EngineState) -> None:
        self.state = state
        self.now = 1000.0
        self.effects: list[Effect] = []

    def give(self, *events: Event) -> list[Effect]:
        new: list[Effect] = []
        for event in events:
            self.state, effects = reduce(self.state, event, self.now)
            new += effects
            self.state, effects = start_due(self.state, self.now)
            new += effects
        self.effects += new
        return new

    def tell(self, command: Command) -> list[Effect]:
        return self.give(CommandReceived("c", command))

    def of(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def states(self) -> dict[str, PrdState]:
        return {name: one.state for name, one in self.state.records.items()}

    @property
    def holds(self) -> set[str]:
        return set(self.state.holds)


def answers(effects: list[Effect]) -> list[object]:
    return [effect.answer for effect in effects if isinstance(effect, AnswerCommand)]


# -- the base --------------------------------------------------------------------------------------------


def test_without_gates_nothing_is_checked() -> None:
    bench = Bench(engine(record("a")))
    assert [type(effect) for effect in bench.give(TimePassed())] == [StartRun]


def test_the_base_is_checked_once_and_only_when_something_is_about_to_start() -> None:
    held = Bench(engine(record("a"), holds={PERSON: "held"}, **GATED))
    assert held.give(TimePassed()) == []
    bench = Bench(engine(record("a"), record("b"), **GATED))
    assert bench.give(TimePassed(), TimePassed()) == [CheckBase()]
    assert not nothing_can_run(bench.state)
    assert bench.give(BaseCheckBegun("pytest")) == []
    assert bench.state.base.command == "pytest"
    assert [type(effect) for effect in bench.give(BaseChecked())] == [StartRun, StartRun]
    bench.give(TimePassed())
    assert bench.of(CheckBase) == [CheckBase()]


def test_a_red_base_holds_until_it_moves_or_a_person_says_so() -> None:
    bench = Bench(engine(record("a"), **GATED))
    bench.give(TimePassed(), BaseCheckBegun("x"), BaseChecked("gate `x` failed", key="k"))
    assert bench.state.holds == {BASE: "gate `x` failed"}
    assert nothing_can_run(bench.state)
    bench.now += 11
    assert bench.give(TimePassed(), TimePassed()) == [CheckBase(unless="k")]
    assert bench.give(BaseUnchanged()) == []
    bench.now += 11
    assert bench.give(TimePassed()) == [CheckBase(unless="k")]
    bench.give(BaseCheckBegun("x"))
    assert bench.holds == set(), "it is judged anew"
    bench.give(BaseChecked("gate `x` failed", key="l"))
    effects = bench.tell(ReleaseQueue())
    assert CheckBase() in effects
    assert Accepted("c", "the queue runs", True) in answers(effects)  # type: ignore[arg-type]
    assert [type(effect) for effect in bench.give(BaseChecked())] == [StartRun]


def test_other_settings_give_up_a_check_and_ask_anew() -> None:
    bench = Bench(engine(record("a"), **GATED))
    bench.give(TimePassed())
    assert bench.give(SettingsChanged(5, 0, 30.0, "digest")) == [], "what it depends on is the same"
    assert bench.give(SettingsChanged(5, 0, 30.0, "other")) == [EndBaseCheck()]
    assert bench.give(BaseChecked(given_up=True)) == [CheckBase()]
    bench.give(BaseChecked("red", key="k"))
    assert bench.give(SettingsChanged(6, 0, 30.0, "other")) == [CheckBase()], "red: any change is a reason"
    assert [type(one) for one in bench.give(SettingsChanged(6, 0, 30.0, ""), BaseChecked("red"))] == [
        EndBaseCheck,
        StartRun,
    ]


def test_stop_all_gives_up_a_check_and_waits_for_its_end() -> None:
    bench = Bench(engine(record("a"), **GATED))
    bench.give(TimePassed())
    effects = bench.tell(StopPrds(everything=True))
    assert EndBaseCheck() in effects
    assert [answer.done for answer in answers(effects) if isinstance(answer, Accepted)] == [False]
    effects = bench.give(BaseChecked(given_up=True))
    assert [answer.done for answer in answers(effects) if isinstance(answer, Accepted)] == [True]
    assert bench.holds == {PERSON}
    assert bench.state.base.status is BaseStatus.UNKNOWN


def a_red_base() -> Bench:
    bench = Bench(engine(record("a"), **GATED))
    bench.give(TimePassed(), BaseCheckBegun("x"), BaseChecked("gate `x` failed", key="k"))
    return bench


def test_a_queue_that_is_held_anyway_runs_no_gates_on_the_base() -> None:
    for event in (CommandReceived("c", StopPrds(everything=True)), SHORT):
        bench = a_red_base()
        bench.give(event)
        bench.now += 11
        assert bench.give(TimePassed()) == []


def test_a_look_at_a_red_base_is_given_up_like_a_check() -> None:
    bench = a_red_base()
    bench.now += 11
    bench.give(TimePassed())
    effects = bench.tell(StopPrds(everything=True))
    assert EndBaseCheck() in effects, "it would run gates where the base has moved"
    assert [answer.done for answer in answers(effects) if isinstance(answer, Accepted)] == [False]
    effects = bench.give(BaseUnchanged())
    assert [answer.done for answer in answers(effects) if isinstance(answer, Accepted)] == [True]

    bench = a_red_base()
    bench.now += 11
    bench.give(TimePassed())
    assert bench.give(SettingsChanged(3, 0, 30.0, "other")) == [EndBaseCheck()]
    assert bench.give(BaseCheckBegun("x"), BaseChecked()) == [CheckBase()], "green by what counts no more"


# -- gates outside ---------------------------------------------------------------------------------------


def verifying(name: str) -> Bench:
    one = replace(record(name, PrdState.VERIFYING), slot=1, swept=True)
    bench = Bench(engine(one, record("b")))
    bench.give(GatesOutside(name, "r1", "gate `x` lies outside"))
    return bench


def test_a_gate_outside_holds_the_queue_and_fails_nobody() -> None:
    bench = verifying("a")
    assert bench.holds == {OUTSIDE}
    assert bench.states() == {"a": PrdState.VERIFYING, "b": PrdState.QUEUED}
    assert nothing_can_run(bench.state), "until somebody moves the gate"
    bench.now += 11
    assert bench.give(TimePassed()) == [LookAtGates(run_of("a"))]
    assert bench.give(GatesOutside("a", "r1", "gate `x` lies outside")) == []
    assert [type(effect) for effect in bench.give(GatesInside("a", "r1"))] == [VerifyRun, StartRun]
    assert bench.give(GatesInside("a", "r1")) == [], "it is being judged already"
    assert bench.holds == set()


def test_a_release_and_other_settings_have_it_judged_anew() -> None:
    for event in (CommandReceived("c", ReleaseQueue()), SettingsChanged(3, 0, 30.0)):
        bench = verifying("a")
        assert [effect for effect in bench.give(event) if isinstance(effect, VerifyRun)]
        bench.give(GatesOutside("a", "r1", "gate `x` lies outside"))
        assert bench.holds == {OUTSIDE}


def test_a_run_whose_gates_wait_can_be_stopped() -> None:
    bench = verifying("a")
    assert [type(effect) for effect in bench.tell(StopPrds(("a",)))][:2] == [EndRun, VerifyRun]
    bench.give(RunVerified("a", "r1", Verdict(False, "stopped while its gates ran")))
    assert bench.states()["a"] is PrdState.STOPPED
    assert bench.holds == set()


# -- room ------------------------------------------------------------------------------------------------


def running(*names: str) -> EngineState:
    state = engine(*(replace(record(name, PrdState.RUNNING), slot=1) for name in names), record("q"))
    return replace(state, max_prds=9, shortage=None)


def test_a_release_does_not_lift_what_is_so_and_says_why() -> None:
    bench = Bench(engine(record("a")))
    bench.give(RoomMeasured(disk="1 GB free", memory="no memory"))
    assert bench.holds == {DISK, MEMORY}
    assert not nothing_can_run(bench.state), "it may pass by itself"
    assert answers(bench.tell(ReleaseQueue())) == [
        Rejected("c", "the queue still holds: 1 GB free; no memory")  # type: ignore[arg-type]
    ]
    bench.tell(HoldQueue())
    assert answers(bench.tell(ReleaseQueue())) == [
        Accepted("c", "the queue still holds: 1 GB free; no memory", True)  # type: ignore[arg-type]
    ]
    assert [type(effect) for effect in bench.give(RoomMeasured())] == [StartRun]


def test_what_a_full_disk_paused_goes_on_and_what_a_person_paused_does_not() -> None:
    bench = Bench(running("a", "b"))
    bench.tell(PausePrds(("a",)))
    bench.give(RunPaused("a", "r1", 1))
    effects = bench.give(STARVING)
    assert effects == [PauseRun(run_of("b"), 1, DISK)]
    bench.give(RunPaused("b", "r1", 1))
    assert bench.state.records["b"].reason == "paused: disk is low"
    assert bench.state.records["a"].reason == "paused by you"
    assert bench.give(SHORT) == [ContinueRun(run_of("b"), 2)]
    assert bench.states()["a"] is PrdState.PAUSED


def test_what_a_full_disk_paused_goes_on_while_the_engine_drains() -> None:
    bench = Bench(running("a"))
    bench.give(STARVING, RunPaused("a", "r1", 1), StopRequested(StopMode.DRAIN))
    assert bench.give(RoomMeasured()) == [ContinueRun(run_of("a"), 2)]


def test_a_persons_word_counts_more_than_a_full_disk() -> None:
    bench = Bench(running("a", "b"))
    bench.give(STARVING, RunPaused("a", "r1", 1), RunPaused("b", "r1", 1))
    bench.tell(ResumePrds(("a",)))
    bench.give(STARVING, TimePassed())
    assert bench.states()["a"] is PrdState.RUNNING, "it was told to run on"
    bench.tell(PausePrds(("b",)))
    bench.give(RunPaused("b", "r1", 2))
    assert bench.state.records["b"].reason == "paused by you"
    bench.give(RoomMeasured())
    assert bench.states()["b"] is PrdState.PAUSED, "it is the person's pause now"
    bench.give(STARVING)
    assert bench.states()["a"] is PrdState.PAUSING, "the word counted for that time"


def test_a_run_that_cannot_be_paused_is_not_tried_again_and_again() -> None:
    bench = Bench(running("a"))
    bench.give(STARVING, PauseFailed("a", "r1", 1, "why"), TimePassed())
    assert len(bench.of(PauseRun)) == 1
    assert bench.states()["a"] is PrdState.RUNNING


# -- any order -------------------------------------------------------------------------------------------


class Protection(RuleBasedStateMachine):
    """Any order of what the world and people do: the promises hold after each step."""

    def __init__(self) -> None:
        super().__init__()
        runs = [replace(record(name, PrdState.RUNNING), slot=n) for n, name in enumerate("ab", 1)]
        state = engine(*runs, *(record(f"q{n}", arrival=n) for n in range(4)), **GATED)
        self.bench = Bench(replace(state, max_prds=3))
        self.mine: set[str] = set()  # paused by a person, and not told to go on
        self.checks = 0  # under way

    def give(self, event: Event) -> None:
        effects = self.bench.give(event)
        self.checks += sum(isinstance(effect, CheckBase) for effect in effects)
        for effect in effects:
            if isinstance(effect, StartRun):
                assert not self.bench.state.holds
                assert self.bench.state.base.status is BaseStatus.GREEN or not self.bench.state.base.settings
            if isinstance(effect, ContinueRun):
                assert effect.run.prd_id not in self.mine

    @rule(seconds=st.sampled_from([0.5, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.now += seconds
        self.give(TimePassed())

    @rule(measured=st.sampled_from([RoomMeasured(), SHORT, STARVING, RoomMeasured(memory="none")]))
    def room(self, measured: RoomMeasured) -> None:
        self.give(measured)

    @rule(result=st.sampled_from([BaseChecked(), BaseChecked("red", key="k"), BaseChecked(given_up=True)]))
    def base_is_checked(self, result: BaseChecked) -> None:
        if self.checks:
            self.checks -= 1
            self.give(BaseCheckBegun("x"))
            self.give(result)

    @rule(digest=st.sampled_from(["", "digest", "other"]))
    def settings_change(self, digest: str) -> None:
        self.give(SettingsChanged(3, 0, 30.0, digest))

    @rule(command=st.sampled_from([HoldQueue(), ReleaseQueue()]))
    def person(self, command: Command) -> None:
        self.give(CommandReceived("c", command))

    @rule(name=st.sampled_from("ab"))
    def person_pauses(self, name: str) -> None:
        before = self.bench.state.records[name]
        self.give(CommandReceived("c", PausePrds((name,))))
        if self.bench.state.records[name].wish != before.wish:
            self.mine.add(name)

    @rule(name=st.sampled_from("ab"))
    def person_resumes(self, name: str) -> None:
        self.mine.discard(name)
        self.give(CommandReceived("c", ResumePrds((name,))))

    @rule(name=st.sampled_from("ab"))
    def pause_comes_about(self, name: str) -> None:
        self.give(RunPaused(name, "r1", self.bench.state.records[name].wish))

    @invariant()
    def holds_follow_from_what_is_known(self) -> None:
        state = self.bench.state
        shortage = state.shortage
        assert (DISK in state.holds) == bool(shortage and shortage.disk)
        assert (MEMORY in state.holds) == bool(shortage and shortage.memory)
        assert (BASE in state.holds) == (state.base.status is BaseStatus.RED)

    @invariant()
    def nobody_runs_on_a_full_disk_but_by_a_persons_word(self) -> None:
        state = self.bench.state
        if state.shortage and state.shortage.starving:
            running = [one for one in state.records.values() if one.state is PrdState.RUNNING]
            assert all(one.insisted for one in running)

    @invariant()
    def a_persons_pause_stays(self) -> None:
        for name in self.mine:
            assert self.bench.state.records[name].state in (PrdState.PAUSING, PrdState.PAUSED)


TestProtection = Protection.TestCase
TestProtection.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
