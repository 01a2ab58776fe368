"""What rows tell of their stories, from worktrees of real runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from coordinator.commands import HoldQueue, PausePrds, ResumePrds, RetryPrds, StopMode
from coordinator.model import PrdState, PrdView, Progress, StoryState
from tests.support.cli import CONFIG, make_project
from tests.support.engines import engine_on, give, row, wait_for_state
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

QUICK = CONFIG + "[coordinator]\nrefresh = 0.1\n"
OPEN, RUNNING, DONE = StoryState.OPEN, StoryState.RUNNING, StoryState.DONE


def states(view: PrdView) -> list[StoryState]:
    return [story.state for story in view.stories]


def test_a_worker_without_a_record_is_measured(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=QUICK)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "go"), pace=0.2))
    with engine_on(repo) as engine:
        began = wait_for_state(engine, "p", PrdState.RUNNING)
        wait_until(lambda: states(row(engine, "p")) == [RUNNING, OPEN])
        give(engine, PausePrds(("p",)))
        assert states(row(engine, "p")) == [RUNNING, OPEN]
        give(engine, ResumePrds(("p",)))
        (tmp_path / "go").touch()
        wait_until(lambda: states(row(engine, "p")) == [DONE, RUNNING])
        working = row(engine, "p")
        assert working.progress == Progress(1, 2)
        assert working.current_story == "US-002"
        first, second = working.stories
        assert abs(first.started_at - began.started_at) < 0.002
        assert first.seconds > 0.2
        assert second.started_at - first.started_at > first.seconds, "the pause does not count"
        ready = wait_for_state(engine, "p", PrdState.COMPLETED)
        assert states(ready) == [DONE, DONE]
        assert ready.stories[0] == first
        assert 0.2 < ready.stories[1].seconds < 20
        assert (ready.stories[1].attempt, ready.stories[1].commit) == (0, "")


def test_a_record_tells_attempts_commits_and_why_one_failed(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=QUICK)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "go"), told=True))
    with engine_on(repo) as engine:
        wait_for_state(engine, "p", PrdState.RUNNING)
        wait_until(lambda: row(engine, "p").stories[0].attempt == 2)
        first = row(engine, "p").stories[0]
        assert (first.state, first.max_attempts, first.note) == (RUNNING, 3, "the gate was red")
        assert first.started_at > 0
        (tmp_path / "go").touch()
        ready = wait_for_state(engine, "p", PrdState.COMPLETED)
        assert [(story.state, story.seconds, story.commit) for story in ready.stories] == [
            (DONE, 7.5, "0123456"),
            (DONE, 7.5, "0123456"),
        ], "the last story's end is seen however soon the run is filed"


def test_the_built_in_loop_is_followed_story_by_story(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config='[worker]\nagent = "offline"\n[coordinator]\nrefresh = 0.1\n')
    stories = [
        {"id": "US-001", "title": "One", "passes": False, "offline": {"write": {"one.txt": "1"}, "fail": 1}},
        {"id": "US-002", "title": "Two", "passes": False, "offline": {"write": {"two.txt": "2"}}},
    ]
    drop_prd(repo, "p", prd_json(userStories=stories))
    with engine_on(repo, environ={"PRD_OFFLINE_PACE": "0.01"}) as engine:
        first, second = wait_for_state(engine, "p", PrdState.COMPLETED).stories
        assert (first.state, first.attempt) == (DONE, 2)
        assert (second.state, second.attempt) == (DONE, 1)
        assert len({first.commit, second.commit}) == 2
        assert min(first.seconds, second.seconds) > 0
        assert first.started_at < second.started_at


def test_the_last_story_is_not_missed_however_seldom_it_is_looked(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nrefresh = 3600\n")
    drop_prd(repo, "short", prd_json(mode="exit1"))
    drop_prd(repo, "half", prd_json(mode="hang"))
    with engine_on(repo) as engine:
        ready = wait_for_state(engine, "short", PrdState.COMPLETED)
        assert states(ready) == [DONE, DONE]
        hanging = wait_for_state(engine, "half", PrdState.RUNNING)
        worked = Path(hanging.worktree) / "prds" / "active" / "half" / "prd.json"
        wait_until(lambda: worked.read_text().count("true") == 1)
        engine.request_stop(StopMode.TERM)
        wait_until(lambda: engine.join(0), 30)
        ended = row(engine, "half")
        assert states(ended) == [DONE, OPEN]
        assert (ended.progress, ended.current_story) == (Progress(1, 2), "")


def test_after_a_restart_everything_that_ran_is_read_again(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=QUICK)
    drop_prd(repo, "failed", prd_json(stories=3, mode="told", told=True, gate_file=str(tmp_path / "go")))
    drop_prd(repo, "ready", prd_json(told=True))
    drop_prd(repo, "queued", prd_json(dependsOn=["failed"]))
    with engine_on(repo) as engine:
        wait_for_state(engine, "ready", PrdState.COMPLETED)
        running = wait_for_state(engine, "failed", PrdState.RUNNING)
        wait_until(lambda: row(engine, "failed").stories[0].attempt == 2)
        # It passes one story and then ends without the others.
        inside = Path(running.worktree) / "prds" / "active" / "failed" / "prd.json"
        document = json.loads(inside.read_text())
        document["userStories"][0]["passes"] = True
        inside.write_text(json.dumps(document))
        wait_until(lambda: row(engine, "failed").progress == Progress(0, 3), what="a claim while it is tried")
        os.kill(running.pid, signal.SIGKILL)
        wait_for_state(engine, "failed", PrdState.FAILED)
    with engine_on(repo) as engine:
        wait_until(lambda: row(engine, "failed").stories[0].attempt == 2)
        assert row(engine, "failed").stories[0].note == "the gate was red"
        wait_until(lambda: row(engine, "ready").stories[1].commit == "0123456")
        assert states(row(engine, "ready")) == [DONE, DONE]
        assert states(row(engine, "queued")) == [OPEN, OPEN]
        assert [story.title for story in row(engine, "queued").stories] == ["Story 1", "Story 2"]
        give(engine, HoldQueue())
        give(engine, RetryPrds(("failed",)))
        again = row(engine, "failed")
        assert (again.state, states(again)) == (PrdState.QUEUED, [OPEN, OPEN, OPEN])
