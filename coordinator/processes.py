"""Ends, pauses and continues every process of a job, wherever it hid, until none is left.

Each signal goes through a pidfd whose boot id and start ticks were checked, so it cannot reach a process that
merely has the pid of another.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from coordinator.files import write_json
from coordinator.identity import Identity, alive, open_pidfd
from coordinator.jobs import JobStatus, abandon, inspect, read_survivors
from coordinator.members import members as find_members
from coordinator.proctable import Process, read_process

#: Seconds between TERM and KILL for the left-overs of a job whose main process is gone.
SWEEP_GRACE = 5.0
#: Seconds after its KILL until a process that still lives is named instead of waited for. Ample: where
#: thousands compete for the processor, the killed need some of it to die.
UNKILLABLE = 30.0
#: Seconds in which an agent ends on its own clean signal, tools included: claude and codex take half of one.
CLEAN_PATIENCE = 3.0
#: Seconds for which a keeper is given time to record what it just saw.
KEEPER_PATIENCE = 10.0
#: More processes than this in a job that was asked to end is a storm of forks: it gets no further grace, as
#: it soon takes all of the machine.
STORM = 500
#: Seconds between two looks for processes forked meanwhile; exits are noticed at once.
_LOOK_AGAIN = 0.1
#: Looks in doubt, one right after the other, until their answer is taken: a busy machine has orphans of its own.
_DOUBTFUL_LOOKS = 30


@dataclass(frozen=True)
class Survivor:
    """A process that could not be ended: it is another user's, or stuck in the kernel."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


def members(job_dir: Path, worktree: Path | None = None) -> set[Identity]:
    """The living processes of the job, its keeper left out. `worktree`: by default where it was started."""
    found = find_members(inspect(job_dir), job_dir, worktree)
    return {process.identity for process in found.values()}


def terminate(
    job_dir: Path,
    worktree: Path | None,
    grace: float,
    *,
    kill_now: bool = False,
    first: int = signal.SIGTERM,
) -> tuple[Survivor, ...]:
    """Ends the job: TERM and CONT to every process, KILL after `grace` seconds; returns when all are gone.

    `first`: another signal that is tried for some of that time. A job that was not started never will be.
    What may not be killed is named. Blocks; raises StateError.
    """
    settle_start(job_dir)
    if inspect(job_dir).status is JobStatus.NEW:
        return ()
    deadline = time.monotonic() + grace
    if first != signal.SIGTERM and grace and not kill_now:
        asked = _seen(job_dir, worktree)()
        for who in asked:
            send(who, first, signal.SIGCONT)
        wait_for_end(asked, min(CLEAN_PATIENCE, grace / 2))
        grace = max(0.0, deadline - time.monotonic())
    end_all(_seen(job_dir, worktree), 0.0 if kill_now else grace)
    return _close(job_dir, worktree)


def sweep(job_dir: Path, worktree: Path | None = None) -> tuple[Survivor, ...]:
    """Ends what an ended or vanished job left, and records that it is swept. Blocks; raises StateError.

    While the keeper lives this is its task, and waited for. Raises RuntimeError while the job runs.
    """
    settle_start(job_dir)
    facts = inspect(job_dir)
    if facts.status is JobStatus.NEW:
        return ()
    if facts.status is JobStatus.RUNNING and facts.start and alive(facts.start.worker):
        raise RuntimeError(f"{job_dir} is swept while its job runs")
    if facts.keeper is not None:
        wait_for_end([facts.keeper], None)
    if not (job_dir / "swept.json").exists():
        end_all(_seen(job_dir, worktree), SWEEP_GRACE)
    return _close(job_dir, worktree)


def suspend(job_dir: Path, worktree: Path | None, timeout: float = 5.0) -> bool:
    """Stops every process of the job, those forked meanwhile too; False if one still ran after `timeout`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        running = [process for process in _look(job_dir, worktree) if not held(process)]
        if not running:
            return True
        # Parents first: a stopped parent neither forks nor wonders why its child has stopped.
        for process in sorted(running, key=lambda one: one.ticks):
            send(process.identity, signal.SIGSTOP)
        for process in running:
            _wait_until_stopped(process.identity, deadline)
    return False


def resume(job_dir: Path, worktree: Path | None) -> None:
    """Continues every process of the job, children first."""
    for process in sorted(_look(job_dir, worktree), key=lambda one: one.ticks, reverse=True):
        send(process.identity, signal.SIGCONT)


def suspended(job_dir: Path) -> bool:
    """Whether the job's main process lives and is stopped, as after a pause by a coordinator that died."""
    start = inspect(job_dir).start
    if start is None or not alive(start.worker):
        return False
    process = read_process(start.worker.pid)
    return process is not None and process.identity == start.worker and held(process)


def send(who: Identity, *numbers: int) -> bool:
    """Signals exactly this process; False if that is not permitted. A dead one is no error."""
    fd = open_pidfd(who)
    if fd is None:
        return True
    try:
        for number in numbers:
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    finally:
        os.close(fd)
    return True


