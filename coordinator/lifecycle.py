"""One PRD's life: (record, event) → (record, effects). Pure; every move is in the table at the end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace

from coordinator import folder_steps, pause_steps
from coordinator.effects import CompleteRun, EndRun, VerifyRun
from coordinator.events import (
    CompletionDelayed,
    FolderAdmitted,
    FolderArriving,
    FolderRefused,
    FolderVanished,
    GatesInside,
    GatesOutside,
    PauseFailed,
    PrdEvent,
    ProgressMade,
    Refusal,
    RunCompleted,
    RunEvent,
    RunHung,
    RunPaused,
    RunPrepared,
    RunRevived,
    RunSwept,
    RunVerified,
    SetUpBegun,
    SlotFreed,
    StartRefused,
    WaitBegan,
    WaitEnded,
    WorkerExited,
    WorkerStarted,
)
from coordinator.model import ACTIVE, COMPLETED, FAILED, QUEUED, Exit, PrdState
from coordinator.pause_steps import pause_over
from coordinator.policy import Outcome, Policy
from coordinator.state import EDITED, SOURCE_GONE, UNGATED, Record
from coordinator.story_states import before_a_start

#: Seconds before the first automatic retry; each further one waits twice as long, up to the cap.
BACKOFF_FIRST, BACKOFF_CAP = 5.0, 300.0


SHUT_DOWN = "stopped by a shutdown, goes on at the next start"


def exit_sentence(exit: Exit | None, who: str = "the worker") -> str:
    """How a process ended, as the beginning of a sentence."""
    if exit is None:
        return f"{who} vanished without a recorded exit"
    if exit.signal is not None:
        try:
            name = signal.Signals(exit.signal).name
        except ValueError:
            name = f"signal {exit.signal}"
        return f"{who} was killed by {name} (exit {exit.code})"
    return f"{who} exited with {exit.code}"


# -- runs ------------------------------------------------------------------------------------------------


def _prepared(record: Record, event: RunPrepared, policy: Policy) -> Outcome:
    return replace(record, run=event.run, stories=before_a_start(record), fresh=False), ()


def _set_up_begun(record: Record, event: SetUpBegun, policy: Policy) -> Outcome:
    record = replace(record, setting_up=True)
    if record.state is PrdState.STOPPING and record.run is not None:
        return record, (EndRun(record.run, record.wanted, policy.stop_grace),)
    return replace(record, reason=f"set-up: {event.command}"), ()


def _start_refused(record: Record, event: StartRefused, policy: Policy) -> Outcome:
    if event.kind is Refusal.CANCELLED or (event.kind is not Refusal.FAIL and record.wanted):
        return _stopped(record)
    record = replace(record, slot=0)
    if event.kind is Refusal.HOLD:
        return replace(record, state=PrdState.QUEUED, reason=event.reason), ()
    if event.kind is Refusal.LATER:
        again = policy.now + BACKOFF_FIRST
        return replace(record, state=PrdState.QUEUED, reason=event.reason, not_before=again), ()
    return _failed(record, event.reason, policy)


def _started(record: Record, event: WorkerStarted, policy: Policy) -> Outcome:
    record = replace(
        record,
        pid=event.pid,
        started_at=event.started_at,
        exit=None,
        ended_at=0.0,
        swept=False,
        paused_at=0.0,
        paused_seconds=0.0,
        hung="",
        reason="",
    )
    if record.state is PrdState.STOPPING and record.run is not None:
        return record, (EndRun(record.run, record.wanted, policy.stop_grace),)
    return replace(record, state=PrdState.RUNNING), ()


def _hung(record: Record, event: RunHung, policy: Policy) -> Outcome:
    return replace(record, hung=f"no progress for {_span(event.limit)}"), ()


def _revived(record: Record, event: RunRevived, policy: Policy) -> Outcome:
    return replace(record, hung=""), ()


def _wait_began(record: Record, event: WaitBegan, policy: Policy) -> Outcome:
    return replace(record, state=PrdState.WAITING, hung="", reason=event.reason), ()


def _wait_ended(record: Record, event: WaitEnded, policy: Policy) -> Outcome:
    return replace(record, state=PrdState.RUNNING, reason=""), ()


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f}m" if seconds >= 120 else f"{seconds:.0f}s"


def _progressed(record: Record, event: ProgressMade, policy: Policy) -> Outcome:
    stories = event.stories or record.stories
    return replace(record, progress=event.progress, current_story=event.current_story, stories=stories), ()


def _progressed_while_judged(record: Record, event: ProgressMade, policy: Policy) -> Outcome:
    """The worker's last words, read after its end: nobody works on a story any more."""
    progress = record.progress if record.verified else event.progress
    return replace(record, progress=progress, stories=event.stories or record.stories), ()


def _progressed_before_the_end(record: Record, event: ProgressMade, policy: Policy) -> Outcome:
    """As above, and how far it came is decided already."""
    if record.fresh:
        return record, ()  # what it did before does not count any more
    return replace(record, stories=event.stories or record.stories), ()


