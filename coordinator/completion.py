"""Filing verified work: steps that can each be repeated, so that a crash at any of them is finished later."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from coordinator import prd_file
from coordinator.archive import write_archive
from coordinator.clock import iso
from coordinator.context import Context
from coordinator.errors import PrdTuiError
from coordinator.events import RunCompleted, Verdict
from coordinator.faultpoints import reach
from coordinator.files import write_atomic
from coordinator.folders import free_name
from coordinator.jobs import inspect
from coordinator.model import Run
from coordinator.runs import Intent, Journal, read_intent, runs_of
from coordinator.verification import Unproven, Worked, read_worked


class Completer:
    """Carries out `CompleteRun`; thread-safe, one thread per run."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def complete(self, run: Run, verdict: Verdict) -> None:
        """Posts RunCompleted when every step is done. Raises PrdTuiError or OSError; repeat it later then."""
        intent = read_intent(self._context.paths, Path(run.run_dir))
        if intent is None:
            raise PrdTuiError(f"The record of run {run.run_id} is unreadable: look into {run.run_dir}.")
        context, journal = self._context, Journal(run.run_dir)
        steps: dict[str, Callable[[], None]] = {
            "passes": lambda: self._write_passes(intent),
            "progress": lambda: self._copy_progress(intent),
            "move": lambda: self._move_folder(intent, journal),
            "archive": lambda: self._archive(intent),
            "metrics": lambda: self._log_metrics(intent, verdict),
        }
        for name, step in steps.items():
            if not journal.step_done(name):
                step()
                journal.write("step", context.clock.now(), name=name)
            reach(f"step-{name}")
        if journal.last("completed") is None:
            journal.write("completed", context.clock.now())
        reach("run-closed")
        context.post(RunCompleted(run.prd_id, run.run_id, context.clock.now()))
        context.look_anew(run.prd_id)  # what came under this name meanwhile was taken for an edit

    # -- the steps ------------------------------------------------------------------------------------

    def _write_passes(self, intent: Intent) -> None:
        """`passes` and `notes` of every story whose text is what was admitted go into the person's own file."""
        folder = self._source(intent)
        try:
            original = prd_file.read_bytes(folder)
            updated = _with_results(intent, original)
        except prd_file.PrdInvalid as error:
            self._context.log.warn(f"{intent.run.prd_id}: passes not written back, {error}")
            return
        if updated != original:
            write_atomic(folder / "prd.json", updated)

    def _source(self, intent: Intent) -> Path:
        """The person's folder; made anew from the run's own copy when it is gone from `prds/active`."""
        folder = self._context.paths.active / intent.run.prd_id
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            original = (Path(intent.run.run_dir) / "source.json").read_bytes()
            write_atomic(folder / "prd.json", _with_results(intent, original))
        return folder

    def _copy_progress(self, intent: Intent) -> None:
        """What the worker wrote down goes to the person; a version of their own is kept beside it."""
        worked = _worked(intent)
        made = worked.folder / "progress.txt" if worked else None
        if made is None or not made.is_file() or made.is_symlink():
            return
        target = self._source(intent) / "progress.txt"
        text = made.read_bytes()
        if target.is_file():
            theirs = target.read_bytes()
            if theirs == text:
                return
            if not text.startswith(theirs):
                write_atomic(target.with_name(f"progress-before-{intent.run.run_id}.txt"), theirs)
        write_atomic(target, text)

    def _move_folder(self, intent: Intent, journal: Journal) -> None:
        """`prds/active/<ID>` to `prds/completed/<ID>`; an older one of that name steps aside first."""
        paths, prd_id = self._context.paths, intent.run.prd_id
        target = paths.completed / prd_id
        begun = journal.last("moving") or {}
        if target.is_dir() and target.stat().st_ino == begun.get("inode"):
            return  # moved before a crash; what lies in active now is a new PRD
        source = self._source(intent)
        if source.stat().st_ino != begun.get("inode"):
            journal.write("moving", self._context.clock.now(), inode=source.stat().st_ino)
        paths.completed.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(free_name(paths.completed / f"{prd_id}-{self._older_run(intent)}"))
        with self._context.undisturbed():
            shutil.move(source, target)

    def _older_run(self, intent: Intent) -> str:
        """The run that filed the folder which lies there now."""
        older = [other.run.run_id for other in runs_of(self._context.paths, intent.run.prd_id)]
        filed = [
            run_id
            for run_id in older
            if run_id != intent.run.run_id
            and Journal(self._context.paths.run_dir(intent.run.prd_id, run_id)).last("completed")
        ]
        return filed[-1] if filed else f"before-{intent.run.run_id}"

    def _archive(self, intent: Intent) -> None:
        folder = self._context.paths.completed / intent.run.prd_id
        write_archive(self._context.paths.archives, intent.run, folder, self._context.clock.now())

    def _log_metrics(self, intent: Intent, verdict: Verdict) -> None:
        run = intent.run
        if self._context.metrics.has("prd_completed", run.run_id):
            return
        facts = inspect(Path(run.run_dir))
        started = facts.start.started_at if facts.start else self._context.clock.now()
        ended = facts.exit.ended_at if facts.exit else self._context.clock.now()
        self._context.metrics.record(
            "prd_completed",
            run.prd_id,
            run_id=run.run_id,
            branch=run.branch,
            duration_seconds=round(max(0.0, ended - started), 3),
            stories_completed=verdict.progress.completed,
            ungated=verdict.ungated,
            ended_at=iso(ended),
        )


def _worked(intent: Intent) -> Worked | None:
    """What the worker left; None where that has gone since it was verified."""
    try:
        return read_worked(intent)
    except Unproven:
        return None


def _with_results(intent: Intent, original: bytes) -> bytes:
    """A prd.json with every story that was verified marked so. Raises PrdInvalid."""
    worked = _worked(intent)
    notes = {story.id: story.notes for story in worked.prd.stories} if worked else {}
    present = {story.id: story for story in prd_file.parse(original).stories}
    results = {
        story.id: prd_file.StoryResult(True, notes.get(story.id) or None)
        for story in intent.frozen.stories
        if story.id in present and prd_file.same_text(story, present[story.id])
    }
    return prd_file.write_back(original, results)