def wait_for_end(group: Iterable[Identity], timeout: float | None) -> bool:
    """Waits until all of them are dead, without polling; False after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        poller = select.poll()
        open_fds = set()
        for who in group:
            if (fd := open_pidfd(who)) is not None:
                stack.callback(os.close, fd)
                poller.register(fd, select.POLLIN)
                open_fds.add(fd)
        while open_fds:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            for fd, _ in poller.poll(None if left is None else int(left * 1000) + 1):
                poller.unregister(fd)
                open_fds.discard(fd)
    return True


def _look(job_dir: Path, worktree: Path | None) -> Collection[Process]:
    return find_members(inspect(job_dir), job_dir, worktree).values()


def _seen(job_dir: Path, worktree: Path | None) -> Callable[[], set[Identity]]:
    """Looks for the job's processes. One that finds none proves nothing while orphans end under its eyes."""

    def look() -> set[Identity]:
        for _ in range(_DOUBTFUL_LOOKS):
            doubts: set[int] = set()
            found = find_members(inspect(job_dir), job_dir, worktree, doubts=doubts)
            if found or not doubts:
                break
        return {process.identity for process in found.values()}

    return look


def settle_start(job_dir: Path) -> None:
    """Leaves no start in the air: closes one that nobody made, waits for one that a keeper is making."""
    deadline = time.monotonic() + KEEPER_PATIENCE
    while not abandon(job_dir):
        facts = inspect(job_dir)
        if facts.start is not None or facts.status in (JobStatus.ENDED, JobStatus.GONE):
            return
        if time.monotonic() > deadline:  # a keeper that hangs before it started anything
            if facts.keeper is not None:
                send(facts.keeper, signal.SIGKILL)
                wait_for_end([facts.keeper], KEEPER_PATIENCE)
            deadline += KEEPER_PATIENCE
        time.sleep(0.002)


def end_all(look: Callable[[], set[Identity]], grace: float) -> None:
    """TERM and CONT to every process that `look` finds, KILL after `grace` seconds; until it finds none.

    What may not be killed, or will not die, is left after a while. Blocks.
    """
    kill_at = time.monotonic() + grace
    asked: set[Identity] = set()
    refused: set[Identity] = set()
    killed: dict[Identity, float] = {}
    while True:
        # An empty look is confirmed by a second: a parent may have forked and died between two of its reads.
        found = look() or look()
        now = time.monotonic()
        if len(found) > STORM:
            kill_at = min(kill_at, now)
        refused |= {who for who, since in killed.items() if now - since > UNKILLABLE}
        if found <= refused:
            return
        fresh = found if now >= kill_at else found - asked
        numbers = (signal.SIGKILL,) if now >= kill_at else (signal.SIGTERM, signal.SIGCONT)
        refused |= {who for who in fresh if not send(who, *numbers)}
        if now >= kill_at:
            killed = {who: killed.get(who, now) for who in found}
        newborn = found - asked
        asked |= found
        if now < kill_at:
            wait_for_end(found - refused, min(_LOOK_AGAIN, kill_at - now))
        elif not newborn:
            wait_for_end(found - refused, _LOOK_AGAIN)


def _close(job_dir: Path, worktree: Path | None) -> tuple[Survivor, ...]:
    """Lets the keeper finish its records, or writes in its place that the job is swept."""
    facts = inspect(job_dir)
    if facts.keeper is not None and alive(facts.keeper):
        send(facts.keeper, signal.SIGCONT)
        wait_for_end([facts.keeper], KEEPER_PATIENCE)
    left = {one.identity for one in _look(job_dir, worktree)}
    record = job_dir / "swept.json"
    if not record.exists() and job_dir.is_dir() and not (facts.keeper and alive(facts.keeper)):
        survivors = [{"pid": who.pid, "ticks": who.ticks} for who in sorted(left)]
        write_json(record, {"ended": 0, "survivors": survivors})
    return tuple(Survivor(who.pid, _name(who)) for who in sorted(left.union(read_survivors(job_dir))))


def _name(who: Identity) -> str:
    process = read_process(who.pid)
    return process.name.decode(errors="replace") if process else "?"


def held(process: Process) -> bool:
    """Whether it runs no more: stopped, or caught in the kernel with the stop waiting for it.

    So hangs a parent that lent its memory (vfork) to a child that was stopped before its exec.
    """
    if process.stopped or process.state != b"D":
        return process.stopped
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    pending = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(mask, 16) >> (signal.SIGSTOP - 1) & 1 for mask in pending)


def _wait_until_stopped(who: Identity, deadline: float) -> None:
    """A stop takes effect when the process next leaves the kernel: within microseconds, as a rule."""
    pause = 0.0002
    while time.monotonic() < deadline and alive(who):
        process = read_process(who.pid)
        if process is None or held(process):
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
