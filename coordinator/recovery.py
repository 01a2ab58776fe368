"""What an earlier session left: the same look after a quit, a `kill -9` or a reboot.

The run directories say what became of each run; the registry adds what only it knows: the order of the queue,
holds, and that an ended PRD was queued again. Where the two disagree about a run, the run directory is right.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coordinator import dropping
from coordinator.clock import parse_iso
from coordinator.drop_steps import BY_DROP
from coordinator.effects import CompleteRun, Effect, EndRun, PauseRun, WatchRun
from coordinator.identity import boot_id
from coordinator.jobs import JobFacts, JobStatus, inspect
from coordinator.lifecycle import SHUT_DOWN
from coordinator.model import COMPLETED, FAILED, QUEUED, PrdState, Progress, Run
from coordinator.paths import Paths
from coordinator.pause_steps import REASONS
from coordinator.pausing import read_pauses
from coordinator.processes import settle_start, suspended
from coordinator.registry_entries import locate
from coordinator.runs import Intent, Journal, command_dirs, job_dirs, recorded_prds, runs_of
from coordinator.state import UNGATED, Record
from coordinator.story_states import untouched
from coordinator.verification import verdict_of

Document = dict[str, Any]
Entries = list[dict[str, Any]]


COPIED = (
    "This repository is a copy: workers that its runs name belong to the original and are left alone, "
    "and what they had not finished is begun again here."
)


@dataclass(frozen=True)
class Found:
    """One PRD as it was left, and what has to go on.

    `cut_off`: a worker was at it and is gone, with nobody having stopped it. `copied`: it is another's
    worker, the run having come here with a copy of its repository.
    """

    record: Record
    effects: tuple[Effect, ...] = ()
    cut_off: bool = False
    copied: bool = False

    @property
    def left_over(self) -> bool:
        """Whether it would start, or start again, by itself."""
        return self.cut_off or self.record.state in QUEUED


def recover(paths: Paths, registry: Document, grace: float) -> list[Found]:
    """Every PRD that ever ran or stands in the registry."""
    found: dict[str, Found] = {}
    for prd_id in recorded_prds(paths):
        history = runs_of(paths, prd_id)
        if history:
            job_dir = Path(history[-1].run.run_dir)
            facts = _settled(job_dir)
            entries = _with_end_of_stop(history[-1].run, Journal(job_dir).entries())
            located = locate(registry, prd_id)
            entry = located[1] if located else None
            halted = facts.status is JobStatus.RUNNING and suspended(job_dir)
            shut_down = _was_shut_down(facts)
            one = recover_run(history[-1], facts, entries, entry, grace, halted=halted, shut_down=shut_down)
            undecided = one.effects and _last(entries, "verdict") is None
            gone = facts.status is JobStatus.GONE
            copied = gone and facts.start is not None and facts.start.copied
            found[prd_id] = replace(one, cut_off=bool(undecided) and (gone or shut_down), copied=bool(copied))
            if found[prd_id].record.state in QUEUED and _is_being_set_up(history[-1].run):
                found[prd_id] = _end_set_up(found[prd_id].record, history[-1], grace)
    for entry in stored_entries(registry):
        prd_id = entry["prd_id"]
        if prd_id not in found:
            found[prd_id] = Found(_without_run(entry))
    going = dropping.wanted(paths)
    return [_given_up(one, grace) if name in going else one for name, one in found.items()]


def _given_up(found: Found, grace: float) -> Found:
    """A PRD whose drop was begun: what still runs of it is ended first."""
    record = found.record
    if record.run is None or not record.holds_slot or record.state is PrdState.STARTING:
        return found
    run = record.run
    return Found(
        _change(record, PrdState.STOPPING, wanted=BY_DROP), (WatchRun(run), EndRun(run, BY_DROP, grace))
    )


def _is_being_set_up(run: Run) -> bool:
    return any(inspect(job_dir).status is JobStatus.RUNNING for job_dir in command_dirs(run, ("setup",)))


def _end_set_up(record: Record, intent: Intent, grace: float) -> Found:
    """A set-up whose coordinator died is ended, and begun again by the next start in the same worktree."""
    by, reason = "shutdown", "ending a set-up that was cut short"
    stopping = _change(record, PrdState.STOPPING, wanted=by, slot=intent.slot, reason=reason)
    return Found(stopping, (EndRun(intent.run, by, grace), WatchRun(intent.run)))


def _with_end_of_stop(run: Run, entries: Entries) -> Entries:
    """A stop is over once no process is left, even where the coordinator ended before it could write that down."""
    wanted = _last(entries, "stop wanted")
    if wanted is None or _last(entries, "stopped") or not all(inspect(each).swept for each in job_dirs(run)):
        return entries
    return [*entries, wanted | {"what": "stopped"}]


def _settled(job_dir: Path) -> JobFacts:
    """What became of a job. A start in the air is closed, or waited for: no late keeper may come upon a new run."""
    if inspect(job_dir).status is JobStatus.NEW:
        settle_start(job_dir)
    return inspect(job_dir)


def recover_run(
    intent: Intent,
    facts: JobFacts,
    journal: Entries,
    entry: Document | None,
    grace: float,
    *,
    halted: bool = False,
    shut_down: bool = False,
) -> Found:
    """The newest run of a PRD. `halted`: its main process lives and is stopped; `shut_down`: see there. Pure."""
    run = intent.run
    pauses = read_pauses(journal, facts.exit.ended_at if facts.exit else 0.0)
    wanted = _last(journal, "stop wanted")
    verdict = _last(journal, "verdict")
    record = replace(_of_intent(intent, facts, journal), paused_seconds=pauses.seconds)
    record = _with_entry(record, entry)
    if dropped := _last(journal, "dropped"):
        return Found(_change(record, PrdState.DROPPED, slot=0, pid=0, since=_seconds(dropped.get("at"))))
    completed = _last(journal, "completed")
    failed = verdict is not None and verdict.get("ok") is not True
    over = failed or completed or _last(journal, "stopped") or _not_begun(facts)
    if entry is not None and over and (decided := _decided_after(entry, run.generation)):
        return Found(_change(record, decided, slot=0, pid=0, reason=str(entry.get("reason", ""))))
    if verdict is None and _not_begun(facts):
        return Found(_never_started(record, wanted))
    if verdict is not None:
        if failed and shut_down and entry is None:
            return Found(_change(record, PrdState.QUEUED, slot=0, pid=0, reason=SHUT_DOWN))
        return _judged(record, verdict, completed)
    if wanted is None and facts.status is JobStatus.RUNNING and (pauses.wanted or halted):
        # Perhaps half paused, or half continued: the pause is made whole. A person can let it go on, and a full
        # disk that made it necessary lets it when there is room again.
        state = PrdState.PAUSED if halted else PrdState.PAUSING
        since = pauses.paused_at or record.since
        record = _change(record, state, reason=REASONS[pauses.by], paused_by=pauses.by)
        record = _change(record, state, paused_at=since if halted else 0.0)
        return Found(record, (WatchRun(run), PauseRun(run, record.wish, pauses.by)))
    if wanted is None:
        # Work that is left after a shutdown goes on, as it does where the coordinator stopped it.
        return Found(replace(record, wanted="shutdown" if shut_down else ""), (WatchRun(run),))
    by = str(wanted.get("by"))
    if _last(journal, "stopped"):
        if by == "shutdown":
            return Found(_change(record, PrdState.QUEUED, slot=0, pid=0))
        return Found(_change(record, PrdState.STOPPED, slot=0, pid=0, reason="stopped by command"))
    stopping = _change(record, PrdState.STOPPING, wanted=by)
    return Found(stopping, (WatchRun(run), EndRun(run, by, grace)))


def _of_intent(intent: Intent, facts: JobFacts, journal: Entries) -> Record:
    """A run as it was begun, taken to be running."""
    return Record(
        prd_id=intent.run.prd_id,
        folder=intent.run.prd_id,
        state=PrdState.RUNNING,
        arrival=intent.arrival,
        run=intent.run,
        slot=intent.slot,
        progress=Progress(0, len(intent.frozen.stories)),
        pid=facts.start.worker.pid if facts.start else 0,
        started_at=facts.start.started_at if facts.start else 0.0,
        exit=facts.exit,
        ended_at=facts.exit.ended_at if facts.exit else 0.0,
        since=_seconds((journal or [{}])[-1].get("at")),
        stories=untouched(intent.frozen),
    )


def _was_shut_down(facts: JobFacts) -> bool:
    """Whether a worker that nobody stopped fell to what ends all processes: a logout, a halt, a closed terminal.

    KILL in the same boot is another matter: memory ran out, as a rule, and would again.
    """
    if facts.exit is None or facts.start is None:
        return False
    numbers = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
    if facts.start.worker.boot_id != boot_id():
        numbers.add(signal.SIGKILL)
    return (facts.exit.signal or facts.exit.code - 128) in numbers


def _not_begun(facts: JobFacts) -> bool:
    """Whether no worker of the run ever lived: nothing was started, or what was to be cannot be."""
    return facts.status is JobStatus.NEW or bool(facts.exit and facts.exit.cannot_start)


def _never_started(record: Record, wanted: Document | None) -> Record:
    """A run that was recorded and got no worker: queued once more, unless it was given up."""
    record = _change(record, PrdState.QUEUED, slot=0, pid=0, exit=None, ended_at=0.0)
    if wanted is not None and wanted.get("by") != "shutdown":
        return _change(record, PrdState.STOPPED, reason="stopped by command")
    return record


def _judged(record: Record, entry: Document, completed: Document | None) -> Found:
    verdict = verdict_of(entry)
    record = _change(record, record.state, progress=verdict.progress, pid=0, slot=0)
    if verdict.ungated:
        record = _change(record, record.state, marks=record.marks | {UNGATED})
    if not verdict.ok:
        lost = record.exit is None
        if lost and not record.lost_before:
            return Found(_change(record, PrdState.QUEUED, lost_before=True, reason=verdict.reason))
        return Found(_change(record, PrdState.LOST if lost else PrdState.FAILED, reason=verdict.reason))
    if completed:
        return Found(_change(record, PrdState.COMPLETED, ended_at=_seconds(completed.get("at"))))
    filing = _change(record, PrdState.VERIFYING, verified=True, reason="verified, filing it")
    return Found(filing, (CompleteRun(filing.run, verdict),) if filing.run else ())


def _last(entries: Entries, what: str) -> Document | None:
    return next((entry for entry in reversed(entries) if entry.get("what") == what), None)


def _change(record: Record, state: PrdState, **more: Any) -> Record:
    return replace(record, state=state, **more)


def _decided_after(entry: Document, generation: int) -> PrdState | None:
    """What the registry says was made of the PRD after its newest run had ended: queued again, or given up."""
    if entry.get("generation") != generation:
        return None
    status = entry.get("status")
    if status in {state.value for state in QUEUED}:
        return PrdState.QUEUED
    return PrdState(status) if status in {state.value for state in FAILED} else None


def _with_entry(record: Record, entry: Document | None) -> Record:
    if entry is None:
        return record
    progress = entry.get("progress")
    if isinstance(progress, Mapping) and entry.get("generation") == record.generation:
        done, total = progress.get("completed"), progress.get("total")
        if isinstance(done, int) and isinstance(total, int):
            record = _change(record, record.state, progress=Progress(done, total))
    return _change(
        record,
        record.state,
        arrival=_seconds(entry.get("queued_at")) or record.arrival,
        retries=entry["retries"] if isinstance(entry.get("retries"), int) else 0,
        lost_before=entry.get("lost_before") is True,
        # A newer run than the entry's has begun already: the old work is set aside.
        fresh=entry.get("fresh") is True and entry.get("generation", 0) == record.generation,
        since=_seconds(entry.get("failed_at") or entry.get("completed_at")) or record.since,
    )


def _without_run(entry: Document) -> Record:
    """A PRD that the registry knows and that never ran, or whose run directory is gone."""
    state = PrdState(entry["status"]) if entry.get("status") in _STORED else PrdState.QUEUED
    record = Record(entry["prd_id"], entry["prd_id"], state, reason=str(entry.get("reason", "")))
    return _with_entry(record, entry)


_STORED = frozenset(state.value for state in (FAILED | COMPLETED))


def stored_entries(registry: Document) -> Iterable[Document]:
    active = registry.get("active_prds", {})
    lists = [list(active.values()) if isinstance(active, Mapping) else []]
    lists += [registry.get(name, []) for name in ("queued_prds", "completed_prds", "failed_prds")]
    for entries in lists:
        for entry in entries:
            if isinstance(entry, dict) and isinstance(entry.get("prd_id"), str):
                yield entry


def _seconds(text: object) -> float:
    try:
        return parse_iso(text) if isinstance(text, str) else 0.0
    except ValueError:
        return 0.0
