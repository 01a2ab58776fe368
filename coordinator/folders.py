"""Folders of prd-tui's own."""

from __future__ import annotations

from pathlib import Path

from coordinator.errors import StateError


def make_private(folder: Path) -> None:
    """Makes `folder` and its missing parents, 0700; one that is there is left as it is. Raises StateError."""
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{folder} cannot be made ({error.strerror}): check permissions and free space."
        ) from error
