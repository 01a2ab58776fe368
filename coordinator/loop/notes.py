"""progress.txt beside prd.json: what each attempt leaves for those that come after, agents and people."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from coordinator.clock import iso
from coordinator.files import append_line, make_way
from coordinator.loop.stories import Failure
from coordinator.model import Story
from coordinator.texts import ends, one_line
from coordinator.worktree_files import make_real_folders

NAME = "progress.txt"

#: Characters of an agent's last words, and of a gate's output, that one entry holds.
_WORDS, _OUTPUT = 1200, 1800


def read(folder: Path, head: int, tail: int) -> str:
    """The first `head` and last `tail` bytes of the file, as text; empty if there is no plain file."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        file = os.open(folder / NAME, flags)
    except OSError:
        return ""
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_size <= head + tail:
            return os.pread(file, head + tail, 0).decode(errors="replace")
        begin = os.pread(file, head, 0).decode(errors="replace").rpartition("\n")[0]
        end = os.pread(file, tail, status.st_size - tail).decode(errors="replace").partition("\n")[2]
        return f"{begin}\n\n[… earlier entries left out …]\n\n{end}"
    except OSError:
        return ""
    finally:
        os.close(file)


def append(worktree: Path, folder: Path, text: str) -> None:
    """Raises StateError."""
    make_real_folders(worktree, folder)
    path = folder / NAME
    make_way(path)
    gap = "\n" if path.exists() and path.stat().st_size else ""
    append_line(path, f"{gap}{text}\n".encode(errors="replace"))


def done(story: Story, attempt: int, now: float, commit: str, *, words: str, claim: bool) -> str:
    """The entry of a story that is done. `words`: the end of what the agent said; `now`: seconds."""
    where = f", commit {commit[:10]}" if commit else ", nothing to commit"
    lines = [_head(story), f"{iso(now)}: done at attempt {attempt}{where}."]
    if claim:
        lines.append("The agent had marked it as passing before it was checked.")
    return "\n".join([*lines, *_quoted("The agent said last:", words, 0, _WORDS)])


def refused(story: Story, failure: Failure, most: int, now: float) -> str:
    """The entry of an attempt that did not hold."""
    lines = [_head(story), f"{iso(now)}: attempt {failure.attempt} of {most} did not hold: {failure.reason}."]
    if failure.claim:
        lines.append("The agent had marked the story as passing; that was taken back.")
    if failure.gate:
        lines += _quoted(f"Output of `{one_line(failure.gate)}`:", failure.gate_output, 600, _OUTPUT - 600)
    return "\n".join([*lines, *_quoted("The agent said last:", failure.output, 0, _WORDS)])


def _head(story: Story) -> str:
    return f"## {one_line(story.id, 128)} {one_line(story.title)}"


def _quoted(title: str, text: str, head: int, tail: int) -> list[str]:
    if not text.strip():
        return []
    return ["", title, *(f"> {line}".rstrip() for line in ends(text.strip("\n"), head, tail).split("\n"))]
