"""What becomes of a PRD when its folder comes, changes or goes: (record, event) → (record, effects). Pure."""

from __future__ import annotations

from dataclasses import replace

from coordinator.events import FolderAdmitted, FolderArriving, FolderRefused, FolderVanished
from coordinator.model import QUEUED, PrdState, Progress, StoryState
from coordinator.policy import Outcome, Policy
from coordinator.state import ARRIVING_AGAIN, EDITED, SOURCE_GONE, Record
from coordinator.story_states import before_a_start


def arrive(record: Record, event: FolderArriving, policy: Policy) -> Outcome:
    return replace(record, state=PrdState.ARRIVING, reason="still being copied"), ()


def admit(record: Record, event: FolderAdmitted, policy: Policy) -> Outcome:
    """A folder that nothing is known of yet, or whose last content was refused or needed nothing."""
    record = _attach(record, event)
    done = sum(story.passes for story in event.prd.stories)
    arrival = record.arrival or event.arrived_at or policy.now
    record = replace(record, progress=Progress(done, len(event.prd.stories)), arrival=arrival)
    if done == len(event.prd.stories):
        return replace(record, state=PrdState.NOTHING_LEFT, reason="every story passes already"), ()
    return replace(record, state=PrdState.QUEUED, reason=""), ()


def _attach(record: Record, event: FolderAdmitted) -> Record:
    return replace(
        record, prd=event.prd, data=event.data, marks=record.marks - {SOURCE_GONE, EDITED, ARRIVING_AGAIN}
    )


def readmit(record: Record, event: FolderAdmitted, policy: Policy) -> Outcome:
    """A queued or ended PRD: its present text counts at the next start."""
    if record.state in QUEUED and record.run is None and all(story.passes for story in event.prd.stories):
        return admit(record, event, policy)  # nothing is left to do any more
    record = _attach(record, event)
    return (with_progress_of_stories(record) if record.state in QUEUED else record), ()


def with_progress_of_stories(record: Record) -> Record:
    """A PRD that waits for its next start: what it will begin with."""
    views = before_a_start(record)
    done = sum(view.state is StoryState.DONE for view in views)
    return replace(record, progress=Progress(done, len(views)))


def edit_while_running(record: Record, event: FolderAdmitted, policy: Policy) -> Outcome:
    if record.prd is None or event.data == record.data:
        return _attach(record, event), ()
    return replace(_attach(record, event), marks=record.marks | {EDITED}), ()


def come_again(record: Record, event: FolderAdmitted, policy: Policy) -> Outcome:
    """The ID of a completed PRD: a new PRD, which keeps only the count of runs."""
    return admit(replace(_anew(record), arrival=policy.now), event, policy)


def _anew(record: Record) -> Record:
    return Record(record.prd_id, record.folder, PrdState.ARRIVING, run=record.run, fresh=True)


def arrive_after_drop(record: Record, event: FolderArriving, policy: Policy) -> Outcome:
    """A person brings a dropped PRD back, or another one of its name: a new PRD."""
    return arrive(_anew(record), event, policy)


def refuse_after_drop(record: Record, event: FolderRefused, policy: Policy) -> Outcome:
    return refuse(_anew(record), event, policy)


def arrive_again(record: Record, event: FolderArriving, policy: Policy) -> Outcome:
    return replace(record, marks=record.marks | {ARRIVING_AGAIN}), ()


def nothing_came(record: Record, event: FolderVanished, policy: Policy) -> Outcome:
    return replace(record, marks=record.marks - {ARRIVING_AGAIN}), ()


def refuse_again(record: Record, event: FolderRefused, policy: Policy) -> Outcome:
    why = f"the new folder of this name cannot be used: {event.reason}"
    return replace(record, marks=record.marks - {ARRIVING_AGAIN}, reason=why), ()


def refuse(record: Record, event: FolderRefused, policy: Policy) -> Outcome:
    return replace(record, state=PrdState.INVALID, reason=event.reason, prd=None, data=b""), ()


def refuse_while_running(record: Record, event: FolderRefused, policy: Policy) -> Outcome:
    return replace(record, marks=record.marks | {EDITED}), ()


def lose_source(record: Record, event: FolderVanished, policy: Policy) -> Outcome:
    if record.verified:
        return record, ()  # it is on its way to prds/completed
    return replace(record, marks=record.marks | {SOURCE_GONE}), ()
