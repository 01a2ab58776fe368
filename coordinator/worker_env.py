"""The worker's command line and environment."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from coordinator.errors import PrdTuiError
from coordinator.model import Run

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


def worker_env(
    inherited: Mapping[str, str],
    git_variables: Iterable[str],
    run: Run,
    prd_json: Path,
    *,
    slot: int,
    port: int,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The person's environment without what would point git elsewhere, plus what tells the worker who it is."""
    local = set(git_variables)
    env = {key: value for key, value in inherited.items() if key not in local}
    env |= {
        "PRD_ID": run.prd_id,
        "PRD_JSON": str(prd_json),
        "PRD_RUN_ID": run.run_id,
        "PRD_SLOT": str(slot),
        "PRD_PORT": str(port),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_EDITOR": "true",
        "PAGER": "cat",
    }
    fields = _fields(run, prd_json, slot, port)
    env |= {key: _filled(value, fields) for key, value in (extra or {}).items()}
    return env


def worker_argv(command: Iterable[str], run: Run, prd_json: Path, *, slot: int, port: int) -> list[str]:
    """The words of `[worker] command` with their placeholders filled in."""
    fields = _fields(run, prd_json, slot, port)
    return [_filled(word, fields) for word in command]


def find_program(word: str, worktree: Path, root: Path, path: str | None) -> str:
    """The absolute path of a worker's program. Raises NoWorker with what to do.

    A relative path is looked for in the worktree, then, since loop scripts are often untracked, in the checkout.
    """
    if "/" not in word:
        found = shutil.which(word, path=path)
        if found is None:
            raise NoWorker(
                f"The worker command {word!r} is not on PATH: install it or correct [worker] command."
            )
        return os.path.abspath(found)  # noqa: PTH100 - a link such as busybox's must keep its name
    for candidate in (worktree / word, root / word):
        if candidate.is_file():
            if not os.access(candidate, os.X_OK):
                raise NoWorker(f"The worker command {word} is not executable: run chmod +x on it.")
            return str(candidate)
    raise NoWorker(f"The worker command {word} does not exist: correct [worker] command or add the script.")


def _fields(run: Run, prd_json: Path, slot: int, port: int) -> dict[str, str]:
    return {
        "prd_json": str(prd_json),
        "prd_id": run.prd_id,
        "prd_dir": str(prd_json.parent),
        "worktree": run.worktree,
        "branch": run.branch,
        "slot": str(slot),
        "port": str(port),
    }


def _filled(word: str, fields: Mapping[str, str]) -> str:
    for name, value in fields.items():
        word = word.replace("{" + name + "}", value)
    return word
