"""`validate` and `add`: PRD folders before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from app.status_text import clean
from coordinator.api import Checked, Paths, PrdTuiError, check, discover, put_in
from coordinator.model import Problem


def validate(words: list[str], start: Path) -> int:
    """One line per problem, `file:line: problem — how to mend it`; 1 if a PRD cannot be used."""
    targets = [start / word for word in words] or _active_folders(start)
    if not targets:
        print("There is no PRD to check: put a folder with a prd.json into prds/active.")
        return 0
    bad = 0
    for target in targets:
        checked = check(target)
        bad += bool(checked.problems)
        for line in _lines(checked, start):
            print(line)
    sys.stdout.flush()
    return 1 if bad else 0


def add(words: list[str], start: Path, paths: Paths) -> int:
    """Each one whole or not at all; what could not be added is said, and makes the exit code 2."""
    refused = 0
    for word in words:
        try:
            print(f"added {clean(put_in(paths, start / word))}")
        except PrdTuiError as error:
            refused += 1
            print(f"prd-tui: {clean(str(error))}", file=sys.stderr)
    return 2 if refused else 0


def _active_folders(start: Path) -> list[Path]:
    active = discover(start).active
    return sorted(entry for entry in active.iterdir() if entry.is_dir()) if active.is_dir() else []


def _lines(checked: Checked, start: Path) -> Iterator[str]:
    name = clean(str(checked.path.relative_to(start) if checked.path.is_relative_to(start) else checked.path))
    for problem in checked.problems:
        yield _line(name, "", problem)
    for problem in checked.warnings:
        yield _line(name, "warning: ", problem)
    if checked.prd is not None:
        open_stories = sum(not story.passes for story in checked.prd.stories)
        todo = (
            f"{open_stories} of {len(checked.prd.stories)} stories to do"
            if open_stories
            else "nothing left to do"
        )
        yield f"{name}: ok, {todo}"


def _line(name: str, kind: str, problem: Problem) -> str:
    place = f"{name}:{problem.line}" if problem.line else name
    return clean(f"{place}: {kind}{problem}")
