"""Which story comes next, and what is known of it from earlier attempts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.model import Story


@dataclass(frozen=True)
class Failure:
    """Why the last attempt at a story did not hold. `gate`: the command that failed, if one did."""

    attempt: int
    reason: str
    output: str = ""  # the end of what the agent said
    gate: str = ""
    gate_output: str = ""
    claim: bool = False  # the agent had marked the story as passing


def next_story(stories: Sequence[Story]) -> Story | None:
    """The first open story by priority, then by position, whose dependencies pass; None: all pass."""
    passing = {story.id for story in stories if story.passes}
    known = {story.id for story in stories}

    def ready(story: Story) -> bool:
        return all(name in passing or name not in known for name in story.depends_on)

    still_open = [story for story in stories if not story.passes]
    candidates = [story for story in still_open if ready(story)] or still_open
    order = lambda story: float("inf") if story.priority is None else story.priority  # noqa: E731
    return min(candidates, key=order, default=None)


def is_last(stories: Sequence[Story], story: Story) -> bool:
    """Whether no other story is open."""
    return all(other.passes or other.id == story.id for other in stories)


def last_failure(entries: Sequence[Mapping[str, Any]], story_id: str) -> Failure | None:
    """The last refused attempt at a story that was not done since, of this run or of an earlier one."""
    for entry in reversed(entries):
        if entry.get("story") != story_id:
            continue
        if entry.get("what") == "done":
            return None
        if entry.get("what") == "refused":
            number = entry.get("attempt")
            words = {name: str(entry.get(name) or "") for name in ("reason", "output", "gate", "gate_output")}
            return Failure(
                number if isinstance(number, int) else 0, claim=entry.get("claim") is True, **words
            )
    return None


def began_at(entries: Sequence[Mapping[str, Any]], story_id: str) -> str:
    """The commit from which the story's work counts: of its first attempt since any story was done."""
    found = ""
    for entry in entries:
        if entry.get("what") == "done":
            found = ""
        elif entry.get("what") == "attempt" and entry.get("story") == story_id and not found:
            found = str(entry.get("head") or "")
    return found


def unproven(
    stories: Sequence[Story], entries: Sequence[Mapping[str, Any]], granted: Collection[str]
) -> tuple[str, ...]:
    """Stories that are marked as passing though their last attempt never held.

    So it is after a loop was killed while an agent had the file. `granted`: those that the person's own file
    has as passing.
    """
    last = {entry.get("story"): entry.get("what") for entry in entries}
    return tuple(
        story.id
        for story in stories
        if story.passes and story.id not in granted and last.get(story.id, "done") != "done"
    )
