"""Keeps logs of runs from filling the disk: a full one gives its content to `<name>.1` and begins anew.

Whoever writes it goes on with the same open file, so it is emptied in place. Writers append (O_APPEND), hence no
hole of zeros is left where they were. One that does not append goes on where it was: holes count for nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from coordinator.model import ACTIVE
from coordinator.runs import command_dirs
from coordinator.state import Record

#: Rounds in which what came during the copying is copied too, before a fast writer is cut off where it is.
_ROUNDS = 5
#: A log that has grown to so many times its limit before anybody looked keeps its end only.
_RUNAWAY = 4
_CHUNK = 64 * 1024 * 1024


def logs_of(record: Record) -> list[Path]:
    """The files that processes of the PRD may be writing now."""
    if record.run is None or record.state not in ACTIVE:
        return []
    gates = command_dirs(record.run, ("gates",))
    return [Path(record.run.log), *(job_dir / "output" for job_dir in gates)]


def cap_logs(logs: Iterable[Path], limit: float) -> list[str]:
    """Sets aside every log above `limit` bytes, of one that ran away only so many; a sentence for each.

    Raises OSError where the disk refuses.
    """
    return [said for log in logs if (said := _cap(log, limit))]


def older_part(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def _cap(log: Path, limit: float) -> str:
    try:
        file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""  # there is none yet, or no more
    try:
        status = os.fstat(file)
        written = min(status.st_size, status.st_blocks * 512)
        if written <= limit:
            return ""
        runaway = written > _RUNAWAY * limit
        kept = _set_aside(file, older_part(log), status.st_size - int(limit) if runaway else 0)
        os.ftruncate(file, 0)
        os.write(file, f"=== what was written before is in {older_part(log).name} ===\n".encode())
    finally:
        os.close(file)
    grown, what = f"{log.name} had grown to {written / 1e6:.1f} MB", "it was"
    if runaway:
        what = f"its last {kept / 1e6:.1f} MB were"
    return f"{grown}: {what} set aside as {older_part(log).name}"


def _set_aside(file: int, target: Path, begin: int) -> int:
    """Copies the file from byte `begin` on, holes apart, to `target`, in whose place the part before it goes.

    Returns the bytes copied.
    """
    partial = target.with_name(f".{target.name}.tmp")
    copy = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        done, copied = begin, 0
        if begin:
            os.write(copy, f"=== {begin / 1e6:.1f} MB before this are gone: worker.max_log ===\n".encode())
        for _ in range(_ROUNDS):
            before, end = done, os.fstat(file).st_size
            while done < end:
                start, stop = _written(file, done, end)
                sent = os.sendfile(copy, file, start, min(_CHUNK, stop - start)) if start < stop else 0
                copied += sent
                done = start + sent if sent else end  # its writer may have shortened it
            if done == before:
                break
        partial.rename(target)
        return copied
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(copy)


def _written(file: int, begin: int, end: int) -> tuple[int, int]:
    """The first stretch between two bytes of a file that is no hole; an empty one at `end` if there is none."""
    try:
        start = os.lseek(file, begin, os.SEEK_DATA)
        return start, min(end, os.lseek(file, start, os.SEEK_HOLE))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return end, end
