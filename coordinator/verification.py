"""Judging an ended run: from what is in its worktree and in git, never from what its worker said."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from coordinator import prd_file, salvage, story_record
from coordinator.context import Context
from coordinator.errors import PrdTuiError, disk_refuses
from coordinator.events import GatesInside, GatesOutside, RunVerified, SlotFreed, Verdict
from coordinator.faultpoints import reach
from coordinator.gates import gate_commands, look_outside
from coordinator.git import Git
from coordinator.git_locks import clear_run_locks
from coordinator.lifecycle import exit_sentence
from coordinator.litter import commits_elsewhere, has_substance, head_branch, take_out_litter
from coordinator.model import Exit, Prd, Progress, Run
from coordinator.runs import Intent, Journal, read_intent, runs_of
from coordinator.shell_jobs import ShellKind
from coordinator.stashes import stash_changed
from coordinator.story_record import record_path


class Unproven(Exception):
    """The work does not hold; the message is the sentence a person reads."""


class GateOutside(Exception):
    """The work cannot be judged now; the message is the sentence a person reads."""


@dataclass(frozen=True)
class Worked:
    """What the worker left: its prd.json, and the folder it lies in."""

    prd: Prd
    folder: Path
    progress: Progress


class Verifier:
    """Carries out `VerifyRun`; thread-safe, one thread per run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._missed: set[str] = set()  # stashes whose loss was told
        self._telling = threading.Lock()

    def verify(self, run: Run, exit: Exit | None) -> None:
        """Posts RunVerified, the verdict being in the run's journal before that; or GatesOutside.

        With the latter nothing is decided and nobody waits here: it is asked for anew once the gate has moved, a
        person changed the settings or released the queue, and, nothing being recorded, by the next start.
        """
        context = self._context
        journal = Journal(run.run_dir)
        self._free_slot(run)
        context.look_at_stories(run)  # the last time while its files are as the worker left them
        self._watch_stashes(run, journal)
        stored = journal.last("verdict")
        if stored is None:
            for line in clear_run_locks(context.paths, run):
                context.log.write(line)
            try:
                verdict = self._judge(run, exit, journal)
            except GateOutside as why:
                context.post(GatesOutside(run.prd_id, run.run_id, str(why)))
                return
            stored = verdict_entry(verdict)
            if not verdict.ok and (context.stop_wanted(run.prd_id) or context.closing()):
                # Its gates were ended on request, or this process ends: that says nothing about the work.
                context.post(RunVerified(run.prd_id, run.run_id, verdict))
                return
            journal.write("verdict", context.clock.now(), **stored)
        reach("verdict-written")
        context.post(RunVerified(run.prd_id, run.run_id, verdict_of(stored)))

    def look_at_gates(self, run: Run) -> None:
        """Carries out `LookAtGates`: posts GatesInside, or nothing.

        Nothing, as the run may be judged anew by now: that it waits is for that to say.
        """
        intent = read_intent(self._context.paths, Path(run.run_dir))
        if intent is None or not self._outside(intent):
            self._context.post(GatesInside(run.prd_id, run.run_id))

    def _outside(self, intent: Intent) -> str:
        commands = gate_commands(self._context.settings().coordinator.verify, intent.frozen)
        return look_outside(self._context, intent.run, intent.slot, commands) if commands else ""

    def _free_slot(self, run: Run) -> None:
        """The next start comes first where nothing of this run will need the slot any more."""
        intent = read_intent(self._context.paths, Path(run.run_dir))
        if intent and not gate_commands(self._context.settings().coordinator.verify, intent.frozen):
            self._context.post(SlotFreed(run.prd_id, run.run_id))

    def _watch_stashes(self, run: Run, journal: Journal) -> None:
        """Worktrees share the person's stashes: one that a worker took is named, and is still pinned."""
        before = tuple((journal.last("stashes") or {}).get("commits", ()))
        change = stash_changed(self._context.git, before) if before else None
        for commit in change.gone if change else ():
            with self._telling:
                if commit in self._missed:
                    continue
                self._missed.add(commit)
            ran = ", ".join(self._context.at_work()) or run.prd_id
            self._context.log.warn(
                f"a stash of yours was taken while {ran} ran: git stash apply refs/prd/stash/{commit} gives it back"
            )

    def _judge(self, run: Run, exit: Exit | None, journal: Journal) -> Verdict:
        intent = read_intent(self._context.paths, Path(run.run_dir))
        if intent is None:
            return Verdict(False, f"the record of run {run.run_id} is unreadable: look into {run.run_dir}")
        progress = Progress(0, len(intent.frozen.stories))
        try:
            self._check_place(run)
            worked = read_worked(intent)
            progress = worked.progress
            self._check_stories(intent, worked, exit)
            base = effective_base(self._context.git, run)
            self._check_commits(run, base, progress)
            ungated = self._check_gates(intent, base, journal)
        except Unproven as why:
            put_back_what_was_set_aside(self._context, run.prd_id)
            return Verdict(False, str(why), progress)
        except PrdTuiError as error:
            if disk_refuses(error):
                raise  # which says nothing about the work
            put_back_what_was_set_aside(self._context, run.prd_id)
            return Verdict(False, f"verification could not be carried out: {error}", progress)
        return Verdict(True, exit_sentence(exit), progress, ungated)

    def _check_place(self, run: Run) -> None:
        context, worktree = self._context, Path(run.worktree)
        if not worktree.is_dir():
            raise Unproven(f"the worktree {worktree} is gone: retry makes it anew from {run.branch}")
        if context.git.head_commit(f"refs/heads/{run.branch}") is None:
            raise Unproven(f"the branch {run.branch} is gone: its commits may still be in the reflog")
        if not (worktree / ".git").is_file():
            raise Unproven(f"{worktree} is no worktree any more: its .git file is gone")
        actual = head_branch(context.git, worktree)
        if actual != run.branch:
            where = f"branch {actual}" if actual else "no branch"
            raise Unproven(f"the worktree is on {where} instead of {run.branch}")

    def _check_stories(self, intent: Intent, worked: Worked, exit: Exit | None) -> None:
        frozen, run = intent.frozen, intent.run
        differences = prd_file.differences(frozen, worked.prd)
        if differences:
            raise Unproven(differences[0] + _more(len(differences) - 1))
        done, total = worked.progress.completed, worked.progress.total
        if done < total:
            if why := story_record.gave_up(story_record.read(record_path(run.worktree)), run.run_id):
                raise Unproven(why)
            how = exit_sentence(exit)
            if done == 0:
                raise Unproven(f"{how} and none of {total} stories passes")
            passing = {story.id for story in worked.prd.stories if story.passes}
            left = [story.id for story in frozen.stories if story.id not in passing]
            raise Unproven(f"{how} with {done} of {total} stories passing; open: {_listed(left)}")

    def _check_commits(self, run: Run, base: str, progress: Progress) -> None:
        git = self._context.git
        if has_substance(git, base, run.branch):
            return
        claim = f"all {progress.total} stories are marked as passing"
        if elsewhere := commits_elsewhere(git, Path(run.worktree), run.branch):
            raise Unproven(f"{claim}, but the worker committed on {elsewhere} instead of {run.branch}")
        raise Unproven(f"{claim}, but {run.branch} has no commit that changes anything")

    def _check_gates(self, intent: Intent, base: str, journal: Journal) -> bool:
        """Runs the gates on the committed state; True if there was none to run."""
        context, run = self._context, intent.run
        worktree = Path(run.worktree)
        set_aside(context, run, journal)
        take_out_litter(context.git, worktree, run.branch, base)
        settings = context.settings().coordinator
        commands = gate_commands(settings.verify, intent.frozen)
        if not context.stop_wanted(run.prd_id) and (why := self._outside(intent)):
            raise GateOutside(why)
        for number, command in enumerate(commands, 1):
            if context.stop_wanted(run.prd_id):
                raise Unproven("stopped while its gates ran")
            result = context.shell.run(
                run, intent.slot, ShellKind.GATE, number, command, minutes=settings.gate_minutes
            )
            journal.write("gate", context.clock.now(), command=command, ok=result.ok)
            if not result.ok:
                raise Unproven(result.explanation())
        reach("gates-passed")
        return not commands


