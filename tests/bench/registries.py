"""Registries with as much in them as a benchmark wants."""

from __future__ import annotations

import os
from typing import Any

from coordinator.registry import Registry


def filled(registry: Registry, *, active: int, finished: int) -> Registry:
    """`active` running PRDs, and `finished` ones that completed before them."""

    def fill(document: dict[str, Any]) -> None:
        document["completed_prds"] = [_finished(number) for number in range(finished)]
        document["active_prds"] = {f"ACTIVE-{number:02}": _active(number) for number in range(active)}

    registry.update(fill)
    return registry


def _active(number: int) -> dict[str, Any]:
    prd_id = f"ACTIVE-{number:02}"
    return {
        "prd_id": prd_id,
        "status": "running",
        "pid": os.getpid(),
        "branch": f"feature/{prd_id}",
        "worktree": f"/srv/shop/.claude-loop/worktrees/{prd_id}",
        "started_at": "2026-01-01T00:00:00.000Z",
        "progress": {"completed": 1, "total": 5},
        "current_story": "US-002",
        "run_id": f"20260101T000000Z-{number:04}",
    }


def _finished(number: int) -> dict[str, Any]:
    return {
        "prd_id": f"DONE-{number:05}",
        "status": "completed",
        "completed_at": f"2025-01-01T00:00:{number:09}Z",
        "branch": f"feature/DONE-{number:05}",
        "duration_seconds": 12.5,
        "stories_completed": 3,
    }
