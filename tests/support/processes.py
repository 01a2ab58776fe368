"""Real jobs for tests: scripts under real keepers, and nothing left of them afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from coordinator import processes
from coordinator.executor import JobHandle, LocalExecutor
from coordinator.identity import Identity, alive, identify
from coordinator.jobs import JobFacts, JobSpec, inspect
from coordinator.proctable import read_process
from tests.support.waiting import wait_until

#: Leaves the tree in every way known: own session, reparented, moved, no environment, no descriptors.
#: Arguments: the file that gets its pid, its directory, then any of "env" (kept) and "fds" (kept).
ESCAPE = """
import os, sys
pidfile, cwd, *kept = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir(cwd)
        if "fds" not in kept:
            os.closerange(0, 256)
        environment = dict(os.environ) if "env" in kept else {}
        with open(pidfile + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.rename(pidfile + ".part", pidfile)
        os.execve("/bin/sleep", ["sleep", "600"], environment)
    os._exit(0)
os.wait()
"""

#: Does not die of TERM; says so when it no longer would.
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


class Jobs:
    """Makes and starts jobs below one directory; `close` ends whatever is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worktree = folder / "worktree"
        self.worktree.mkdir(parents=True)
        self.executor = LocalExecutor()
        self._dirs: list[Path] = []
        self._foreign: list[Identity] = []

    def spec(self, name: str, *argv: str, **more: object) -> JobSpec:
        environment = {"PATH": os.environ["PATH"], "PRD_RUN_ID": f"{name}-{os.getpid()}-{self.folder.name}"}
        job_dir = self.folder / "jobs" / name
        self._dirs.append(job_dir)
        made = JobSpec(
            key=name,
            generation=1,
            job_dir=job_dir,
            argv=argv,
            cwd=self.worktree,
            env=environment,
            log=self.folder / f"{name}.log",
            header=f"=== {name} ===",
            exit_code_file=None,
            time_limit=None,
            marker=environment["PRD_RUN_ID"],
        )
        return replace(made, **more)  # type: ignore[arg-type]

    def start(self, name: str, *argv: str, **more: object) -> JobHandle:
        return self.executor.submit(self.spec(name, *argv, **more))

    def shell(self, name: str, script: str, **more: object) -> JobHandle:
        return self.start(name, "sh", "-c", script, **more)

    def python(self, name: str, script: str, *args: str, **more: object) -> JobHandle:
        return self.start(name, sys.executable, "-c", script, *args, **more)

    def escape(self, kept: str = "") -> str:
        """Shell code that lets a process escape; `pid_in(self.folder / "escaped")` names it."""
        script = self.folder / "escape.py"
        script.write_text(ESCAPE)
        return f"{sys.executable} {script} {self.folder / 'escaped'} {self.worktree} {kept}"

    def adopt(self, who: Identity) -> Identity:
        """Ends it, too, when the test is over."""
        self._foreign.append(who)
        return who

    def close(self) -> None:
        for job_dir in self._dirs:
            facts = inspect(job_dir)
            left = processes.terminate(job_dir, self.worktree, 0.0, kill_now=True)
            assert left == (), f"the test leaves {left} behind"
            if facts.keeper is not None:
                processes.send(facts.keeper, signal.SIGKILL)
                processes.wait_for_end([facts.keeper], 5.0)
        for who in self._foreign:
            processes.send(who, signal.SIGKILL)
        self.executor.close()


@contextlib.contextmanager
def jobs_in(folder: Path) -> Iterator[Jobs]:
    made = Jobs(folder)
    try:
        yield made
    finally:
        made.close()


def said(log: Path, text: str) -> bool:
    return log.exists() and text in log.read_text(errors="replace")


def pid_in(path: Path) -> Identity:
    """The living process whose pid a script wrote into `path`."""
    wait_until(path.exists, what=f"{path.name}")
    who = identify(int(path.read_text()))
    assert who is not None, f"the process of {path.name} is dead"
    return who


def until_swept(job_dir: Path, timeout: float = 20.0) -> JobFacts:
    wait_until(lambda: inspect(job_dir).swept, timeout, f"{job_dir.name} swept")
    return inspect(job_dir)


def kill_keeper(handle: JobHandle) -> None:
    """As the out-of-memory killer would."""
    assert handle.facts.start is not None
    processes.send(handle.facts.start.keeper, signal.SIGKILL)
    wait_until(lambda: not alive(inspect(handle.job_dir).start.keeper), what="the keeper's death")  # type: ignore[union-attr]


@contextlib.contextmanager
def child(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> Iterator[Identity]:
    """A process of the person's: a child of the test in a session of its own."""
    process = subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        who = identify(process.pid)
        assert who is not None
        yield who
    finally:
        process.kill()
        process.wait()


def stands_still(job_dir: Path) -> bool:
    """Whether a job has processes, and none that could do anything."""
    found = [read_process(who.pid) for who in processes.members(job_dir)]
    return bool(found) and all(process is None or processes.held(process) for process in found)
