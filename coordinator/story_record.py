"""What the built-in loop tells of its stories while it works: `.claude-loop/stories.jsonl` in the worktree.

One JSON object per line: `at` (UTC), `run`, `what`, `story`, and by `what`:

    attempt   attempt, max_attempts, head   an attempt begins; `head`: the commit the worktree was on
    refused   attempt, reason, claim, output, gate, gate_output   it did not hold, and the evidence
    done      attempt, seconds, commit      gates passed, committed, `passes` written
    gave up   attempts, reason              the last attempt did not hold; the worker ends
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from coordinator.clock import iso, parse_iso
from coordinator.files import append_line, make_way
from coordinator.model import Story, StoryState, StoryView
from coordinator.prd_file import PrdInvalid, read_bytes
from coordinator.texts import one_line

Entry: TypeAlias = dict[str, Any]

#: Bytes read at most: a thousand stories with their evidence stay well below.
_LARGEST = 32 << 20


def record_path(worktree: str | Path) -> Path:
    return Path(worktree) / ".claude-loop" / "stories.jsonl"


class StoryRecord:
    """The writer. `run`: the id of the run that its entries belong to."""

    def __init__(self, path: Path, run: str = "") -> None:
        self._path = path
        self._run = run

    def write(self, what: str, story: str, at: float, **more: Any) -> None:
        """Appends one entry; `at`: seconds since the epoch. Raises StateError or OSError."""
        entry = {"at": iso(at), "run": self._run, "what": what, "story": story} | more
        self._path.parent.mkdir(exist_ok=True)
        make_way(self._path)
        append_line(self._path, json.dumps(entry).encode("ascii"), durable=what in ("done", "gave up"))


def read(path: Path) -> list[Entry]:
    """All whole entries, oldest first; none where there is no such file or it is no plain one."""
    try:
        data = read_bytes(path.parent, name=path.name, limit=_LARGEST)
    except (PrdInvalid, OSError):
        return []
    found: list[Entry] = []
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("story"), str):
            found.append(entry)
    return found


def gave_up(entries: Sequence[Entry], run_id: str) -> str | None:
    """Why this run ended early, as a sentence; None if it did not give up on a story."""
    for entry in reversed(entries):
        if entry.get("what") == "gave up" and entry.get("run") == run_id:
            times = f"{_count(entry, 'attempts')}×" if _count(entry, "attempts") else ""
            reason = one_line(str(entry.get("reason", "")))
            return f"{one_line(entry['story'], 80)} failed {times}".rstrip() + (
                f": {reason}" if reason else ""
            )
    return None


def story_views(
    stories: Sequence[Story], entries: Sequence[Entry], run_id: str | None, current: str
) -> tuple[StoryView, ...]:
    """Each story as a front end shows it.

    `entries`: of any runs in this worktree; those of `run_id` say what happened now, earlier ones only when a
    story that passes was done. `current`: the story that is worked on, empty while no worker runs.
    """
    if current and (begun := _under_way(entries, run_id)):
        current = begun  # prd.json may hold a claim just now
    return tuple(
        _view(story, [entry for entry in entries if entry.get("story") == story.id], run_id, current)
        for story in stories
    )


def _under_way(entries: Sequence[Entry], run_id: str | None) -> str:
    """The story whose attempt began last in this run, unless it is over."""
    for entry in reversed(entries):
        if run_id is not None and entry.get("run") == run_id:
            return str(entry["story"]) if entry.get("what") in ("attempt", "refused") else ""
    return ""


def _view(story: Story, entries: list[Entry], run_id: str | None, current: str) -> StoryView:
    ours = [entry for entry in entries if run_id is not None and entry.get("run") == run_id]
    last = ours[-1].get("what") if ours else None
    begun = next((entry for entry in ours if entry.get("what") == "attempt"), None)
    started_at = _moment(begun) if begun else 0.0
    if story.passes and last not in ("attempt", "refused", "gave up"):
        done = next((entry for entry in reversed(entries) if entry.get("what") == "done"), {})
        return StoryView(
            id=story.id,
            title=story.title,
            state=StoryState.DONE,
            attempt=_count(done, "attempt"),
            max_attempts=_most(ours),
            started_at=started_at,
            seconds=_seconds(done),
            commit=str(done.get("commit") or "")[:7],
        )
    attempts = [_count(entry, "attempt") for entry in ours if entry.get("what") == "attempt"]
    reasons = [entry.get("reason") for entry in ours if entry.get("what") in ("refused", "gave up")]
    state, seconds = StoryState.OPEN, 0.0
    if last == "gave up":
        state, seconds = StoryState.FAILED, max(0.0, _moment(ours[-1]) - started_at) if begun else 0.0
    elif story.id == current:
        state = StoryState.RUNNING
    return StoryView(
        id=story.id,
        title=story.title,
        state=state,
        attempt=attempts[-1] if attempts else 0,
        max_attempts=_most(ours),
        started_at=started_at,
        seconds=seconds,
        note=one_line(str(reasons[-1] or "")) if reasons else "",
    )


def _most(entries: Sequence[Entry]) -> int:
    return max((_count(entry, "max_attempts") for entry in entries), default=0)


def _count(entry: Entry, key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _seconds(entry: Entry) -> float:
    value = entry.get("seconds")
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return float(value) if good else 0.0  # type: ignore[arg-type]


def _moment(entry: Entry) -> float:
    try:
        return parse_iso(str(entry.get("at")))
    except ValueError:
        return 0.0
