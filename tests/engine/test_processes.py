"""Ending, pausing and finding every process of a job, and no other."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import processes
from coordinator.executor import JobHandle
from coordinator.identity import Identity, alive, boot_id, identify, stat_fields
from coordinator.jobs import JobStatus, inspect
from coordinator.proctable import read_process
from tests.support.processes import STUBBORN, Jobs, child, jobs_in, kill_keeper, pid_in, said, until_swept
from tests.support.waiting import wait_until


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as made:
        yield made


def worker_of(handle: JobHandle) -> Identity:
    assert handle.facts.start is not None
    return handle.facts.start.worker


def terminate(jobs: Jobs, handle: JobHandle, grace: float = 60.0) -> float:
    """Seconds that it took; nothing may be left."""
    begun = time.monotonic()
    assert processes.terminate(handle.job_dir, jobs.worktree, grace) == ()
    took = time.monotonic() - begun
    assert not processes.members(handle.job_dir, jobs.worktree)
    return took


def test_an_obedient_tree_ends_at_once(jobs: Jobs) -> None:
    handle = jobs.shell("job", "for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; wait")
    wait_until(lambda: len(processes.members(handle.job_dir)) == 10, what="ten processes")
    terminate(jobs, handle)
    facts = inspect(handle.job_dir)
    assert facts.swept
    assert facts.exit is not None
    assert (facts.exit.code, facts.exit.signal) == (143, 15)


def test_a_stubborn_tree_is_killed_after_the_grace(jobs: Jobs) -> None:
    handle = jobs.shell("job", STUBBORN)
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    assert 0.5 <= terminate(jobs, handle, 0.5) < 30
    facts = inspect(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.signal == signal.SIGKILL


def test_kill_now_gives_no_grace(jobs: Jobs) -> None:
    handle = jobs.shell("job", STUBBORN)
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    begun = time.monotonic()
    assert processes.terminate(handle.job_dir, jobs.worktree, 60.0, kill_now=True) == ()
    assert time.monotonic() - begun < 30


def test_the_leader_obeys_and_its_child_does_not(jobs: Jobs) -> None:
    handle = jobs.shell("job", f'setsid sh -c "{STUBBORN}" & sleep 600')
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    assert terminate(jobs, handle, 1.0) < 30


def test_ten_stubborn_jobs_end_side_by_side(jobs: Jobs) -> None:
    handles = [jobs.shell(f"job-{n}", STUBBORN) for n in range(10)]
    for n in range(10):
        wait_until(lambda n=n: said(jobs.folder / f"job-{n}.log", "ready"), what="the trap")  # type: ignore[misc]
    begun = time.monotonic()
    threads = [threading.Thread(target=terminate, args=(jobs, handle, 3.0)) for handle in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - begun < 20, "one after another they take thirty seconds"
    assert all(inspect(handle.job_dir).swept for handle in handles)


def test_what_escaped_ends_with_the_job(jobs: Jobs) -> None:
    handle = jobs.shell("job", f"{jobs.escape()}; sleep 600")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    assert terminate(jobs, handle) < 30
    assert not alive(escaped)


@pytest.mark.parametrize("kept", ["env", "fds", ""])
def test_what_escaped_is_found_without_the_keeper(jobs: Jobs, kept: str) -> None:
    """By its environment, by the lock it holds, or as an orphan in the worktree."""
    handle = jobs.shell("job", f"{jobs.escape(kept)}; sleep 600")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    kill_keeper(handle)
    wait_until(lambda: (stat_fields(escaped.pid) or [b"", b""])[1] == b"1", what="adoption by init")
    assert {escaped, worker_of(handle)} <= processes.members(handle.job_dir)
    assert terminate(jobs, handle) < 30
    assert not alive(escaped)
    assert inspect(handle.job_dir).status is JobStatus.GONE
    assert inspect(handle.job_dir).swept


def test_a_job_outlives_its_keeper_and_is_then_gone(jobs: Jobs) -> None:
    handle = jobs.shell("job", f"{jobs.escape()}; while [ ! -e go ]; do sleep 0.01; done")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    kill_keeper(handle)
    assert inspect(handle.job_dir).status is JobStatus.RUNNING
    with pytest.raises(RuntimeError):
        processes.sweep(handle.job_dir, jobs.worktree)
    (jobs.worktree / "go").touch()
    wait_until(lambda: not alive(worker_of(handle)), what="the worker's end")
    assert inspect(handle.job_dir).status is JobStatus.GONE
    assert alive(escaped)
    assert processes.sweep(handle.job_dir, jobs.worktree) == ()
    assert not alive(escaped)
    assert inspect(handle.job_dir).swept


def test_the_session_is_found_when_keeper_and_worker_are_dead(jobs: Jobs) -> None:
    """A background child with nothing but its session left to tell whose it is."""
    script = "env -i sleep 600 </dev/null >/dev/null 2>&1 20<&- 21<&- 22<&- & cd /; echo $! > pid; sleep 600"
    handle = jobs.shell("job", script.replace("> pid", f"> {jobs.folder / 'pid'}"))
    wait_until(lambda: (jobs.folder / "pid").exists() and (jobs.folder / "pid").read_text(), what="the child")
    left = jobs.adopt(pid_in(jobs.folder / "pid"))
    kill_keeper(handle)
    processes.send(worker_of(handle), signal.SIGKILL)
    wait_until(lambda: not alive(worker_of(handle)), what="the worker's end")
    assert left in processes.members(handle.job_dir)
    processes.sweep(handle.job_dir)
    assert not alive(left)


def test_a_persons_programs_in_the_worktree_are_never_hit(jobs: Jobs) -> None:
    handle = jobs.start("job", "sleep", "600")
    kill_keeper(handle)
    multiplexer = f"{sys.executable} {jobs.folder / 'escape.py'} {jobs.folder / 'person'} {jobs.worktree} env"
    jobs.escape()
    subprocess.run(multiplexer.split(), env={"TERM": "xterm", "HOME": "/"}, check=True)
    daemon = jobs.adopt(pid_in(jobs.folder / "person"))
    terminal, shell_end = pty.openpty()
    shell = subprocess.Popen(
        ["sh", "-i"], cwd=jobs.worktree, stdin=shell_end, stdout=shell_end, stderr=shell_end, env={},
        start_new_session=True,
    )  # fmt: skip
    try:
        with child("sleep", "600", cwd=jobs.worktree, env={}) as editor:
            assert processes.members(handle.job_dir) == {worker_of(handle)}
            terminate(jobs, handle)
            assert alive(editor)
        assert alive(daemon)
        assert shell.poll() is None
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)
        os.close(shell_end)


def test_a_daemon_with_a_terminal_below_it_is_a_persons(jobs: Jobs) -> None:
    """A terminal multiplexer with a clean environment: its shells sit at terminals."""
    handle = jobs.start("job", "sleep", "600")
    kill_keeper(handle)
    script = f"""
