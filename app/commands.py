"""One function per command that is not `status`. Each returns its exit code."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from app.arguments import ENGINE_OPTIONS, parser
from app.cli import SPELLINGS
from app.status_text import clean, quoted, suggestion
from coordinator import api
from coordinator.api import Paths, PrdTuiError
from coordinator.commands import (
    CleanUp,
    Command,
    DropPrds,
    HoldQueue,
    PausePrds,
    Rejected,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopPrds,
)

#: The end of a worker's log's name, and the bytes of a log that are read at once.
_LOG, _BLOCK = "_worker.log", 65536

#: Seconds an owner has to answer; it looks at its drop box at least once a second.
ANSWER_TIMEOUT = 5.0


def run_command(argv: Sequence[str], start: str) -> int:
    """Parses and runs; a PrdTuiError becomes one sentence on stderr and its exit code."""
    top = parser()
    try:
        words = list(argv)
        if not words or words[0] == "--" or words[0].startswith(ENGINE_OPTIONS):
            words = ["dashboard", *words]
        elif not words[0].startswith("-") and words[0] not in _COMMANDS:
            words = _bare_prds(words, start)
        arguments, unknown = top.parse_known_args(words)
        if unknown or not arguments.command:
            raise PrdTuiError(_not_taken(arguments.command, (unknown or words)[0]))
        return _COMMANDS[arguments.command](arguments, Path(start))
    except PrdTuiError as error:
        print(f"prd-tui: {clean(str(error))}", file=sys.stderr)
        return error.exit_code


def _bare_prds(words: list[str], start: str) -> list[str]:
    """PRD names without a command open the dashboard on them; anything else is an error with a suggestion."""
    active = _paths(Path(start)).active
    first = words[0]
    folders = [entry.name for entry in active.iterdir()] if active.is_dir() else []
    if first in folders:
        return ["dashboard", *words]
    hint = suggestion(first, [*_COMMANDS, "status", *folders], "prd-tui --help lists the commands.")
    raise PrdTuiError(f"{quoted(first)} is neither a command nor a folder in prds/active: {hint}")


def _not_taken(command: str | None, word: str) -> str:
    if command:
        return f"{command} does not take {quoted(word)}: prd-tui {command} --help shows what it takes."
    hint = suggestion(word, [*SPELLINGS, "--help", "--version"], "prd-tui --help lists what there is.")
    return f"There is no {quoted(word)}: {hint}"


def _paths(start: Path) -> Paths:
    return api.discover(start)


# -- run -------------------------------------------------------------------------------------------------


def _dashboard(arguments: argparse.Namespace, start: Path) -> int:
    from app import garbage

    garbage.hold()
    from app.opening import open_dashboard

    return open_dashboard(arguments, _paths(start))


def _run(arguments: argparse.Namespace, start: Path) -> int:
    from app.headless import run_headless

    return run_headless(arguments, _paths(start))


def _demo(arguments: argparse.Namespace, _start: Path) -> int:
    from app.demo import demo

    return demo(headless=arguments.headless)


# -- setting up --------------------------------------------------------------------------------------------


def _init(arguments: argparse.Namespace, start: Path) -> int:
    from app.init_command import init

    return init(arguments, _paths(start))


# -- commands to whoever owns the repository -------------------------------------------------------------


def _named_or_all(arguments: argparse.Namespace) -> None:
    if bool(arguments.prds) == arguments.all:
        raise PrdTuiError(f"Name the PRDs to {arguments.command}, or say --all.")


def _pause(arguments: argparse.Namespace, start: Path) -> int:
    _named_or_all(arguments)
    kind = PausePrds if arguments.command == "pause" else ResumePrds
    return _send(start, kind(tuple(arguments.prds), everything=arguments.all))


def _stop(arguments: argparse.Namespace, start: Path) -> int:
    _named_or_all(arguments)
    kill = arguments.command == "kill"
    return _send(start, StopPrds(tuple(arguments.prds), everything=arguments.all, kill=kill))


def _retry(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, RetryPrds(tuple(arguments.prds), fresh=arguments.fresh))


def _drop(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, DropPrds(tuple(arguments.prds)))


def _clean(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, CleanUp(dry_run=arguments.dry_run))


def _deinit(arguments: argparse.Namespace, start: Path) -> int:
    from app.headless import refuse_inside_worker

    paths = _paths(start)
    refuse_inside_worker(paths)
    for line in api.deinit(paths, dry_run=arguments.dry_run):
        print(clean(line))
    return 0


def _hold(arguments: argparse.Namespace, start: Path) -> int:
    return _send(start, HoldQueue() if arguments.command == "hold" else ReleaseQueue())


def _send(start: Path, command: Command) -> int:
    """Hands a command to the owner and reports its answer; without an owner it is carried out here."""
    answer = api.give_command(_paths(start), command, answer_timeout=ANSWER_TIMEOUT)
    if isinstance(answer, Rejected):
        raise PrdTuiError(f"Refused: {answer.reason.rstrip('.')}.")
    for line in answer.message.split("\n"):
        print(clean(line))
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
    paths = _paths(start)
    names = [entry.name.removesuffix(_LOG) for entry in paths.logs.glob(f"*{_LOG}")]
    if arguments.prd not in names:
        hint = suggestion(arguments.prd, names, "prd-tui status shows what has run.")
        raise PrdTuiError(f"{quoted(arguments.prd)} has no log: {hint}")
    with paths.worker_log(arguments.prd).open("rb", buffering=0) as log:
        log.seek(_last_lines(log, arguments.lines or 100))
        while True:
            if part := log.read(_BLOCK):
                _print_log(part)
                continue
            if not arguments.follow:
                return 0
            if os.fstat(log.fileno()).st_size < log.tell():
                log.seek(0)  # it was cut short: what follows is new
            time.sleep(0.2)


def _last_lines(log: FileIO, wanted: int) -> int:
    """Where the last `wanted` lines begin; a line end at the very end opens no further line."""
    begin = end = log.seek(0, os.SEEK_END)
    while begin:
        size = min(begin, _BLOCK)
        begin -= size
        log.seek(begin)
        block = log.read(size)
        at = size - 1 if begin + size == end else size  # the byte at the end is no end of an earlier line
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if not wanted:
                return begin + at + 1
    return 0


def _print_log(data: bytes) -> None:
    """A pipe gets the log as it is; a terminal gets it without control sequences."""
    if sys.stdout.isatty():
        for line in data.decode(errors="replace").splitlines():
            print(clean(line))
    else:
        sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _worker(arguments: argparse.Namespace, start: Path) -> int:
    prd_json = start / arguments.prd_json
    if not arguments.dry_run:
        return api.run_worker(prd_json, arguments.agent)
    text = api.worker_prompt(prd_json)
    if not text:
        print("Every story passes: there is nothing to ask.", file=sys.stderr)
    _print_log(text.encode())
    return 0


def _config(arguments: argparse.Namespace, start: Path) -> int:
    from app.config_command import main

    return main(arguments.words, api.settings_desk(_paths(start)))


_COMMANDS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "dashboard": _dashboard,
    "run": _run,
    "demo": _demo,
    "init": _init,
    "stop": _stop,
    "kill": _stop,
    "pause": _pause,
    "resume": _pause,
    "retry": _retry,
    "drop": _drop,
    "clean": _clean,
    "deinit": _deinit,
    "hold": _hold,
    "release": _hold,
    "validate": _validate,
    "add": _add,
    "logs": _logs,
    "worker": _worker,
    "config": _config,
}
