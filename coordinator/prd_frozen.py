"""The PRD as it was when it was admitted: kept as JSON, and compared with what a worker left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from coordinator.model import Prd, Problem, Story


def to_dict(prd: Prd) -> dict[str, Any]:
    """`prd` as plain JSON values."""
    return asdict(prd)


def from_dict(stored: Mapping[str, Any]) -> Prd:
    """What `to_dict` made. Raises KeyError or TypeError on anything else."""
    fields = dict(stored)
    fields["depends_on"] = tuple(fields["depends_on"])
    fields["verify"] = tuple(fields["verify"])
    fields["stories"] = tuple(_story(story) for story in fields["stories"])
    fields["warnings"] = tuple(Problem(**problem) for problem in fields.get("warnings", ()))
    return Prd(**fields)


def _story(stored: Mapping[str, Any]) -> Story:
    fields = dict(stored)
    for key in ("acceptance", "depends_on", "verify"):
        fields[key] = tuple(fields[key])
    return Story(**fields)


def differences(frozen: Prd, worked: Prd) -> tuple[str, ...]:
    """How `worked` falls short of `frozen`, a sentence each; empty if nobody made the work smaller.

    Stories that were added, and `passes`, `notes` and priorities, are a worker's business.
    """
    return tuple(_differences(frozen, worked))


def same_text(one: Story, other: Story) -> bool:
    """Whether two stories ask for the same, whatever became of them."""
    return not _changed(one, other) and one.verify == other.verify


def _differences(frozen: Prd, worked: Prd) -> Iterator[str]:
    if lost := _lost(frozen.verify, worked.verify):
        yield f"verify of the PRD was {lost} after it was admitted"
    found = {story.id: story for story in worked.stories}
    for story in frozen.stories:
        other = found.get(story.id)
        if other is None:
            yield f'story {story.id} ("{story.title}") was removed from prd.json'
            continue
        if lost := _lost(story.verify, other.verify):
            yield f"verify of story {story.id} was {lost} after it was admitted"
        if changed := _changed(story, other):
            verb = "was" if len(changed) == 1 else "were"
            yield f"{' and '.join(changed)} of story {story.id} {verb} changed after it was admitted"


def _lost(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """What happened to commands that are no longer there; further ones make no work smaller."""
    if not set(before) - set(after):
        return ""
    return "changed" if after else "emptied"


def _changed(story: Story, other: Story) -> list[str]:
    """The texts that say what is asked for and differ, by the names they have in the file."""
    pairs = {
        "title": (story.title, other.title),
        "description": (story.description, other.description),
        "acceptanceCriteria": (story.acceptance, other.acceptance),
        "dependsOn": (story.depends_on, other.depends_on),
    }
    return [name for name, (before, after) in pairs.items() if before != after]
