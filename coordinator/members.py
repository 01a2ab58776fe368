"""Which processes belong to a job: only those, and all of those, that no other explanation is left for.

No single sign finds them all. Agents start tools in sessions of their own, daemons leave the tree, some clear
their environment; so the signs are taken together. Nothing that started before the job can belong to it.
"""

from __future__ import annotations

import os
from pathlib import Path

from coordinator.identity import Identity, boot_id
from coordinator.jobs import JobFacts
from coordinator.proctable import (
    Process,
    Table,
    ancestors_of,
    children_of,
    read_process,
    read_table,
    with_descendants,
)

#: What adopts orphans besides pid 1: a user's service manager, and the session starter of WSL 2.
_REAPERS = frozenset({b"systemd", b"init"})
#: Variables of a person's terminal or desktop session: a daemon that has them is an editor or a multiplexer.
_PERSONAL = (
    b"TERM=",
    b"DISPLAY=",
    b"WAYLAND_DISPLAY=",
    b"SSH_CONNECTION=",
    b"SSH_TTY=",
    b"TMUX=",
    b"XDG_SESSION_ID=",
    b"PRD_RUN_ID=",  # or it belongs to another run
)


def members(
    facts: JobFacts,
    job_dir: Path,
    worktree: Path | None,
    table: Table | None = None,
    doubts: set[int] | None = None,
) -> dict[int, Process]:
    """The living processes of the job by pid, its keeper, this process and our ancestors left out.

    Empty for a job of an earlier boot: no pid of it means anything now. `doubts` gets the orphans that ended
    before it was clear whose they were: they may have left children.
    """
    keeper = facts.keeper
    if keeper is None or keeper.boot_id != boot_id():
        return {}
    table = read_table() if table is None else table
    search = _Search(facts, keeper, job_dir, worktree, table)
    found = search.run()
    if doubts is not None:
        doubts |= search.doubts - found.keys()
    return found


class _Search:
    def __init__(
        self, facts: JobFacts, keeper: Identity, job_dir: Path, worktree: Path | None, table: Table
    ) -> None:
        self.table = table
        self.doubts: set[int] = set()
        self.children = children_of(table)
        self.keeper = keeper
        self.worker = facts.start.worker if facts.start else None
        self.keeper_lives = self._lives(keeper)
        self.worker_lives = self.worker is not None and self._lives(self.worker)
        marker = facts.start.marker if facts.start else ""
        self.marker = f"PRD_RUN_ID={marker}".encode() if marker else b"="  # which no entry is
        self.lock = os.path.realpath(job_dir) + "/live.lock"
        folder = worktree or (Path(facts.start.cwd) if facts.start else None)
        self.worktree = os.path.realpath(folder) if folder else None

    def run(self) -> dict[int, Process]:
        me = os.getpid()
        spared = ancestors_of(me, self.table) | {1}
        if self.keeper_lives:
            spared.add(self.keeper.pid)
        roots = [self.keeper.pid] if self.keeper_lives else []
        if self.worker is not None and self.worker_lives:
            roots.append(self.worker.pid)
        found = with_descendants(roots, self.children, stop_at=me)
        for process in reversed(self.table.values()):  # the newest first: they may be gone in a moment
            young = process.ticks >= self.keeper.ticks and not process.dead
            if not young or process.pid in found or process.pid in spared:
                continue
            if self._belongs(process):
                found |= with_descendants([process.pid], self.children, stop_at=me)
            elif self._may_be_anybodys(process) and not self._lives_still(process):
                self.doubts.add(process.pid)
        return {pid: self.table[pid] for pid in found - spared if not self.table[pid].dead}

    def _lives(self, who: Identity) -> bool:
        process = self.table.get(who.pid)
        return process is not None and process.ticks == who.ticks and not process.dead

    def _belongs(self, process: Process) -> bool:
        environment = _environment(process.pid)
        if environment is not None and self.marker in environment:
            return True
        if self._in_session(process) and (self.worker_lives or self.keeper_lives):
            return True
        if self._holds_lock(process.pid):
            return True
        if self.keeper_lives or self._looks_personal(process, environment):
            return False
        # Nobody is left who could own it: an orphan in the worker's session or in its directory.
        return self._in_session(process) or (self._orphaned(process) and self._in_worktree(process.pid))

    def _in_session(self, process: Process) -> bool:
        if self.worker is None or process.session != self.worker.pid:
            return False
        leader = self.table.get(self.worker.pid)
        return leader is None or leader.ticks == self.worker.ticks

    def _holds_lock(self, pid: int) -> bool:
        folder = f"/proc/{pid}/fd"
        try:
            return any(_target(f"{folder}/{fd}") == self.lock for fd in os.listdir(folder))  # noqa: PTH208
        except OSError:
            return False

    def _orphaned(self, process: Process) -> bool:
        parent = self.table.get(process.ppid)
        return process.ppid <= 1 or (parent is not None and parent.name in _REAPERS)

    def _may_be_anybodys(self, process: Process) -> bool:
        """Whether its parent does not tell whose it is: it has ended, or adopts orphans."""
        parent = self.table.get(process.ppid)
        return parent is None or parent.dead or parent.pid in self.doubts or self._orphaned(process)

    def _lives_still(self, process: Process) -> bool:
        now = read_process(process.pid)
        return now is not None and not now.dead and now.ticks == process.ticks

    def _in_worktree(self, pid: int) -> bool:
        try:
            same_user = os.stat(f"/proc/{pid}").st_uid == os.geteuid()  # noqa: PTH116 - hot path
        except OSError:
            return False
        if not same_user or self.worktree is None:
            return False
        cwd = _target(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
        return cwd == self.worktree or cwd.startswith(self.worktree + "/")

    def _looks_personal(self, process: Process, environment: frozenset[bytes] | None) -> bool:
        """A shell, editor or multiplexer of the person's: it, or something below it, sits at a terminal."""
        if environment is None or any(entry.startswith(_PERSONAL) for entry in environment):
            return True
        below = with_descendants([process.pid], self.children)
        return any(self.table[pid].tty for pid in below if pid in self.table)


def _environment(pid: int) -> frozenset[bytes] | None:
    """What the process was started with; None if it is not ours to read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - hot path
            return frozenset(file.read().split(b"\0"))
    except OSError:
        return None


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - hot path
    except OSError:
        return ""
