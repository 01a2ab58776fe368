"""Starting jobs through the executor, whatever happens to the one who starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import coordinator
from coordinator import children, processes
from coordinator.errors import StateError
from coordinator.executor import JobHandle, LocalExecutor
from coordinator.identity import alive
from coordinator.jobs import JobStatus, abandon, inspect
from coordinator.proctable import read_table
from tests.support.processes import STUBBORN, Jobs, jobs_in, said, until_swept
from tests.support.waiting import wait_until


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as made:
        yield made


def test_a_submitted_job_is_running_and_recorded(jobs: Jobs) -> None:
    handle = jobs.start("job", "sleep", "600")
    assert handle.facts.status is JobStatus.RUNNING
    start = handle.facts.start
    assert start is not None
    assert alive(start.keeper)
    assert alive(start.worker)
    assert (start.argv0, start.cwd) == ("sleep", str(jobs.worktree))
    assert Path(f"/proc/{start.worker.pid}/exe").resolve().name in ("sleep", "coreutils", "busybox")
    assert jobs.executor.nodes() == (os.uname().nodename,)


def test_a_job_is_started_once(jobs: Jobs) -> None:
    first = jobs.shell("job", "echo once; exit 3")
    until_swept(first.job_dir)
    again = LocalExecutor().submit(jobs.spec("job", "sh", "-c", "echo twice"))
    assert again.facts.exit is not None
    assert again.facts.exit.code == 3
    assert (jobs.folder / "job.log").read_text() == "=== job ===\nonce\n"


def test_many_submitters_start_it_once(jobs: Jobs) -> None:
    spec = jobs.spec("job", "sh", "-c", "echo once; sleep 600")
    handles: list[JobHandle] = []
    threads = [
        threading.Thread(target=lambda: handles.append(LocalExecutor().submit(spec))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle.facts.start for handle in handles}) == 1
    assert len(handles) == 6
    wait_until(lambda: said(spec.log, "once"), what="the job")
    assert spec.log.read_text() == "=== job ===\nonce\n"


def test_a_command_that_cannot_start_comes_back_ended(jobs: Jobs) -> None:
    facts = jobs.start("job", "no-such-program").facts
    assert facts.exit is not None
    assert facts.exit.cannot_start.startswith("no-such-program was not found")


def test_odd_bytes_reach_the_job_unchanged(jobs: Jobs) -> None:
    odd = os.fsdecode(b"a\xffb \xc3\xa9\n'\"")
    spec = jobs.spec("job", "sh", "-c", 'printf %s "$1$ODD"', "sh", odd)
    until_swept(jobs.start("job", *spec.argv, env={**spec.env, "ODD": odd}, header="\ud800 é").job_dir)
    assert (jobs.folder / "job.log").read_bytes() == "? é\n".encode() + os.fsencode(odd) * 2


def test_an_impossible_start_is_an_error_and_no_job(jobs: Jobs) -> None:
    (jobs.folder / "file").write_text("")
    spec = jobs.spec("job", "true", job_dir=jobs.folder / "file" / "job")
    with pytest.raises(StateError, match="No keeper for job could be started"):
        jobs.executor.submit(spec)


def test_pause_resume_and_soft_stop(jobs: Jobs) -> None:
    handle = jobs.shell("job", "trap 'echo asked; exit 6' TERM; echo ready; while :; do sleep 0.01; done")
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    jobs.executor.signal(handle, "pause")
    assert processes.suspended(handle.job_dir)
    jobs.executor.signal(handle, "resume")
    assert not processes.suspended(handle.job_dir)
    jobs.executor.signal(handle, "soft_stop")
    facts = until_swept(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.code == 6


def test_cancel_ends_and_list_tells(jobs: Jobs) -> None:
    handle = jobs.shell("job", STUBBORN)
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    assert [job.facts.status for job in jobs.executor.list()] == [JobStatus.RUNNING]
    assert jobs.executor.cancel(handle, 0.2) == ()
    assert [job.facts.status for job in jobs.executor.list()] == [JobStatus.ENDED]


def test_no_keeper_stays_a_zombie(jobs: Jobs) -> None:
    handles = [jobs.shell(f"job-{n}", "exit 0") for n in range(3)]
    keepers = {handle.facts.keeper.pid for handle in handles if handle.facts.keeper}
    for handle in handles:
        until_swept(handle.job_dir)

    def reaped() -> bool:
        children.reap()
        return not keepers & read_table().keys()

    wait_until(reaped, what="the keepers' end")


def test_close_stops_no_job(jobs: Jobs) -> None:
    handle = jobs.start("job", "sleep", "600")
    jobs.executor.close()
    assert jobs.executor.list() == ()
    assert inspect(handle.job_dir).status is JobStatus.RUNNING


SUBMIT = """
import sys
from pathlib import Path
from coordinator.executor import LocalExecutor
from coordinator.jobs import JobSpec
folder = Path(sys.argv[1])
argv = ("sh", "-c", "echo once; sleep 600")
env = {"PATH": "/usr/bin:/bin", "PRD_RUN_ID": "m"}
job_dir, worktree, log = folder / "jobs" / "job", folder / "worktree", folder / "job.log"
LocalExecutor().submit(JobSpec("job", 1, job_dir, argv, worktree, env, log, "", None, None, "m"))
"""


@pytest.mark.parametrize("point", ["keeper-spawned", "start-recorded"])
def test_a_coordinator_killed_while_it_starts_a_job_starts_it_once(jobs: Jobs, point: str) -> None:
    spec = jobs.spec("job", "sh", "-c", "echo twice")
    root = str(Path(coordinator.__file__).parents[1])
    environment = {**os.environ, "PRD_TUI_FAULT": point, "PYTHONPATH": root}
    script = [sys.executable, "-c", SUBMIT, str(jobs.folder)]
    done = subprocess.run(script, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: inspect(spec.job_dir).start, what="the start record")  # the keeper went on by itself
    facts = jobs.executor.submit(spec).facts
    assert facts.status is JobStatus.RUNNING
    wait_until(lambda: said(spec.log, "once"), what="the job")
    assert spec.log.read_text() == "once\n"


def test_abandon_never_takes_a_job_from_its_keeper(jobs: Jobs) -> None:
    handle = jobs.start("job", "sleep", "600")
    assert not abandon(handle.job_dir)
    assert inspect(handle.job_dir).status is JobStatus.RUNNING
    assert abandon(jobs.folder / "no-such-job")
    assert not (jobs.folder / "no-such-job").exists()
