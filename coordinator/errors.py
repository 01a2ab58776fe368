"""Errors that reach a person. Each message is one sentence that says what happened and what to do."""

from __future__ import annotations

import errno
import os


class PrdTuiError(Exception):
    """Something a person can mend; `exit_code` is what the command ends with (2: refused input)."""

    exit_code = 2


class OwnedElsewhere(PrdTuiError):
    """Another coordinator owns the repository."""

    exit_code = 3


class ConfigError(PrdTuiError):
    """A setting is unknown or of the wrong type, or a file of settings cannot be read."""


class NotApproved(ConfigError):
    """The tracked settings run commands and nobody approved their present content."""


class GitError(PrdTuiError):
    """git refused; `stderr` is what it said."""

    exit_code = 1

    def __init__(self, message: str, *, returncode: int = 1, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


class StateError(PrdTuiError):
    """A file of prd-tui's own cannot be used as it is (newer version, unreadable, disk full)."""

    exit_code = 1


class GitStorageError(GitError, StateError):
    """The disk refused what git wanted to write."""


_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
#: How git says the same; it does not name the reason everywhere.
_SAID = (
    *map(os.strerror, _REFUSALS),
    "Out of diskspace",
    "unable to write",
    "failed to write",
    "write error",
)


def git_error(message: str, stderr: str, returncode: int = 1) -> GitError:
    """For a git (run with LC_ALL=C) that failed and said `stderr`."""
    refused = any(words in stderr for words in _SAID)
    kind = GitStorageError if refused else GitError
    return kind(message, returncode=returncode, stderr=stderr)


def disk_refuses(error: BaseException) -> bool:
    """Whether it is the disk that is full or read-only: nobody's failure, and tried again until it is mended."""
    return isinstance(error, StateError) or (isinstance(error, OSError) and error.errno in _REFUSALS)