def read_worked(intent: Intent) -> Worked:
    """The worker's prd.json, from `prds/active` or, if it moved the folder itself, `prds/completed`."""
    run = intent.run
    places = [Path(run.worktree) / "prds" / place / run.prd_id for place in ("active", "completed")]
    folder = next((place for place in places if (place / "prd.json").exists()), None)
    if folder is None:
        raise Unproven("the worker deleted its prd.json")
    try:
        prd = prd_file.load(folder, limit=prd_file.WORKED_MAX_BYTES)
    except prd_file.PrdInvalid as error:
        raise Unproven(f"the worker left an unreadable prd.json: {error}") from None
    passing = {story.id for story in prd.stories if story.passes}
    done = sum(story.id in passing for story in intent.frozen.stories)
    return Worked(prd, folder, Progress(done, len(intent.frozen.stories)))


def effective_base(git: Git, run: Run) -> str:
    """The commit that the branch is compared with: the recorded base, or a newer one that the worker merged in."""
    if git.head_commit(f"refs/heads/{run.base_branch}") in (None, run.base_commit):
        return run.base_commit
    tip = git.head_commit(f"refs/heads/{run.branch}")
    if tip is None:
        return run.base_commit
    found = git.run("merge-base", f"refs/heads/{run.base_branch}", tip, check=False)
    newer = found.text if found.returncode == 0 else ""
    # The tip itself: the person has merged the branch already, which takes nothing away from its work.
    return newer if newer not in ("", tip) and git.is_ancestor(run.base_commit, newer) else run.base_commit


