"""One pass over /proc: who runs, whose child, since when."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from coordinator.identity import Identity, boot_id, stat_fields


class Process(NamedTuple):
    """`ticks`: start in clock ticks since boot. `tty`: 0 without a controlling terminal."""

    pid: int
    name: bytes
    state: bytes
    ppid: int
    session: int
    tty: int
    ticks: int

    @property
    def dead(self) -> bool:
        return self.state in (b"Z", b"X")

    @property
    def stopped(self) -> bool:
        return self.state in (b"T", b"t")

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.ticks, boot_id())


Table = dict[int, Process]

#: How often those are looked for that came during a look: where that does not end, no look would ever be whole.
_PASSES = 10


def read_process(pid: int | str) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - hot path
            text = file.read(4096)
    except OSError:
        return None
    # The name may itself hold spaces and parentheses: it ends at the last one.
    opening, closing = text.find(b"("), text.rfind(b")")
    fields = text[closing + 2 :].split()
    if len(fields) < 20:
        return None
    return Process(
        pid=int(text[:opening]),
        name=text[opening + 1 : closing],
        state=fields[0],
        ppid=int(fields[1]),
        session=int(fields[3]),
        tty=int(fields[4]),
        ticks=int(fields[19]),
    )


def cpu_ticks(pid: int) -> int:
    """Clock ticks of CPU used by the process and by its children that it has reaped; 0 if there is none."""
    fields = stat_fields(pid)
    return sum(map(int, fields[11:15])) if fields else 0


def read_table() -> Table:
    """Every process that this one may see, zombies included.

    One pass takes milliseconds, on a busy machine a tenth of a second: long enough for a process of a storm to
    fork and die before it is read. So those that came meanwhile are read too, which goes fast.
    """
    found: Table = {}
    met: set[str] = set()
    for _ in range(_PASSES):
        fresh = [entry for entry in os.listdir("/proc") if entry.isdigit() and entry not in met]  # noqa: PTH208 - hot path
        if not fresh:
            break
        met.update(fresh)
        for entry in fresh:
            if (process := read_process(entry)) is not None:
                found[process.pid] = process
    return found


def children_of(table: Table) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.ppid, []).append(process.pid)
    return children


def with_descendants(roots: Iterable[int], children: dict[int, list[int]], stop_at: int = 0) -> set[int]:
    """The roots and all below them; what lies below `stop_at` is left out."""
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid in found:
            continue
        found.add(pid)
        if pid != stop_at:
            todo += children.get(pid, ())
    return found


def ancestors_of(pid: int, table: Table) -> set[int]:
    """`pid` itself and its ancestors."""
    found: set[int] = set()
    while pid and pid not in found:
        found.add(pid)
        process = table.get(pid)
        pid = process.ppid if process else 0
    return found
