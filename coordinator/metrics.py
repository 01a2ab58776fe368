"""`metrics.jsonl`: what happened, one JSON object per line, each written by one `write`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from coordinator.clock import Clock, iso, parse_iso
from coordinator.redaction import Redactor
from coordinator.rotation import append_rotating

Event = dict[str, Any]

LIMIT = 10 * 1024 * 1024  # bytes of one part


class Metrics:
    """Writes events; any number of threads and processes may, at once."""

    def __init__(
        self, path: Path, clock: Clock, *, limit: int = LIMIT, redactor: Redactor | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._limit = limit
        self._redactor = redactor or Redactor()

    def record(self, event: str, prd_id: str | None, *, at: float | None = None, **metadata: Any) -> None:
        """Appends one event; `at`: seconds since the epoch, now by default. Raises StateError.

        Values that JSON does not know are written as text.
        """
        line = {"timestamp": iso(self._clock.now() if at is None else at), "event": event, "prd_id": prd_id}
        data = json.dumps(line | _finite(metadata), default=str).encode("ascii")
        append_rotating(self._path, self._redactor.json(data) + b"\n", self._limit, _next_part)

    def has(self, event: str, run_id: str) -> bool:
        """Whether this event of this run is recorded already."""
        return any(line["event"] == event and line.get("run_id") == run_id for line in read(self._path))


def read(path: Path) -> Iterator[Event]:
    """Every event of `path` and of its full parts, oldest first; a damaged line is passed over."""
    with contextlib.ExitStack() as opened:
        newest = _open(path, opened)  # first, as it may become a part while the others are read
        for _number, part in _parts(path):
            older = _open(part, opened)
            if older is not None and (
                newest is None or not os.path.sameopenfile(older.fileno(), newest.fileno())
            ):
                yield from _events(older)
        if newest is not None:
            yield from _events(newest)


def _open(path: Path, opened: contextlib.ExitStack) -> BinaryIO | None:
    try:
        return opened.enter_context(path.open("rb"))
    except OSError:
        return None


def _events(lines: Iterable[bytes]) -> Iterator[Event]:
    for line in lines:
        event = _event(line)
        if event is not None:
            yield event


def throughput(events: Iterable[Event], now: float, *, window: float = 86400.0) -> float:
    """PRDs completed per hour of the last `window` seconds, counted from the first event in it."""
    recent = [(moment, event) for event in events if now - window <= (moment := _moment(event)) <= now]
    completed = sum(event.get("event") == "prd_completed" for _moment_, event in recent)
    if not completed:
        return 0.0
    hours = (now - min(moment for moment, _event_ in recent)) / 3600
    return float(completed / max(hours, 1 / 3600))


def _moment(event: Event) -> float:
    try:
        return parse_iso(event["timestamp"])
    except (KeyError, ValueError, TypeError):
        return float("-inf")


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _parts(path: Path) -> list[tuple[int, Path]]:
    """Full parts, `metrics.jsonl.1` being the oldest."""
    found = []
    for part in path.parent.glob(f"{path.name}.*"):
        number = part.name.removeprefix(f"{path.name}.")
        if number.isascii() and number.isdigit():
            found.append((int(number), part))
    return sorted(found)


def _next_part(path: Path) -> Path:
    parts = _parts(path)
    return path.with_name(f"{path.name}.{parts[-1][0] + 1 if parts else 1}")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: null stands for them."""
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(inner) for inner in value]
    return value