# -- uncommitted work ------------------------------------------------------------------------------------


def set_aside(context: Context, run: Run, journal: Journal) -> None:
    """Everything uncommitted goes onto a salvage ref; only then is the worktree cleaned."""
    worktree = Path(run.worktree)
    kept = salvage.set_aside(context.git, worktree, run.prd_id, run.run_id)
    if kept is None:
        return
    if journal.last("set aside") is None:
        journal.write("set aside", context.clock.now(), ref=kept.ref)
    for path in salvage.clean(context.git, worktree, kept):
        context.log.warn(
            f"{run.prd_id}: {path} in the worktree is a repository of its own and was left there"
        )


def put_back_what_was_set_aside(context: Context, prd_id: str) -> None:
    """Gives a worktree its uncommitted work again; once, however often it is called."""
    history = runs_of(context.paths, prd_id)
    for intent in reversed(history):
        journal = Journal(intent.run.run_dir)
        if journal.last("left behind") is not None:
            return  # a later run started from scratch
        moves = [entry for entry in journal.entries() if entry.get("what") in ("set aside", "put back")]
        if not moves:
            continue
        if moves[-1]["what"] == "set aside" and Path(intent.run.worktree).is_dir():
            kept = salvage.held(context.git, prd_id, intent.run.run_id)
            if kept is not None:
                salvage.put_back(context.git, Path(intent.run.worktree), kept)
            journal.write("put back", context.clock.now(), ref=moves[-1].get("ref"))
        return


# -- verdicts on disk ------------------------------------------------------------------------------------


def verdict_entry(verdict: Verdict) -> dict[str, object]:
    return {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "completed": verdict.progress.completed,
        "total": verdict.progress.total,
        "ungated": verdict.ungated,
    }


def verdict_of(entry: dict[str, object]) -> Verdict:
    completed, total = entry.get("completed"), entry.get("total")
    return Verdict(
        ok=entry.get("ok") is True,
        reason=str(entry.get("reason", "")),
        progress=Progress(
            completed if isinstance(completed, int) else 0, total if isinstance(total, int) else 0
        ),
        ungated=entry.get("ungated") is True,
    )


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + _more(len(names) - most)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