import os, pty, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir({str(jobs.worktree)!r})
    pid, fd = pty.fork()
    if pid == 0:
        os.read(0, 1)  # until the terminal goes with its owner
        os._exit(0)
    with open({str(jobs.folder / "person")!r} + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename({str(jobs.folder / "person")!r} + ".part", {str(jobs.folder / "person")!r})
    time.sleep(600)
os.wait()
"""
    subprocess.run([sys.executable, "-c", script], env={}, check=True, stdout=subprocess.DEVNULL)
    daemon = jobs.adopt(pid_in(jobs.folder / "person"))
    terminate(jobs, handle)
    assert alive(daemon)


def fake_start(jobs: Jobs, who: Identity, name: str = "fake") -> Path:
    job_dir = jobs.folder / name
    job_dir.mkdir()
    both = {"pid": who.pid, "ticks": who.ticks}
    record = {"boot_id": who.boot_id, "keeper": both, "worker": both, "started_at": 1.0}
    record |= {"argv0": "sh", "marker": "fake-marker", "cwd": str(jobs.worktree)}
    (job_dir / "start.json").write_text(json.dumps(record))
    return job_dir


@pytest.mark.parametrize("what", ["ticks", "boot"])
def test_a_foreign_process_with_a_recorded_pid_is_never_signalled(jobs: Jobs, what: str) -> None:
    with child(
        "sleep", "600", cwd=jobs.folder, env={"PRD_RUN_ID": "fake-marker" if what == "boot" else ""}
    ) as who:
        record = (
            Identity(who.pid, who.ticks, "another-boot")
            if what == "boot"
            else Identity(who.pid, 1, boot_id())
        )
        job_dir = fake_start(jobs, record)
        assert inspect(job_dir).status is JobStatus.GONE
        assert processes.members(job_dir) == set()
        assert processes.terminate(job_dir, jobs.worktree, 0.0, kill_now=True) == ()
        assert processes.sweep(job_dir, jobs.worktree) == ()
        processes.send(record, signal.SIGKILL)
        assert alive(who)
        assert inspect(job_dir).swept


def test_we_and_our_ancestors_are_never_members(jobs: Jobs) -> None:
    parent = identify(os.getppid())
    assert parent is not None
    members = processes.members(fake_start(jobs, parent), jobs.worktree)
    assert not members & {parent, identify(os.getpid())}


def test_a_zombie_is_dead(jobs: Jobs) -> None:
    process = subprocess.Popen(["sleep", "600"])
    who = identify(process.pid)
    assert who is not None
    job_dir = fake_start(jobs, who)
    assert inspect(job_dir).status is JobStatus.RUNNING
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{process.pid}").exists()
    assert inspect(job_dir).status is JobStatus.GONE
    assert not alive(who)
    process.wait()


def test_pause_stops_every_session_and_resume_continues_them(jobs: Jobs) -> None:
    handle = jobs.shell("job", f"{jobs.escape()}; setsid sleep 600 & while :; do sleep 0.01; done")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    wait_until(lambda: len(processes.members(handle.job_dir)) >= 4, what="the tree")
    assert processes.suspend(handle.job_dir, jobs.worktree)
    states = [read_process(who.pid) for who in processes.members(handle.job_dir)]
    assert len(states) >= 3
    assert all(process is not None and processes.held(process) for process in states)
    assert processes.suspended(handle.job_dir)
    processes.resume(handle.job_dir, jobs.worktree)
    assert not processes.suspended(handle.job_dir)
    process = read_process(escaped.pid)
    assert process is not None
    assert not process.stopped


def test_pause_holds_a_parent_that_waits_for_its_childs_exec(jobs: Jobs) -> None:
    """posix_spawn lends the parent's memory: the parent cannot be stopped before the child has exec'd."""
    script = """
import os
os.mkfifo("fifo")
print("ready", flush=True)
opening = [(os.POSIX_SPAWN_OPEN, 5, "fifo", os.O_WRONLY, 0)]
pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], {}, file_actions=opening)
print("spawned", flush=True)
os.waitpid(pid, 0)
"""
    handle = jobs.python("job", script)
    wait_until(lambda: len(processes.members(handle.job_dir)) == 2, what="the child")
    assert processes.suspend(handle.job_dir, jobs.worktree)
    reader = os.open(jobs.worktree / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    processes.resume(handle.job_dir, jobs.worktree)
    wait_until(lambda: said(jobs.folder / "job.log", "spawned"), what="the exec")
    os.close(reader)


def test_a_paused_job_ends_within_the_grace(jobs: Jobs) -> None:
    handle = jobs.shell("job", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done")
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    assert processes.suspend(handle.job_dir, jobs.worktree)
    assert terminate(jobs, handle) < 30
    facts = inspect(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.code == 9  # it was continued and ended by itself


@pytest.mark.parametrize("keeper", ["with", "without"])
def test_a_storm_of_forks_ends(jobs: Jobs, keeper: str) -> None:
    # Processes that are others many times a second; should the test fail, they end by themselves, and before
    # their zombies, which nobody may reap, use up the machine's process ids.
    storm = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.time() + 10
leads = all([os.fork() for _ in range(3)])
print("ready", flush=True)
while time.time() < end:
    if not leads:
        if os.fork():
            os._exit(0)
        os.setsid()
    time.sleep(0.03)
"""
    handle = jobs.python("job", storm)
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the storm")
    if keeper == "without":
        kill_keeper(handle)
    assert terminate(jobs, handle, 0.3) < 15


