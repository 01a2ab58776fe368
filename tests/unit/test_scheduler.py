"""Which PRD starts next, and why the others wait."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coordinator.model import Prd, PrdState, Run, Story
from coordinator.scheduler import (
    find_cycle,
    foundations,
    judge,
    nothing_can_run,
    outlook,
    queue,
    starts,
)
from coordinator.state import EngineState, Record


def prd(*depends_on: str, priority: float | None = None) -> Prd:
    story = Story("US-1", "one", passes=False)
    return Prd("p", "t", "", None, priority, tuple(depends_on), (), (story,))


def run_of(prd_id: str) -> Run:
    return Run(prd_id, "r1", 1, "/w", f"feature/{prd_id}", f"feature/{prd_id}", "main", "0" * 40, "/r", "/l")


def record(prd_id: str, state: PrdState = PrdState.QUEUED, *depends_on: str, arrival: float = 0.0) -> Record:
    return Record(prd_id, prd_id, state, prd=prd(*depends_on), arrival=arrival, run=run_of(prd_id))


def engine(*records: Record, **more: object) -> EngineState:
    state = EngineState(records={one.prd_id: one for one in records}, looked=True)
    return replace(state, **more)  # type: ignore[arg-type]


def names(state: EngineState) -> list[str]:
    return [start.prd_id for start in starts(judge(state), now=100.0)]


def test_priority_then_arrival() -> None:
    late = replace(record("late", arrival=2.0), prd=prd(priority=1))
    state = engine(record("b", arrival=5.0), record("a", arrival=9.0), late)
    assert [one.prd_id for one in queue(state)] == ["late", "b", "a"]
    assert names(replace(state, max_prds=2)) == ["late", "b"]


def test_priority_zero_is_a_priority() -> None:
    state = engine(record("none", arrival=1.0), replace(record("zero", arrival=2.0), prd=prd(priority=0)))
    assert names(state) == ["zero", "none"]


def test_slots_are_distinct_and_bounded() -> None:
    running = replace(record("x", PrdState.RUNNING), slot=1)
    state = engine(running, record("a", arrival=1), record("b", arrival=2), record("c", arrival=3))
    assert [(one.prd_id, one.slot) for one in starts(state, 0.0)] == [("a", 2), ("b", 3)]


def test_fewer_slots_never_yield_a_negative_number() -> None:
    running = [replace(record(f"r{n}", PrdState.RUNNING), slot=n) for n in (1, 2, 3)]
    assert names(engine(*running, record("a"), max_prds=1)) == []


def test_a_hold_starts_nothing() -> None:
    assert names(engine(record("a"), holds={"person": "held"})) == []
    assert nothing_can_run(engine(record("a"), holds={"person": "held"}))


def test_verified_work_holds_no_slot() -> None:
    filing = replace(record("x", PrdState.VERIFYING), verified=True)
    assert names(engine(filing, record("a"), max_prds=1)) == ["a"]
    assert not nothing_can_run(engine(filing))


def test_a_run_without_gates_frees_its_slot_before_its_verdict() -> None:
    judged = replace(record("x", PrdState.VERIFYING), slot_freed=True)
    assert names(engine(judged, record("a"), max_prds=1)) == ["a"]
    assert not nothing_can_run(engine(judged))


def test_waits_for_its_dependency_then_stands_on_it() -> None:
    waiting = engine(record("a", PrdState.RUNNING), record("b", PrdState.QUEUED, "a"))
    assert names(waiting) == []
    judged = judge(waiting).records["b"]
    assert (judged.state, judged.reason, judged.waiting_for) == (PrdState.QUEUED, "after a", ("a",))
    done = engine(record("a", PrdState.COMPLETED), record("b", PrdState.QUEUED, "a"))
    assert names(done) == [], "where the work of a stands is not known yet"
    assert not nothing_can_run(done)
    unmerged = replace(done, dependencies={"a": False})
    assert [start.base_on for start in starts(unmerged, 0.0)] == ["a"]
    assert [start.base_on for start in starts(replace(done, dependencies={"a": True}), 0.0)] == [""]


def test_two_unmerged_dependencies_block_unless_one_holds_the_other() -> None:
    state = engine(
        record("a", PrdState.COMPLETED),
        record("b", PrdState.COMPLETED),
        record("c", PrdState.QUEUED, "a", "b"),
        dependencies={"a": False, "b": False},
    )
    judged = judge(state).records["c"]
    assert judged.state is PrdState.BLOCKED
    assert "merge a and b first" in judged.reason
    stacked = replace(state, contained=frozenset({("a", "b")}))
    assert [start.base_on for start in starts(judge(stacked), 0.0)] == ["b"]
    equal = replace(state, contained=frozenset({("a", "b"), ("b", "a")}))
    assert foundations(equal, equal.records["c"]) == ["a"]


def test_blocked_behind_a_failed_or_missing_one_and_free_again_after_a_retry() -> None:
    failed = engine(record("a", PrdState.FAILED), record("b", PrdState.QUEUED, "a"))
    assert judge(failed).records["b"].reason == "waits for a, which is failed"
    assert nothing_can_run(judge(failed))
    missing = judge(engine(record("b", PrdState.QUEUED, "ghost")))
    assert missing.records["b"].reason == "depends on ghost, which is nowhere"
    again = judge(failed).with_record(record("a"))
    assert judge(again).records["b"].state is PrdState.QUEUED


def test_a_dependency_completed_elsewhere_counts_as_merged() -> None:
    state = engine(record("b", PrdState.QUEUED, "old"), dependencies={"old": True})
    assert names(state) == ["b"]


def test_a_cycle_blocks_its_members_only() -> None:
    state = engine(
        record("a", PrdState.QUEUED, "b"),
        record("b", PrdState.QUEUED, "a"),
        record("c"),
        record("d", PrdState.QUEUED, "d"),
    )
    assert find_cycle(state, "a") == ("a", "b", "a")
    judged = judge(state)
    assert judged.records["d"].reason == "dependency cycle: d → d"
    assert names(state) == ["c"]


def test_only_named_ones_start() -> None:
    state = engine(record("a"), record("b"), only=frozenset({"b"}))
    assert names(state) == ["b"]
    assert nothing_can_run(replace(state, records={"a": record("a")}))


def test_backoff_waits_without_being_the_end() -> None:
    later = replace(record("a"), not_before=200.0)
    assert names(engine(later)) == []
    assert not nothing_can_run(engine(later))
    assert [one.prd_id for one in starts(engine(later), 200.0)] == ["a"]


GRAPH = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.sampled_from(list(PrdState)), st.lists(st.sampled_from("abcdefg"), max_size=3)),
)


@given(GRAPH, st.integers(1, 4))
def test_judging_settles_and_never_starts_what_must_wait(
    graph: dict[str, tuple[PrdState, list[str]]], slots: int
) -> None:
    state = engine(*(record(name, kind, *needs) for name, (kind, needs) in graph.items()), max_prds=slots)
    judged = judge(state)
    assert judge(judged) == judged
    begun = list(starts(judged, 0.0))
    used = sum(one.holds_slot for one in judged.records.values())
    assert len(begun) <= max(0, slots - used)
    for start in begun:
        assert outlook(judged, judged.records[start.prd_id]) is None
    if begun:
        assert not nothing_can_run(judged)


def test_what_a_queued_prd_came_with_is_said_again_once_its_folder_was_read() -> None:
    unread = replace(record("a"), prd=None, reason="queued again by a person")
    before = judge(engine(unread, record("b")))
    assert before.records["a"].reason == "queued again by a person"
    read = replace(before.records["a"], prd=prd())
    assert judge(engine(read)).records["a"].reason == "queued again by a person"
    fresh = judge(engine(replace(record("c"), prd=None)))
    assert fresh.records["c"].reason == ""
