"""Noticing the end of jobs."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import processes
from coordinator.exits import ExitWatcher
from coordinator.identity import alive
from coordinator.jobs import inspect
from coordinator.model import Exit
from tests.support.processes import STUBBORN, Jobs, jobs_in, kill_keeper, pid_in, said, until_swept
from tests.support.waiting import wait_until

GATE = "while [ ! -e go ]; do sleep 0.01; done; exit 3"


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as made:
        yield made


@pytest.fixture
def watcher() -> Iterator[ExitWatcher]:
    made = ExitWatcher()
    yield made
    begun = time.monotonic()
    made.stop()
    assert time.monotonic() - begun < 5


class Told:
    """What a watcher reported of one job, in order."""

    def __init__(self, watcher: ExitWatcher, job_dir: Path) -> None:
        self.words: list[Exit | str | None] = []
        watcher.watch(job_dir, self.words.append, lambda: self.words.append("swept"))

    def code(self) -> int | None:
        """The exit code, once exit and sweep were reported, each once and in this order."""
        wait_until(lambda: len(self.words) == 2, 20, "both reports")
        first, second = self.words
        assert second == "swept"
        assert not isinstance(first, str)
        return None if first is None else first.code


def test_reports_exit_and_sweep(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", GATE)
    told = Told(watcher, handle.job_dir)
    assert told.words == []
    (jobs.worktree / "go").touch()
    assert told.code() == 3
    assert inspect(handle.job_dir).swept


def test_reports_many_jobs_each_once(jobs: Jobs, watcher: ExitWatcher) -> None:
    told = [Told(watcher, jobs.shell(f"job-{n}", f"sleep 0.0{n}; exit {n}").job_dir) for n in range(8)]
    assert [one.code() for one in told] == list(range(8))


def test_reports_at_once_what_ended_before(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", "exit 4")
    until_swept(handle.job_dir)
    assert Told(watcher, handle.job_dir).code() == 4
    assert Told(watcher, jobs.start("none", "no-such-program").job_dir).code() == 127


def test_a_keeper_that_somebody_stopped_is_let_go_on(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", GATE)
    told = Told(watcher, handle.job_dir)
    assert handle.facts.keeper is not None
    processes.send(handle.facts.keeper, signal.SIGSTOP)
    (jobs.worktree / "go").touch()
    assert told.code() == 3


def test_the_exit_is_not_held_up_by_stubborn_left_overs(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", f'setsid sh -c "{STUBBORN}" & {GATE}')
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    told = Told(watcher, handle.job_dir)
    (jobs.worktree / "go").touch()
    wait_until(lambda: told.words, 4, "the exit")
    assert len(told.words) == 1
    assert told.code() == 3
    assert not processes.members(handle.job_dir)


def test_a_worker_without_its_keeper_is_watched_and_then_lost(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", f"{jobs.escape()}; {GATE}")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    told = Told(watcher, handle.job_dir)
    kill_keeper(handle)
    (jobs.worktree / "go").touch()
    assert told.code() is None
    assert not alive(escaped)
    assert inspect(handle.job_dir).swept


def test_a_keeper_killed_in_its_sweep_is_relieved(jobs: Jobs, watcher: ExitWatcher) -> None:
    handle = jobs.shell("job", f'setsid sh -c "{STUBBORN}" & {GATE}')
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    told = Told(watcher, handle.job_dir)
    (jobs.worktree / "go").touch()
    wait_until(lambda: told.words, 4, "the exit")
    kill_keeper(handle)
    assert told.code() == 3
    assert not processes.members(handle.job_dir)


def test_what_was_never_started_is_closed(jobs: Jobs, watcher: ExitWatcher) -> None:
    spec = jobs.spec("job", "true")
    spec.job_dir.mkdir(parents=True)
    assert Told(watcher, spec.job_dir).code() == 127
    assert Told(watcher, jobs.folder / "no-such-job").code() is None


def test_a_failing_listener_harms_nobody(
    jobs: Jobs, watcher: ExitWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Exit | None) -> None:
        raise ValueError("a listener's own fault")

    swept: list[bool] = []
    with caplog.at_level(logging.CRITICAL):
        watcher.watch(jobs.shell("one", "exit 1").job_dir, fail, lambda: swept.append(True))
        assert Told(watcher, jobs.shell("two", "exit 2").job_dir).code() == 2
        wait_until(lambda: swept, what="the sweep of the job with the failing listener")


def test_stop_leaves_jobs_alone_and_reports_nothing_more(jobs: Jobs) -> None:
    watcher = ExitWatcher()
    handle = jobs.shell("job", GATE)
    told = Told(watcher, handle.job_dir)
    watcher.stop()
    watcher.stop()
    (jobs.worktree / "go").touch()
    until_swept(handle.job_dir)
    assert told.words == []
