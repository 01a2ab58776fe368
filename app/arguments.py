"""The command line's grammar: one parser, from which `--help` is made."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from app.cli import VERSION
from app.config_command import USAGE as CONFIG_USAGE
from coordinator.api import PrdTuiError

EXAMPLES = """examples:
  prd-tui run                      run every PRD in prds/active, several at a time
  prd-tui run login search         run these two only
  prd-tui run --watch              go on when all is done: folders dropped in later start too
  prd-tui status                   what runs, what waits, what failed and why
  prd-tui stop login               stop one; its worktree is kept
  prd-tui retry login              try it again where it stopped
  prd-tui validate prds/active/*   check PRDs without running them
"""

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

    _add_run(commands.add_parser("run", help="run PRDs without a screen, until nothing can run any more"))

    commands.add_parser("status", help="what runs, waits, failed and is ready")  # parses its own words

    for name, text in (("stop", "stop workers; worktrees are kept"), ("kill", "the same, at once")):
        stop = commands.add_parser(name, help=text)
        stop.add_argument("prds", nargs="*", metavar="PRD")
        stop.add_argument("--all", action="store_true", help="every one, and hold the queue")

    retry = commands.add_parser("retry", help="queue ended PRDs again, in their worktrees")
    retry.add_argument("prds", nargs="+", metavar="PRD")
    retry.add_argument("--fresh", action="store_true", help="on a new branch; the old one is kept")

    commands.add_parser("hold", help="start nothing new; what runs goes on")
    commands.add_parser("release", help="let the queue run again")

    validate = commands.add_parser("validate", help="check PRDs without running them")
    validate.add_argument("paths", nargs="*", metavar="PATH", help="folders or prd.json files")

    add = commands.add_parser("add", help="check PRD folders or prd.json files and put them into prds/active")
    add.add_argument("paths", nargs="+", metavar="PATH")

    logs = commands.add_parser("logs", help="print or follow a worker's log")
    logs.add_argument("prd", metavar="PRD")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.add_argument("-n", "--lines", type=positive, metavar="N", help="the last N lines (default 100)")

    worker = commands.add_parser(
        "worker", help="the built-in loop itself, as a run starts it in its worktree"
    )
    worker.add_argument("prd_json", metavar="PRD_JSON")
    worker.add_argument("--agent", metavar="NAME", help="the agent to call; by default that of the settings")
    worker.add_argument(
        "--dry-run", action="store_true", help="print the prompt of the next story, and do nothing"
    )

    config = commands.add_parser(
        "config", help="show, change and approve settings", usage=CONFIG_USAGE.removeprefix("usage: ")
    )
    config.add_argument("words", nargs=argparse.REMAINDER, metavar="get KEY | set KEY VALUE | approve")
    return top


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("prds", nargs="*", metavar="PRD", help="these only; by default all of prds/active")
    run.add_argument("--max-prds", type=positive, metavar="N", help="PRDs at once")
    run.add_argument("--api-limit", type=positive, metavar="N", help="agent calls in flight over all workers")
    run.add_argument("--agent", metavar="NAME", help="work with the built-in loop and this agent")
    run.add_argument("--watch", action="store_true", help="go on watching for new folders")
    run.add_argument("--timeout", type=duration, metavar="D", help="stop everything after 90s, 15m, 8h")
    run.add_argument("--hold", action="store_true", help="start nothing until `prd-tui release`")
    run.add_argument(
        "--resume", action="store_true", help="go on where the last session ended (run always does)"
    )
    run.add_argument("--json", action="store_true", help="one JSON object per event on stdout")
