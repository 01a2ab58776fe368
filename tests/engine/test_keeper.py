"""The keeper alone: starts one job, records its end, leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import executor, keeper, processes
from coordinator.identity import alive
from coordinator.jobs import JobStatus, inspect
from tests.support.processes import STUBBORN, Jobs, jobs_in, pid_in, said, until_swept
from tests.support.waiting import wait_until


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with jobs_in(tmp_path) as made:
        yield made


def test_keeps_exit_code_log_and_records(jobs: Jobs) -> None:
    state = jobs.worktree / ".claude-loop"
    state.mkdir()
    handle = jobs.shell("job", "echo out; echo err >&2; exit 7", exit_code_file=state / "exit_code")
    facts = until_swept(handle.job_dir)
    assert facts.status is JobStatus.ENDED
    assert facts.exit is not None
    assert (facts.exit.code, facts.exit.signal, facts.exit.cannot_start) == (7, None, "")
    assert abs(facts.exit.ended_at - time.time()) < 60
    assert (jobs.folder / "job.log").read_text() == "=== job ===\nout\nerr\n"
    assert (state / "exit_code").read_text() == "7\n"
    assert json.loads((handle.job_dir / "swept.json").read_text()) == {"ended": 0, "survivors": []}
    assert (handle.job_dir / "keeper.log").read_bytes() == b""
    assert not list(handle.job_dir.glob("*.tmp-*"))


def test_appends_to_the_log_of_the_run_before(jobs: Jobs) -> None:
    log = jobs.folder / "shared.log"
    for name in ("one", "two"):
        until_swept(jobs.shell(name, f"printf {name}", log=log).job_dir)
    assert log.read_text() == "=== one ===\none\n=== two ===\ntwo"


def test_names_the_signal_that_ended_the_job(jobs: Jobs) -> None:
    facts = until_swept(jobs.shell("job", "kill -9 $$").job_dir)
    assert facts.exit is not None
    assert (facts.exit.code, facts.exit.signal) == (137, 9)


def test_the_exit_code_file_is_never_written_through_a_link(jobs: Jobs) -> None:
    elsewhere = jobs.folder / "elsewhere"
    elsewhere.write_text("mine")
    (jobs.worktree / "exit_code").symlink_to(elsewhere)
    until_swept(jobs.shell("job", "exit 3", exit_code_file=jobs.worktree / "exit_code").job_dir)
    assert elsewhere.read_text() == "mine"
    assert (jobs.worktree / "exit_code").read_text() == "3\n"


def test_a_removed_directory_of_the_exit_code_file_is_no_fault(jobs: Jobs) -> None:
    facts = until_swept(
        jobs.shell("job", "exit 0", exit_code_file=jobs.folder / "gone" / "exit_code").job_dir
    )
    assert facts.exit is not None
    assert facts.exit.code == 0


def test_the_job_gets_a_clean_start(jobs: Jobs) -> None:
    script = (
        "grep -E '^Sig(Ign|Blk)' /proc/self/status; readlink /proc/self/fd/0; "
        "test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo leader; pwd"
    )
    handle = jobs.shell("job", script)
    until_swept(handle.job_dir)
    lines = (jobs.folder / "job.log").read_text().splitlines()[1:]
    assert [line.split()[-1] for line in lines] == [
        "0" * 16,
        "0" * 16,
        "/dev/null",
        "leader",
        str(jobs.worktree),
    ]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("no-such-program", "no-such-program was not found: install it or correct the command"),
        ("./none", "./none was not found: install it or correct the command"),
        ("./plain", "./plain may not be executed: chmod +x it or correct the command"),
        ("./no-shebang", "./no-shebang is not a program: give it a first line such as #!/bin/sh"),
        (
            "./bad-shebang",
            "the interpreter in the first line of ./bad-shebang does not exist: mend that line",
        ),
    ],
)
def test_says_why_a_program_cannot_be_started(jobs: Jobs, program: str, sentence: str) -> None:
    (jobs.worktree / "plain").write_text("#!/bin/sh\n")
    for name, text in (("no-shebang", "echo hi\n"), ("bad-shebang", "#!/no/such/interpreter\n")):
        (jobs.worktree / name).write_text(text)
        (jobs.worktree / name).chmod(0o755)
    facts = until_swept(jobs.start("job", program).job_dir)
    assert facts.exit is not None
    assert facts.exit.cannot_start == sentence


def test_says_that_directory_or_log_is_missing(jobs: Jobs) -> None:
    facts = until_swept(jobs.start("cwd", "true", cwd=jobs.folder / "none").job_dir)
    assert facts.exit is not None
    assert "none cannot be entered (No such file or directory)" in facts.exit.cannot_start
    (jobs.folder / "a-directory").mkdir()
    facts = until_swept(jobs.start("log", "true", log=jobs.folder / "a-directory").job_dir)
    assert facts.exit is not None
    assert facts.exit.cannot_start == "its log cannot be opened (Is a directory)"


def test_ends_what_escaped_from_the_job(jobs: Jobs) -> None:
    handle = jobs.shell("job", f"{jobs.escape()}; while [ ! -e go ]; do sleep 0.01; done; exit 5")
    escaped = jobs.adopt(pid_in(jobs.folder / "escaped"))
    (jobs.worktree / "go").touch()
    facts = until_swept(handle.job_dir)
    assert not alive(escaped)
    assert facts.exit is not None
    assert facts.exit.code == 5
    assert json.loads((handle.job_dir / "swept.json").read_text()) == {"ended": 1, "survivors": []}


def test_kills_what_ignores_term_after_the_grace(jobs: Jobs) -> None:
    handle = jobs.shell("job", f'setsid sh -c "{STUBBORN}" & while [ ! -e go ]; do sleep 0.01; done')
    wait_until(lambda: said(jobs.folder / "job.log", "ready"), what="the stubborn child")
    (jobs.worktree / "go").touch()
    wait_until(lambda: inspect(handle.job_dir).exit, what="the exit")
    assert not inspect(handle.job_dir).swept
    begun = time.monotonic()
    until_swept(handle.job_dir)
    assert time.monotonic() - begun < keeper.GRACE + 15
    assert not processes.members(handle.job_dir)


def test_ends_a_storm_of_forks(jobs: Jobs) -> None:
    storm = """
