"""Writing prd.json: the plain copy for a worker, and results back into the person's own text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.json_spans import Place, Positions
from coordinator.model import Prd, Story
from coordinator.prd_fields import BRANCH_KEYS, CONTAINER_KEYS, DEPENDS_KEYS, PASSES_KEYS, passes_key
from coordinator.prd_schema import container_of, decode, parse, read_json


@dataclass(frozen=True)
class StoryResult:
    """What became of one story. `notes`: None leaves them as they are."""

    passes: bool
    notes: str | None = None


def normalised(
    original: bytes,
    prd: Prd,
    *,
    branch: str,
    passes: Mapping[str, bool] | None = None,
    project_fallback: str,
) -> bytes:
    """The copy for a worker: an object with `userStories`, each with the fields every loop script expects.

    `prd` is what `original` was understood as, `branch` the branch really used. `passes` overrides by story
    id. Unknown keys stay; other spellings of a field give way to the plain one, so that none contradicts it.
    """
    document = read_json(decode(original))
    where, raw = container_of(document) or ((), [])
    head = document if isinstance(document, dict) else {}
    plain: dict[str, Any] = {"project": prd.project or project_fallback, "branchName": branch}
    replaced = {*where, *plain, *BRANCH_KEYS, CONTAINER_KEYS[0]}
    plain |= {key: value for key, value in head.items() if key not in replaced}
    plain[CONTAINER_KEYS[0]] = [
        _plain_story(entry, story, position, passes or {})
        for position, (entry, story) in enumerate(zip(raw, prd.stories, strict=True), start=1)
    ]
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()


def _plain_story(
    entry: dict[str, Any], story: Story, position: int, passes: Mapping[str, bool]
) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": story.id,
        "title": story.title,
        "passes": passes.get(story.id, story.passes),
        "priority": _number(position if story.priority is None else story.priority),
        "dependsOn": list(story.depends_on),
    }
    replaced = {*plain, *PASSES_KEYS, *DEPENDS_KEYS}
    return plain | {key: value for key, value in entry.items() if key not in replaced}


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def write_back(original: bytes, updates: Mapping[str, StoryResult]) -> bytes:
    """`original` with `passes` and `notes` of the stories in `updates`, and not one other byte changed.

    A story that says it under another spelling of `passes` (a boolean `complete`, say) is changed there; one
    that says it by a word or not at all gets `passes`. Stories that are not there are left out. Raises
    PrdInvalid if `original` is no valid PRD.
    """
    stories = parse(original).stories
    text = decode(original)
    where, raw = container_of(read_json(text)) or ((), [])
    positions = Positions(text)
    edits: list[tuple[int, int, str]] = []
    for index, (entry, story) in enumerate(zip(raw, stories, strict=True)):
        wanted = updates.get(story.id)
        if wanted is not None and (changes := dict(_changes(entry, story, wanted))):
            edits += _edits(positions, positions.find((*where, index)), changes)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text.encode()


def _changes(entry: dict[str, Any], story: Story, wanted: StoryResult) -> Iterator[tuple[str, Any]]:
    if wanted.passes != story.passes:
        yield passes_key(entry) or PASSES_KEYS[0], wanted.passes
    # what cannot be written as UTF-8 would make the person's file unreadable
    notes = None if wanted.notes is None else wanted.notes.encode("utf-8", "replace").decode()
    if notes is not None and notes != story.notes:
        yield "notes", notes


def _edits(positions: Positions, story: Place, changes: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Replacements (start, end, new text) that set `changes` in the object at `story`."""
    members = positions.children(story)
    text = positions.text
    edits: list[tuple[int, int, str]] = []
    added = ""
    before, colon = _layout(text, story, list(members.values()))
    for key, value in changes.items():
        written = json.dumps(value, ensure_ascii=False)
        if key in members:
            edits.append((members[key].start, members[key].end, written))
        else:
            comma = "," if members or added else ""
            added += f"{comma}{before if comma else ''}{json.dumps(key)}{colon}{written}"
    if added:
        # behind the last member, or right behind the opening brace
        at = max((place.end for place in members.values()), default=story.start + 1)
        edits.append((at, at, added))
    return edits


def _layout(text: str, story: Place, members: list[Place]) -> tuple[str, str]:
    """What this object has before a further key, and between a key and its value."""
    if not members:
        return " ", ": "
    first, last = members[0], members[-1]
    colon = text[last.key_end : last.start]
    if len(members) > 1:
        comma = text.index(",", members[-2].end)
        return text[comma + 1 : last.key_start], colon
    before = text[story.start + 1 : first.key_start]
    if "\n" in before:
        return before, colon
    return (" " if colon.endswith(" ") else ""), colon
