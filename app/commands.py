"""One function per command that is not `status`. Each returns its exit code."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.arguments import parser
from app.status_text import clean
from coordinator import api
from coordinator.api import Paths, PrdTuiError
from coordinator.commands import Command, HoldQueue, Rejected, ReleaseQueue, RetryPrds, StopPrds

#: Seconds an owner has to answer; it looks at its drop box at least once a second.
ANSWER_TIMEOUT = 5.0


def run_command(argv: Sequence[str], start: str) -> int:
    """Parses and runs; a PrdTuiError becomes one sentence on stderr and its exit code."""
    top = parser()
    if not argv:
        top.print_help()
        return 0
    try:
        words = list(argv)
        if not words[0].startswith("-") and words[0] not in _COMMANDS:
            words = _bare_prds(words, start)
        elif words[0] == "--":
            words = ["run", *words]
        arguments = top.parse_args(words)
        return _COMMANDS[arguments.command](arguments, Path(start))
    except PrdTuiError as error:
        print(f"prd-tui: {clean(str(error))}", file=sys.stderr)
        return error.exit_code


def _bare_prds(words: list[str], start: str) -> list[str]:
    """PRD names without a command mean `run`; anything else is an error with a suggestion."""
    active = _paths(Path(start)).active
    first = words[0]
    if (active / first).is_dir():
        return ["run", *words]
    folders = [entry.name for entry in active.iterdir()] if active.is_dir() else []
    close = difflib.get_close_matches(first, [*_COMMANDS, *folders], n=1)
    hint = f"did you mean {close[0]}?" if close else "prd-tui --help lists the commands."
    raise PrdTuiError(f"{first} is neither a command nor a folder in prds/active: {hint}")


def _paths(start: Path) -> Paths:
    return api.discover(start)


# -- run -------------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace, start: Path) -> int:
    from app.headless import run_headless

    return run_headless(arguments, _paths(start))


# -- commands to whoever owns the repository -------------------------------------------------------------


def _stop(arguments: argparse.Namespace, start: Path) -> int:
    if bool(arguments.prds) == arguments.all:
        raise PrdTuiError(f"Name the PRDs to {arguments.command}, or say --all.")
    kill = arguments.command == "kill"
    return _send(start, StopPrds(tuple(arguments.prds), everything=arguments.all, kill=kill))


def _retry(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, RetryPrds(tuple(arguments.prds), fresh=arguments.fresh))


def _hold(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, HoldQueue() if arguments.command == "hold" else ReleaseQueue())


def _send(start: Path, command: Command) -> int:
    """Hands a command to the owner and reports its answer; without an owner it is carried out here."""
    answer = api.give_command(_paths(start), command, answer_timeout=ANSWER_TIMEOUT)
    if isinstance(answer, Rejected):
        raise PrdTuiError(f"Refused: {answer.reason}.")
    print(clean(answer.message))
    return 0


# -- PRD folders -----------------------------------------------------------------------------------------


def _validate(arguments: argparse.Namespace, start: Path) -> int:
    from app.prd_commands import validate

    return validate(arguments.paths, start)


def _add(arguments: argparse.Namespace, start: Path) -> int:
    from app.prd_commands import add

    return add(arguments.paths, start, _paths(start))


# -- logs ------------------------------------------------------------------------------------------------


def _logs(arguments: argparse.Namespace, start: Path) -> int:
    path = _paths(start).worker_log(arguments.prd)
    if not path.is_file():
        raise PrdTuiError(f"{arguments.prd} has no log yet: prd-tui status shows what has run.")
    lines = arguments.lines or 100
    with path.open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        log.seek(max(0, size - lines * 4096))
        text = log.read()
        _print_log(b"".join(text.splitlines(keepends=True)[-lines:]))
        while arguments.follow:
            more = log.read(65536)
            if more:
                _print_log(more)
                continue
            if os.fstat(log.fileno()).st_size < log.tell():
                log.seek(0)  # it was cut short: what follows is new
            time.sleep(0.2)
    return 0


def _print_log(data: bytes) -> None:
    """A pipe gets the log as it is; a terminal gets it without control sequences."""
    if sys.stdout.isatty():
        for line in data.decode(errors="replace").splitlines():
            print(clean(line))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _config(arguments: argparse.Namespace, start: Path) -> int:
    from app.config_command import main

    return main(arguments.words, api.settings_desk(_paths(start)))


def _status(arguments: argparse.Namespace, start: Path) -> int:
    raise AssertionError(
        "status is dispatched before"
    )  # its --help alone comes here, and exits while parsing


_COMMANDS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "run": _run,
    "status": _status,
    "stop": _stop,
    "kill": _stop,
    "retry": _retry,
    "hold": _hold,
    "release": _hold,
    "validate": _validate,
    "add": _add,
    "logs": _logs,
    "config": _config,
}
