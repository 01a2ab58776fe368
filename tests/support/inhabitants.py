"""Who lives in a repository's worktrees and runs, as /proc tells: independently of what prd-tui finds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Inhabitant:
    """`run_id`: the run that its marker, its open lock or its worktree names; `keeper`: it keeps a job."""

    pid: int
    run_id: str
    command: str
    keeper: bool = False


def inhabitants(repo: Path) -> list[Inhabitant]:
    """Every living process that bears a run's marker, works in a worktree or holds a run's lock."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                one = _inhabitant(repo, entry)
            except OSError:
                continue  # it has ended, or is somebody else's
            if one is not None:
                found.append(one)
    return found


def _inhabitant(repo: Path, process: Path) -> Inhabitant | None:
    if (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in ("Z", "X"):
        return None
    runs = repo / ".git" / "prd-tui" / "runs"
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    keeper = f"keeper.py {runs}/" in command
    for variable in (process / "environ").read_bytes().split(b"\0"):
        name, _, value = variable.decode(errors="replace").partition("=")
        if name == "PRD_RUN_ID" and any(runs.glob(f"*/{value}/intent.json")):
            return Inhabitant(int(process.name), value, command, keeper)
    for descriptor in (process / "fd").iterdir():
        target = Path(str(descriptor.readlink()).removesuffix(" (deleted)"))
        if target.name == "live.lock" and target.is_relative_to(runs):
            return Inhabitant(int(process.name), target.relative_to(runs).parts[1], command, keeper)
    cwd = Path(str((process / "cwd").readlink()).removesuffix(" (deleted)"))
    worktrees = repo / ".claude-loop" / "worktrees"
    if cwd.is_relative_to(worktrees):
        return Inhabitant(int(process.name), _newest_run(runs, cwd.relative_to(worktrees)), command, keeper)
    return None


def _newest_run(runs: Path, inside: Path) -> str:
    """The run to which a process in a worktree must belong; empty for none."""
    recorded = sorted((runs / inside.parts[0]).glob("*")) if inside.parts else []
    return recorded[-1].name if recorded else ""
