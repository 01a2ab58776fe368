"""The loop's record: written whole, read whatever stands there, shown as views."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.model import Story, StoryState, StoryView
from coordinator.story_record import StoryRecord, gave_up, read, record_path, story_views

AT = 1_700_000_000.0


def story(name: str, *, passes: bool = False) -> Story:
    return Story(id=name, title=name.upper(), passes=passes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_path(tmp_path)


def views(path: Path, stories: list[Story], run: str | None = "r", current: str = "") -> list[StoryView]:
    return list(story_views(stories, read(path), run, current))


def test_lines_as_they_are_promised(path: Path) -> None:
    record = StoryRecord(path, "r")
    record.write("attempt", "ä", AT, attempt=1, max_attempts=3)
    record.write("done", "ä", AT + 1.5, attempt=1, seconds=1.5, commit="c0ffee")
    assert path.read_text().splitlines() == [
        '{"at": "2023-11-14T22:13:20.000Z", "run": "r", "what": "attempt", "story": "\\u00e4", '
        '"attempt": 1, "max_attempts": 3}',
        '{"at": "2023-11-14T22:13:21.500Z", "run": "r", "what": "done", "story": "\\u00e4", '
        '"attempt": 1, "seconds": 1.5, "commit": "c0ffee"}',
    ]
    assert [entry["what"] for entry in read(path)] == ["attempt", "done"]


def test_what_cannot_be_read_is_passed_over(path: Path) -> None:
    assert read(path) == []
    StoryRecord(path, "r").write("attempt", "a", AT)
    with path.open("ab") as file:
        file.write(
            b'\xff\n[1]\n{"what": "done"}\n{"story": 7}\n'
            + b"[" * 100_000
            + b'\n{"story": "b"}\n{"story": "c'
        )
    assert [entry["story"] for entry in read(path)] == ["a", "b"]
    path.unlink()
    os.mkfifo(path)
    assert read(path) == []
    StoryRecord(path, "r").write("attempt", "a", AT)
    assert [entry["story"] for entry in read(path)] == ["a"], "the pipe was moved aside"


def test_views_while_it_works(path: Path) -> None:
    stories = [story("a", passes=True), story("b"), story("c")]
    record = StoryRecord(path, "r")
    record.write("attempt", "a", AT, attempt=1, max_attempts=3)
    record.write("refused", "a", AT + 5, attempt=1, reason="red")
    record.write("attempt", "a", AT + 6, attempt=2, max_attempts=3)
    record.write("done", "a", AT + 20, attempt=2, seconds=20.0, commit="0123456789abcdef")
    record.write("attempt", "b", AT + 21, attempt=1, max_attempts=3)
    a, b, c = views(path, stories, current="b")
    assert a == StoryView("a", "A", StoryState.DONE, 2, 3, AT, 20.0, "0123456")
    assert b == StoryView("b", "B", StoryState.RUNNING, 1, 3, AT + 21)
    assert c == StoryView("c", "C")
    record.write("refused", "b", AT + 30, attempt=1, reason="red\x1b[31m again")
    assert views(path, stories, current="b")[1].note == "red again"
    record.write("gave up", "b", AT + 31, attempts=3, reason="red for good")
    b = views(path, stories)[1]
    assert (b.state, b.seconds, b.note) == (StoryState.FAILED, 10.0, "red for good")


def test_a_claim_in_the_file_is_not_yet_done(path: Path) -> None:
    StoryRecord(path, "r").write("attempt", "a", AT, attempt=1, max_attempts=3)
    stories = [story("a", passes=True), story("b")]
    a, b = views(path, stories, current="b")
    assert (a.state, b.state) == (StoryState.RUNNING, StoryState.OPEN)
    assert views(path, stories)[0].state is StoryState.OPEN


def test_earlier_runs_say_how_a_passing_story_was_done_and_no_more(path: Path) -> None:
    old = StoryRecord(path, "old")
    old.write("attempt", "a", AT, attempt=1, max_attempts=3)
    old.write("done", "a", AT, attempt=1, seconds=9.0, commit="c0ffee0000")
    old.write("gave up", "b", AT, attempts=3, reason="red")
    a, b = views(path, [story("a", passes=True), story("b")])
    assert (a.state, a.seconds, a.commit, a.started_at) == (StoryState.DONE, 9.0, "c0ffee0", 0.0)
    assert b == StoryView("b", "B")
    assert views(path, [story("a")])[0] == StoryView("a", "A"), "reopened since"


def test_without_a_record_the_current_story_runs(path: Path) -> None:
    a, b, c = views(path, [story("a", passes=True), story("b"), story("c")], current="b")
    assert [view.state for view in (a, b, c)] == [StoryState.DONE, StoryState.RUNNING, StoryState.OPEN]
    assert [view.state for view in views(path, [story("a", passes=True)], run=None)] == [StoryState.DONE]


def test_the_sentence_of_a_story_given_up(path: Path) -> None:
    record = StoryRecord(path, "r")
    record.write("gave up", "US-1", AT, attempts=3, reason="gate `x`\nfailed\x07 " + "y" * 1000)
    said = gave_up(read(path), "r")
    assert said is not None
    assert said.startswith("US-1 failed 3×: gate `x` failed yyy")
    assert said.isprintable()
    assert len(said) < 400
    assert gave_up(read(path), "other") is None
    assert gave_up([{"what": "gave up", "run": "r", "story": "s", "attempts": None}], "r") == "s failed"


_VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([{}])
)
_ENTRY = st.fixed_dictionaries(
    {"story": st.sampled_from("ab")},
    optional={
        key: _VALUES | st.sampled_from(["attempt", "refused", "done", "gave up", "r"])
        for key in ("at", "run", "what", "attempt", "attempts", "max_attempts", "seconds", "commit", "reason")
    },
)


@given(st.lists(_ENTRY, max_size=6), st.sampled_from(["", "a", "b"]), st.booleans())
def test_nothing_in_a_record_is_trusted(entries: list[dict[str, Any]], current: str, passes: bool) -> None:
    stories = [story("a", passes=passes), story("b")]
    found = story_views(stories, entries, "r", current)
    assert [view.id for view in found] == ["a", "b"]
    assert sum(view.state is StoryState.RUNNING for view in found) <= 1
    gave_up(entries, "r")
    json.dumps([vars(view) for view in found])