import os, signal, time
end = time.time() + 60  # by itself, should the keeper not manage
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while time.time() < end:  # always another pid: each process lives just long enough to fork the next
            if os.fork():
                os._exit(0)
"""
    handle = jobs.python("job", storm)
    facts = until_swept(handle.job_dir, 40)
    assert facts.exit is not None
    assert not processes.members(handle.job_dir)


def test_reaps_orphans_while_the_job_runs(jobs: Jobs) -> None:
    handle = jobs.shell("job", "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; echo done; sleep 600")
    start = handle.facts.start
    assert start is not None
    wait_until(lambda: said(jobs.folder / "job.log", "done"), what="the orphans")
    children = Path(f"/proc/{start.keeper.pid}/task/{start.keeper.pid}/children")
    wait_until(lambda: children.read_text().split() == [str(start.worker.pid)], what="reaping")


def test_ends_the_tree_at_the_time_limit(jobs: Jobs) -> None:
    handle = jobs.shell("job", "setsid sleep 600 & sleep 600", time_limit=0.2)
    facts = until_swept(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.timed_out
    assert facts.exit.signal == signal.SIGTERM
    assert not processes.members(handle.job_dir)


def test_the_time_limit_reaches_what_is_stopped_or_stubborn(jobs: Jobs) -> None:
    handle = jobs.shell("job", f"trap '' TERM; kill -STOP $$; {STUBBORN}", time_limit=1.0)
    facts = until_swept(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.timed_out
    # TERM only where the limit came before the trap, on a machine that is busy with other things.
    assert facts.exit.signal == signal.SIGKILL or not said(jobs.folder / "job.log", "ready")
    assert not processes.members(handle.job_dir)


def test_outlives_the_signals_of_a_terminal(jobs: Jobs) -> None:
    handle = jobs.shell("job", "while [ ! -e go ]; do sleep 0.01; done; exit 4")
    assert handle.facts.start is not None
    for number in (
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGTERM,
        signal.SIGQUIT,
        signal.SIGPIPE,
        signal.SIGTSTP,
    ):
        processes.send(handle.facts.start.keeper, number)
    (jobs.worktree / "go").touch()
    facts = until_swept(handle.job_dir)
    assert facts.exit is not None
    assert facts.exit.code == 4


def run_keeper(jobs: Jobs, request: bytes, name: str, patch: str = "") -> subprocess.CompletedProcess[bytes]:
    """A keeper in the foreground, `patch` applied to its module `k` first."""
    job_dir = jobs.folder / "jobs" / name
    job_dir.mkdir(parents=True, exist_ok=True)
    folder = str(Path(keeper.__file__).parent)
    script = f"import sys, os; sys.path[:0] = [{folder!r}]; import keeper as k\n{patch}\n"
    return subprocess.run(
        [sys.executable, "-c", script + "os._exit(k.main(sys.argv[1]))", str(job_dir)],
        input=request,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_half_a_request_starts_nothing(jobs: Jobs) -> None:
    request = executor._request(jobs.spec("job", "touch", "started"))
    assert run_keeper(jobs, request[:-1], "job").returncode == keeper.BAD_REQUEST
    assert list((jobs.folder / "jobs" / "job").iterdir()) == []


def test_a_second_keeper_touches_nothing(jobs: Jobs) -> None:
    handle = jobs.shell("job", "sleep 600")
    log = (jobs.folder / "job.log").read_bytes()
    before = {path.name: path.read_bytes() for path in handle.job_dir.iterdir()}
    request = executor._request(jobs.spec("job", "touch", "started"))
    assert run_keeper(jobs, request, "job").returncode == keeper.REFUSED
    assert {path.name: path.read_bytes() for path in handle.job_dir.iterdir()} == before
    assert (jobs.folder / "job.log").read_bytes() == log
    processes.terminate(handle.job_dir, jobs.worktree, 5.0)
    assert run_keeper(jobs, request, "job").returncode == keeper.REFUSED  # an ended job is not started again
    assert not (jobs.worktree / "started").exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_keeper_killed_before_the_release_starts_nothing(jobs: Jobs, moment: str) -> None:
    call = "real(self)" if moment == "after" else "None"
    patch = f"""
