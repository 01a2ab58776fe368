"""The worker's command line and environment."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import PrdTuiError
from coordinator.model import Run

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")

#: First port of slot 1; each slot has ten, below the range that Linux hands out by itself (32768 up).
PORT_BASE, PORTS_PER_SLOT = 21000, 10


class NoWorker(PrdTuiError):
    """The worker command is missing or cannot be started."""


def worker_port(slot: int) -> int:
    """A port of the slot's own; the first of its ten that nothing listens on now."""
    first = PORT_BASE + slot * PORTS_PER_SLOT
    for port in range(first, first + PORTS_PER_SLOT):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    return first


@dataclass(frozen=True)
class Place:
    """Where a run's processes work: what fills the placeholders, and what their environment tells them."""

    run: Run
    slot: int
    port: int

    @property
    def prd_json(self) -> Path:
        return Path(self.run.worktree) / "prds" / "active" / self.run.prd_id / "prd.json"

    def fill(self, word: str) -> str:
        """`word` with its placeholders filled in."""
        fields = {
            "prd_json": str(self.prd_json),
            "prd_id": self.run.prd_id,
            "prd_dir": str(self.prd_json.parent),
            "worktree": self.run.worktree,
            "branch": self.run.branch,
            "slot": str(self.slot),
            "port": str(self.port),
        }
        # In one pass, so that a value that happens to contain braces is not filled in again.
        return _PLACEHOLDER.sub(lambda found: fields.get(found[1], found[0]), word)

    def env(
        self, inherited: Mapping[str, str], git_variables: Iterable[str], extra: Mapping[str, str]
    ) -> dict[str, str]:
        """The person's environment without what points git elsewhere, plus who the process is and `extra`."""
        local = set(git_variables)
        env = {key: value for key, value in inherited.items() if key not in local}
        ceilings = (str(Path(self.run.worktree).parent), inherited.get("GIT_CEILING_DIRECTORIES", ""))
        env |= {
            "PRD_ID": self.run.prd_id,
            "PRD_JSON": str(self.prd_json),
            "PRD_RUN_ID": self.run.run_id,
            "PRD_SLOT": str(self.slot),
            "PRD_PORT": str(self.port),
            # Without its .git, a worktree in the checkout must not let git climb to the person's own.
            "GIT_CEILING_DIRECTORIES": os.pathsep.join(filter(None, ceilings)),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_EDITOR": "true",
            "PAGER": "cat",
        }
        return env | {key: self.fill(value) for key, value in extra.items()}


def find_program(
    word: str,
    worktree: Path,
    root: Path,
    path: str | None,
    *,
    what: str = "The worker command",
    mend: str = "correct [worker] command",
) -> str:
    """The absolute path of a worker's or an agent's program. Raises NoWorker with what to do.

    A relative path is looked for in the worktree, then, since loop scripts are often untracked, in the checkout.
    """
    if "/" not in word:
        found = shutil.which(word, path=path)
        if found is None:
            raise NoWorker(f"{what} {word!r} is not on PATH: install it or {mend}.")
        return os.path.abspath(found)  # noqa: PTH100 - a link such as busybox's must keep its name
    for candidate in (worktree / word, root / word):
        if candidate.is_file():
            if not os.access(candidate, os.X_OK):
                raise NoWorker(f"{what} {word} is not executable: run chmod +x on it.")
            return str(candidate)
    raise NoWorker(f"{what} {word} does not exist: {mend} or add the script.")
