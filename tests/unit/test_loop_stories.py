"""Which story comes next, and what earlier attempts say about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coordinator.loop.stories import Failure, began_at, is_last, last_failure, next_story, unproven
from coordinator.model import Story


def story(name: str, **more: Any) -> Story:
    fields: dict[str, Any] = {"id": name, "title": name, "passes": False} | more
    return Story(**fields)


def entry(what: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"what": what, "story": name} | more


def test_priority_then_position_after_what_it_depends_on() -> None:
    stories = [
        story("late", priority=None),
        story("second", priority=2),
        story("also second", priority=2),
        story("blocked", priority=0, depends_on=("late",)),
        story("free", priority=1, depends_on=("nowhere",)),
    ]
    order = []
    while (one := next_story(stories)) is not None:
        order.append(one.id)
        stories = [replace(each, passes=each.passes or each.id == one.id) for each in stories]
    assert order == ["free", "second", "also second", "late", "blocked"]


@st.composite
def plans(draw: st.DrawFn) -> list[Story]:
    """Stories whose dependencies have no circle, in any order."""
    count = draw(st.integers(1, 8))
    made = [
        story(
            f"s{n}",
            passes=draw(st.booleans()),
            priority=draw(st.none() | st.integers(-2, 2).map(float)),
            depends_on=tuple(f"s{m}" for m in range(n) if draw(st.booleans())),
        )
        for n in range(count)
    ]
    return draw(st.permutations(made))


@given(plans())
def test_every_plan_is_worked_off_and_no_story_comes_before_what_it_needs(stories: list[Story]) -> None:
    left = sum(not each.passes for each in stories)
    while (one := next_story(stories)) is not None:
        passing = {each.id for each in stories if each.passes}
        assert not one.passes
        assert set(one.depends_on) <= passing
        assert is_last(stories, one) == (left == 1)
        stories = [replace(each, passes=each.passes or each.id == one.id) for each in stories]
        left -= 1
    assert left == 0


def test_the_last_failure() -> None:
    entries = [
        entry("attempt"),
        entry("refused", attempt=1, reason="first", output="o", gate="g", gate_output="go", claim=True),
        entry("refused", "b", attempt=7, reason="of another"),
    ]
    assert last_failure(entries, "a") == Failure(1, "first", "o", "g", "go", True)
    assert last_failure([*entries, entry("refused", attempt="x")], "a") == Failure(0, "")
    assert last_failure([*entries, entry("gave up")], "a") == Failure(1, "first", "o", "g", "go", True)
    assert last_failure([*entries, entry("done")], "a") is None
    assert last_failure([], "a") is None


def test_work_counts_from_the_first_attempt_since_anything_was_done() -> None:
    entries = [entry("attempt", head="1"), entry("refused"), entry("attempt", head="2")]
    assert began_at(entries, "a") == "1"
    assert began_at(entries, "b") == ""
    entries += [entry("done", "b"), entry("attempt", head="3"), entry("attempt", head="4")]
    assert began_at(entries, "a") == "3"


def test_marks_without_proof() -> None:
    stories = [story(name, passes=True) for name in "abcd"] + [story("e")]
    entries = [
        entry("attempt", "a"),
        entry("done", "b"),
        entry("gave up", "c"),
        entry("attempt", "e"),
    ]
    assert unproven(stories, entries, ()) == ("a", "c")
    assert unproven(stories, entries, {"c"}) == ("a",)
    assert unproven(stories, [], ()) == ()
