"""Which PRD starts next, on whose work, and why the others wait. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from coordinator.model import FAILED, PASSING_HOLDS, QUEUED, PrdState
from coordinator.state import ARRIVING_AGAIN, BaseStatus, EngineState, Record, is_done, slots_used

_HOPELESS = FAILED | {PrdState.INVALID, PrdState.DROPPED, PrdState.BLOCKED}


@dataclass(frozen=True)
class Start:
    """`base_on`: the PRD on whose branch it stands, or "" for the base branch."""

    prd_id: str
    slot: int
    base_on: str


@dataclass(frozen=True)
class Outlook:
    """Why a queued PRD does not start. `blocked`: only a person can change it; `soon`: being looked at."""

    blocked: bool
    reason: str
    waiting_for: tuple[str, ...] = ()
    soon: bool = False


def queue(state: EngineState) -> list[Record]:
    """The queued PRDs in the order in which they start: priority, arrival, then the id to be stable."""
    waiting = (record for record in state.records.values() if record.state in QUEUED)
    return sorted(waiting, key=lambda record: (record.priority, record.arrival, record.prd_id))


def find_cycle(state: EngineState, prd_id: str) -> tuple[str, ...]:
    """The dependency cycle through `prd_id`, starting and ending with it; empty if there is none."""
    trail: list[str] = [prd_id]
    seen: set[str] = set()

    def walk(current: str) -> bool:
        record = state.records.get(current)
        for dependency in record.prd.depends_on if record and record.prd and not is_done(record) else ():
            if dependency == prd_id:
                trail.append(dependency)
                return True
            if dependency not in seen:
                seen.add(dependency)
                trail.append(dependency)
                if walk(dependency):
                    return True
                trail.pop()
        return False

    return tuple(trail) if walk(prd_id) else ()


def outlook(state: EngineState, record: Record) -> Outlook | None:
    """What keeps `record` from starting, slots, holds and time apart; None: nothing."""
    if record.prd is None:
        return Outlook(False, record.reason)  # until its folder has been read it keeps what it came with
    if not record.prd.depends_on:
        return None
    if cycle := find_cycle(state, record.prd_id):
        return Outlook(True, f"dependency cycle: {' → '.join(cycle)}", record.prd.depends_on)
    waiting: list[str] = []
    for dependency in record.prd.depends_on:
        other = state.records.get(dependency)
        if other is None:
            if dependency in state.dependencies:
                continue
            if not state.looked:
                waiting.append(dependency)
                continue
            return Outlook(True, f"depends on {dependency}, which is nowhere", (dependency,))
        if other.state in _HOPELESS:
            return Outlook(True, f"waits for {dependency}, which is {other.state.value}", (dependency,))
        if not is_done(other) and other.state is not PrdState.NOTHING_LEFT:
            waiting.append(dependency)
    if waiting:
        return Outlook(False, f"after {', '.join(waiting)}", tuple(waiting))
    unknown = [name for name in observed_dependencies(state, record) if name not in state.dependencies]
    if unknown:
        return Outlook(False, "looking where its dependencies stand", tuple(unknown), soon=True)
    if len(foundations(state, record)) > 1:
        names = " and ".join(foundations(state, record))
        return Outlook(True, f"merge {names} first: it depends on both and can stand on one branch only")
    return None


def observed_dependencies(state: EngineState, record: Record) -> list[str]:
    """The completed PRDs that `record` depends on and that have work of their own."""
    names = record.prd.depends_on if record.prd else ()
    return [name for name in names if (other := state.records.get(name)) and is_done(other)]


def foundations(state: EngineState, record: Record) -> list[str]:
    """The unmerged dependencies it would have to stand on, less those that another one holds already."""
    unmerged = [name for name in observed_dependencies(state, record) if not state.dependencies.get(name)]
    held = state.contained
    return [
        name
        for place, name in enumerate(unmerged)
        if not any(
            # Two branches that hold each other are equal: the first one stands for both.
            (name, other) in held and ((other, name) not in held or other_place < place)
            for other_place, other in enumerate(unmerged)
            if other != name
        )
    ]


def judge(state: EngineState) -> EngineState:
    """Marks queued PRDs blocked and blocked ones queued as their dependencies stand."""
    while True:
        changed = False
        for record in queue(state):
            view = outlook(state, record)
            wanted = PrdState.BLOCKED if view and view.blocked else PrdState.QUEUED
            reason = view.reason if view else _own_reason(record)
            waiting_for = view.waiting_for if view else ()
            if (record.state, record.reason, record.waiting_for) != (wanted, reason, waiting_for):
                state = state.with_record(
                    replace(record, state=wanted, reason=reason, waiting_for=waiting_for)
                )
                changed = True
        if not changed:
            return state


def _own_reason(record: Record) -> str:
    """The reason it was queued with, once nothing keeps it any more."""
    return "" if record.waiting_for or record.state is PrdState.BLOCKED else record.reason


def may_start(state: EngineState, record: Record) -> bool:
    """Slots and time apart."""
    return (
        record.state is PrdState.QUEUED
        and outlook(state, record) is None
        and (state.only is None or record.prd_id in state.only)
    )


def starts(state: EngineState, now: float) -> Iterator[Start]:
    """What starts at once, in order. Nothing does while a hold is on, the base is checked, or the engine ends."""
    if state.holds or state.ending is not None or not state.looked or is_checking(state):
        return
    taken = {record.slot for record in state.records.values() if record.holds_slot}
    free = state.max_prds - slots_used(state)
    for record in queue(state):
        if free <= 0:
            return
        if record.not_before <= now and may_start(state, record):
            slot = next(number for number in range(1, len(taken) + 2) if number not in taken)
            taken.add(slot)
            free -= 1
            base = foundations(state, record)
            yield Start(record.prd_id, slot, base[0] if base else "")


def is_checking(state: EngineState) -> bool:
    return state.base.status is BaseStatus.CHECKING


def nothing_can_run(state: EngineState) -> bool:
    """No PRD runs, arrives or could still start by itself. A hold that passes by itself is waited for."""
    if not state.looked or state.drops or is_checking(state):
        return False
    held = bool(state.holds.keys() - PASSING_HOLDS) or state.ending is not None
    for record in state.records.values():
        arriving = record.state is PrdState.ARRIVING or ARRIVING_AGAIN in record.marks
        if record.gates_held:  # until somebody moves the gate
            continue
        if record.holds_slot or arriving or record.state is PrdState.VERIFYING:
            return False
        if held or record.state is not PrdState.QUEUED:
            continue
        view = outlook(state, record)
        if (state.only is None or record.prd_id in state.only) and (view is None or view.soon):
            return False
    return True
