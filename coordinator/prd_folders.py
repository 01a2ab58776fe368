"""PRD folders as a person handles them: checked before anything runs, and put into place in one move."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from coordinator import prd_file
from coordinator.errors import PrdTuiError
from coordinator.folders import make_private
from coordinator.model import Prd, Problem
from coordinator.paths import Paths


@dataclass(frozen=True)
class Checked:
    """The verdict on one PRD file. `problems` make it unusable, `warnings` do not."""

    path: Path
    prd: Prd | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check(path: Path) -> Checked:
    """Reads a PRD folder, or a prd.json under any name. Never raises for what is in it."""
    file = path / "prd.json" if path.is_dir() else path
    if path.parent.name == "active" and (reason := prd_file.valid_prd_id(path.name)):
        return Checked(file, None, (Problem(0, reason, ""),), ())
    if not os.path.lexists(path):
        return Checked(path, None, (Problem(0, "there is nothing here", "check the name"),), ())
    try:
        data = prd_file.read_bytes(file.parent, name=file.name)
        prd = prd_file.parse(data)
    except prd_file.PrdInvalid as error:
        return Checked(file, None, error.problems, ())
    return Checked(file, prd, (), prd.warnings)


def put_in(paths: Paths, source: Path) -> str:
    """Copies a PRD folder or prd.json into `prds/active` by one rename; returns its ID.

    Raises PrdTuiError when it is unusable or its ID is taken. The original stays where it is.
    """
    checked = check(source)
    if checked.problems:
        first = checked.problems[0]
        where = f"{checked.path}:{first.line}" if first.line else checked.path
        raise PrdTuiError(f"{where}: {first}")
    prd_id = _prd_id(source)
    if reason := prd_file.valid_prd_id(prd_id):
        raise PrdTuiError(f"{prd_id!r} cannot be a PRD's name: {reason}")
    taken = {name.casefold() for name in os.listdir(paths.active)} if paths.active.is_dir() else set()  # noqa: PTH208
    if prd_id.casefold() in taken:
        raise PrdTuiError(
            f"{prd_id} is in prds/active already: edit it there, or give the new one another name."
        )
    staging = paths.coordinator / "incoming" / f"{prd_id}-{os.getpid()}"
    make_private(staging.parent)
    try:
        paths.active.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, staging, symlinks=True, ignore=_special_files)
        else:
            staging.mkdir()
            shutil.copyfile(source, staging / "prd.json")
        staging.rename(paths.active / prd_id)
    except OSError as error:
        raise PrdTuiError(
            f"{prd_id} could not be put into prds/active: {error.strerror or error}."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return prd_id


def _prd_id(source: Path) -> str:
    """A folder's name; for `prd.json` that of the folder around it, else the file's own without its ending."""
    resolved = source.resolve()
    if source.is_dir():
        return resolved.name
    return resolved.parent.name if resolved.name == "prd.json" else resolved.stem


def _special_files(directory: str, names: list[str]) -> set[str]:
    """Pipes, sockets and devices are no part of a PRD."""

    def special(name: str) -> bool:
        mode = os.lstat(os.path.join(directory, name)).st_mode  # noqa: PTH118
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))

    return {name for name in names if special(name)}
