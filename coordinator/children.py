"""The keepers that this process started: those that end before it are reaped, not left as zombies."""

from __future__ import annotations

import subprocess
import threading

_lock = threading.Lock()
_children: list[subprocess.Popen[bytes]] = []


def adopt(child: subprocess.Popen[bytes]) -> None:
    """Remembers a child so that `reap` takes it in once it has ended."""
    with _lock:
        _children.append(child)


def reap() -> None:
    """Takes in all that have ended. Cheap, never blocks on a living one, any thread."""
    with _lock:
        _children[:] = [child for child in _children if child.poll() is None]
