"""Makes the demo's repository, the same on every machine: nothing of the person's settings plays a part."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from coordinator.demo import features, shop, troubles
from coordinator.demo.writing import Prd
from coordinator.errors import PrdTuiError
from coordinator.folders import make_private
from coordinator.git import Git
from coordinator.paths import Paths
from coordinator.settings_desk import SettingsDesk

PREFIX = "prd-tui-demo-"

#: No signing, hooks, line ends or ignored files of the person's own.
_CONFIG = {
    "commit.gpgSign": "false",
    "core.hooksPath": "/dev/null",
    "core.autocrlf": "false",
    "core.excludesFile": "/dev/null",
}


def make_demo(pace: float) -> Paths:
    """A new repository in the folder for temporary files, with a project, PRDs and settings; nothing runs yet.

    `pace`: seconds that the agent takes for a line of its log. Raises PrdTuiError, with nothing left behind.
    """
    try:
        root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    except OSError as error:
        raise PrdTuiError(
            f"No folder for the demo can be made in {tempfile.gettempdir()} ({error.strerror}): "
            "free space there, or set TMPDIR."
        ) from error
    try:
        return _fill(root, pace)
    except OSError as error:
        shutil.rmtree(root, ignore_errors=True)
        raise PrdTuiError(f"The demo cannot be made in {root} ({error.strerror}): set TMPDIR.") from error
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def _fill(root: Path, pace: float) -> Paths:
    paths = Paths(root, root / ".git")
    for name, text in shop.FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    staging = paths.state / "incoming"
    make_private(staging)
    python = shlex.quote(sys.executable)
    prds = demo_prds(python)
    for prd_id, prd in prds.items():
        folder = staging / prd_id
        folder.mkdir()
        (folder / "prd.json").write_text(
            json.dumps(prd, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    git = Git(paths)
    git.run("init", "-q", "-b", "main", "--template=")
    identity = {"user.name": "prd-tui demo", "user.email": "demo@localhost"} if git.identity() else {}
    for key, value in (_CONFIG | identity).items():
        git.run("config", key, value)
    git.run("add", "-A", "--", *shop.FILES)
    git.run("commit", "-q", "-m", "A small shop")
    SettingsDesk(paths, git).put(_settings(python, pace))
    # Whole folders that are moved in at once, at rest meanwhile, are admitted without a wait.
    paths.active.mkdir(parents=True)
    for prd_id in prds:
        (staging / prd_id).rename(paths.active / prd_id)
    staging.rmdir()
    return paths


def demo_prds(python: str) -> dict[str, Prd]:
    """Folder name → prd.json. `python`: the interpreter of gates, as a word of a shell command."""
    return {
        "price-rounding": features.price_rounding(python),
        "cart-totals": features.cart_totals(),
        "search-index": features.search_index(),
        "checkout": features.checkout(),
        "tax-report": troubles.tax_report(),
        "order-export": troubles.order_export(),
        "free-delivery": troubles.free_delivery(),
        "summer-sale": troubles.summer_sale(),
    }


def _settings(python: str, pace: float) -> dict[str, Any]:
    return {
        "coordinator.base_branch": "main",
        "coordinator.max_prds": 3,
        "coordinator.max_retries": 0,
        "coordinator.auto_merge": False,
        "coordinator.verify": [f"{python} -m unittest -q"],
        "worker.preset": "",
        "worker.command": [],
        "worker.agent": "offline",
        "worker.max_attempts": 2,
        "worktree.root": ".claude-loop/worktrees",
        "worktree.copy": [],
        "worktree.setup": [],
        "worktree.teardown": [],
        # Compiled files go by the second: of two edits within one, Python might run the first.
        "worktree.env": {"PRD_OFFLINE_PACE": str(pace), "PYTHONDONTWRITEBYTECODE": "1"},
    }
