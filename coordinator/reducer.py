"""The whole engine as one pure function: (state, event) → (state, effects)."""

from __future__ import annotations

from dataclasses import replace

from coordinator import lifecycle, scheduler
from coordinator.commands import (
    Accepted,
    Answer,
    Command,
    CommandId,
    HoldQueue,
    Rejected,
    ReleaseQueue,
    RetryPrds,
    StopMode,
    StopPrds,
)
from coordinator.effects import AnswerCommand, Effect, EndRun, LookAtFolders, ObserveDependencies, StartRun
from coordinator.events import (
    CommandReceived,
    DependenciesObserved,
    EffectFailed,
    Event,
    FirstLookTaken,
    FolderAdmitted,
    FolderArriving,
    FolderRefused,
    FolderVanished,
    HoldLifted,
    HoldPlaced,
    PrdEvent,
    Refusal,
    RunCompleted,
    SettingsChanged,
    StartRefused,
    StopRequested,
    TimePassed,
)
from coordinator.lifecycle import Policy
from coordinator.model import ACTIVE, FAILED, QUEUED, PrdState
from coordinator.state import ARRIVING_AGAIN, EngineState, Record, is_done

PERSON = "person"  # the hold a person placed; it survives a restart
APPROVAL = "approval"  # the tracked settings changed: only a person's approval lifts it
WORKER = "worker"  # the worker command cannot be started; judged anew at each start

#: Seconds between two looks where the work of completed dependencies stands.
OBSERVE_EVERY = 10.0

Step = tuple[EngineState, tuple[Effect, ...]]


def reduce(state: EngineState, event: Event, now: float) -> Step:
    """Applies one event and judges the queue anew. `start_due` comes after it, so that each move is seen."""
    state, effects = _apply(state, event, now)
    state, asked = _observe(state, event, now)
    state = scheduler.judge(state)
    state, answers = _finished_stops(state)
    return state, (*effects, *asked, *answers)


def _apply(state: EngineState, event: Event, now: float) -> Step:
    if isinstance(event, PrdEvent):
        return _prd_event(state, event, now)
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
        return replace(
            state, max_prds=event.max_prds, max_retries=event.max_retries, stop_grace=event.stop_grace
        ), ()
    if isinstance(event, CommandReceived):
        return _command(state, event.command_id, event.command, now)
    if isinstance(event, StopRequested):
        return _end(state, event.mode, now)
    if isinstance(event, EffectFailed) and event.prd_id in state.records:
        return _effect_failed(state, state.records[event.prd_id], event.reason, now)
    return state, ()


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
    if isinstance(event, StartRefused) and event.kind is Refusal.HOLD:
        state = replace(state, holds={**state.holds, WORKER: event.reason})
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
    failed = replace(record, state=PrdState.FAILED, reason=reason, slot=0, wanted="", since=now, ended_at=now)
    return state.with_record(failed), ()


# -- the queue -------------------------------------------------------------------------------------------


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
    """Starts what may start now."""
    effects: list[Effect] = []
    for start in list(scheduler.starts(state, now)):
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
            verified=False,
            slot_freed=False,
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
            state, wanted = _stop(state, record, "shutdown", mode is StopMode.KILL, now)
            effects.extend(wanted)
    return state, tuple(effects)


def _stop(state: EngineState, record: Record, by: str, kill: bool, now: float) -> Step:
    """Stops whatever of the PRD runs. One whose work is verified already is left to be filed."""
    if not record.holds_slot:
        return state, ()
    # A person's wish outranks a shutdown: what was stopped by command does not go on at the next start.
    after = replace(record, state=PrdState.STOPPING, wanted="command" if record.wanted == "command" else by)
    if record.state is not PrdState.STOPPING:
        after = replace(after, since=now, reason="ending its processes")
    state = state.with_record(after)
    if record.run is None or record.state is PrdState.STARTING:
        return state, ()  # the start looks for this before it spawns, and `_started` after
    return state, (EndRun(record.run, after.wanted, 0.0 if kill else state.stop_grace),)


def _finished_stops(state: EngineState) -> Step:
    answers: list[Effect] = []
    still_open: dict[str, frozenset[str]] = {}
    for command_id, names in state.open_stops.items():
        left = frozenset(
            name for name in names if (record := state.records.get(name)) is not None and record.holds_slot
        )
        if left:
            still_open[command_id] = left
        else:
            answers.append(AnswerCommand(Accepted(CommandId(command_id), "stopped", done=True)))
    if not answers and still_open == state.open_stops:
        return state, ()
    return replace(state, open_stops=still_open), tuple(answers)


