"""Locks that end with their holder."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import coordinator
from coordinator.errors import StateError
from coordinator.identity import myself
from coordinator.locks import FileLock, OwnerLock, read_owner
from tests.support.waiting import wait_until

ROOT = str(Path(coordinator.__file__).parents[1])

HOLD = """
import sys, time
from pathlib import Path
from coordinator.locks import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), "run")
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def holder(path: Path) -> subprocess.Popen[bytes]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
    return process


def test_holds_out_other_objects_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    with FileLock(path) as lock:
        assert lock.held
        assert not FileLock(path).try_acquire()
    assert not lock.held
    process = holder(path)
    try:
        begun = time.monotonic()
        assert not lock.acquire(timeout=0.1)
        assert time.monotonic() - begun < 5
        process.kill()
        process.wait()
        assert lock.acquire(timeout=5)
        lock.release()
    finally:
        process.kill()
        process.wait()
    assert path.exists()


def test_a_wait_ends_with_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    held = FileLock(path)
    held.acquire()
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(FileLock(path).acquire(timeout=20)))
    waiter.start()
    wait_until(lambda: waited_for(path), what="the wait")
    held.release()
    waiter.join()
    assert got == [True]


def waited_for(path: Path) -> bool:
    """Whether somebody blocks on the lock, by what the kernel says."""
    inode = f":{path.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_a_wait_that_was_given_up_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    held = FileLock(path)
    held.acquire()
    assert not FileLock(path).acquire(timeout=0.05)
    held.release()
    # The thread that waited in vain may get the lock for a moment, and gives it back.
    assert FileLock(path).acquire(timeout=10)


def test_threads_that_share_the_object_take_turns(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "a.lock")
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(50):
            with lock:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 200
    with lock:
        assert not lock.acquire(timeout=0.01)
    with pytest.raises(RuntimeError):
        lock.release()


def count_up(folder: Path) -> None:
    for _ in range(100):
        with FileLock(folder / "a.lock"):
            value = int((folder / "value").read_text())
            (folder / "value").write_text(str(value + 1))


def test_processes_lose_no_update(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("0")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=count_up, args=(tmp_path,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "value").read_text() == "300"


def test_a_deleted_or_replaced_lock_file_makes_no_second_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = FileLock(path)
    lock.acquire()
    assert lock.still_valid()
    path.unlink()
    assert not lock.still_valid()
    waiting = FileLock(path)
    with waiting:
        assert waiting.still_valid()
        assert not lock.still_valid()
    lock.release()
    # A waiter on the old file takes the new one, and waits for its holder.
    with FileLock(path):
        got = threading.Event()

        def wait() -> None:
            with FileLock(path) as mine:
                if mine.still_valid():
                    got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: waited_for(path), what="the wait")
        path.rename(tmp_path / "aside")
        other = FileLock(path)
        other.acquire()
    assert not got.wait(0.05)
    other.release()
    thread.join()
    assert got.is_set()


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with FileLock(path):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        assert FileLock(path).try_acquire()
    finally:
        child.kill()
        child.wait()


def test_a_lock_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be opened"):
        FileLock(tmp_path / "file" / "a.lock").acquire()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(StateError, match="cannot be opened"):
        FileLock(tmp_path / "link").try_acquire()


def test_the_owner_is_named_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.lock"
    assert read_owner(path) is None
    process = holder(path)
    try:
        owner = read_owner(path)
        assert owner is not None
        assert (owner.pid, owner.kind) == (process.pid, "run")
        assert abs(owner.since - time.time()) < 60
        assert not OwnerLock(path, "dashboard").try_acquire()
        assert read_owner(path) == owner
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert read_owner(path) is None  # a zombie owns nothing
    finally:
        process.kill()
        process.wait()
    with OwnerLock(path, "dashboard"):
        owner = read_owner(path)
        assert owner is not None
        assert owner.identity == myself()
    assert read_owner(path) is None  # released, though we live


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot_id": "another"}, {"pid": "x"}])
def test_a_record_of_another_process_names_nobody(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "coordinator.lock"
    lock = OwnerLock(path, "run")
    lock.acquire()
    record = json.loads(path.read_text())
    lock.release()
    assert set(record) == {"pid", "boot_id", "start_ticks", "kind", "since", "place"}
    path.write_text(json.dumps(record))
    assert read_owner(path) is not None
    path.write_text(json.dumps(record | change))
    assert read_owner(path) is None


def test_looking_at_the_owner_takes_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert read_owner(path) is None
