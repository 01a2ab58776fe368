"""Which process is meant: a pid alone names another tomorrow, with boot id and start ticks it does not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, order=True)
class Identity:
    """One process for all time. `ticks`: field 22 of /proc/<pid>/stat, clock ticks since boot."""

    pid: int
    ticks: int
    boot_id: str


@cache
def boot_id() -> str:
    """Changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def stat_fields(pid: int) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the state (index 0) on; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - hot path
            text = file.read(4096)
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses: what counts starts after the last one.
    fields = text[text.rfind(b")") + 2 :].split()
    return fields if len(fields) > 19 else None


def start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of `pid`; None if there is no such process or it is a zombie."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])


def identify(pid: int) -> Identity | None:
    """The living process that has this pid now."""
    ticks = start_ticks(pid)
    return None if ticks is None else Identity(pid, ticks, boot_id())


def myself() -> Identity:
    me = identify(os.getpid())
    assert me is not None  # noqa: S101 - we are alive
    return me


def alive(who: Identity) -> bool:
    """Whether exactly this process still runs. A zombie is dead; so is everything of another boot."""
    return who.boot_id == boot_id() and start_ticks(who.pid) == who.ticks


def open_pidfd(who: Identity) -> int | None:
    """A pidfd that is sure to mean `who`, to be closed by the caller; None if it is dead."""
    if who.boot_id != boot_id():
        return None
    try:
        fd = os.pidfd_open(who.pid)
    except OSError:
        return None
    # The pid may have passed to another process before the descriptor was opened, but not any more.
    if start_ticks(who.pid) == who.ticks:
        return fd
    os.close(fd)
    return None
