"""Makes the demo's repository, the same on every machine: nothing of the person's settings plays a part."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from coordinator import config
from coordinator.admission import STILL_MOVED
from coordinator.demo import features, shop, troubles
from coordinator.demo.writing import Prd
from coordinator.errors import PrdTuiError
from coordinator.folders import make_private
from coordinator.git import Git, discover
from coordinator.paths import Paths
from coordinator.settings_desk import SettingsDesk, as_toml
from coordinator.settings_schema import SETTINGS

PREFIX = "prd-tui-demo-"
#: The repository inside it: its name is what the screen shows.
NAME = "shop"

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
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    except OSError as error:
        raise PrdTuiError(
            f"No folder for the demo can be made in {tempfile.gettempdir()} ({error.strerror}): "
            "free space there, or set TMPDIR."
        ) from error
    try:
        return _fill(folder / NAME, pace)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise PrdTuiError(f"The demo cannot be made in {folder} ({error.strerror}): set TMPDIR.") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fill(root: Path, pace: float) -> Paths:
    paths = Paths(root, root / ".git")
    python = shlex.quote(sys.executable)
    _write_all(root, shop.FILES)
    prds = demo_prds(python, pace)
    staging = paths.state / "incoming"
    make_private(staging)
    _write_all(staging, {f"{prd_id}/prd.json": _as_json(prd) for prd_id, prd in prds.items()})
    git = Git(paths)
    git.run("init", "-q", "-b", "main", "--template=")
    identity = {"user.name": "prd-tui demo", "user.email": "demo@localhost"} if git.identity() else {}
    for key, value in (_CONFIG | identity).items():
        git.run("config", key, value)
    git.run("add", "-A", "--", *shop.FILES)
    git.run("commit", "-q", "-m", "A small shop")
    _write_settings(paths, git, python, pace)
    paths.active.mkdir(parents=True)
    for prd_id in prds:
        (staging / prd_id).rename(paths.active / prd_id)
    staging.rmdir()
    # Folders at rest are admitted at the engine's first look, all at once, so that priorities count.
    time.sleep(STILL_MOVED)
    return discover(root)


def _write_all(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _as_json(prd: Prd) -> str:
    return json.dumps(prd, indent=2, ensure_ascii=False) + "\n"


def demo_prds(python: str, pace: float) -> dict[str, Prd]:
    """Folder name → prd.json. `python`: the interpreter of gates, as a word of a shell command."""
    return {
        "price-rounding": features.price_rounding(python),
        "cart-totals": features.cart_totals(),
        "search-index": features.search_index(slow=10 * pace),
        "checkout": features.checkout(),
        "tax-report": troubles.tax_report(),
        "order-export": troubles.order_export(),
        "free-delivery": troubles.free_delivery(),
        "summer-sale": troubles.summer_sale(),
    }


def _write_settings(paths: Paths, git: Git, python: str, pace: float) -> None:
    """Those of the demo, and the defaults of all that the person has set otherwise and that steers runs."""
    wanted = {
        "coordinator.base_branch": "main",
        "coordinator.max_prds": 3,
        "coordinator.verify": [f"{python} -m unittest -q"],
        "worker.agent": "offline",
        "worker.max_attempts": 2,
        # Compiled files go by the second: of two edits within one, Python might run the first.
        "worktree.env": {"PRD_OFFLINE_PACE": str(pace), "PYTHONDONTWRITEBYTECODE": "1"},
    }
    files_only = {name: os.environ.get(name, "") for name in ("HOME", "XDG_CONFIG_HOME")}
    present = config.load(paths, git, environ=files_only)
    plain = {
        key: as_toml(row.default)
        for key, row in SETTINGS.items()
        if row.section in ("coordinator", "worker", "worktree") and present.values[key] != row.default
    }
    SettingsDesk(paths, git).put(plain | wanted)
