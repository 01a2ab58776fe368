"""What each command changes: (state, command) → (state, effects). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from coordinator import drop_steps, pause_steps, protection
from coordinator.commands import (
    Accepted,
    Answer,
    CleanUp,
    Command,
    CommandId,
    DropPrds,
    HoldQueue,
    PausePrds,
    Rejected,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopPrds,
)
from coordinator.drop_steps import BY_DROP
from coordinator.effects import AnswerCommand, CleanRepository, Effect, EndRun, LookAtFolders, VerifyRun
from coordinator.events import CleanedUp
from coordinator.model import FAILED, PERSON, QUEUED, RESUME, PrdState
from coordinator.pause_steps import CAN_RESUME, can_pause, pause_over
from coordinator.state import BASE_CHECK, EngineState, Record, is_done
from coordinator.tidy_steps import standing

Step = tuple[EngineState, tuple[Effect, ...]]


def obey(state: EngineState, command_id: str, command: Command, now: float) -> Step:
    """Every command gets an answer at once; one that takes its time gets a second one when it is done."""
    if isinstance(command, StopPrds):
        return _stop_command(state, command_id, command, now)
    if isinstance(command, DropPrds):
        return _drop_command(state, command_id, command, now)
    if isinstance(command, CleanUp):
        standings = tuple(standing(record) for record in state.records.values())
        wanted = CleanRepository(command_id, command.dry_run, standings)
        return state, (wanted, _accept(command_id, "looking for what is no longer needed", done=False))
    if isinstance(command, RetryPrds):
        return _retry_command(state, command_id, command, now)
    if isinstance(command, PausePrds):
        return _pause_command(state, command_id, command, now)
    if isinstance(command, ResumePrds):
        return _resume_command(state, command_id, command, now)
    if isinstance(command, HoldQueue):
        state = answered(state)
        state = replace(state, holds={**state.holds, PERSON: "held by a person: release starts it again"})
        return state, (_accept(command_id, "the queue is held; what runs goes on"),)
    if isinstance(command, ReleaseQueue):
        return _release_command(state, command_id)
    return state, (LookAtFolders(), _accept(command_id, "looking at every folder again"))


def answered(state: EngineState) -> EngineState:
    """A person decided what becomes of the queue, or nothing is left to be decided on."""
    holds = {kind: why for kind, why in state.holds.items() if kind != RESUME}
    return replace(state, left_over=frozenset(), holds=holds)


def _accept(command_id: str, message: str, done: bool = True) -> AnswerCommand:
    return AnswerCommand(Accepted(CommandId(command_id), message, done))


def _reject(state: EngineState, command_id: str, reason: str) -> Step:
    answer: Answer = Rejected(CommandId(command_id), reason)
    return state, (AnswerCommand(answer),)


def _release_command(state: EngineState, command_id: str) -> Step:
    before = state.holds
    state, effects = protection.release(answered(state))
    if not state.holds:
        return state, (*effects, _accept(command_id, "the queue runs"))
    still = f"the queue still holds: {'; '.join(state.holds.values())}"
    if state.holds == before:
        return _reject(state, command_id, still)
    return state, (*effects, _accept(command_id, still))


def _stop_command(state: EngineState, command_id: str, command: StopPrds, now: float) -> Step:
    names = tuple(state.records) if command.everything else command.prd_ids
    if reason := _unknown(state, names):
        return _reject(state, command_id, reason)
    chosen = [state.records[name] for name in names]
    if command.everything:
        state = answered(state)
        state = replace(state, holds={**state.holds, PERSON: "held by stop --all: release starts it again"})
    else:
        for record in chosen:
            if not record.holds_slot and record.state not in QUEUED:
                return _reject(state, command_id, _does_not_run(record))
    effects: list[Effect] = []
    for record in chosen:
        if record.state in QUEUED and not command.everything:
            stopped = replace(
                record, state=PrdState.STOPPED, reason="stopped by command", since=now, waiting_for=()
            )
            state = state.with_record(stopped)
            continue
        state, wanted = stop(state, record, "command", command.kill, now)
        effects.extend(wanted)
    if command.everything:
        state, wanted = protection.end_check(state)
        effects.extend(wanted)
    waiting = frozenset(record.prd_id for record in chosen if record.holds_slot)
    message = f"stopping {_runs(len(waiting))}"
    if command.everything and state.base.under_way:
        waiting |= {BASE_CHECK}
    if waiting:
        state = replace(state, open_stops={**state.open_stops, command_id: waiting})
        effects.append(_accept(command_id, message, done=False))
    else:
        said = "nothing runs; the queue is held" if command.everything else "stopped"
        effects.append(_accept(command_id, said))
    return state, tuple(effects)


def _drop_command(state: EngineState, command_id: str, command: DropPrds, now: float) -> Step:
    state, effects = drop_steps.begin(state, command_id, command, now)
    if command_id not in state.open_drops:
        return state, effects
    for record in drop_steps.to_stop(state, command.prd_ids):
        state, wanted = stop(state, record, BY_DROP, False, now)
        effects += wanted
    return state, effects


def _pause_command(state: EngineState, command_id: str, command: PausePrds, now: float) -> Step:
    able = [name for name, record in state.records.items() if can_pause(record)]
    names = able if command.everything else list(dict.fromkeys(command.prd_ids))
    refusals = (_does_not_run(state.records[name]) for name in names if name not in able)
    if reason := _unknown(state, names) or next(refusals, ""):
        return _reject(state, command_id, reason)
    if not names:
        return state, (_accept(command_id, "nothing runs that could be paused"),)
    effects: list[Effect] = []
    for name in names:
        record, wanted = pause_steps.pause(state.records[name], now)
        state = state.with_record(record)
        effects.extend(wanted)
    state = replace(state, open_pauses={**state.open_pauses, command_id: frozenset(names)})
    return state, (*effects, _accept(command_id, f"pausing {_runs(len(names))}", done=False))


def _resume_command(state: EngineState, command_id: str, command: ResumePrds, now: float) -> Step:
    able = [name for name, record in state.records.items() if record.state in CAN_RESUME]
    names = able if command.everything else list(dict.fromkeys(command.prd_ids))
    refusals = (
        f"{name} is not paused: it is {state.records[name].state.value}" for name in names if name not in able
    )
    if reason := _unknown(state, names) or next(refusals, ""):
        return _reject(state, command_id, reason)
    effects: list[Effect] = []
    for name in names:
        record, wanted = pause_steps.resume(state.records[name], now)
        state = state.with_record(replace(record, insisted=True))
        effects.extend(wanted)
    said = f"goes on: {', '.join(names)}" if names else "nothing is paused"
    return state, (*effects, _accept(command_id, said))


def _unknown(state: EngineState, names: Iterable[str]) -> str:
    return next((f"{name} is no PRD of this repository" for name in names if name not in state.records), "")


def _does_not_run(record: Record) -> str:
    return f"{record.prd_id} does not run: it is {record.state.value}"


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _retry_command(state: EngineState, command_id: str, command: RetryPrds, now: float) -> Step:
    going = (f"{name} is being dropped" for name in command.prd_ids if name in state.drops)
    reasons = (_no_retry(state.records[name]) for name in command.prd_ids if name in state.records)
    if reason := _unknown(state, command.prd_ids) or next(filter(None, chain(going, reasons)), ""):
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


def stop(state: EngineState, record: Record, by: str, kill: bool, now: float) -> Step:
    """Stops whatever of the PRD runs. One whose work is verified already is left to be filed."""
    if not record.holds_slot:
        return state, ()
    # A person's wish outranks a shutdown: what was stopped by command does not go on at the next start.
    wanted = record.wanted if by == "shutdown" and record.wanted else by
    after = replace(pause_over(record, now), state=PrdState.STOPPING, wanted=wanted)
    if record.state is not PrdState.STOPPING:
        after = replace(after, since=now, reason="ending its processes")
    state = state.with_record(after)
    if record.run is None or (record.state is PrdState.STARTING and not record.setting_up):
        return state, ()  # the start looks for this before it spawns, and `_started` after
    end = EndRun(record.run, after.wanted, 0.0 if kill else state.stop_grace)
    if (
        record.gates_held
    ):  # nothing of it runs whose end would be told: judging it anew tells that it is stopped
        state = state.with_record(replace(after, gates_held=""))
        return state, (end, VerifyRun(record.run, record.exit))
    return state, (end,)


# -- second answers --------------------------------------------------------------------------------------


def cleaned(event: CleanedUp) -> Answer:
    """What is answered to whoever wanted the repository cleaned."""
    command_id = CommandId(event.command_id)
    if event.failure:
        return Rejected(command_id, event.failure)
    return Accepted(command_id, event.report, done=True)


def answer_finished(state: EngineState) -> Step:
    """Tells those who asked for stops and pauses that these have come about, or why not."""
    stops: dict[str, frozenset[str]] = {}
    pauses: dict[str, frozenset[str]] = {}
    answers: list[Effect] = []
    for command_id, names in state.open_stops.items():
        left = frozenset(name for name in names if _is_to_stop(state, name))
        if left:
            stops[command_id] = left
        else:
            answers.append(_accept(command_id, "stopped"))
    for command_id, names in state.open_pauses.items():
        records = [record for name in sorted(names) if (record := state.records.get(name))]
        others = [record for record in records if record.state not in (PrdState.PAUSING, PrdState.PAUSED)]
        if others and others[0].state is PrdState.RUNNING and not others[0].reason:
            answers.append(_accept(command_id, f"{others[0].prd_id} was told to go on again meanwhile"))
        elif others:
            answers.append(AnswerCommand(Rejected(CommandId(command_id), _not_paused(others[0]))))
        elif any(record.state is PrdState.PAUSING for record in records):
            pauses[command_id] = names
        else:
            answers.append(_accept(command_id, f"paused: {', '.join(sorted(names))}"))
    if not answers and stops == state.open_stops and pauses == state.open_pauses:
        return state, ()
    return replace(state, open_stops=stops, open_pauses=pauses), tuple(answers)


def _is_to_stop(state: EngineState, name: str) -> bool:
    if name == BASE_CHECK:
        return state.base.under_way and state.base.outdated
    record = state.records.get(name)
    return record is not None and record.holds_slot


def _not_paused(record: Record) -> str:
    why = f" ({record.reason})" if record.reason else ""
    return f"{record.prd_id} is not paused: it is {record.state.value}{why}"
