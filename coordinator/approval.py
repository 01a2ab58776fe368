"""Whether a person has approved the commands that came with the repository.

A tracked file of settings arrives by clone or pull, so what it runs is somebody else's wish. Its keys that
run commands count once a person has seen this very content; a change asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.clock import Clock, SystemClock, iso
from coordinator.files import read_json, write_json
from coordinator.folders import make_private
from coordinator.git import Git
from coordinator.paths import Paths
from coordinator.settings_schema import SETTINGS


def guarded(paths: Paths) -> tuple[Path, ...]:
    """Files of settings inside the checkout: any of them may be tracked, the local one by mischief."""
    return (paths.shared_config, paths.local_config)


def command_keys(values: Mapping[str, Any]) -> list[str]:
    """The keys among checked `values` that run commands."""
    return [key for key, value in values.items() if SETTINGS[key].runs_commands(value)]


def waiting(paths: Paths, git: Git, path: Path, data: bytes, values: Mapping[str, Any]) -> list[str]:
    """Command keys of the file `path`, read as `data` and checked as `values`, that do not count yet.

    git is asked only if there are any.
    """
    keys = command_keys(values)
    if not keys or not _is_tracked(paths, git, path) or _digest(data) in _approved(paths):
        return []
    return keys


def pending(paths: Paths, git: Git) -> list[str]:
    """The dotted keys that wait for approval. Raises ConfigError for a file that cannot be read."""
    from coordinator.config import load

    return list(load(paths, git, refuse_unapproved=False).pending)


def approve(paths: Paths, contents: Mapping[Path, bytes], clock: Clock | None = None) -> None:
    """Records that a person saw exactly these contents. Raises StateError if it cannot be written."""
    now = iso((clock or SystemClock()).now())
    known = _approved(paths)
    for path, data in contents.items():
        known[_digest(data)] = {"file": path.name, "approved_at": now}
    make_private(paths.home)
    write_json(paths.approvals, known)


def _approved(paths: Paths) -> dict[str, Any]:
    """What was approved, by SHA-256 of the file's content."""
    known = read_json(paths.approvals)
    return known if isinstance(known, dict) else {}


def _is_tracked(paths: Paths, git: Git, path: Path) -> bool:
    """Also where the path leads through a tracked symbolic link to a tracked file."""
    real = path.resolve()
    inside = real.is_relative_to(paths.root) and real != path
    return git.is_tracked(path) or (inside and git.is_tracked(real))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
