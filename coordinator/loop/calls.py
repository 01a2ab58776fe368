"""Runs one call: an agent, a gate or a commit, in the worktree, with its output copied to the worker's log.

A call is over when nothing of it is left. Agents start their tools in sessions of their own, and what outlives
its agent would go on writing into the worktree: so this process becomes the parent of every orphan below it
(a sub-reaper, as prctl(2) has it) and ends them all.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import PrdTuiError, StateError
from coordinator.identity import Identity
from coordinator.model import Exit
from coordinator.processes import SWEEP_GRACE, end_all
from coordinator.proctable import children_of, read_table, with_descendants
from coordinator.texts import plain

#: Bytes of the end of an agent's output that are kept as evidence; of a gate's, the beginning too.
TAIL, HEAD = 4096, 2048
#: Seconds between two looks at the clock, and the most that one look counts: while the run is paused this
#: process is stopped too, and the time until its next look is not the agent's.
SLICE, LONGEST = 1.0, 2.0
#: Seconds for which output is waited for once the call's process has ended, and once nothing of it is left.
LINGER = 0.5

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class NoProgram(PrdTuiError):
    """The program of a call is not there or cannot be executed; ends the worker as a shell would."""

    exit_code = 127


@dataclass(frozen=True)
class Outcome:
    """`output`: what was kept of it, as text. `seconds`: time spent, pauses left out."""

    exit: Exit
    output: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.exit.code == 0 and not self.exit.timed_out


class Stopwatch:
    """Counts the time in which this process could run. `now`: any clock that does not jump, in seconds."""

    def __init__(self, now: float) -> None:
        self._last = now
        self.spent = 0.0

    def tick(self, now: float) -> float:
        """Seconds spent so far; called at least once per second while there is work."""
        self.spent += min(now - self._last, LONGEST)
        self._last = now
        return self.spent


class Excerpt:
    """The first `head` and the last `tail` bytes of a stream."""

    def __init__(self, head: int, tail: int) -> None:
        self._head, self._tail = head, tail
        self._first, self._rest, self._left_out = b"", b"", 0

    def feed(self, data: bytes) -> None:
        room = self._head - len(self._first)
        self._first += data[:room] if room > 0 else b""
        self._rest += data[max(room, 0) :]
        surplus = len(self._rest) - self._tail
        if surplus > 0:
            self._left_out += surplus
            self._rest = self._rest[surplus:]

    def text(self) -> str:
        gap = f"\n[… {self._left_out} bytes left out …]\n" if self._left_out and self._first else ""
        rest = self._rest
        if self._left_out and not gap:  # a beginning in the middle of a line tells nobody anything
            rest = rest[rest.find(b"\n", 0, len(rest) - 1) + 1 :]
        return plain(self._first.decode(errors="replace") + gap + rest.decode(errors="replace")).strip("\n")


def adopt_orphans() -> None:
    """From now on what a child leaves behind becomes a child of this process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Caller:
    """Runs calls one at a time. `hurry`: asked now and then; True ends the call that runs at once."""

    def __init__(self, worktree: Path, out: int, hurry: Callable[[], bool]) -> None:
        self._worktree, self._out, self._hurry = worktree, out, hurry

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        limit: float,
        given: bytes | None = None,
        keep: tuple[int, int] = (0, TAIL),
    ) -> Outcome:
        """Blocks until the call and all it started are gone. `limit`: seconds, after which they are ended.

        `given`: what it reads from stdin; None: nothing. `keep`: bytes of the beginning and the end of its
        output. Raises NoProgram, StateError.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            child = self._start(argv, env, given, writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        excerpt = Excerpt(*keep)
        copier = _Copier(reading, self._out, excerpt)
        copier.start()
        watch = Stopwatch(time.monotonic())
        try:
            timed_out = self._wait(child, watch, limit)
            copier.join(LINGER)
        finally:
            end_all(_left_of(child), SWEEP_GRACE)
            copier.finish(LINGER)
        code = _collect(child)
        number = -code if code < 0 else None
        exit = Exit(128 - code if code < 0 else code, number, time.time(), timed_out=timed_out)
        return Outcome(exit, excerpt.text(), watch.spent)

    def _start(
        self, argv: Sequence[str], env: Mapping[str, str], given: bytes | None, writing: int
    ) -> subprocess.Popen[bytes]:
        # A file in memory, not a pipe: nobody has to feed it, and a call that reads none of it does no harm.
        source = os.open(os.devnull, os.O_RDONLY) if given is None else _in_memory(given)
        try:
            return subprocess.Popen(
                argv,
                cwd=self._worktree,
                env=dict(env),
                stdin=source,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except OSError as error:
            if not self._worktree.is_dir():
                raise StateError(
                    f"the worktree {self._worktree} is gone: retry makes it anew from its branch"
                ) from None
            raise NoProgram(
                f"{argv[0]} cannot be executed ({error.strerror}): mend it or choose another agent"
            ) from error
        finally:
            os.close(source)

    def _wait(self, child: subprocess.Popen[bytes], watch: Stopwatch, limit: float) -> bool:
        """Until the main process has ended, or has to; whether that was because of the limit."""
        handle = os.pidfd_open(child.pid)
        try:
            poller = select.poll()
            poller.register(handle, select.POLLIN)
            while child.poll() is None:
                spent = watch.tick(time.monotonic())
                if spent >= limit or self._hurry():
                    return spent >= limit
                poller.poll(int(min(SLICE, limit - spent) * 1000) + 1)
            watch.tick(time.monotonic())
            return False
        finally:
            os.close(handle)


class _Copier(threading.Thread):
    """Copies a call's output to the log as it comes, byte by byte the same, and remembers its ends."""

    def __init__(self, reading: int, out: int, excerpt: Excerpt) -> None:
        super().__init__(name="output", daemon=True)
        self._reading, self._out, self._excerpt = reading, out, excerpt
        self._enough, self._wake = os.pipe2(os.O_CLOEXEC)
        self._line_open = False

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._reading, select.POLLIN)
        poller.register(self._enough, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if self._reading in ready:
                data = os.read(self._reading, 1 << 16)
                if not data:
                    break
                self._excerpt.feed(data)
                self._line_open = not data.endswith(b"\n")
                write_out(self._out, data)
            elif ready:  # whoever still holds the other end is none of ours
                break
        if self._line_open:
            write_out(self._out, b"\n")

    def finish(self, patience: float) -> None:
        """Takes what is there by now, and no more."""
        self.join(patience)
        os.write(self._wake, b".")
        self.join()
        for descriptor in (self._reading, self._enough, self._wake):
            os.close(descriptor)


def write_out(out: int, data: bytes) -> None:
    """A log that takes no more (a full disk, a reader that left) ends no work."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(out, view) :]
    except OSError:
        pass


def _in_memory(data: bytes) -> int:
    file = os.memfd_create("prompt", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _left_of(child: subprocess.Popen[bytes]) -> Callable[[], set[Identity]]:
    """Looks for living processes below this one, and takes in the dead ones but `child`, which has its own way."""
    me = os.getpid()

    def look() -> set[Identity]:
        table = read_table()
        below = with_descendants([me], children_of(table)) - {me}
        for pid in below:
            process = table[pid]
            if process.dead and process.ppid == me and pid != child.pid:
                os.waitpid(pid, os.WNOHANG)
        return {table[pid].identity for pid in below if not table[pid].dead}

    return look


def _collect(child: subprocess.Popen[bytes]) -> int:
    try:
        return child.wait(1.0)
    except subprocess.TimeoutExpired:  # stuck in the kernel: it was sent a KILL
        return -signal.SIGKILL
