"""Temporary files of writers that died before their file was whole: nobody else would ever remove them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coordinator.files import sweep_tmp
from coordinator.paths import Paths
from coordinator.runs import COMMAND_FOLDERS


def sweep_left_overs(paths: Paths, worktrees: Path) -> int:
    """Removes them wherever a run writes; returns how many. What a living process writes is left alone.

    `worktrees`: the folder that holds them. The registry's folder looks after itself.
    """
    return sum(sweep_tmp(place) for place in places_written(paths, worktrees))


def places_written(paths: Paths, worktrees: Path) -> Iterator[Path]:
    """Every folder in which a run writes files by way of a temporary one."""
    jobs = [f"*/*/{folder}/*" for folder in COMMAND_FOLDERS]
    for top, patterns in (
        (paths.runs, ["*/*", *jobs]),
        (paths.coordinator, ["commands"]),
        (paths.active, ["*"]),
        (paths.completed, ["*"]),
        (worktrees, ["*/prds/active/*", "*/.claude-loop"]),
    ):
        real = top.resolve()
        for pattern in patterns:
            # A worker can put a link to anywhere in the place of a folder.
            yield from (place for place in real.glob(pattern) if place.resolve() == place)
