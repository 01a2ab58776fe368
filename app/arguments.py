"""The command line's grammar: one parser, from which `--help` is made."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from app.cli import VERSION
from app.config_command import USAGE as CONFIG_USAGE
from coordinator.api import PrdTuiError

EXAMPLES = """examples:
  prd-tui demo                     see it work: a throw-away repository, no key, no network
  prd-tui init                     set up the repository you are in
  prd-tui                          open the dashboard on every PRD in prds/active
  prd-tui run                      run every PRD in prds/active, several at a time
  prd-tui run login search         run these two only
  prd-tui run --watch              go on when all is done: folders dropped in later start too
  prd-tui status                   what runs, what waits, what failed and why
  prd-tui stop login               stop one; its worktree is kept
  prd-tui retry login              try it again where it stopped
  prd-tui validate prds/active/*   check PRDs without running them
"""

#: With one of these and no command the dashboard is meant.
ENGINE_OPTIONS = ("--max-prds", "--api-limit", "--agent", "--hold", "--resume")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence; takes no abbreviations, so that a new option changes no old line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"allow_abbrev": False} | options))

    def error(self, message: str) -> NoReturn:
        raise PrdTuiError(f"{message}; {self.prog} --help shows what there is.")


def duration(text: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `8h`, `1d`."""
    match = _DURATION.fullmatch(text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 15m, 8h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def _first_steps(commands: argparse._SubParsersAction[_Parser]) -> None:
    demo = commands.add_parser("demo", help="a throw-away repository with PRDs and an agent without a key")
    demo.add_argument("--headless", action="store_true", help="without the dashboard; ends by itself")

    init = commands.add_parser("init", help="set this repository up: choose a worker, make prds/active")
    chosen = init.add_mutually_exclusive_group()
    chosen.add_argument("--agent", metavar="NAME", help="the built-in loop with this coding agent")
    chosen.add_argument(
        "--worker", nargs=argparse.REMAINDER, metavar="COMMAND", help="a loop script of your own; comes last"
    )
    init.add_argument("--base", metavar="BRANCH", help="the branch that work starts from")


def _last_steps(commands: argparse._SubParsersAction[_Parser]) -> None:
    clean = commands.add_parser("clean", help="remove what is provably no longer needed")
    clean.add_argument("--dry-run", action="store_true", help="print what that is, and do nothing")

    deinit = commands.add_parser("deinit", help="take all of prd-tui out of this repository")
    deinit.add_argument("--dry-run", action="store_true", help="print what would go, and do nothing")


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="prd-tui",
        description="Runs many PRDs at once, each in its own git worktree with its own worker, and verifies them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"prd-tui {VERSION}")
    top.add_argument("-C", metavar="DIR", help="work on the repository that contains DIR")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    _engine_options(
        commands.add_parser("dashboard", help="watch and steer them on one screen; the word may be left out")
    )
    run = commands.add_parser("run", help="run PRDs without a screen, until nothing can run any more")
    _engine_options(run)
    run.add_argument("--watch", action="store_true", help="go on watching for new folders")
    run.add_argument("--timeout", type=duration, metavar="D", help="stop everything after 90s, 15m, 8h")
    run.add_argument("--json", action="store_true", help="one JSON object per event on stdout")

    _first_steps(commands)
    _last_steps(commands)
    commands.add_parser("status", help="what runs, waits, failed and is ready")  # parses its own words

    _steering(commands)

    validate = commands.add_parser("validate", help="check PRDs without running them")
    validate.add_argument("paths", nargs="*", metavar="PATH", help="folders or prd.json files")

    add = commands.add_parser("add", help="check PRD folders or prd.json files and put them into prds/active")
    add.add_argument("paths", nargs="+", metavar="PATH")

    logs = commands.add_parser("logs", help="print or follow a worker's log")
    logs.add_argument("prd", metavar="PRD")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("-n", "--lines", type=positive, metavar="N", help="the last N lines (default 100)")

    loop = commands.add_parser("worker", help="the built-in loop itself, as a run starts it in its worktree")
    loop.add_argument("prd_json", metavar="PRD_JSON")
    loop.add_argument("--agent", metavar="NAME", help="the agent to call; by default that of the settings")
    loop.add_argument(
        "--dry-run", action="store_true", help="print the prompt of the next story, and do nothing"
    )

    config = commands.add_parser(
        "config", help="show, change and approve settings", usage=CONFIG_USAGE.removeprefix("usage: ")
    )
    config.add_argument("words", nargs=argparse.REMAINDER, metavar="get KEY | set KEY VALUE | approve")
    return top


def _steering(commands: argparse._SubParsersAction[_Parser]) -> None:
    """What is said to whoever owns the repository."""
    for name, text, every in (
        ("stop", "stop workers; worktrees are kept", "every one, and hold the queue"),
        ("kill", "the same, at once", "every one, and hold the queue"),
        ("pause", "halt workers where they are, with all they started", "every one that runs"),
        ("resume", "let paused workers go on", "every one that is paused"),
    ):
        steer = commands.add_parser(name, help=text)
        steer.add_argument("prds", nargs="*", metavar="PRD")
        steer.add_argument("--all", action="store_true", help=every)

    retry = commands.add_parser("retry", help="queue ended PRDs again, in their worktrees")
    retry.add_argument("prds", nargs="+", metavar="PRD")
    retry.add_argument("--fresh", action="store_true", help="on a new branch; the old one is kept")

    drop = commands.add_parser("drop", help="give PRDs up; their work is kept on refs")
    drop.add_argument("prds", nargs="+", metavar="PRD")

    commands.add_parser("hold", help="start nothing new; what runs goes on")
    commands.add_parser("release", help="let the queue run again")


def _engine_options(command: argparse.ArgumentParser) -> None:
    """What the dashboard and `run` have in common."""
    command.add_argument("prds", nargs="*", metavar="PRD", help="these only; by default all of prds/active")
    command.add_argument("--max-prds", type=positive, metavar="N", help="PRDs at once")
    command.add_argument(
        "--api-limit", type=positive, metavar="N", help="agent calls in flight over all workers"
    )
    command.add_argument("--agent", metavar="NAME", help="work with the built-in loop and this agent")
    command.add_argument("--hold", action="store_true", help="start nothing until the queue is released")
    command.add_argument(
        "--resume",
        action="store_true",
        help="go on where the last session ended, without a question",
    )
