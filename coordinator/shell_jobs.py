"""Commands of the person's, run by `sh -c` in a worktree: gates, set-up and tear-down, each under a keeper."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from coordinator.clock import Clock, iso
from coordinator.config import Settings
from coordinator.executor import Executor
from coordinator.exits import ExitWatcher
from coordinator.faultpoints import reach
from coordinator.git import Git
from coordinator.jobs import JobSpec
from coordinator.model import Exit, Run
from coordinator.worker_env import Place, worker_port

#: Bytes of a command's output kept with its result.
OUTPUT_KEPT = 4096


class ShellKind(Enum):
    """What a command is for: the word in sentences, and the folder of its jobs in the run directory."""

    GATE = ("gate", "gates")
    SETUP = ("set-up command", "setup")
    TEARDOWN = ("tear-down command", "teardown")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def folder(self) -> str:
        return self.value[1]


@dataclass(frozen=True)
class ShellResult:
    """`output`: the end of what the command printed."""

    command: str
    exit: Exit | None
    output: str
    kind: ShellKind = ShellKind.GATE

    @property
    def ok(self) -> bool:
        return self.exit is not None and self.exit.code == 0 and not self.exit.timed_out

    @property
    def last_line(self) -> str:
        """Of its output; empty where it printed nothing."""
        return next(reversed(self.output.strip().splitlines()), "")

    def explanation(self) -> str:
        """Why it failed, with the last line of its output."""
        return self.sentence() + (f": {self.last_line}" if self.last_line else "")

    def sentence(self) -> str:
        """Why it failed."""
        name = f"{self.kind.word} `{self.command}`"
        if self.exit is None:
            return f"{name} vanished without a recorded exit"
        if self.exit.timed_out:
            return f"{name} took too long and was ended"
        if self.exit.cannot_start:
            return f"{name} cannot be started: {self.exit.cannot_start}"
        return f"{name} failed with exit {self.exit.code}"


@dataclass(frozen=True)
class ShellJobs:
    """Runs such commands; thread-safe."""

    executor: Executor
    exits: ExitWatcher
    git: Git
    clock: Clock
    settings: Callable[[], Settings]

    def run(
        self, run: Run, slot: int, kind: ShellKind, number: int, command: str, *, minutes: float
    ) -> ShellResult:
        """Runs the command to its end, or waits for the one that runs or ran already; at most `minutes`.

        It is told the run's slot and port. A gate prints into a file of its own, set-up and tear-down into the
        worker's log. Raises StateError where no keeper can be started.
        """
        job_dir = Path(run.run_dir) / kind.folder / f"{number:03}"
        job_dir.mkdir(parents=True, exist_ok=True)
        log = job_dir / "output" if kind is ShellKind.GATE else Path(run.log)
        before = log.stat().st_size if log.exists() else 0
        place = Place(run, slot, worker_port(slot))
        spec = JobSpec(
            key=f"{run.run_id}/{kind.folder}-{number}",
            generation=run.generation,
            job_dir=job_dir,
            argv=("/bin/sh", "-c", command),
            cwd=Path(run.worktree),
            env=place.env(os.environ, self.git.local_env_vars(), self.settings().worktree.env),
            log=log,
            header=f"=== {kind.word} {shlex.quote(command)}, {iso(self.clock.now())} ===",
            exit_code_file=None,
            time_limit=minutes * 60,
            marker=run.run_id,
        )
        self.executor.submit(spec)
        reach(f"{kind.name.lower()}-started")
        ended = self._wait_for(job_dir)
        return ShellResult(command, ended, _output(log, before), kind)

    def _wait_for(self, job_dir: Path) -> Exit | None:
        """Blocks until nothing of the job is left; its exit, or None when none was recorded."""
        swept = threading.Event()
        seen: list[Exit | None] = []
        self.exits.watch(job_dir, seen.append, swept.set)
        swept.wait()
        return seen[0] if seen else None


def _output(log: Path, before: int) -> str:
    """The end of what was appended behind byte `before`, the header apart."""
    with log.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(min(before, size), size - OUTPUT_KEPT))
        text = file.read(OUTPUT_KEPT).decode(errors="replace")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("=== "))
