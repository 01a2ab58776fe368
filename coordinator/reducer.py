"""The whole engine as one pure function: (state, event) → (state, effects)."""

from __future__ import annotations

from dataclasses import replace

from coordinator import drop_steps, lifecycle, protection, scheduler
from coordinator.command_steps import Step, answer_finished, answered, cleaned, obey, stop
from coordinator.commands import StopMode
from coordinator.effects import AnswerCommand, Effect, ObserveDependencies, StartRun
from coordinator.events import (
    CleanedUp,
    ClockJumped,
    CommandReceived,
    DependenciesObserved,
    DropRefused,
    EffectFailed,
    Event,
    FirstLookTaken,
    FolderAdmitted,
    FolderArriving,
    FolderRefused,
    FolderVanished,
    HoldLifted,
    HoldPlaced,
    PrdDropped,
    PrdEvent,
    Refusal,
    RunCompleted,
    SettingsChanged,
    StartRefused,
    StopRequested,
    TimePassed,
)
from coordinator.model import ACTIVE, FAILED, FIRST, QUEUED, RESUME, PrdState
from coordinator.pause_steps import pause_over
from coordinator.policy import Policy
from coordinator.state import ARRIVING_AGAIN, EngineState, Record, is_done
from coordinator.tidy_steps import tidy

RESUME_SENTENCE = "the last session left work: it goes on once you say so"
FIRST_SENTENCE = "first start in this repository: nothing runs before you say so"

#: Seconds between two looks where the work of completed dependencies stands.
OBSERVE_EVERY = 10.0


def reduce(state: EngineState, event: Event, now: float) -> Step:
    """Applies one event and judges the queue anew. `start_due` comes after it, so that each move is seen."""
    state, effects = _apply(state, event, now)
    state = _hold_at_first(state)
    state, asked = _observe(state, event, now)
    state, goes = drop_steps.due(state, now)
    state = _hold_left_over(scheduler.judge(state))
    state, protected = protection.protect(state, event, now)
    state, tidied = tidy(state, event, now)
    state, answers = answer_finished(state)
    return state, (*effects, *asked, *goes, *protected, *tidied, *answers)


def _apply(state: EngineState, event: Event, now: float) -> Step:
    if isinstance(event, PrdDropped | DropRefused):
        return drop_steps.finish(state, event, now)
    if isinstance(event, PrdEvent):
        return _prd_event(state, event, now)
    if isinstance(event, CleanedUp):
        return state, (AnswerCommand(cleaned(event)),)
    if isinstance(event, FirstLookTaken):
        return _forget_unseen(replace(state, looked=True)), ()
    if isinstance(event, DependenciesObserved):
        facts = {name: name in event.merged for name in event.known}
        return replace(state, dependencies={**state.dependencies, **facts}, contained=event.contained), ()
    if isinstance(event, HoldPlaced):
        return replace(state, holds={**state.holds, event.kind: event.reason}), ()
    if isinstance(event, HoldLifted):
        return replace(state, holds={key: why for key, why in state.holds.items() if key != event.kind}), ()
    if isinstance(event, SettingsChanged):
        state = replace(
            state, max_prds=event.max_prds, max_retries=event.max_retries, stop_grace=event.stop_grace
        )
    if isinstance(event, CommandReceived):
        return obey(state, event.command_id, event.command, now)
    if isinstance(event, StopRequested):
        return _end(state, event.mode, now)
    if isinstance(event, ClockJumped):
        return _keep_time(state, event.seconds), ()
    if isinstance(event, EffectFailed) and event.prd_id in state.records:
        return _effect_failed(state, state.records[event.prd_id], event.reason, now)
    return protection.apply(state, event)


# -- PRDs ------------------------------------------------------------------------------------------------


def _prd_event(state: EngineState, event: PrdEvent, now: float) -> Step:
    record = state.records.get(event.prd_id)
    if record is None:
        if not isinstance(event, FolderArriving | FolderAdmitted | FolderRefused):
            return state, ()
        record = Record(event.prd_id, event.prd_id, PrdState.ARRIVING, since=now)
    if isinstance(event, FolderVanished) and record.state not in ACTIVE | FAILED and not is_done(record):
        return state.without_record(record.prd_id), ()
    after, effects = lifecycle.step(record, event, _policy(state, now))
    state = state.with_record(after)
    if isinstance(event, StartRefused) and event.kind is Refusal.HOLD and not record.wanted:
        state = replace(state, holds={**state.holds, event.hold: event.reason})
    return state, effects


def _policy(state: EngineState, now: float) -> Policy:
    return Policy(now=now, max_retries=state.max_retries, stop_grace=state.stop_grace)


def _forget_unseen(state: EngineState) -> EngineState:
    """Queued PRDs of an earlier session whose folder is gone are no longer there to be run."""
    gone = [
        name
        for name, record in state.records.items()
        if record.state in QUEUED and record.prd is None and ARRIVING_AGAIN not in record.marks
    ]
    for name in gone:
        state = state.without_record(name)
    return state


