"""Locks between processes, by flock: they end with their holder. Lock files are never unlinked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from coordinator.errors import StateError
from coordinator.identity import Identity, alive, myself


class FileLock:
    """An exclusive lock on a file. Holds out other processes and other threads alike; not re-entrant.

    If the lock file was deleted or replaced while we waited, the new file is locked instead, so that there
    are never two holders by two files; `still_valid` tells a long-time holder that it happened under it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()  # threads that share this object queue here, all others in the kernel
        self._fd: int | None = None

    def acquire(self, timeout: float | None = None) -> bool:
        """Waits up to `timeout` seconds (None: for ever); False if the time ran out. Raises StateError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._mutex.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            return False
        try:
            self._fd = self._lock_current_file(deadline)
        finally:
            if self._fd is None:
                self._mutex.release()
        return self._fd is not None

    def try_acquire(self) -> bool:
        """Takes the lock if it is free now."""
        return self.acquire(timeout=0.0)

    def release(self) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            raise RuntimeError(f"{self.path} is not locked by this object")
        _unlock(fd)
        self._mutex.release()

    @property
    def held(self) -> bool:
        return self._fd is not None

    def fileno(self) -> int:
        """The locked descriptor; a child that inherits it keeps the lock should we die."""
        if self._fd is None:
            raise RuntimeError(f"{self.path} is not locked by this object")
        return self._fd

    def still_valid(self) -> bool:
        """Whether it is held and the path still names the file that is locked."""
        return self._fd is not None and _names(self.path, self._fd)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock_current_file(self, deadline: float | None) -> int | None:
        while True:
            fd = self._open()
            if not _flock(fd, deadline):
                return None
            if _names(self.path, fd):
                return fd
            _unlock(fd)  # somebody removed the file while we waited for it

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                return os.open(self.path, flags, 0o600)
            except FileNotFoundError:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(self.path, flags, 0o600)
        except OSError as error:
            raise StateError(
                f"The lock {self.path} cannot be opened ({error.strerror}): mend its permissions."
            ) from error


def _names(path: Path, fd: int) -> bool:
    try:
        there = path.lstat()
    except OSError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _unlock(fd: int) -> None:
    # Not by close alone: a child between fork and exec may share the descriptor for a moment.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _flock(fd: int, deadline: float | None) -> bool:
    """Locks `fd`, or closes it and returns False when the deadline passed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        pass
    except BaseException:
        os.close(fd)
        raise
    if deadline is None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except BaseException:
            os.close(fd)
            raise
        return True
    left = deadline - time.monotonic()
    if left <= 0:
        os.close(fd)
        return False
    return _PatientWait(fd).wait(left)


class _PatientWait:
    """A blocking flock with a time limit: the kernel queues a helper thread, nobody polls."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._gate = threading.Lock()
        self._done = threading.Event()
        self._locked = False
        self._given_up = False

    def wait(self, seconds: float) -> bool:
        threading.Thread(target=self._block, name="lock-wait", daemon=True).start()
        self._done.wait(seconds)
        with self._gate:
            self._given_up = not self._locked
            return self._locked

    def _block(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            os.close(self._fd)
            return
        with self._gate:
            if self._given_up:
                _unlock(self._fd)
            else:
                self._locked = True
        self._done.set()


@dataclass(frozen=True)
class Owner:
    """Who coordinates a repository. `kind`: "run", "dashboard", "standby", "command"; `since`: epoch seconds."""

    identity: Identity
    kind: str
    since: float

    @property
    def pid(self) -> int:
        return self.identity.pid


#: The record always has this length: overwritten in one write, it is never seen torn or with an old tail.
_RECORD_BYTES = 512


class OwnerLock(FileLock):
    """The coordinator's lock; the file says who holds it, for `read_owner`."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(path)
        self.kind = kind

    def acquire(self, timeout: float | None = None) -> bool:
        """As FileLock.acquire; then writes who we are. Raises StateError."""
        if not super().acquire(timeout):
            return False
        try:
            self._write_record()
        except OSError as error:
            super().release()
            raise StateError(
                f"The lock {self.path} cannot be written ({error.strerror}): free space on the disk."
            ) from error
        return True

    def acquire_after_commands(self, patience: float) -> bool:
        """Waits, up to `patience` seconds, while a command holds it, which ends by itself; False otherwise."""
        deadline = time.monotonic() + patience
        while not self.acquire(timeout=0.2):
            owner = read_owner(self.path)
            if (owner is not None and owner.kind != "command") or time.monotonic() > deadline:
                return False
        return True

    def release(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # a stale record names a process that will be dead
                os.pwrite(self._fd, b" " * _RECORD_BYTES, 0)
        super().release()

    def _write_record(self) -> None:
        assert self._fd is not None  # noqa: S101 - only called while held
        me = myself()
        record = {
            "pid": me.pid,
            "boot_id": me.boot_id,
            "start_ticks": me.ticks,
            "place": _place(os.fstat(self._fd)),
            "kind": self.kind,
            "since": time.time(),
        }
        os.pwrite(self._fd, json.dumps(record).encode("ascii").ljust(_RECORD_BYTES), 0)
        os.ftruncate(self._fd, _RECORD_BYTES)


def _place(there: os.stat_result) -> list[int]:
    return [there.st_dev, there.st_ino]


def read_owner(path: Path) -> Owner | None:
    """The living owner by the record in its lock file; None if there is none. Does not touch the lock."""
    try:
        record = json.loads(path.read_bytes())
        identity = Identity(int(record["pid"]), int(record["start_ticks"]), str(record["boot_id"]))
        owner = Owner(identity, str(record["kind"]), float(record["since"]))
        here = _place(path.stat())
        if record.get("place", here) != here:
            return None  # it came with a copy of the repository, whose original is owned
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return owner if alive(identity) else None
