"""Gates: commands the coordinator runs itself to verify work, each a job under a keeper of its own."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coordinator.clock import iso
from coordinator.context import Context
from coordinator.faultpoints import reach
from coordinator.jobs import JobSpec
from coordinator.model import Exit, Prd
from coordinator.runs import Intent, tail
from coordinator.worker_env import Place, worker_port

#: Bytes of a failed gate's output kept with the verdict.
OUTPUT_KEPT = 4096


@dataclass(frozen=True)
class GateResult:
    """`output`: the end of what the gate printed."""

    command: str
    exit: Exit | None
    output: str

    @property
    def ok(self) -> bool:
        return self.exit is not None and self.exit.code == 0 and not self.exit.timed_out

    def sentence(self) -> str:
        """Why it failed."""
        if self.exit is None:
            return f"gate `{self.command}` vanished without a recorded exit"
        if self.exit.timed_out:
            return f"gate `{self.command}` took too long and was ended"
        if self.exit.cannot_start:
            return f"gate `{self.command}` cannot be started: {self.exit.cannot_start}"
        return f"gate `{self.command}` failed with exit {self.exit.code}"


def gate_commands(configured: tuple[str, ...] | list[str], prd: Prd) -> list[str]:
    """The gates of the settings, the PRD and its stories, each command once, in that order."""

    def all_of_them() -> Iterator[str]:
        yield from configured
        yield from prd.verify
        for story in prd.stories:
            yield from story.verify

    return list(dict.fromkeys(all_of_them()))


def gate_dir(run_dir: str | Path, number: int) -> Path:
    return Path(run_dir) / "gates" / f"{number:03}"


def run_gate(context: Context, intent: Intent, number: int, command: str) -> GateResult:
    """Runs one gate to its end, or waits for the one that runs or ran already. Blocks up to `gate_minutes`."""
    run = intent.run
    worktree = Path(run.worktree)
    job_dir = gate_dir(run.run_dir, number)
    job_dir.mkdir(parents=True, exist_ok=True)
    output = job_dir / "output"
    place = Place(run, intent.slot, worker_port(intent.slot))
    env = place.env(os.environ, context.git.local_env_vars(), context.settings().worktree.env)
    spec = JobSpec(
        key=f"{run.run_id}/gate-{number}",
        generation=run.generation,
        job_dir=job_dir,
        argv=("/bin/sh", "-c", command),
        cwd=worktree,
        env=env,
        log=output,
        header=f"=== gate {shlex.quote(command)}, {iso(context.clock.now())} ===",
        exit_code_file=None,
        time_limit=context.settings().coordinator.gate_minutes * 60,
        marker=run.run_id,
    )
    context.executor.submit(spec)
    reach("gate-started")
    return GateResult(command, wait_for(context, job_dir), tail(output, OUTPUT_KEPT).decode(errors="replace"))


def wait_for(context: Context, job_dir: Path) -> Exit | None:
    """Blocks until nothing of the job is left; its exit, or None when none was recorded."""
    swept = threading.Event()
    seen: list[Exit | None] = []
    context.exits.watch(job_dir, seen.append, swept.set)
    swept.wait()
    return seen[0] if seen else None
