"""Stories in rows: times measured from outside, records read as they grow, and what a state makes of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.clock import SystemClock
from coordinator.entries import Rows
from coordinator.events import Event, ProgressMade, WorkerExited
from coordinator.lifecycle import step
from coordinator.model import Prd, PrdState, Progress, Run, Story, StoryState, StoryView
from coordinator.pause_steps import CAN_PAUSE
from coordinator.policy import Policy
from coordinator.progress import ProgressWatch
from coordinator.state import Record
from coordinator.stopwatch import Stopwatch
from coordinator.story_record import StoryRecord, record_path
from coordinator.story_states import stories_of
from coordinator.story_tail import MOST, StoryTail
from tests.support.repos import prd_json

OPEN, RUNNING, DONE, FAILED = StoryState.OPEN, StoryState.RUNNING, StoryState.DONE, StoryState.FAILED


def a_run(worktree: Path | str = "/w") -> Run:
    return Run("a", "a-1", 1, str(worktree), "feature/a", "", "main", "0" * 40, "/r", "/l")


def a_prd(*ids: str) -> Prd:
    return Prd("p", "t", "", None, None, (), (), tuple(Story(name, name.lower(), False) for name in ids))


# -- measured --------------------------------------------------------------------------------------------


def told(watch: Stopwatch) -> list[tuple[str, str]]:
    return [(entry["what"], entry["story"]) for entry in watch.entries("r")]


def test_a_story_takes_from_when_it_became_the_current_one_less_the_pauses() -> None:
    watch = Stopwatch()
    watch.look(frozenset(), "A", 100.0, 0.0)
    assert told(watch) == [("attempt", "A")]
    watch.look(frozenset(), "A", 105.0, 0.0)
    watch.look(frozenset("A"), "B", 130.0, 10.0)
    done = next(entry for entry in watch.entries("r") if entry["what"] == "done")
    assert (done["story"], done["seconds"]) == ("A", 20.0)
    watch.look(frozenset("AB"), "", 150.0, 15.0)
    assert told(watch) == [("attempt", "A"), ("done", "A"), ("attempt", "B"), ("done", "B")]
    assert [entry["seconds"] for entry in watch.entries("r") if entry["what"] == "done"] == [20.0, 15.0]


def test_stories_that_pass_in_one_go_or_before_the_first_look_have_no_time() -> None:
    watch = Stopwatch()
    watch.look(frozenset("A"), "B", 100.0, 0.0)
    watch.look(frozenset("ABC"), "D", 110.0, 0.0)
    assert told(watch) == [("attempt", "D")]


@given(st.lists(st.sets(st.sampled_from("ABCD")), max_size=8))
def test_no_story_takes_less_than_nothing(looks: list[set[str]]) -> None:
    watch = Stopwatch()
    for number, passing in enumerate(looks):
        watch.look(frozenset(passing), min(set("ABCD") - passing, default=""), float(number), number / 2)
    seconds = [entry["seconds"] for entry in watch.entries("r") if entry["what"] == "done"]
    assert all(0 <= each <= len(looks) for each in seconds)


# -- read as it grows ------------------------------------------------------------------------------------


def a_record(worktree: Path) -> StoryRecord:
    (worktree / ".claude-loop").mkdir()
    return StoryRecord(record_path(worktree), "a-1")


def test_a_record_is_read_as_it_grows_and_half_a_line_is_no_entry(tmp_path: Path) -> None:
    record, tail = a_record(tmp_path), StoryTail(tmp_path)
    assert not tail.look()
    record.write("attempt", "A", 1.0, attempt=1, output="x" * 1000)
    assert tail.look()
    assert not tail.look()
    assert tail.entries == [
        {"at": "1970-01-01T00:00:01.000Z", "run": "a-1", "what": "attempt", "story": "A", "attempt": 1}
    ]
    with record_path(tmp_path).open("a") as file:
        file.write('{"story": "A", "what": ')
    assert tail.look()
    assert len(tail.entries) == 1
    with record_path(tmp_path).open("a") as file:
        file.write('"done"}\nno json\n[1]\n{"story": 1}\n')
    assert tail.look()
    assert [entry["what"] for entry in tail.entries] == ["attempt", "done"]
    record_path(tmp_path).unlink()
    assert not tail.look()
    record.write("gave up", "A", 2.0, attempts=3, reason="why")
    assert tail.look()
    assert [entry["what"] for entry in tail.entries] == ["gave up"]


def test_of_a_long_record_the_end_is_read(tmp_path: Path) -> None:
    record, tail = a_record(tmp_path), StoryTail(tmp_path)
    for number in range(40):
        record.write("refused", f"A{number}", 1.0, output="x" * (MOST // 20))
    assert tail.look()
    names = [entry["story"] for entry in tail.entries]
    assert names[-1] == "A39"
    assert 15 <= len(names) <= 20
    record.write("done", "last", 2.0)
    assert tail.look()
    assert [entry["story"] for entry in tail.entries] == [*names, "last"]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "link above", "unreadable"])
def test_what_is_no_file_of_the_worktree_is_not_read(tmp_path: Path, kind: str) -> None:
    path = record_path(tmp_path)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / path.name).write_text('{"story": "A"}\n')
    if kind == "link above":
        path.parent.symlink_to(secret)
    else:
        path.parent.mkdir()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to(secret / path.name)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_text("{" * 100_000 + "\n")
    tail = StoryTail(tmp_path)
    tail.look()
    assert tail.entries == []


# -- looked at -------------------------------------------------------------------------------------------


def test_a_look_tells_what_changed_and_only_then(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    folder = tmp_path / "prds" / "active" / "a"
    folder.mkdir(parents=True)
    record = Record("a", "a", PrdState.RUNNING, run=run, started_at=1.0)
    events: list[Event] = []
    watch = ProgressWatch(lambda: {"a": record}, events.append, lambda: 1.0, SystemClock())
    watch.look(run)
    assert events == []
    (folder / "prd.json").write_text(prd_json())
    watch.look(run)
    watch.look(run)
    (made,) = events
    assert isinstance(made, ProgressMade)
    assert (made.progress, made.current_story) == (Progress(0, 2), "US-001")
    assert [story.state for story in made.stories] == [RUNNING, OPEN]
    (folder / "prd.json").write_text("{ half")
    watch.look(run)
    assert len(events) == 1
    story_record = a_record(tmp_path)
    story_record.write("attempt", "US-002", 5.0, attempt=1, max_attempts=3)
    watch.look(run)
    told = events[-1]
    assert isinstance(told, ProgressMade)
    assert told.current_story == "US-002", "the worker knows best"
    (folder / "prd.json").write_text(prd_json(stories=2).replace("false", "true"))
    story_record.write("done", "US-002", 9.0, attempt=1, seconds=4.0, commit="abc")
    folder.rename(folder.parent.parent / "completed-not")
    (tmp_path / "prds" / "completed").mkdir()
    (folder.parent.parent / "completed-not").rename(tmp_path / "prds" / "completed" / "a")
    watch.look(run)
    last = events[-1]
    assert isinstance(last, ProgressMade)
    assert last.progress == Progress(2, 2), "a worker may move its folder itself"
    assert last.stories[1].seconds == 4.0


# -- states ----------------------------------------------------------------------------------------------

VIEWS = (
    StoryView("A", "a", DONE, seconds=3.0),
    StoryView("B", "b", RUNNING, attempt=2),
    StoryView("C", "c", FAILED),
)


def at(state: PrdState, **more: object) -> list[StoryState]:
    record = Record("a", "a", state, prd=a_prd("A", "B", "C"), run=a_run(), stories=VIEWS, **more)  # type: ignore[arg-type]
    return [story.state for story in stories_of(record)]


def test_what_a_state_makes_of_stories() -> None:
    for state in (PrdState.RUNNING, PrdState.PAUSING, PrdState.PAUSED, PrdState.STOPPING):
        assert at(state) == [DONE, RUNNING, FAILED]
    for state in (PrdState.VERIFYING, PrdState.FAILED, PrdState.STOPPED, PrdState.LOST):
        assert at(state) == [DONE, OPEN, FAILED]
    assert at(PrdState.COMPLETED) == [DONE, DONE, DONE]
    assert at(PrdState.QUEUED) == [DONE, OPEN, OPEN]
    assert at(PrdState.QUEUED, fresh=True) == [OPEN, OPEN, OPEN]
    never_ran = Record("a", "a", PrdState.BLOCKED, prd=a_prd("A", "B"))
    assert stories_of(never_ran) == (StoryView("A", "a"), StoryView("B", "b"))
    assert stories_of(Record("a", "a", PrdState.INVALID)) == ()


@pytest.mark.parametrize("state", sorted(PrdState))
def test_only_a_working_run_has_a_current_story(state: PrdState) -> None:
    record = Record("a", "a", state, prd=a_prd("A", "B", "C"), run=a_run())
    after, effects = step(record, ProgressMade("a", "a-1", Progress(1, 3), "B", VIEWS), Policy(1.0))
    assert effects == ()
    assert after.state is state
    working = state in (*CAN_PAUSE, PrdState.PAUSED, PrdState.STOPPING)
    assert after.current_story == ("B" if working else "")
    assert (after.progress == Progress(1, 3)) == (
        working or state in (PrdState.VERIFYING, PrdState.QUEUED, PrdState.BLOCKED)
    )


def test_the_verdict_says_how_far_a_verified_run_came() -> None:
    record = Record("a", "a", PrdState.VERIFYING, run=a_run(), progress=Progress(3, 3), verified=True)
    after, _ = step(record, ProgressMade("a", "a-1", Progress(1, 3), "B", VIEWS), Policy(1.0))
    assert (after.progress, after.stories) == (Progress(3, 3), VIEWS)


def test_a_row_that_did_not_change_is_the_same_object() -> None:
    rows = Rows()
    records = {name: Record(name, name, PrdState.RUNNING, run=a_run()) for name in "ab"}
    first = rows.of(records, {})
    assert rows.of(dict(records), {})[0] is first[0]
    changed, _ = step(records["a"], WorkerExited("a", "a-1", None), Policy(1.0))
    second = rows.of(records | {"a": changed}, {"b": 1})
    assert second[0].state is PrdState.VERIFYING
    assert second[1].position == 1
    assert json.dumps([row.prd_id for row in second]) == '["a", "b"]'
