"""How the queue protects itself: what it looks into before a start, what holds it, and who pauses. Pure.

A protective hold is never placed by hand: it follows from what is known of the base, of the runs' gates and of
the room there is, so that none outlives its cause. What holds by a person's word, or because a start was
refused, stands beside it in `EngineState.holds`.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator import pause_steps
from coordinator.commands import StopMode
from coordinator.effects import CheckBase, Effect, EndBaseCheck, LookAtGates, VerifyRun
from coordinator.events import (
    BaseCheckBegun,
    BaseChecked,
    BaseUnchanged,
    Event,
    RoomMeasured,
    SettingsChanged,
    TimePassed,
)
from coordinator.model import BASE, DISK, MEMORY, OUTSIDE, STANDING_HOLDS, PrdState
from coordinator.pause_steps import CAN_RESUME
from coordinator.state import Base, BaseStatus, EngineState, Shortage

Step = tuple[EngineState, tuple[Effect, ...]]

#: Kinds of holds that follow from what is known.
PROTECTIVE = frozenset({BASE, OUTSIDE, DISK, MEMORY})
#: Seconds between two looks whether what holds the queue is still so.
LOOK_EVERY = 10.0


def apply(state: EngineState, event: Event) -> Step:
    """What an event tells about the base, the room and the settings."""
    match event:
        case BaseCheckBegun(command):
            begun = replace(state.base, status=BaseStatus.CHECKING, command=command, looking=False)
            return replace(state, base=begun), ()
        case BaseChecked():
            return replace(state, base=_judged(state.base, event)), ()
        case BaseUnchanged():
            base = replace(state.base, looking=False)
            return replace(state, base=Base(base.settings) if base.outdated else base), ()
        case RoomMeasured(disk, memory, starving):
            return replace(state, shortage=Shortage(disk, memory, starving)), ()
        case SettingsChanged():
            return look_anew(state, event.base)
        case _:
            return state, ()


def protect(state: EngineState, event: Event, now: float) -> Step:
    """Judges anew what stands in the way, after each event."""
    effects: list[Effect] = []
    if isinstance(event, TimePassed) and now - state.protected_at >= LOOK_EVERY:
        state, effects = _look_again(replace(state, protected_at=now))
    if state.shortage is not None and state.ending in (None, StopMode.DRAIN):
        state, wished = _pause_or_continue(state, state.shortage, now)
        effects += wished
    holds = {kind: why for kind, why in state.holds.items() if kind not in PROTECTIVE} | _protective(state)
    if list(holds.items()) != list(state.holds.items()):
        state = replace(state, holds=holds)
    return state, tuple(effects)


def _protective(state: EngineState) -> dict[str, str]:
    """The sentence of each protective hold."""
    found: dict[str, str] = {}
    if state.base.status is BaseStatus.RED:
        found[state.base.kind] = state.base.why
    for record in state.records.values():
        if record.gates_held:
            found.setdefault(OUTSIDE, record.gates_held)
    shortage = state.shortage or Shortage()
    return found | {kind: why for kind, why in ((DISK, shortage.disk), (MEMORY, shortage.memory)) if why}


# -- the base --------------------------------------------------------------------------------------------


def needs_check(state: EngineState) -> bool:
    """Whether the gates have to be tried on the base before anything starts."""
    return bool(state.base.settings) and state.base.status is BaseStatus.UNKNOWN


def begin_check(state: EngineState) -> Step:
    base = Base(state.base.settings, BaseStatus.CHECKING)
    return replace(state, base=base), (CheckBase(),)


def end_check(state: EngineState) -> Step:
    """Gives up a check that is under way, or the look that may become one; it is made anew before the next start."""
    if not state.base.under_way:
        return state, ()
    return replace(state, base=replace(state.base, outdated=True)), (EndBaseCheck(),)


def _judged(base: Base, event: BaseChecked) -> Base:
    if event.given_up or base.outdated or not base.settings:
        return Base(base.settings)
    if not event.reason:
        return Base(base.settings, BaseStatus.GREEN)
    return Base(base.settings, BaseStatus.RED, kind=event.hold, why=event.reason, key=event.key)


# -- looking anew ----------------------------------------------------------------------------------------


def look_anew(state: EngineState, settings: str | None = None) -> Step:
    """A person released the queue, or changed settings (`settings`: of the base): what held it is judged anew."""
    effects: list[Effect] = []
    base = state.base
    changed = settings is not None and settings != base.settings
    if base.under_way and changed:
        state, given_up = end_check(state)
        effects += given_up
    elif base.status is BaseStatus.RED or changed:
        state = replace(state, base=Base(base.settings))
    if settings is not None:
        state = replace(state, base=replace(state.base, settings=settings))
    for record in list(state.records.values()):
        if record.gates_held and record.run is not None:
            state = state.with_record(replace(record, gates_held=""))
            effects.append(VerifyRun(record.run, record.exit))
    return state, tuple(effects)


def release(state: EngineState) -> Step:
    """Lifts what a person can lift; the rest of `holds` stays."""
    left = {kind: why for kind, why in state.holds.items() if kind in STANDING_HOLDS}
    return look_anew(replace(state, holds=left, hold_first=False))


def _look_again(state: EngineState) -> tuple[EngineState, list[Effect]]:
    """The base may have moved, or a gate's program. A queue that is held anyway runs no gates on the base."""
    effects: list[Effect] = [
        LookAtGates(record.run)
        for record in state.records.values()
        if record.gates_held and record.run is not None
    ]
    base = state.base
    held = state.ending is not None or state.holds.keys() - {BASE, OUTSIDE}
    if base.status is BaseStatus.RED and not base.looking and not held:
        effects.append(CheckBase(unless=base.key))
        state = replace(state, base=replace(base, looking=True))
    return state, effects


# -- room ------------------------------------------------------------------------------------------------


def _pause_or_continue(
    state: EngineState, shortage: Shortage, now: float
) -> tuple[EngineState, list[Effect]]:
    """Pauses what runs while the disk is nearly full; what was paused for that goes on when it no longer is.

    What a person paused stays paused, and what a person told to go on runs on.
    """
    effects: list[Effect] = []
    for record in list(state.records.values()):
        after = record
        wished: tuple[Effect, ...] = ()
        if not shortage.starving:
            if record.state in CAN_RESUME and record.paused_by == DISK:
                after, wished = pause_steps.resume(record, now)
            after = replace(after, insisted=False) if after.insisted else after
        elif record.state is PrdState.RUNNING and not record.insisted:
            after, wished = pause_steps.pause(record, now, DISK)
        if after is not record:
            state = state.with_record(after)
            effects += wished
    return state, effects
