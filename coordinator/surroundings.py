"""What is to be seen of the repository around the engine: its name, and the branch that work starts from."""

from __future__ import annotations

from collections.abc import Callable

from coordinator.clock import Clock
from coordinator.git import Git
from coordinator.paths import Paths

#: Seconds between two looks: people switch branches while work runs.
LOOK_EVERY = 10.0


class Surroundings:
    """`look` is called often, from a thread that may wait for git; the rest can be read from any thread."""

    def __init__(self, paths: Paths, git: Git, clock: Clock, pinned: Callable[[], str]) -> None:
        self._git = git
        self._clock = clock
        self._pinned = pinned
        self._due = 0.0
        self.repository = paths.root.name
        self.branch = ""

    def look(self) -> bool:
        """Whether the branch is another one than at the last look."""
        before = self.branch
        if pinned := self._pinned():
            self.branch = pinned
        elif self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + LOOK_EVERY
            self.branch = self._git.current_branch() or ""
        return self.branch != before
