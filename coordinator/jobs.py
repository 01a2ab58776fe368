"""What a job is and what became of it, read from its directory: the truth about every worker and gate.

A job directory holds `live.lock`, `start.json`, `exit.json` and `swept.json` (keeper.py writes them). The
exit record is believed first, then identities by boot id and start ticks. The lock proves neither life nor
death: a daemonised child keeps it, a worker that closes its descriptors drops it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from coordinator.errors import StateError
from coordinator.files import read_json, write_json
from coordinator.identity import Identity, alive, boot_id
from coordinator.locks import FileLock
from coordinator.model import Exit

#: Stands for the boot id of processes that a copied record names.
ELSEWHERE = "of another repository"


@dataclass(frozen=True)
class JobSpec:
    """One process to run under a keeper. All paths are absolute; `time_limit` in seconds, None: none."""

    key: str
    generation: int
    job_dir: Path
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    log: Path  # stdout and stderr, appended
    header: str  # a line written to the log before the start; "": none
    exit_code_file: Path | None  # gets the exit code as a number, for scripts
    time_limit: float | None
    marker: str  # the value of PRD_RUN_ID in `env`, by which the job's processes are found again


class JobStatus(StrEnum):
    NEW = "new"  # nothing was started
    RUNNING = "running"  # its keeper or its main process lives
    ENDED = "ended"  # the exit is on record; processes may be left until it is swept
    GONE = "gone"  # it was started and nobody recorded how it ended


@dataclass(frozen=True)
class Start:
    """`started_at`: seconds since the epoch. `copied`: the record came here with a copy of its repository.

    The processes that such a record names are the original's: here they count as dead, and are never touched.
    """

    keeper: Identity
    worker: Identity
    started_at: float
    argv0: str
    marker: str
    cwd: str
    copied: bool = False


@dataclass(frozen=True)
class JobFacts:
    """`start` is None before the start is on record, and where the job could not be started."""

    status: JobStatus
    start: Start | None = None
    exit: Exit | None = None
    swept: bool = False
    keeper: Identity | None = None  # as recorded, alive or not


def inspect(job_dir: Path) -> JobFacts:
    """What the job is now. Reads only; a record that cannot be parsed counts as not there."""
    start = read_start(job_dir)
    keeper = start.keeper if start else _starting_keeper(job_dir)
    ended = read_exit(job_dir)
    swept = (job_dir / "swept.json").exists()
    if ended is not None:
        return JobFacts(JobStatus.ENDED, start, ended, swept, keeper)
    if (keeper and alive(keeper)) or (start and alive(start.worker)):
        return JobFacts(JobStatus.RUNNING, start, None, swept, keeper)
    # It may have ended between the two looks: a keeper that is not killed dies only after it wrote the exit.
    ended = read_exit(job_dir)
    start = start or read_start(job_dir)
    swept = (job_dir / "swept.json").exists()
    if ended is not None:
        return JobFacts(JobStatus.ENDED, start, ended, swept, keeper)
    begun = start is not None or swept or (job_dir / "start.json").exists()
    return JobFacts(JobStatus.GONE if begun else JobStatus.NEW, start, None, swept, keeper)


def abandon(job_dir: Path) -> bool:
    """Closes a job that was never started, so that no late keeper starts it; False if one has begun.

    The job then counts as ended, `cannot_start` saying why. Raises StateError.
    """
    if inspect(job_dir).status is not JobStatus.NEW:
        return False
    if not job_dir.is_dir():
        return True  # no keeper can start without it
    lock = FileLock(job_dir / "live.lock")  # which keepers take before anything else, and hold for life
    if not lock.try_acquire():
        return False
    try:
        if inspect(job_dir).status is not JobStatus.NEW:
            return False
        never = {"code": 127, "signal": None, "ended_at": time.time(), "timed_out": False}
        write_json(job_dir / "exit.json", never | {"cannot_start": "its start was abandoned: start it again"})
        write_json(job_dir / "swept.json", {"ended": 0, "survivors": []})
        return True
    finally:
        lock.release()


def read_start(job_dir: Path) -> Start | None:
    record = _record(job_dir / "start.json")
    try:
        boot = _boot_of(job_dir, record)
        return Start(
            keeper=Identity(int(record["keeper"]["pid"]), int(record["keeper"]["ticks"]), boot),
            worker=Identity(int(record["worker"]["pid"]), int(record["worker"]["ticks"]), boot),
            started_at=float(record["started_at"]),
            argv0=str(record["argv0"]),
            marker=str(record["marker"]),
            cwd=str(record["cwd"]),
            copied=boot == ELSEWHERE,
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None


def read_exit(job_dir: Path) -> Exit | None:
    record = _record(job_dir / "exit.json")
    try:
        number = record["signal"]
        return Exit(
            code=int(record["code"]),
            signal=None if number is None else int(number),
            ended_at=float(record["ended_at"]),
            cannot_start=str(record.get("cannot_start", "")),
            timed_out=bool(record.get("timed_out", False)),
        )
    except (KeyError, TypeError, ValueError):
        return None


def read_survivors(job_dir: Path) -> tuple[Identity, ...]:
    """Processes that could not be ended when the job was swept and that still live."""
    record = _record(job_dir / "swept.json")
    try:
        left = [Identity(int(one["pid"]), int(one["ticks"]), boot_id()) for one in record["survivors"]]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(who for who in left if alive(who))


def _record(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except StateError:
        return {}
    return value if isinstance(value, dict) else {}


def _boot_of(job_dir: Path, record: Mapping[str, Any]) -> str:
    """The boot that a record's processes live in; none of ours where it was written in another directory."""
    there = job_dir.stat()
    ours = record.get("place", [there.st_dev, there.st_ino]) == [there.st_dev, there.st_ino]
    return str(record["boot_id"]) if ours or record["boot_id"] != boot_id() else ELSEWHERE


def _starting_keeper(job_dir: Path) -> Identity | None:
    """The keeper that holds the job but has not recorded its start yet, by what it wrote into its lock."""
    try:
        record = json.loads((job_dir / "live.lock").read_bytes())
        keeper = record["keeper"]
        return Identity(int(keeper["pid"]), int(keeper["ticks"]), _boot_of(job_dir, record))
    except (OSError, KeyError, TypeError, ValueError):
        return None