def _progressed_while_queued(record: Record, event: ProgressMade, policy: Policy) -> Outcome:
    record, _ = _progressed_before_the_end(record, event, policy)
    return folder_steps.with_progress_of_stories(record), ()


def _exited(record: Record, event: WorkerExited, policy: Policy) -> Outcome:
    ended_at = event.exit.ended_at if event.exit else policy.now
    return replace(
        pause_over(record, ended_at),
        state=PrdState.VERIFYING,
        exit=event.exit,
        ended_at=ended_at,
        reason=exit_sentence(event.exit),
        current_story="",
    ), ()


def _exited_while_stopping(record: Record, event: WorkerExited, policy: Policy) -> Outcome:
    ended_at = event.exit.ended_at if event.exit else policy.now
    return replace(record, exit=event.exit, ended_at=ended_at), ()


def _swept(record: Record, event: RunSwept, policy: Policy) -> Outcome:
    """Nothing of the worker is left: now, and not before, its work can be judged."""
    if record.run is None or record.swept:
        return record, ()
    return replace(record, swept=True), (VerifyRun(record.run, record.exit),)


def _slot_freed(record: Record, event: SlotFreed, policy: Policy) -> Outcome:
    return replace(record, slot=0, slot_freed=True), ()


def _gates_outside(record: Record, event: GatesOutside, policy: Policy) -> Outcome:
    """The run's work is not at fault: it waits to be judged, and uses no attempt."""
    return replace(record, gates_held=event.reason, reason="waits: a gate lies outside its worktree"), ()


def _gates_inside(record: Record, event: GatesInside, policy: Policy) -> Outcome:
    if record.run is None or not record.gates_held:
        return record, ()
    return replace(record, gates_held=""), (VerifyRun(record.run, record.exit),)


def _gates_outside_while_stopping(record: Record, event: GatesOutside, policy: Policy) -> Outcome:
    """Judged once more, now that it is to be stopped: that ends in a verdict."""
    return record, ((VerifyRun(record.run, record.exit),) if record.run else ())


def _swept_while_stopping(record: Record, event: RunSwept, policy: Policy) -> Outcome:
    record, effects = _stopped(replace(record, swept=True))
    if event.survivors:
        record = replace(record, reason=f"{record.reason}; may not be killed: {', '.join(event.survivors)}")
    return record, effects


def _stopped(record: Record) -> Outcome:
    record = replace(record, slot=0, pid=0, current_story="")
    if record.wanted == "shutdown":
        return replace(
            record,
            state=PrdState.QUEUED,
            wanted="",
            reason=SHUT_DOWN,
        ), ()
    return replace(record, state=PrdState.STOPPED, wanted="", reason="stopped by command"), ()


def _verified(record: Record, event: RunVerified, policy: Policy) -> Outcome:
    verdict = event.verdict
    record = replace(record, progress=verdict.progress, pid=0, current_story="")
    run = record.run
    if verdict.ok and run is not None:
        marks = record.marks | {UNGATED} if verdict.ungated else record.marks
        record = replace(record, slot=0, verified=True, wanted="", marks=marks, state=PrdState.VERIFYING)
        return replace(record, reason="verified, filing it"), (CompleteRun(run, verdict),)
    if record.wanted:
        return _stopped(record)
    record = replace(record, slot=0)
    if record.exit is None:
        return _was_lost(record, verdict.reason)
    return _failed(record, verdict.reason, policy)


def _was_lost(record: Record, reason: str) -> Outcome:
    """A lost run is started once more; after a second one a person decides."""
    if record.lost_before:
        return replace(record, state=PrdState.LOST, reason=reason), ()
    return replace(
        record, state=PrdState.QUEUED, lost_before=True, reason="its worker was lost, starting once more"
    ), ()


def _failed(record: Record, reason: str, policy: Policy) -> Outcome:
    record = replace(record, slot=0, wanted="", ended_at=record.ended_at or policy.now)
    if record.retries < policy.max_retries:
        wait = min(BACKOFF_FIRST * 2**record.retries, BACKOFF_CAP)
        again = f"retry {record.retries + 1} of {policy.max_retries} in {wait:.0f} s: {reason}"
        return replace(
            record,
            state=PrdState.QUEUED,
            retries=record.retries + 1,
            not_before=policy.now + wait,
            reason=again,
        ), ()
    return replace(record, state=PrdState.FAILED, reason=reason), ()


def _completed(record: Record, event: RunCompleted, policy: Policy) -> Outcome:
    marks = record.marks - {EDITED, SOURCE_GONE}
    return replace(
        record, state=PrdState.COMPLETED, verified=False, ended_at=event.completed_at, reason="", marks=marks
    ), ()


def _completion_delayed(record: Record, event: CompletionDelayed, policy: Policy) -> Outcome:
    return replace(record, reason=event.reason), ()


# -- the table -------------------------------------------------------------------------------------------

