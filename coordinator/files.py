"""Writing files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

from coordinator.errors import StateError
from coordinator.identity import myself, start_ticks

_counter = itertools.count(1)
#: `.name.tmp-<pid>-<start ticks>-<n>`: tells a left-over from a file that is being written.
_TMP_NAME = re.compile(r"\..+\.tmp-(\d+)-(\d+)-\d+\Z")


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces `path` by `data` in one step, keeping its permissions. Raises StateError, the old file intact.

    `durable` also waits for the disk (file and directory): for transitions, not for progress ticks.
    """
    me = myself()
    tmp = path.with_name(f".{path.name}.tmp-{me.pid}-{me.ticks}-{next(_counter)}")
    try:
        try:
            _write_new(tmp, data, _mode_of(path), durable=durable)
            tmp.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                tmp.unlink()
            raise
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """`value` as indented JSON, by `write_atomic`."""
    text = json.dumps(value, indent=2, ensure_ascii=True) + "\n"
    write_atomic(path, text.encode("ascii"), durable=durable)


def read_json(path: Path) -> Any | None:
    """The parsed file, None if there is none. Raises StateError if it cannot be read or parsed."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(
            f"{path} cannot be read ({error.strerror}): check the permissions and the disk."
        ) from error
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{path} is not valid JSON ({error}): move it aside and start again.") from error


def append_line(path: Path, line: bytes, *, durable: bool = False) -> None:
    """Appends one line by one write, whole among many writers. Raises StateError, with nothing added."""
    data = line if line.endswith(b"\n") else line + b"\n"
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _is_cut_off(fd):
                data = b"\n" + data  # half a line, from a power cut: it must not spoil this one
            written = os.write(fd, data)
            if written < len(data):
                _take_back(fd, written)
                raise OSError(28, os.strerror(28))  # ENOSPC is what a short write to a file means
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _is_cut_off(fd: int) -> bool:
    """Whether the file ends in the middle of a line that nobody goes on with.

    A line of another writer that crosses a page is seen in parts for a moment.
    """
    for pause in (0.001, 0.01, 0.05, 0.0):
        size = os.fstat(fd).st_size
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return False
        time.sleep(pause)
    return True


def make_way(path: Path) -> None:
    """Moves aside whatever stands at `path` and is no regular file: a link leads elsewhere, a pipe blocks.

    Raises OSError.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        path.rename(path.with_name(f"{path.name}.aside-{os.getpid()}-{next(_counter)}"))


def sweep_tmp(directory: Path) -> int:
    """Removes temporary files whose writer is dead; returns how many. A missing directory has none."""
    removed = 0
    for path in left_over_tmp(directory):
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def left_over_tmp(directory: Path) -> list[Path]:
    """The temporary files in `directory` whose writer is dead."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
    found = ((name, match) for name in names if (match := _TMP_NAME.fullmatch(name)))
    return [directory / name for name, match in found if start_ticks(int(match[1])) != int(match[2])]


def sync_directory(directory: Path) -> None:
    """Waits until renames inside `directory` are on disk. Raises OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _mode_of(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode & 0o777
    except OSError:
        return None


def _write_new(path: Path, data: bytes, mode: int | None, *, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if mode is not None:
            os.fchmod(fd, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _take_back(fd: int, written: int) -> None:
    """Removes the half line that a full disk left, unless another writer has appended since."""
    end = os.lseek(fd, 0, os.SEEK_CUR)
    if os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - written)


def _cannot_write(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path} cannot be written ({error.strerror}) and keeps its old content: "
        "free space or mend the permissions."
    )
