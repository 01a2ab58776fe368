"""The command line. Imports nothing heavy until a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

VERSION = "0.1.0"

#: claude-loop's spellings → ours.
SPELLINGS = {"--parallel": "run", "--status": "status", "--stop": "stop", "--stop-all": "stop --all"}


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code. Errors are one sentence on stderr."""
    try:
        return _dispatch(list(argv))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _dispatch(argv: list[str]) -> int:
    start, rest = _directory(argv)
    if rest and rest[0] in SPELLINGS:
        rest = [*SPELLINGS[rest[0]].split(), *rest[1:]]
    if rest and rest[0] == "status" and not {"-h", "--help"} & set(rest):
        from app.status import main as status  # the fast path: a status bar asks every few seconds

        return status(rest[1:], start)
    from app.commands import run_command

    return run_command(rest, start)


def _directory(argv: list[str]) -> tuple[str, list[str]]:
    """`-C DIR` before the command, as git has it."""
    if len(argv) >= 2 and argv[0] == "-C":
        return os.path.abspath(argv[1]), argv[2:]  # noqa: PTH100 - pathlib costs `status` half its budget
    return os.getcwd(), argv  # noqa: PTH109
