# ruff: noqa: PTH112, PTH113, PTH116, PTH118, PTH119, PTH120, PTH123
"""The registry as a reader sees it, for commands that must start fast.

Imports json and os and nothing else: each further module of the standard library (pathlib, dataclasses,
argparse) takes a good part of what a whole `python -c pass` takes.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The version this program writes; it reads every 1.x.
VERSION = "1.0"

#: Lists of the registry in the order in which a PRD passes through them.
LISTS = ("active_prds", "queued_prds", "completed_prds", "failed_prds")

_FILE = os.path.join(".claude-loop", "coordinator", "registry.json")
_SMALL = 64 * 1024  # bytes; records of ours and git's one-line files are far smaller


class Unreadable(Exception):
    """The registry is there, and neither it nor its backup can be used; the message is a whole sentence."""


class Newer(Unreadable):
    """The registry was written by a later version of the program."""


def empty() -> dict[str, Any]:
    """A registry of nothing, with every key that readers may rely on."""
    return {
        "version": VERSION,
        "created_at": "",
        "coordinator_pid": 0,
        "max_parallel_prds": 3,
        "api_limit": 10,
        "active_prds": {},
        "queued_prds": [],
        "completed_prds": [],
        "failed_prds": [],
    }


def parse(data: bytes | str, name: str = "registry.json") -> dict[str, Any]:
    """The document in `data`. Raises ValueError if it is no registry, and Newer if it is of a later one."""
    try:
        document = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("not an object")
    major = str(document.get("version", VERSION)).partition(".")[0]
    if not (major.isascii() and major.isdigit() and len(major) < 10):
        raise ValueError("no version")
    if int(major) > 1:
        raise Newer(
            f"{name} has version {document['version']} and this prd-tui reads 1.x only; update prd-tui."
        )
    if not isinstance(document.get("active_prds"), dict):
        raise ValueError("active_prds is not an object")
    for key in LISTS[1:]:
        entries = document.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{key} is not a list of objects")
    if not all(isinstance(entry, dict) for entry in document["active_prds"].values()):
        raise ValueError("active_prds holds something that is no object")
    return document


def load(root: str) -> dict[str, Any] | None:
    """The registry of the main checkout `root`, else its backup; None where nothing has run yet.

    Takes no lock and writes nothing: a replace is atomic, so what is read is whole. Raises Unreadable.
    """
    path = os.path.join(root, _FILE)
    there = False
    for candidate in (path, path + ".bak"):
        try:
            with open(candidate, "rb") as file:
                return parse(file.read(), candidate)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Unreadable(
                f"{candidate} cannot be read ({error.strerror}); check its permissions."
            ) from error
        except ValueError:
            there = True
    if there:
        raise Unreadable(
            f"{path} and its backup are damaged; `prd-tui run` sets them aside and rebuilds the registry."
        )
    return None


def modified(root: str) -> float | None:
    """When the registry was last replaced, in seconds since the epoch."""
    try:
        return os.stat(os.path.join(root, _FILE)).st_mtime
    except OSError:
        return None


def find(start: str) -> tuple[str, str] | None:
    """(main checkout, git common dir) of the repository that contains `start`; None outside of one.

    From a linked worktree it is the main checkout that owns it. Reads files only: a start of git would cost
    `status` a third of its time.
    """
    folder = os.path.realpath(start)
    while True:
        dot_git = os.path.join(folder, ".git")
        if os.path.isfile(os.path.join(dot_git, "HEAD")):
            return folder, os.path.realpath(dot_git)
        pointed = _first_line(dot_git)
        if pointed.startswith("gitdir:"):
            return _linked(folder, pointed.removeprefix("gitdir:").strip())
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _linked(folder: str, pointed: str) -> tuple[str, str] | None:
    git_dir = os.path.join(folder, pointed)
    shared = _first_line(os.path.join(git_dir, "commondir"))
    if not shared:  # a submodule, or a checkout whose git dir lies elsewhere: it is its own main checkout
        return (folder, os.path.realpath(git_dir)) if os.path.isdir(git_dir) else None
    common = os.path.realpath(os.path.join(git_dir, shared))
    if os.path.basename(common) == ".git":
        return os.path.dirname(common), common
    main = _core_worktree(common)
    return (os.path.realpath(os.path.join(common, main)), common) if main else None


def _core_worktree(common: str) -> str:
    """`core.worktree` of a git dir that lies apart from its main checkout."""
    section = ""
    for line in _read(os.path.join(common, "config")).splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text.lower()
        elif section == "[core]" and text.partition("=")[0].strip().lower() == "worktree":
            return text.partition("=")[2].strip().strip('"')
    return ""


def owner(common: str) -> int | None:
    """The process id of the coordinator that owns the repository, None if none does.

    Looks at what the owner wrote beside its lock and whether that very process still lives; takes no lock.
    """
    lock = os.path.join(common, "prd-tui", "locks", "coordinator.lock")
    try:
        record = json.loads(_read(lock))
        pid = record["pid"]
        ours = record["boot_id"] == boot_id() and written_here(lock, record)
        return pid if ours and lives(pid, record["start_ticks"]) else None
    except (ValueError, TypeError, KeyError):
        return None


def written_here(path: str, record: dict[str, Any]) -> bool:
    """Whether a record that belongs to `path` did not come there with a copy of the repository."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return bool(record.get("place", [there.st_dev, there.st_ino]) == [there.st_dev, there.st_ino])


def lives(pid: int, start_ticks: int | None) -> bool:
    """Whether process `pid`, begun at `start_ticks` (clock ticks since boot), runs; a zombie does not."""
    stat = _read(f"/proc/{int(pid)}/stat")
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return (
        len(fields) > 19 and fields[0] not in "ZX" and (start_ticks is None or int(fields[19]) == start_ticks)
    )


def run_record(run_dir: str, name: str) -> dict[str, Any] | None:
    """A JSON record of a run's directory such as `exit.json`; None if it is missing or unreadable."""
    try:
        record = json.loads(_read(os.path.join(run_dir, name)))
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip()


def _first_line(path: str) -> str:
    return _read(path).partition("\n")[0].strip()


def _read(path: str) -> str:
    """The text of a small regular file; empty if there is none. A FIFO put there does not hang the reader."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _SMALL).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