_UNBORN = frozenset({PrdState.ARRIVING, PrdState.INVALID, PrdState.NOTHING_LEFT})
_ENDED = FAILED | COMPLETED | {PrdState.DROPPED}

_Handler = Callable[[Record, "PrdEvent", Policy], Outcome]
_Table = dict[tuple[PrdState, type[PrdEvent]], object]


def _run_rows() -> _Table:
    table: _Table = {
        (PrdState.STARTING, RunPrepared): _prepared,
        (PrdState.STOPPING, RunPrepared): _prepared,
        (PrdState.STARTING, SetUpBegun): _set_up_begun,
        (PrdState.STOPPING, SetUpBegun): _set_up_begun,
        (PrdState.STARTING, StartRefused): _start_refused,
        (PrdState.STOPPING, StartRefused): _start_refused,
        (PrdState.STARTING, WorkerStarted): _started,
        (PrdState.STOPPING, WorkerStarted): _started,
        (PrdState.RUNNING, RunHung): _hung,
        (PrdState.RUNNING, RunRevived): _revived,
        (PrdState.RUNNING, WaitBegan): _wait_began,
        (PrdState.WAITING, WaitBegan): _wait_began,
        (PrdState.WAITING, WaitEnded): _wait_ended,
        (PrdState.PAUSING, RunPaused): pause_steps.paused,
        (PrdState.PAUSING, PauseFailed): pause_steps.pause_failed,
        (PrdState.PAUSED, PauseFailed): pause_steps.pause_failed,
        (PrdState.STOPPING, WorkerExited): _exited_while_stopping,
        (PrdState.STOPPING, ProgressMade): _progressed,
        (PrdState.VERIFYING, ProgressMade): _progressed_while_judged,
        (PrdState.VERIFYING, RunSwept): _swept,
        (PrdState.STOPPING, RunSwept): _swept_while_stopping,
        (PrdState.VERIFYING, SlotFreed): _slot_freed,
        (PrdState.VERIFYING, GatesOutside): _gates_outside,
        (PrdState.VERIFYING, GatesInside): _gates_inside,
        (PrdState.STOPPING, GatesOutside): _gates_outside_while_stopping,
        (PrdState.VERIFYING, RunVerified): _verified,
        (PrdState.STOPPING, RunVerified): _verified,
        (PrdState.VERIFYING, RunCompleted): _completed,
        (PrdState.VERIFYING, CompletionDelayed): _completion_delayed,
    }
    for state in (PrdState.RUNNING, PrdState.WAITING, PrdState.PAUSING, PrdState.PAUSED):
        table |= {(state, ProgressMade): _progressed, (state, WorkerExited): _exited}
    for state in _ENDED:
        table |= {(state, ProgressMade): _progressed_before_the_end}
    return table


def _folder_rows() -> _Table:
    table: _Table = {}
    for state in _UNBORN:
        table |= {
            (state, FolderArriving): folder_steps.arrive,
            (state, FolderAdmitted): folder_steps.admit,
            (state, FolderRefused): folder_steps.refuse,
        }
    for state in QUEUED:
        table |= {
            (state, ProgressMade): _progressed_while_queued,
            (state, FolderArriving): folder_steps.arrive_again,
            (state, FolderAdmitted): folder_steps.readmit,
            (state, FolderRefused): folder_steps.refuse,
        }
    for state in ACTIVE:
        table |= {
            (state, FolderAdmitted): folder_steps.edit_while_running,
            (state, FolderRefused): folder_steps.refuse_while_running,
            (state, FolderVanished): folder_steps.lose_source,
        }
    for state in FAILED:
        table |= {
            (state, FolderAdmitted): folder_steps.readmit,
            (state, FolderRefused): folder_steps.refuse_while_running,
            (state, FolderVanished): folder_steps.lose_source,
        }
    for state in COMPLETED:
        table |= {
            (state, FolderArriving): folder_steps.arrive_again,
            (state, FolderAdmitted): folder_steps.come_again,
            (state, FolderRefused): folder_steps.refuse_again,
            (state, FolderVanished): folder_steps.nothing_came,
        }
    return table | {
        (PrdState.DROPPED, FolderArriving): folder_steps.arrive_after_drop,
        (PrdState.DROPPED, FolderAdmitted): folder_steps.come_again,
        (PrdState.DROPPED, FolderRefused): folder_steps.refuse_after_drop,
    }


TABLE = _run_rows() | _folder_rows()


def step(record: Record, event: PrdEvent, policy: Policy) -> Outcome:
    """The next record and what is to be done. An event that means nothing in this state changes nothing.

    Events of an older run of the same PRD mean nothing either.
    """
    if isinstance(event, RunEvent) and (record.run is None or record.run.run_id != event.run_id):
        return record, ()
    handler = TABLE.get((record.state, type(event)))
    if handler is None:
        return record, ()
    after, effects = handler(record, event, policy)  # type: ignore[operator]
    if after.state is not record.state:
        after = replace(after, since=policy.now)
    return after, effects
