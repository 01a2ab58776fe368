"""Notices the end of jobs within milliseconds: one thread sleeps on the pidfds of all keepers and workers."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from coordinator import children, processes
from coordinator.identity import Identity, alive, open_pidfd
from coordinator.jobs import JobStatus, inspect
from coordinator.model import Exit

_log = logging.getLogger(__name__)

OnExit = Callable[[Exit | None], None]
OnSwept = Callable[[], None]

#: Seconds until the next look at a job whose keeper is about to write: it takes milliseconds, or a full disk.
_FIRST_LOOK, _LAST_LOOK = 0.001, 0.25


@dataclass(eq=False)
class _Watch:
    job_dir: Path
    on_exit: OnExit
    on_swept: OnSwept
    worktree: Path | None = None
    exit_told: bool = False
    pause: float = _FIRST_LOOK
    look_at: float | None = None  # monotonic time of the next look; None: only when a pidfd fires
    fds: dict[int, Identity] = field(default_factory=dict)


class ExitWatcher:
    """Calls back once for the exit of each job and once when nothing of it is left.

    A job that ended before it was watched is reported at once. `on_exit` gets None for a job whose end nobody
    recorded. Callbacks run in the watcher's threads, the exit always before the sweep.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._incoming: list[_Watch] = []
        self._watches: set[_Watch] = set()
        self._by_fd: dict[int, _Watch] = {}
        self._stopping = False
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread: threading.Thread | None = None

    def watch(self, job_dir: Path, on_exit: OnExit, on_swept: OnSwept, worktree: Path | None = None) -> None:
        """Starts watching; returns at once. `worktree`: where its processes are now, should it have been moved."""
        self._enqueue(_Watch(job_dir, on_exit, on_swept, worktree))
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="exits", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the thread within half a second; the jobs go on, nothing more is reported."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        if thread is None:
            self._close()
            return
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wake, 1)
        if thread is not threading.current_thread():
            thread.join(0.5)

    def _enqueue(self, watch: _Watch) -> None:
        with self._lock:
            if self._stopping:
                return
            self._incoming.append(watch)
            os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while not self._stopping:
            for fd, _ in self._epoll.poll(self._patience()):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif (watch := self._by_fd.get(fd)) is not None:
                    self._disarm(watch, fd)
                    watch.look_at = 0.0
            with self._lock:
                self._watches.update(self._incoming)
                for watch in self._incoming:
                    watch.look_at = 0.0
                self._incoming.clear()
            now = time.monotonic()
            for watch in [one for one in self._watches if one.look_at is not None and one.look_at <= now]:
                self._look_safely(watch)
            children.reap()
        self._close()

    def _patience(self) -> float | None:
        """Seconds until a look is due; None: until something happens."""
        due = [watch.look_at for watch in self._watches if watch.look_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _look_safely(self, watch: _Watch) -> None:
        try:
            self._look(watch)
        except Exception:  # noqa: BLE001 - one bad job must not blind us to the others
            _log.exception("%s could not be looked at: trying again", watch.job_dir)
            watch.look_at = time.monotonic() + 1.0

    def _look(self, watch: _Watch) -> None:
        watch.look_at = None
        facts = inspect(watch.job_dir)
        if facts.status is JobStatus.RUNNING:
            self._arm(watch, facts.keeper)
            if not self._arm(watch, facts.start.worker if facts.start else None):
                self._look_soon(watch)  # the keeper is about to record the start or the end
                if watch.pause >= _LAST_LOOK and facts.keeper is not None:
                    processes.send(facts.keeper, signal.SIGCONT)  # unless somebody stopped it
            return
        if facts.status is JobStatus.ENDED:
            self._tell_exit(watch, facts.exit)
        vanished = facts.status is JobStatus.NEW and not watch.job_dir.exists()
        if (facts.swept and facts.status is not JobStatus.NEW) or (vanished and not watch.fds):
            self._tell_exit(watch, None)
            self._forget(watch)
            _call(watch.job_dir, watch.on_swept)
        elif not (facts.keeper and self._arm(watch, facts.keeper)) and not vanished:
            self._sweep(watch)

    def _look_soon(self, watch: _Watch) -> None:
        watch.look_at = time.monotonic() + watch.pause
        watch.pause = min(watch.pause * 2, _LAST_LOOK)

    def _tell_exit(self, watch: _Watch, exit: Exit | None) -> None:
        if not watch.exit_told:
            watch.exit_told = True
            _call(watch.job_dir, lambda: watch.on_exit(exit))

    def _sweep(self, watch: _Watch) -> None:
        """Ends what is left, which may take seconds, in a thread of its own; then looks again."""
        self._forget(watch)

        def work() -> None:
            try:
                processes.sweep(watch.job_dir, watch.worktree)
            except Exception:  # noqa: BLE001 - a full disk, say: the job stays unswept, and watched
                _log.exception("%s could not be swept: trying again", watch.job_dir)
                time.sleep(1.0)
            self._enqueue(watch)

        threading.Thread(target=work, name="sweep", daemon=True).start()

    def _arm(self, watch: _Watch, who: Identity | None) -> bool:
        """Waits for the end of `who` as well; False if it has come."""
        if who is None:
            return False
        if who in watch.fds.values():
            return alive(who)
        fd = open_pidfd(who)
        if fd is None:
            return False
        watch.fds[fd] = who
        self._by_fd[fd] = watch
        self._epoll.register(fd, select.EPOLLIN)
        return True

    def _disarm(self, watch: _Watch, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._by_fd[fd], watch.fds[fd]
        os.close(fd)

    def _forget(self, watch: _Watch) -> None:
        for fd in list(watch.fds):
            self._disarm(watch, fd)
        self._watches.discard(watch)

    def _close(self) -> None:
        for watch in list(self._watches):
            self._forget(watch)
        with self._lock:
            if not self._epoll.closed:
                self._epoll.close()
                os.close(self._wake)


def _call(job_dir: Path, callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - a listener's fault is its own
        _log.exception("A listener to the end of %s failed", job_dir)
