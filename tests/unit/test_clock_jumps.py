"""The wall clock is set, or the machine sleeps: nothing that is measured changes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.rows import elapsed
from coordinator.clock import JumpWatch
from coordinator.entries import view
from coordinator.events import ClockJumped
from coordinator.model import PrdState, Run
from coordinator.pause_steps import pause_over
from coordinator.reducer import reduce
from coordinator.state import EngineState, Record

RUN = Run("a", "a-1", 1, "/w", "feature/a", "", "main", "0" * 40, "/r", "/l")


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_by(self, seconds: float, *, wall: float | None = None) -> None:
        self.steady += seconds
        self.wall += seconds if wall is None else wall


def test_only_a_jump_is_a_jump() -> None:
    hands = Hands()
    watch = JumpWatch(hands)
    hands.pass_by(600.0)
    assert watch.look() == 0.0
    hands.pass_by(1.0, wall=1.5)
    assert watch.look() == 0.0, "a clock that is being slewed"
    hands.pass_by(1.0, wall=3601.0)
    assert watch.look() == 3600.0
    hands.pass_by(1.0, wall=-3599.0)
    assert watch.look() == -3600.0
    hands.pass_by(1.0)
    assert watch.look() == 0.0, "once is enough"


@given(jump=st.floats(-7200, 7200), worked=st.floats(0, 1000), paused=st.floats(0, 500))
def test_the_time_that_a_run_shows_does_not_jump(jump: float, worked: float, paused: float) -> None:
    begun = 1_000_000.0
    now = begun + worked + paused
    record = Record("a", "a", PrdState.RUNNING, run=RUN, started_at=begun, paused_seconds=paused)
    state, _ = reduce(EngineState(records={"a": record}), ClockJumped(jump), now + jump)
    shown = elapsed(view(state.records["a"], 0), now + jump)
    assert shown is not None
    assert abs(shown - worked) < 0.001

    held = replace(record, state=PrdState.PAUSED, paused_at=now)
    state, _ = reduce(EngineState(records={"a": held}), ClockJumped(jump), now + jump)
    shown = elapsed(view(state.records["a"], 0), now + jump)
    assert shown is not None
    assert abs(shown - worked) < 0.001
    resumed = replace(pause_over(state.records["a"], now + jump), state=PrdState.RUNNING)
    shown = elapsed(view(resumed, 0), now + jump)
    assert shown is not None
    assert abs(shown - worked) < 0.001


def test_a_wait_before_a_retry_and_between_looks_stays_as_long_as_it_was() -> None:
    queued = Record("a", "a", PrdState.QUEUED, not_before=1_000_005.0)
    state = EngineState(records={"a": queued}, observed_at=999_999.0, tidied_at=999_990.0)
    back, _ = reduce(state, ClockJumped(-3600.0), 996_400.0)
    assert back.records["a"].not_before == 996_405.0
    assert back.observed_at == 996_399.0
    assert back.tidied_at == 996_390.0
