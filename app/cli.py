"""The command line. Imports nothing heavy until a command needs it."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

VERSION = "0.1.0"

#: claude-loop's spellings, and what people type first → ours.
SPELLINGS = {
    "--parallel": "run",
    "--status": "status",
    "--stop": "stop",
    "--stop-all": "stop --all",
    "help": "--help",
}


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code. Errors are one sentence on stderr."""
    _open_streams()
    try:
        code = _dispatch(list(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        discard(sys.stdout)
        return 141
    except OSError as error:
        discard(sys.stdout)
        return _cannot(error)
    return code


def discard(stream: TextIO) -> None:
    """Whoever read `stream` went away: what is still to be written to it goes nowhere, without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """Descriptors 0 to 2 are open, so that no file of ours becomes somebody's output; stdout takes any text."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def _cannot(error: OSError) -> int:
    from app.status_text import clean, fit

    what = (
        f"{fit(clean(os.fsdecode(error.filename)), 200)}: " if isinstance(error.filename, str | bytes) else ""
    )
    reason = error.strerror or type(error).__name__
    sys.stderr.write(f"prd-tui: {what}{reason}; check the name, the permissions and the free space.\n")
    return 1


def _dispatch(argv: list[str]) -> int:
    start, rest = _directory(argv)
    if rest and rest[0] in SPELLINGS:
        rest = [*SPELLINGS[rest[0]].split(), *rest[1:]]
    if rest and rest[0] == "status":
        from app.status import main as status  # the fast path: a status bar asks every few seconds

        return status(rest[1:], start)
    from app.commands import run_command

    return run_command(rest, start)


def _directory(argv: list[str]) -> tuple[str, list[str]]:
    """Every `-C DIR` before the command, each seen from the one before, as git has it."""
    start = "."
    while argv and argv[0].startswith("-C"):
        glued = argv[0][2:]
        if not glued and len(argv) < 2:
            break  # the parser says what is missing
        start = os.path.join(start, glued or argv[1])  # noqa: PTH118 - pathlib costs `status` half its budget
        argv = argv[1:] if glued else argv[2:]
    try:
        return os.path.abspath(start), argv  # noqa: PTH100
    except FileNotFoundError as error:  # a worktree that was removed around the person's shell
        raise FileNotFoundError(error.errno, "this directory is gone", start) from None
