"""Giving PRDs up: (state, command or event) → (state, effects). Pure.

A PRD that is to go is stopped first, as by a stop; once it is at rest, `DropPrd` does the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from coordinator.commands import Accepted, CommandId, DropPrds, Rejected
from coordinator.effects import AnswerCommand, DropPrd, Effect
from coordinator.events import DropRefused, PrdDropped
from coordinator.model import ACTIVE, COMPLETED, FAILED, PrdState
from coordinator.state import EngineState, OpenDrop, Record

Step = tuple[EngineState, tuple[Effect, ...]]

#: What a stop notes as its reason in the run's journal.
BY_DROP = "drop"
_UNDER_WAY = "being dropped"


def begin(state: EngineState, command_id: str, command: DropPrds, now: float) -> Step:
    """Takes them out of the queue; those that run have to be stopped by the caller. `due` goes on from there."""
    names = tuple(dict.fromkeys(command.prd_ids))
    refusals = (_refusal(state, name) for name in names)
    if reason := next(filter(None, refusals), ""):
        return state, (AnswerCommand(Rejected(CommandId(command_id), reason)),)
    left = frozenset(name for name in names if state.records[name].state is not PrdState.DROPPED)
    said = tuple(f"{name} was dropped before" for name in names if name not in left)
    state = replace(
        state,
        drops={**state.drops, **{name: state.drops.get(name, False) for name in names if name in left}},
        open_drops={**state.open_drops, command_id: OpenDrop(left, said)},
    )
    if not left:
        return _answered(state)
    words = f"dropping {', '.join(sorted(left))}"
    return state, (AnswerCommand(Accepted(CommandId(command_id), words, done=False)),)


def to_stop(state: EngineState, names: Iterable[str]) -> list[Record]:
    """Those of the PRDs to be given up whose run has to be ended first."""
    return [record for name in names if (record := state.records.get(name)) and record.holds_slot]


def _refusal(state: EngineState, name: str) -> str:
    record = state.records.get(name)
    if record is None:
        return f"{name} is no PRD of this repository"
    if record.state is PrdState.ARRIVING:
        return f"{name} is still being copied: drop it once it is whole"
    if record.state in (PrdState.MERGING, PrdState.MERGED):
        return f"{name} is {record.state.value}: there is nothing to give up"
    return ""


def due(state: EngineState, now: float) -> Step:
    """Goes on with every drop whose PRD has come to rest."""
    effects: list[Effect] = []
    for name, under_way in state.drops.items():
        record = state.records.get(name)
        if record is None and not under_way:  # nothing is left of it
            record = Record(name, name, PrdState.STOPPED, since=now)
        if under_way or record is None or record.state in ACTIVE:
            continue
        effects.append(DropPrd(name, record.run, record.state in COMPLETED))
        if record.state not in COMPLETED | FAILED:
            record = replace(record, state=PrdState.STOPPED, since=now, waiting_for=())
        state = state.with_record(replace(record, reason=_UNDER_WAY))
        state = replace(state, drops={**state.drops, name: True})
    return state, tuple(effects)


def finish(state: EngineState, event: PrdDropped | DropRefused, now: float) -> Step:
    """A PRD is given up, or stays after all; who asked for it is told once nothing more is open."""
    name, record = event.prd_id, state.records.get(event.prd_id)
    state = replace(state, drops={key: way for key, way in state.drops.items() if key != name})
    if record is not None and record.state in FAILED | COMPLETED:
        state = state.with_record(_finished(record, event, now))
    told = {command_id: _told(open_drop, event) for command_id, open_drop in state.open_drops.items()}
    return _answered(replace(state, open_drops=told))


def _told(open_drop: OpenDrop, event: PrdDropped | DropRefused) -> OpenDrop:
    name = event.prd_id
    if name not in open_drop.left:
        return open_drop
    left = open_drop.left - {name}
    if isinstance(event, PrdDropped):
        return replace(open_drop, left=left, said=(*open_drop.said, event.message))
    why = f"{name} was not dropped: {event.reason}"
    return replace(open_drop, left=left, refused=(*open_drop.refused, why))


def _finished(record: Record, event: PrdDropped | DropRefused, now: float) -> Record:
    if isinstance(event, PrdDropped):
        return replace(record, state=PrdState.DROPPED, reason=event.message, since=now, slot=0, pid=0)
    if record.state in COMPLETED:
        return replace(record, reason="")
    if record.run is None and record.prd is None:  # it was never more than a folder that cannot be used
        return replace(record, state=PrdState.INVALID, reason=event.reason)
    return replace(record, reason=f"not dropped: {event.reason}")


def _answered(state: EngineState) -> Step:
    answers: list[Effect] = []
    for command_id, open_drop in state.open_drops.items():
        if open_drop.left:
            continue
        text = "; ".join((*open_drop.refused, *open_drop.said))
        if open_drop.refused:
            answers.append(AnswerCommand(Rejected(CommandId(command_id), text)))
        else:
            answers.append(AnswerCommand(Accepted(CommandId(command_id), text, done=True)))
    left = {key: value for key, value in state.open_drops.items() if value.left}
    return replace(state, open_drops=left), tuple(answers)
