"""Folders of prd-tui's own."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from coordinator.errors import PrdTuiError, StateError


def inside(path: str, root: Path) -> str:
    """`path` as seen from `root`; one that does not lie in it stays absolute."""
    seen = os.path.relpath(path, root)
    return path if seen == ".." or seen.startswith("../") else seen


def make_private(folder: Path) -> None:
    """Makes `folder` and its missing parents, 0700; one that is there is left as it is. Raises StateError.

    Where the checkout itself is gone, moved away under us, nothing grows at the old place.
    """
    ours = next((path for path in (folder, *folder.parents) if path.name == ".claude-loop"), None)
    if ours is not None and not ours.parent.is_dir():
        raise StateError(f"{ours.parent} is gone: start prd-tui where the repository is now.")
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{folder} cannot be made ({error.strerror}): check permissions and free space."
        ) from error


def free_name(path: Path) -> Path:
    """`path`, or the first name beside it with a number that is not taken. Raises PrdTuiError."""
    candidates = [path, *(path.with_name(f"{path.name}-{number}") for number in range(1, 1000))]
    with contextlib.suppress(StopIteration):
        return next(candidate for candidate in candidates if not candidate.exists())
    raise PrdTuiError(f"{path} and a thousand names beside it are taken: tidy {path.parent}.")
