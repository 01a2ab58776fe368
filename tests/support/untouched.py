"""The user's checkout as one value, to compare before and after."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.support.repos import git

#: prd-tui's own places, at the top of the checkout.
_OURS = (".git", ".claude-loop", "prds")


def fingerprint(repo: Path, new_branches: Collection[str] = ()) -> dict[str, Any]:
    """HEAD, refs, index, config, hooks, stashes, status and every file with its mode.

    `refs/prd/` and the named new branches are left out, and so are `.claude-loop` and `prds/`.
    """
    common = repo / git(repo, "rev-parse", "--git-common-dir")
    left_out = {f"refs/heads/{name}" for name in new_branches}
    refs = git(repo, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    status = git(repo, "--no-optional-locks", "status", "--porcelain", "--untracked-files=all")
    return {
        "HEAD": (common / "HEAD").read_bytes(),
        "refs": [
            ref for ref in refs if not ref.startswith("refs/prd/") and ref.split(" ")[0] not in left_out
        ],
        "index": _digest(common / "index"),
        "config": (common / "config").read_bytes(),
        "hooks": _tree(common / "hooks"),
        "stashes": git(repo, "stash", "list"),
        "status": [line for line in status.splitlines() if not line[3:].strip('"').startswith(_OURS[1:])],
        "files": _tree(repo, _OURS),
    }


def _tree(top: Path, left_out: Collection[str] = ()) -> dict[str, tuple[int, str]]:
    """Relative path → mode and content (or link target) of everything below `top`."""
    found: dict[str, tuple[int, str]] = {}
    for folder, folders, names in os.walk(top):
        if Path(folder) == top:
            folders[:] = [name for name in folders if name not in left_out]
        for name in [*folders, *names]:
            path = Path(folder, name)
            found[str(path.relative_to(top))] = (path.lstat().st_mode, _digest(path))
    return found


def _digest(path: Path) -> str:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return str(path.readlink())
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