def _effect_failed(state: EngineState, record: Record, reason: str, now: float) -> Step:
    """Only this PRD is affected; what it holds is kept for a person to look at."""
    if record.state not in ACTIVE or record.verified:
        return state, ()
    record = pause_over(record, now)
    failed = replace(record, state=PrdState.FAILED, reason=reason, slot=0, wanted="", since=now, ended_at=now)
    return state.with_record(failed), ()


def _keep_time(state: EngineState, jump: float) -> EngineState:
    """No clock that a person sees jumps, and no wait becomes shorter or longer.

    A pause needs nothing: what it took is told by the wall clock at both of its ends.
    """
    for record in state.records.values():
        if record.state in ACTIVE and record.started_at and not (record.paused_at or record.ended_at):
            state = state.with_record(replace(record, paused_seconds=record.paused_seconds + jump))
        elif record.state in QUEUED and record.not_before:
            state = state.with_record(replace(record, not_before=record.not_before + jump))
    return replace(
        state,
        observed_at=state.observed_at + jump,
        protected_at=state.protected_at + jump,
        tidied_at=state.tidied_at + jump,
    )


# -- the queue -------------------------------------------------------------------------------------------


def _hold_at_first(state: EngineState) -> EngineState:
    """In a repository where nothing ever ran, usable folders that the first look finds wait for a person.

    One that is still being copied may turn out to be usable: it holds the queue until that is known.
    """
    if not (state.hold_first and state.looked):
        return state
    usable = any(record.state in QUEUED for record in state.records.values())
    perhaps = any(record.state is PrdState.ARRIVING for record in state.records.values())
    holds = {kind: why for kind, why in state.holds.items() if kind != FIRST}
    if usable or perhaps:
        holds = {FIRST: FIRST_SENTENCE, **holds}
    return replace(state, holds=holds, hold_first=perhaps and not usable)


def _hold_left_over(state: EngineState) -> EngineState:
    """What an earlier session left goes on when a person said so. There is no question once nothing of it waits."""
    if not (state.left_over and state.looked):
        return state
    records = (record for name in state.left_over if (record := state.records.get(name)))
    waits = any(record.state is PrdState.QUEUED or record.state in ACTIVE for record in records)
    if not waits:
        return answered(state)
    return state if RESUME in state.holds else replace(state, holds={RESUME: RESUME_SENTENCE, **state.holds})


def _observe(state: EngineState, event: Event, now: float) -> Step:
    """Asks where completed dependencies stand when somebody waits for them: a person may merge at any time."""
    if isinstance(event, TimePassed):
        if now - state.observed_at < OBSERVE_EVERY:
            return state, ()
    elif not isinstance(event, RunCompleted | FolderAdmitted | FirstLookTaken | CommandReceived):
        return state, ()
    wanted: dict[str, str] = {}
    for record in scheduler.queue(state):
        for name in record.prd.depends_on if record.prd else ():
            other = state.records.get(name)
            if other is None:
                wanted[name] = ""
            elif is_done(other):
                wanted[name] = other.run.branch if other.run else ""
    if not wanted:
        return state, ()
    return replace(state, observed_at=now), (ObserveDependencies(tuple(sorted(wanted.items()))),)


def start_due(state: EngineState, now: float) -> Step:
    """Starts what may start now; before the first start of all the gates are tried on the base."""
    effects: list[Effect] = []
    due = list(scheduler.starts(state, now))
    if due and protection.needs_check(state):
        return protection.begin_check(state)
    for start in due:
        record = state.records[start.prd_id]
        if record.prd is None:
            continue
        base = state.records.get(start.base_on)
        effects.append(
            StartRun(
                prd_id=record.prd_id,
                prd=record.prd,
                data=record.data,
                folder=record.folder,
                arrival=record.arrival,
                slot=start.slot,
                base_on=base.run.branch if base and base.run else "",
                reserved=_reserved(state, record),
                previous=record.run,
                fresh=record.fresh,
            )
        )
        started = replace(
            record,
            state=PrdState.STARTING,
            slot=start.slot,
            since=now,
            reason="",
            waiting_for=(),
            exit=None,
            ended_at=0.0,
            gates_held="",
            verified=False,
            slot_freed=False,
            setting_up=False,
            swept=False,
        )
        state = state.with_record(started)
    return state, tuple(effects)


def _reserved(state: EngineState, record: Record) -> frozenset[str]:
    others = (other for other in state.records.values() if other.prd_id != record.prd_id)
    return frozenset(other.run.branch for other in others if other.run is not None)


# -- ending ----------------------------------------------------------------------------------------------


def _end(state: EngineState, mode: StopMode, now: float) -> Step:
    state = replace(state, ending=mode)
    effects: list[Effect] = []
    if mode in (StopMode.TERM, StopMode.KILL):
        for record in list(state.records.values()):
            state, wanted = stop(state, record, "shutdown", mode is StopMode.KILL, now)
            effects.extend(wanted)
    return state, tuple(effects)
