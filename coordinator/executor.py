"""Where jobs run. The engine knows only the protocol; on this machine a keeper runs each job."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from coordinator import children, keeper, processes
from coordinator.errors import StateError
from coordinator.faultpoints import reach
from coordinator.jobs import JobFacts, JobSpec, JobStatus, inspect
from coordinator.processes import Survivor

#: Seconds in which a keeper has to have recorded the start. It takes 50 ms, unless the machine is overrun.
START_PATIENCE = 20.0

Wish = Literal["pause", "resume", "soft_stop"]


@dataclass(frozen=True)
class JobHandle:
    """A submitted job; `facts` as they were at that moment, `inspect(handle.job_dir)` gives those of now."""

    key: str
    job_dir: Path
    worktree: Path
    facts: JobFacts


class Executor(Protocol):
    def open(self) -> None:
        """Makes ready. Raises StateError."""
        ...

    def submit(self, spec: JobSpec) -> JobHandle:
        """Starts the job, or finds it if its directory says that it was started. Raises StateError."""
        ...

    def list(self) -> tuple[JobHandle, ...]:
        """Every job submitted here, with the facts of now, in one call."""
        ...

    def signal(self, handle: JobHandle, wish: Wish) -> None:
        """Pauses or continues every process of the job, or asks its main process to end."""
        ...

    def cancel(self, handle: JobHandle, grace: float) -> tuple[Survivor, ...]:
        """Ends every process, by force after `grace` seconds; blocks until none is left, names what is."""
        ...

    def nodes(self) -> tuple[str, ...]:
        """The machines on which jobs can run."""
        ...

    def close(self) -> None:
        """Forgets the jobs; never stops one."""
        ...


class LocalExecutor:
    """Runs each job under a keeper of its own, which outlives this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Path, JobHandle] = {}

    def open(self) -> None:
        if not Path(keeper.__file__).is_file():
            raise StateError(f"{keeper.__file__} is missing: install prd-tui again.")

    def submit(self, spec: JobSpec) -> JobHandle:
        facts = inspect(spec.job_dir)
        if facts.start is None and facts.status is not JobStatus.ENDED:
            facts = self._start(spec)
        handle = JobHandle(spec.key, spec.job_dir, spec.cwd, facts)
        with self._lock:
            self._jobs[spec.job_dir] = handle
        return handle

    def list(self) -> tuple[JobHandle, ...]:
        with self._lock:
            jobs = tuple(self._jobs.values())
        children.reap()
        return tuple(JobHandle(job.key, job.job_dir, job.worktree, inspect(job.job_dir)) for job in jobs)

    def signal(self, handle: JobHandle, wish: Wish) -> None:
        if wish == "pause":
            if not processes.suspend(handle.job_dir, handle.worktree):
                raise StateError(f"{handle.key} could not be paused whole: pause it again.")
        elif wish == "resume":
            processes.resume(handle.job_dir, handle.worktree)
        elif (start := inspect(handle.job_dir).start) is not None:
            processes.send(start.worker, signal.SIGTERM, signal.SIGCONT)

    def cancel(self, handle: JobHandle, grace: float) -> tuple[Survivor, ...]:
        survivors = processes.terminate(handle.job_dir, handle.worktree, grace)
        children.reap()
        return survivors

    def nodes(self) -> tuple[str, ...]:
        return (os.uname().nodename,)

    def close(self) -> None:
        children.reap()
        with self._lock:
            self._jobs.clear()

    def _start(self, spec: JobSpec) -> JobFacts:
        deadline = time.monotonic() + START_PATIENCE
        request = _request(spec)
        pause = 0.005
        while True:
            child = self._spawn(spec, request, deadline)
            facts = inspect(spec.job_dir)
            if facts.start is not None or facts.status is JobStatus.ENDED:
                reach("start-recorded")
                return facts
            code = _last_word(child, deadline)
            facts = inspect(spec.job_dir)
            if facts.start is not None or facts.status is JobStatus.ENDED:
                return facts
            if code != keeper.REFUSED or time.monotonic() >= deadline:
                raise StateError(_why_no_start(spec, code))
            # Another keeper holds the job: one that dies gives it back, one that lives records the start.
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def _spawn(self, spec: JobSpec, request: bytes, deadline: float) -> subprocess.Popen[bytes]:
        """Starts a keeper and waits until it closes its stdout: its start, or its refusal, is on record."""
        children.reap()
        command = [sys.executable, "-I", "-S", "-X", "utf8", keeper.__file__, str(spec.job_dir)]
        try:
            spec.job_dir.mkdir(parents=True, exist_ok=True)
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            with (spec.job_dir / "keeper.log").open("ab") as errors:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd="/",  # a working directory of its own would hold up an umount
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    start_new_session=True,
                )
        except OSError as error:
            raise StateError(
                f"No keeper for {spec.key} could be started ({error.strerror}): free memory or disk."
            ) from error
        children.adopt(child)
        assert child.stdin and child.stdout  # noqa: S101 - both are pipes
        with child.stdout:
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(request)
            reach("keeper-spawned")
            poller = select.poll()
            poller.register(child.stdout, select.POLLIN)
            poller.poll(max(0, int((deadline - time.monotonic()) * 1000)))
        return child


def _last_word(child: subprocess.Popen[bytes], deadline: float) -> int:
    """The exit code of a keeper that recorded no start; one that hangs is killed, lest it start late."""
    try:
        return child.wait(max(0.01, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _request(spec: JobSpec) -> bytes:
    """What the keeper reads: one line, to tell a whole request from the half of a killed writer."""
    return (
        json.dumps(
            {
                "argv": [_text(word) for word in spec.argv],
                "cwd": _text(spec.cwd),
                "env": {_text(name): _text(value) for name, value in spec.env.items()},
                "log": _text(spec.log),
                "header": spec.header.encode("utf-8", "replace").decode(),
                "exit_code_file": _text(spec.exit_code_file) if spec.exit_code_file else None,
                "time_limit": spec.time_limit,
                "marker": spec.marker,
            }
        )
        + "\n"
    ).encode("ascii")


def _text(value: str | Path) -> str:
    """The same bytes to the keeper, which runs in UTF-8 whatever the locale here is."""
    return os.fsencode(value).decode("utf-8", "surrogateescape")


def _why_no_start(spec: JobSpec, code: int) -> str:
    if code in (keeper.REFUSED, -signal.SIGKILL):
        return f"The start of {spec.key} took too long: try again when the machine is less busy."
    with contextlib.suppress(OSError):
        said = (spec.job_dir / "keeper.log").read_text(errors="replace").strip().splitlines()
        if said:
            return f"{spec.key} could not be started, {said[-1]}: free space on the disk and try again."
    return f"The keeper of {spec.key} ended with {code} before the start: try again."