# -- commands --------------------------------------------------------------------------------------------


def _command(state: EngineState, command_id: str, command: Command, now: float) -> Step:
    if isinstance(command, StopPrds):
        return _stop_command(state, command_id, command, now)
    if isinstance(command, RetryPrds):
        return _retry_command(state, command_id, command, now)
    if isinstance(command, HoldQueue):
        state = replace(state, holds={**state.holds, PERSON: "held by a person: release starts it again"})
        return state, (_accept(command_id, "the queue is held; what runs goes on"),)
    if isinstance(command, ReleaseQueue):
        left = {kind: why for kind, why in state.holds.items() if kind == APPROVAL}
        message = f"the queue still holds: {left[APPROVAL]}" if left else "the queue runs"
        return replace(state, holds=left), (_accept(command_id, message),)
    return state, (LookAtFolders(), _accept(command_id, "looking at every folder again"))


def _accept(command_id: str, message: str, done: bool = True) -> AnswerCommand:
    return AnswerCommand(Accepted(CommandId(command_id), message, done))


def _reject(state: EngineState, command_id: str, reason: str) -> Step:
    answer: Answer = Rejected(CommandId(command_id), reason)
    return state, (AnswerCommand(answer),)


def _stop_command(state: EngineState, command_id: str, command: StopPrds, now: float) -> Step:
    names = tuple(state.records) if command.everything else command.prd_ids
    if unknown := [name for name in names if name not in state.records]:
        return _reject(state, command_id, f"{unknown[0]} is no PRD of this repository")
    chosen = [state.records[name] for name in names]
    if command.everything:
        state = replace(state, holds={**state.holds, PERSON: "held by stop --all: release starts it again"})
    else:
        for record in chosen:
            if not record.holds_slot and record.state not in QUEUED:
                return _reject(state, command_id, f"{record.prd_id} does not run: it is {record.state.value}")
    effects: list[Effect] = []
    for record in chosen:
        if record.state in QUEUED and not command.everything:
            stopped = replace(
                record, state=PrdState.STOPPED, reason="stopped by command", since=now, waiting_for=()
            )
            state = state.with_record(stopped)
            continue
        state, wanted = _stop(state, record, "command", command.kill, now)
        effects.extend(wanted)
    waiting = frozenset(record.prd_id for record in chosen if record.holds_slot)
    message = f"stopping {len(waiting)} run{'' if len(waiting) == 1 else 's'}"
    if waiting:
        state = replace(state, open_stops={**state.open_stops, command_id: waiting})
        effects.append(_accept(command_id, message, done=False))
    else:
        said = "nothing runs; the queue is held" if command.everything else "stopped"
        effects.append(_accept(command_id, said))
    return state, tuple(effects)


def _retry_command(state: EngineState, command_id: str, command: RetryPrds, now: float) -> Step:
    for name in command.prd_ids:
        record = state.records.get(name)
        if record is None:
            return _reject(state, command_id, f"{name} is no PRD of this repository")
        if reason := _no_retry(record):
            return _reject(state, command_id, reason)
    for name in command.prd_ids:
        state = state.with_record(requeued(state.records[name], now, fresh=command.fresh))
        if state.only is not None:
            state = replace(state, only=state.only | {name})
    return state, (_accept(command_id, f"queued again: {', '.join(command.prd_ids)}"),)


def _no_retry(record: Record) -> str:
    if record.state not in FAILED:
        if is_done(record):
            return (
                f"{record.prd_id} is completed: drop its folder into prds/active again to have it done anew"
            )
        return f"{record.prd_id} is {record.state.value}: only an ended PRD can be tried again"
    if record.prd is None:
        return f"the folder of {record.prd_id} is gone from prds/active: put it back, then retry"
    return ""


def requeued(record: Record, now: float, *, fresh: bool = False) -> Record:
    """An ended PRD, queued again because a person wants it."""
    return replace(
        record,
        state=PrdState.QUEUED,
        since=now,
        arrival=now,
        reason="queued again by a person",
        retries=0,
        lost_before=False,
        not_before=0.0,
        fresh=fresh,
        wanted="",
        verified=False,
        swept=False,
    )
