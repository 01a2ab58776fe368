"""`prd-tui demo`: a throw-away repository whose PRDs run with the bundled agent; no key, no network."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from app.arguments import parser
from app.headless import run_headless, write
from app.own_command import on_a_terminal, own_command
from app.status_text import clean
from coordinator import api, registry_file
from coordinator.api import Paths, PrdTuiError

#: Seconds for a line of the agent's log: read by nobody, and watched by a person.
HEADLESS_PACE, WATCHED_PACE = 0.15, 1.4

#: What would make the tests of the demo's project find other modules than its own.
_MISLEADING = ("PYTHONPATH", "PYTHONSAFEPATH")


def demo(*, headless: bool) -> int:
    """Makes the repository, runs it, says where it is. Raises PrdTuiError."""
    if not headless and not on_a_terminal():
        raise PrdTuiError("The dashboard needs a terminal: prd-tui demo --headless goes without one.")
    for name in (*api.SETTING_VARIABLES, *_MISLEADING):
        os.environ.pop(name, None)
    paths = api.make_demo(HEADLESS_PACE if headless else WATCHED_PACE)
    try:
        if headless:
            print(f"A shop with 8 PRDs in {paths.root}: six can be done, two cannot.", file=sys.stderr)
            return run_headless(_as_run(), paths)
        from app.opening import open_dashboard

        return open_dashboard(_as_run(), paths, hold_first=False)
    finally:
        write(farewell(paths), sys.stdout)


def _as_run() -> argparse.Namespace:
    """What `prd-tui run` without an option has parsed."""
    return parser().parse_args(["run"])


def farewell(paths: Paths) -> str:
    """Where the repository is, how to look into it, and how to remove it."""
    where, folder = (shlex.quote(clean(str(path))) for path in (paths.root, paths.root.parent))
    stop = f"{own_command()} -C {where} stop --all && " if _at_work(paths) else ""
    lines = [
        f"\nThe demo's repository stays in {where} until you remove it.",
        f"  look at the branches   git -C {where} log --all --oneline --graph",
        f"  see what became of it  {own_command()} -C {where} status",
        f"  remove it              {stop}rm -rf {folder}",
    ]
    return "\n".join(lines)


def _at_work(paths: Paths) -> bool:
    """Whether a coordinator or workers may still use the worktrees."""
    stored = registry_file.load(str(paths.root)) or {}
    return bool(stored.get("active_prds")) or registry_file.owner(str(paths.common)) is not None
