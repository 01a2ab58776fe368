"""A PRD's stories as a front end sees them, whatever state it is in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coordinator.model import ACTIVE, COMPLETED, FAILED, Prd, PrdState, Story, StoryState, StoryView
from coordinator.state import Record

Views = tuple[StoryView, ...]


def stories_of(record: Record) -> Views:
    """What the newest run made of them; of a PRD that waits for its next start, the folder as admitted."""
    told = record.stories
    if record.prd is not None and not told:
        told = untouched(record.prd)
    if record.state in COMPLETED:
        return tuple(replace(view, state=StoryState.DONE) for view in told)
    if record.state in ACTIVE:
        idle = record.state in (PrdState.STARTING, PrdState.VERIFYING)
        return _at_rest(told) if idle else told
    if record.state in FAILED or record.prd is None:
        return _at_rest(told)
    return before_a_start(record)


def before_a_start(record: Record) -> Views:
    """The stories of the folder; what an earlier run did of them counts, unless it is to be done afresh."""
    if record.prd is None:
        return record.stories
    earlier = () if record.fresh else record.stories
    done = {view.id: view for view in earlier if view.state is StoryState.DONE}
    return tuple(
        replace(done[view.id], title=view.title) if view.id in done else view
        for view in untouched(record.prd)
    )


def untouched(prd: Prd) -> Views:
    """As they are before anybody worked on them."""
    return tuple(_untouched(story) for story in prd.stories)


def _untouched(story: Story) -> StoryView:
    return StoryView(story.id, story.title, StoryState.DONE if story.passes else StoryState.OPEN)


def _at_rest(views: Sequence[StoryView]) -> Views:
    """Nobody works on any of them."""
    running = StoryState.RUNNING
    return tuple(replace(view, state=StoryState.OPEN) if view.state is running else view for view in views)
