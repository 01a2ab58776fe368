"""A PRD's record as registry entry, row and metrics line: one direction each, all pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.clock import iso
from coordinator.folders import inside
from coordinator.model import EngineSnapshot, PrdState, PrdView, QueueView
from coordinator.registry_entries import kind_of
from coordinator.scheduler import is_checking, nothing_can_run, queue
from coordinator.state import HUNG, UNGATED, EngineState, Record, slots_used
from coordinator.story_states import stories_of

Document = dict[str, Any]

#: The lifecycle events of `metrics.jsonl` by the state that was reached; others are `prd_<state>`.
_EVENT_NAMES = {PrdState.RUNNING: "prd_started", PrdState.NOTHING_LEFT: "prd_nothing_left"}


def registry_entry(record: Record, root: str) -> Document:
    """The entry of a stored PRD; paths are relative to the checkout where they lie in it."""
    entry: Document = {
        "prd_id": record.prd_id,
        "status": record.state.value,
        "reason": record.reason,
        "prd_path": f"prds/active/{record.prd_id}",
        "progress": {"completed": record.progress.completed, "total": record.progress.total},
        "generation": record.generation,
        "retries": record.retries,
        "lost_before": record.lost_before,
        "fresh": record.fresh,
    }
    run = record.run
    if run is not None:
        entry |= {
            "run_id": run.run_id,
            "run_dir": run.run_dir,
            "branch": run.branch,
            "branch_asked": run.branch_asked,
            "worktree_path": inside(run.worktree, Path(root)),
        }
    kind = kind_of(record.state)
    if kind == "active":
        entry |= {
            "pid": record.pid,
            "started_at": iso(record.started_at or record.since),
            "current_story": record.current_story,
        }
        if HUNG in record.shown_marks:
            entry |= {"hung": True, "reason": record.hung}
    elif kind == "queued":
        entry |= {
            "queued_at": iso(record.arrival),
            "priority": record.priority if record.priority != float("inf") else 0,
            "waiting_for": list(record.waiting_for),
        }
    elif kind == "completed":
        entry |= {
            "prd_path": f"prds/completed/{record.prd_id}",
            "completed_at": iso(record.ended_at or record.since),
            "duration_seconds": _duration(record),
            "stories_completed": record.progress.completed,
            "ungated": UNGATED in record.marks,
        }
    elif kind == "failed":
        entry |= {
            "failed_at": iso(record.since),
            "error": record.reason,
            "exit_code": record.exit.code if record.exit else None,
            "exit_signal": record.exit.signal if record.exit else None,
            "ended_at": iso(record.exit.ended_at) if record.exit else None,
            "queued_at": iso(record.arrival),
        }
    return entry


def _duration(record: Record) -> float:
    ended = record.exit.ended_at if record.exit else record.ended_at
    return round(max(0.0, ended - record.started_at), 3) if record.started_at else 0.0


def metrics_event(state: PrdState, came_from: PrdState | None) -> str:
    if state is PrdState.RUNNING and came_from in (PrdState.PAUSING, PrdState.PAUSED):
        return "prd_resumed"
    return _EVENT_NAMES.get(state, f"prd_{state.value}")


def view(record: Record, position: int) -> PrdView:
    """The row of one PRD. `position`: its place in the queue, 0 when it is not queued."""
    prd, run, marks = record.prd, record.run, record.shown_marks
    return PrdView(
        prd_id=record.prd_id,
        state=record.state,
        title=prd.title if prd else "",
        priority=record.priority,
        position=position,
        progress=record.progress,
        current_story=record.current_story,
        reason=record.hung if HUNG in marks else record.reason,
        branch=run.branch if run else "",
        branch_asked=run.branch_asked if run else "",
        worktree=run.worktree if run else "",
        run_id=run.run_id if run else "",
        since=record.since,
        slot=record.slot,
        pid=record.pid,
        queued_at=record.arrival,
        started_at=record.started_at,
        ended_at=record.ended_at,
        paused_at=record.paused_at,
        paused_seconds=record.paused_seconds,
        exit_code=record.exit.code if record.exit else None,
        exit_signal=record.exit.signal if record.exit else None,
        waiting_for=record.waiting_for,
        marks=marks,
        stories=stories_of(record),
        warnings=tuple(str(warning) for warning in prd.warnings) if prd else (),
    )


class Rows:
    """The rows of all PRDs. One that did not change is the same object as before, which costs nobody anything."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Record, int, PrdView]] = {}

    def of(self, records: Mapping[str, Record], places: Mapping[str, int]) -> tuple[PrdView, ...]:
        """In the order of `records`; `places`: the queue's, from 1."""
        made: dict[str, tuple[Record, int, PrdView]] = {}
        for prd_id, record in records.items():
            place = places.get(prd_id, 0)
            old = self._made.get(prd_id)
            same = old is not None and old[0] is record and old[1] == place
            made[prd_id] = old if same and old else (record, place, view(record, place))
        self._made = made
        return tuple(row for _record, _place, row in made.values())


def checking(state: EngineState) -> str:
    """What is looked into before anything starts, one phrase."""
    command = state.base.command if is_checking(state) else ""
    return f"checking the gates on the base: {command}" if command else ""


def snapshot(
    state: EngineState,
    rows: Rows,
    version: int,
    faults: tuple[str, ...],
    *,
    repository: str = "",
    branch: str = "",
) -> EngineSnapshot:
    order = tuple(record.prd_id for record in queue(state))
    places = {prd_id: place for place, prd_id in enumerate(order, 1)}
    return EngineSnapshot(
        version=version,
        prds=rows.of(
            {key: one for key, one in state.records.items() if one.state is not PrdState.DROPPED}, places
        ),
        queue=QueueView(
            order,
            tuple(state.holds.values()),
            slots_used(state),
            state.max_prds,
            hold_kinds=tuple(state.holds),
            checking=checking(state),
        ),
        owner_pid=os.getpid(),
        faults=faults,
        exhausted=nothing_can_run(state),
        repository=repository,
        branch=branch,
    )