def test_a_job_that_was_never_started_never_will_be(jobs: Jobs) -> None:
    spec = jobs.spec("job", "touch", "started")
    spec.job_dir.mkdir(parents=True)
    assert inspect(spec.job_dir).status is JobStatus.NEW
    assert processes.terminate(spec.job_dir, jobs.worktree, 1.0) == ()
    facts = jobs.executor.submit(spec).facts
    assert facts.status is JobStatus.ENDED
    assert facts.exit is not None
    assert facts.exit.cannot_start == "its start was abandoned: start it again"
    assert not (jobs.worktree / "started").exists()


def test_a_sweep_leaves_an_ended_job_to_its_living_keeper(jobs: Jobs) -> None:
    handle = jobs.shell("job", f'setsid sh -c "{STUBBORN}" & while [ ! -e go ]; do sleep 0.01; done; exit 3')
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the trap")
    (jobs.worktree / "go").touch()
    wait_until(lambda: inspect(handle.job_dir).exit, what="the exit")
    assert processes.sweep(handle.job_dir, jobs.worktree) == ()
    assert json.loads((handle.job_dir / "swept.json").read_text())["ended"] >= 1
    assert until_swept(handle.job_dir).status is JobStatus.ENDED


def test_a_process_with_a_misleading_name_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with child(str(program), "600", cwd=tmp_path) as who:
        process = read_process(who.pid)
        assert process is not None
        assert (process.name, process.ppid, process.session) == (b"a) R 1 (b", os.getpid(), who.pid)
        assert process.identity == who
