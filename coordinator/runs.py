"""Run directories: what is recorded about each attempt, written before it happens.

A run directory outlives the coordinator and is the truth about its run. The keeper writes `start.json`,
`exit.json` and `swept.json` there (`jobs.py` reads them); this module writes the rest: `intent.json` before
anything exists, `source.json` (the person's prd.json as admitted) and `journal.jsonl`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coordinator import prd_file
from coordinator.clock import iso
from coordinator.errors import StateError
from coordinator.files import append_line, read_json, write_atomic, write_json
from coordinator.folders import inside, make_private
from coordinator.model import Prd, Run
from coordinator.paths import Paths

#: Paths of a run that lie in the checkout, unless the settings put them elsewhere.
_PLACES = ("worktree", "log")


def new_run_id(now: float) -> str:
    """Sorts by time; unique also for two in one millisecond: `20260131T120000123-9f3a`."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Intent:
    """What a run was to be. `frozen` is what its end is compared with; `arrival` its place in the queue."""

    run: Run
    frozen: Prd
    arrival: float
    slot: int


def record_of(paths: Paths, run: Run) -> dict[str, Any]:
    """A run as it is recorded in its directory.

    What lies in the checkout is named as seen from there, and the directory itself not at all: both follow a
    repository that is moved, and those of a copy are the copy's own.
    """
    record = asdict(run)
    del record["run_dir"]
    return record | {name: inside(record[name], paths.root) for name in _PLACES}


def run_of(paths: Paths, record: dict[str, Any], run_dir: Path) -> Run:
    """The run that `record_of` recorded in `run_dir`. Raises KeyError, TypeError."""
    places = {name: str(paths.root / record[name]) for name in _PLACES}
    return Run(**record | places | {"run_dir": str(run_dir)})


def write_intent(paths: Paths, intent: Intent, source: bytes) -> None:
    """Durable on return. `source` is the person's prd.json as admitted. Raises StateError."""
    folder = Path(intent.run.run_dir)
    make_private(folder)
    try:
        _write(paths, intent, source, folder)
    except StateError:
        shutil.rmtree(folder, ignore_errors=True)  # it is tried again, under another name
        raise


def _write(paths: Paths, intent: Intent, source: bytes, folder: Path) -> None:
    write_atomic(folder / "source.json", source)
    document = {
        "run": record_of(paths, intent.run),
        "frozen": prd_file.to_dict(intent.frozen),
        "arrival": intent.arrival,
        "slot": intent.slot,
    }
    write_json(folder / "intent.json.bak", document, durable=False)
    write_json(folder / "intent.json", document)


def read_intent(paths: Paths, run_dir: Path) -> Intent | None:
    """None when the run has none, or one that cannot be understood and whose second copy cannot either."""
    return _parsed(paths, run_dir, "intent.json") or _parsed(paths, run_dir, "intent.json.bak")


def _parsed(paths: Paths, run_dir: Path, name: str) -> Intent | None:
    try:
        document = read_json(run_dir / name)
        if document is None:
            return None
        return Intent(
            run=run_of(paths, document["run"], run_dir),
            frozen=prd_file.from_dict(document["frozen"]),
            arrival=float(document["arrival"]),
            slot=int(document["slot"]),
        )
    except (KeyError, TypeError, ValueError, OSError, StateError):
        return None


def runs_of(paths: Paths, prd_id: str) -> list[Intent]:
    """Every recorded run of a PRD, oldest first."""
    folder = paths.runs / prd_id
    if not folder.is_dir():
        return []
    found = (read_intent(paths, entry) for entry in sorted(folder.iterdir()) if entry.is_dir())
    return sorted((intent for intent in found if intent), key=lambda intent: intent.run.generation)


def recorded_prds(paths: Paths) -> Iterator[str]:
    """The IDs of all PRDs that ever ran here."""
    if paths.runs.is_dir():
        yield from sorted(entry.name for entry in paths.runs.iterdir() if entry.is_dir())


#: Folders in a run directory that hold the job directories of commands: gates, set-up, tear-down.
COMMAND_FOLDERS = ("gates", "setup", "teardown")


def job_dirs(run: Run) -> list[Path]:
    """The run's own job directory, and those of its gates, set-up and tear-down commands."""
    return [Path(run.run_dir), *command_dirs(run)]


def command_dirs(run: Run, folders: tuple[str, ...] = COMMAND_FOLDERS) -> list[Path]:
    """The job directories of commands that were run for the run, in the order of `folders`."""
    homes = (Path(run.run_dir) / folder for folder in folders)
    return [job_dir for home in homes if home.is_dir() for job_dir in sorted(home.iterdir())]


class Journal:
    """`journal.jsonl` of one run: what was wanted of it, what was found, which steps are done."""

    def __init__(self, run_dir: str | Path) -> None:
        self.path = Path(run_dir) / "journal.jsonl"

    def write(self, what: str, now: float, **more: Any) -> None:
        """Durable on return, in one write."""
        line = json.dumps({"at": iso(now), "what": what, **more}, ensure_ascii=False)
        append_line(self.path, line.encode() + b"\n", durable=True)

    def entries(self) -> list[dict[str, Any]]:
        """All entries that are whole; a line cut short by a crash is passed over."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                found.append(entry)
        return found

    def last(self, what: str) -> dict[str, Any] | None:
        return next((entry for entry in reversed(self.entries()) if entry.get("what") == what), None)

    def step_done(self, name: str) -> bool:
        return any(entry.get("what") == "step" and entry.get("name") == name for entry in self.entries())


def tail(path: Path, size: int) -> bytes:
    """The last `size` bytes of a file; nothing if it is not there."""
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            file.seek(max(0, length - size))
            return file.read(size)
    except OSError:
        return b""