real = k.Keeper.record_start
def die(self):
    {call}
    print(self.worker, flush=True)
    os.kill(os.getpid(), 9)
k.Keeper.record_start = die"""
    spec = jobs.spec("job", "touch", "started")
    done = run_keeper(jobs, executor._request(spec), "job", patch)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    wait_until(
        lambda: not Path(f"/proc/{pid}/stat").exists() or b") Z" in Path(f"/proc/{pid}/stat").read_bytes()
    )
    expected = JobStatus.NEW if moment == "before" else JobStatus.GONE
    assert inspect(spec.job_dir).status is expected
    assert not (jobs.worktree / "started").exists()


def test_a_full_disk_delays_the_records_and_loses_none(jobs: Jobs) -> None:
    patch = """
real, refused = k.write_atomic, []
def full(directory, name, record):
    if name in ("exit.json", "swept.json") and refused.count(name) < 2:
        refused.append(name)
        raise OSError(28, "No space left on device")
    real(directory, name, record)
k.write_atomic = full"""
    begun = time.time()
    done = run_keeper(jobs, executor._request(jobs.spec("job", "sh", "-c", "exit 7")), "job", patch)
    assert done.returncode == 0, done.stderr
    facts = inspect(jobs.folder / "jobs" / "job")
    assert facts.swept
    assert facts.exit is not None
    assert facts.exit.code == 7
    assert facts.exit.ended_at - begun < time.time() - begun - 0.9  # its own time, not that of the record


def test_a_start_that_cannot_be_recorded_does_not_happen(jobs: Jobs) -> None:
    patch = """
def full(directory, name, record):
    raise OSError(28, "No space left on device")
k.write_atomic = full"""
    spec = jobs.spec("job", "touch", "started")
    done = run_keeper(jobs, executor._request(spec), "job", patch)
    assert done.returncode == keeper.UNRECORDED
    assert done.stderr == b"the start cannot be recorded (No space left on device)\n"
    assert inspect(spec.job_dir).status is JobStatus.NEW
    assert not (jobs.worktree / "started").exists()
