"""The one door to prd.json: reading it safely, and everything that is done with what was read."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

from coordinator.folder_scan import SHORTAGE
from coordinator.model import Prd, Problem
from coordinator.prd_edit import StoryResult, normalised, write_back
from coordinator.prd_frozen import differences, from_dict, same_text, to_dict
from coordinator.prd_schema import PrdInvalid, parse

__all__ = [
    "MAX_BYTES",
    "NAME",
    "WORKED_MAX_BYTES",
    "PrdInvalid",
    "StoryResult",
    "all_pass",
    "differences",
    "from_dict",
    "load",
    "normalised",
    "parse",
    "read_bytes",
    "same_text",
    "to_dict",
    "valid_prd_id",
    "write_back",
]

NAME: Final = "prd.json"
#: Bytes of a prd.json that a person drops. The largest seen in the field has 0.2 MiB.
MAX_BYTES: Final = 1 << 20
#: Bytes of a worker's copy: indented, it is larger than a minified original, and workers add notes.
WORKED_MAX_BYTES: Final = 8 << 20

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_bytes(folder: Path, *, name: str = NAME, limit: int = MAX_BYTES) -> bytes:
    """The content of `folder`/prd.json (or a file of another name), a regular file of at most `limit` bytes.

    Follows no symlink at either name and never waits, whatever stands there. Raises PrdInvalid, and OSError
    only if the machine is short of files or memory.
    """
    directory = -1
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(folder, flags | os.O_DIRECTORY)
        # asked before opening: to open a device can already do something to it
        _check(os.stat(name, dir_fd=directory, follow_symlinks=False), name, limit)
        file = os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    except OSError as error:
        raise PrdInvalid((_unreadable(error, name, inside=directory >= 0),)) from None
    finally:
        if directory >= 0:
            os.close(directory)
    try:
        _check(os.fstat(file), name, limit)
        return _read(file, name, limit)
    except OSError as error:
        raise PrdInvalid((_unreadable(error, name, inside=True),)) from None
    finally:
        os.close(file)


def load(folder: Path, *, limit: int = MAX_BYTES) -> Prd:
    """Reads and understands `folder`/prd.json, of at most `limit` bytes. Raises PrdInvalid."""
    return parse(read_bytes(folder, limit=limit))


def valid_prd_id(name: str) -> str | None:
    """None if a folder of this name can be a PRD, else why not, as a sentence."""
    if not _ID.fullmatch(name):
        if len(name) > 64:
            return "the folder's name has more than 64 characters: give it a shorter one"
        if name[:1] in ("-", ".", "_"):
            return "the folder's name does not start with a letter or digit: rename it"
        return "the folder's name has characters other than A-Z a-z 0-9 . _ -: rename it"
    if ".." in name:
        return "the folder's name contains two dots in a row: rename it"
    if name.endswith(".lock"):
        return "the folder's name ends in .lock, which no git branch may: rename it"
    return None


def all_pass(prd: Prd) -> bool:
    """Whether there is nothing left to do."""
    return all(story.passes for story in prd.stories)


def _check(found: os.stat_result, name: str, limit: int) -> None:
    if stat.S_ISREG(found.st_mode):
        if found.st_size > limit:
            raise PrdInvalid((_too_large(name, limit),))
        return
    kinds = {
        stat.S_IFLNK: "a symlink",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    kind = kinds.get(stat.S_IFMT(found.st_mode), "a device")
    raise PrdInvalid((Problem(0, f"{name} is {kind}", "put a regular file there"),))


def _too_large(name: str, limit: int) -> Problem:
    return Problem(0, f"{name} is larger than {limit >> 20} MiB", "split it into several PRDs")


def _read(file: int, name: str, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1  # one more than allowed, so that a file that grows meanwhile is noticed
    while left > 0 and (part := os.read(file, left)):
        parts.append(part)
        left -= len(part)
    if left == 0:
        raise PrdInvalid((_too_large(name, limit),))
    return b"".join(parts)


def _unreadable(error: OSError, name: str, *, inside: bool) -> Problem:
    if inside and error.errno == errno.ENOENT:
        return Problem(0, f"{name} is missing", "put it into the folder")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) and not inside:
        return Problem(0, "there is no folder here", "put a folder with a prd.json here")
    if error.errno in SHORTAGE:
        raise error
    reason = error.strerror or type(error).__name__
    return Problem(0, f"{name} cannot be read ({reason})", "make it readable")
