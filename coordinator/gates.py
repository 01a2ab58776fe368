"""Gates: commands the coordinator runs itself to verify work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from coordinator.context import Context
from coordinator.gates_outside import outside_gate
from coordinator.model import Prd, Run
from coordinator.worker_env import PORT_BASE, Place


def gate_commands(configured: tuple[str, ...] | list[str], prd: Prd) -> list[str]:
    """The gates of the settings, the PRD and its stories, each command once, in that order."""

    def all_of_them() -> Iterator[str]:
        yield from configured
        yield from prd.verify
        for story in prd.stories:
            yield from story.verify

    return list(dict.fromkeys(all_of_them()))


def look_outside(context: Context, run: Run, slot: int, commands: Iterable[str]) -> str:
    """Which gate would run a program of another checkout, a sentence; "" for none, or where that is allowed."""
    settings = context.settings()
    if settings.coordinator.gates_outside:
        return ""
    place = Place(run, slot, PORT_BASE)
    env = place.env(os.environ, context.git.local_env_vars(), settings.worktree.env)
    checkouts = [entry.path for entry in context.worktrees.entries()]
    return outside_gate(commands, Path(run.worktree), checkouts, env)
