"""Starting a run: intent, branch, worktree, worker. Each step first looks whether it is done already."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path

from coordinator import branches, prd_file, processes
from coordinator.clock import iso
from coordinator.context import Context
from coordinator.effects import StartRun
from coordinator.errors import GitError, PrdTuiError, StateError, disk_refuses
from coordinator.events import (
    Refusal,
    RunPrepared,
    RunSwept,
    SetUpBegun,
    StartRefused,
    WorkerExited,
    WorkerStarted,
)
from coordinator.faultpoints import reach
from coordinator.files import write_atomic
from coordinator.git_locks import clear_index_lock, clear_run_locks
from coordinator.jobs import JobSpec, JobStatus, inspect
from coordinator.litter import head_branch
from coordinator.mending import mend
from coordinator.model import SETUP, Exit, Prd, Run
from coordinator.runs import Intent, Journal, command_dirs, new_run_id, runs_of, write_intent
from coordinator.setup import SetUpFailed, set_up
from coordinator.stashes import pin_stashes
from coordinator.takedown import bring_back, take_down, tools_of
from coordinator.verification import put_back_what_was_set_aside
from coordinator.worker_command import clean_signal, require_agent, worker_words
from coordinator.worker_env import NoWorker, Place, find_program, worker_port
from coordinator.worktree_files import copy_files, copy_prd, make_real_folders


class Launcher:
    """Carries out `StartRun`; thread-safe, several at once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._naming = threading.Lock()  # between choosing a branch's name and taking it

    def start(self, wanted: StartRun) -> None:
        """Posts RunPrepared and WorkerStarted, or StartRefused."""
        with self._context.worktrees.turns.of(wanted.prd_id):
            self._start(wanted)

    def _start(self, wanted: StartRun) -> None:
        context = self._context
        try:
            worker_words(context.settings())  # before anything is made for it
            run = self._record(wanted)
            context.post(RunPrepared(wanted.prd_id, run))
            worktree = self._worktree(wanted, run)
            if context.stop_wanted(wanted.prd_id):
                context.post(
                    StartRefused(wanted.prd_id, Refusal.CANCELLED, "stopped before its worker started")
                )
                return
            self._spawn(wanted, run, worktree)
        except NoWorker as error:
            context.post(StartRefused(wanted.prd_id, Refusal.HOLD, str(error)))
        except SetUpFailed as error:
            context.post(StartRefused(wanted.prd_id, Refusal.HOLD, str(error), SETUP))
        except (PrdTuiError, OSError) as error:
            if not isinstance(error, PrdTuiError) and not disk_refuses(error):
                raise
            kind = Refusal.LATER if disk_refuses(error) else Refusal.FAIL
            context.post(StartRefused(wanted.prd_id, kind, str(error)))

    # -- intent and branch ----------------------------------------------------------------------------

    def _record(self, wanted: StartRun) -> Run:
        """Writes the intent, then takes the branch: a crash in between leaves a name, never a stray branch."""
        context = self._context
        run_id = new_run_id(context.clock.now())
        history = runs_of(context.paths, wanted.prd_id)
        previous = history[-1].run if history else None
        generation = previous.generation + 1 if previous else 1
        if previous is not None:
            for line in context.worktrees.reclaim_one(wanted.prd_id):
                context.log.write(line)
            self._make_good(previous, history)
        asked = wanted.prd.branch_name or f"feature/{wanted.prd_id}"
        if previous is not None and (wanted.fresh or Journal(previous.run_dir).last("dropped")):
            self._set_old_work_aside(previous)
            previous = None
        if previous is not None and self._is_ours(previous):
            run = replace(previous, run_id=run_id, generation=generation, branch_asked=asked)
            run = replace(run, run_dir=str(context.paths.run_dir(wanted.prd_id, run_id)))
            write_intent(context.paths, Intent(run, wanted.prd, wanted.arrival, wanted.slot), wanted.data)
            reach("intent-written")
            return run
        base_branch, base_commit = self._base(wanted)
        with self._naming:
            branch = branches.choose(context.git, wanted.prd.branch_name, wanted.prd_id, wanted.reserved)
            run = Run(
                prd_id=wanted.prd_id,
                run_id=run_id,
                generation=generation,
                worktree=str(context.worktrees.path_for(wanted.prd_id)),
                branch=branch,
                branch_asked=asked,
                base_branch=base_branch,
                base_commit=base_commit,
                run_dir=str(context.paths.run_dir(wanted.prd_id, run_id)),
                log=str(context.paths.worker_log(wanted.prd_id)),
            )
            write_intent(context.paths, Intent(run, wanted.prd, wanted.arrival, wanted.slot), wanted.data)
            reach("intent-written")
            branches.create(context.git, branch, base_commit, run_id)
        return run

    def _make_good(self, previous: Run, history: list[Intent]) -> None:
        """Nobody works in the worktree any more, and it is a worktree still."""
        if inspect(Path(previous.run_dir)).status is JobStatus.RUNNING:
            raise PrdTuiError(
                f"The worker of run {previous.run_id} still lives: start prd-tui again, which goes on with it."
            )
        for job_dir in command_dirs(previous):  # of a set-up, say, whose coordinator died
            if inspect(job_dir).status is JobStatus.RUNNING:
                processes.terminate(job_dir, None, self._context.settings().coordinator.stop_grace)
        for line in clear_run_locks(self._context.paths, previous):
            self._context.log.write(line)
        if any((Path(intent.run.run_dir) / "filled").exists() for intent in history):
            done = mend(self._context.git, self._context.worktrees, previous.prd_id, previous.run_id)
            if done:
                self._context.log.warn(f"{previous.prd_id}: {done}")

    def _is_ours(self, previous: Run) -> bool:
        """Whether the branch of an earlier run is there and was made by one of this PRD's runs."""
        context = self._context
        if context.git.head_commit(f"refs/heads/{previous.branch}") is None:
            return False
        if Journal(previous.run_dir).last("branch taken"):
            return True
        known = {intent.run.run_id for intent in runs_of(context.paths, previous.prd_id)}
        return branches.created_by(context.git, previous.branch) in known

    def _base(self, wanted: StartRun) -> tuple[str, str]:
        context = self._context
        return branches.base(context.git, wanted.base_on or context.settings().coordinator.base_branch)

    def _set_old_work_aside(self, previous: Run) -> None:
        """Frees the worktree for a fresh start. The old branch keeps its commits; what was loose is salvaged."""
        context, journal = self._context, Journal(previous.run_dir)
        take_down(tools_of(context), previous.prd_id, previous)
        if journal.last("left behind") is None:
            journal.write("left behind", context.clock.now())
        if journal.last("completed") is None:
            with contextlib.suppress(GitError):
                branches.keep_under_other_name(context.git, previous.branch, previous.run_id)

    # -- worktree -------------------------------------------------------------------------------------

    def _worktree(self, wanted: StartRun, run: Run) -> Path:
        """A filled worktree on the run's branch, with the PRD in it."""
        context, path = self._context, Path(run.worktree)
        journal = Journal(run.run_dir)
        journal.write("branch taken", context.clock.now(), branch=run.branch)
        if not context.worktrees.is_filled(run.prd_id):
            context.worktrees.add(run.prd_id, run.run_id, run.branch)
            if warning := context.worktrees.fill(path):
                context.log.warn(f"{run.prd_id}: {warning}")
            for warning in copy_files(context.git, context.settings().worktree.copy, path):
                context.log.warn(f"{run.prd_id}: {warning}")
            bring_back(context.paths, run)
            context.worktrees.mark_filled(run.prd_id, run.run_id)
        else:
            # Of a git that was killed with its worker.
            clear_index_lock(context.git.own_directory(path), path)
            self._check_branch(run, path)
        put_back_what_was_set_aside(context, run.prd_id)
        set_up(
            context,
            run,
            wanted.slot,
            begun=lambda command: context.post(SetUpBegun(run.prd_id, run.run_id, command)),
            cancelled=lambda: context.stop_wanted(run.prd_id),
        )
        self._place_prd(wanted, run, path)
        return path

    def _check_branch(self, run: Run, path: Path) -> None:
        actual = head_branch(self._context.git, path)
        if actual == run.branch:
            return
        where = f"on branch {actual}" if actual else "on no branch"
        raise PrdTuiError(
            f"The worktree of {run.prd_id} is {where} instead of {run.branch}: run "
            f"git -C {path} switch {run.branch}, or retry with --fresh."
        )

    def _place_prd(self, wanted: StartRun, run: Run, path: Path) -> None:
        """Copies the folder in. Texts are the person's; `passes` of an unchanged story is the worker's."""
        context = self._context
        inside = path / "prds" / "active" / run.prd_id
        # A worker may have moved its folder itself.
        passes = earned_passes(wanted.prd, path / "prds" / "completed" / run.prd_id)
        passes |= earned_passes(wanted.prd, inside)
        make_real_folders(path, inside)
        source = Path(wanted.folder)
        if not source.is_absolute():
            source = context.paths.active / wanted.prd_id
        # A folder that has just gone (`git switch`, `stash -u`) is no reason not to run what was admitted.
        for warning in copy_prd(source, path, run.prd_id) if source.is_dir() else ():
            context.log.warn(f"{run.prd_id}: {warning}")
        text = prd_file.normalised(
            wanted.data,
            wanted.prd,
            branch=run.branch,
            passes=passes,
            project_fallback=context.paths.root.name,
        )
        write_atomic(inside / "prd.json", text)

    # -- worker ---------------------------------------------------------------------------------------

    def _spawn(self, wanted: StartRun, run: Run, worktree: Path) -> None:
        context = self._context
        settings = context.settings()
        place = Place(run, wanted.slot, worker_port(wanted.slot))
        env = place.env(os.environ, context.git.local_env_vars(), settings.worktree.env)
        argv = [place.fill(word) for word in worker_words(settings)]
        argv[0] = find_program(argv[0], worktree, context.paths.root, env.get("PATH"))
        require_agent(settings, worktree, context.paths.root, env.get("PATH"))
        state = worktree / ".claude-loop"
        state.mkdir(exist_ok=True)
        (state / "exit_code").unlink(missing_ok=True)
        journal = Journal(run.run_dir)
        journal.write("stashes", context.clock.now(), commits=list(pin_stashes(context.git)))
        journal.write("spawning", context.clock.now(), clean_signal=clean_signal(settings))
        now = context.clock.now()
        spec = JobSpec(
            key=run.run_id,
            generation=run.generation,
            job_dir=Path(run.run_dir),
            argv=tuple(argv),
            cwd=worktree,
            env=env,
            log=Path(run.log),
            header=f"=== {run.prd_id}: run {run.run_id} on {run.branch}, {iso(now)} ===",
            exit_code_file=state / "exit_code",
            time_limit=None,
            marker=run.run_id,
        )
        try:
            facts = context.executor.submit(spec).facts
        except StateError as error:
            context.post(StartRefused(run.prd_id, Refusal.LATER, str(error)))
            return
        if facts.exit is not None and facts.exit.cannot_start:
            raise NoWorker(f"The worker cannot be started: {facts.exit.cannot_start}")
        pid = facts.start.worker.pid if facts.start else 0
        context.post(WorkerStarted(run.prd_id, run.run_id, pid, now))
        watch(context, run)


def watch(context: Context, run: Run) -> None:
    """Reports the run's exit and sweep as events."""

    def exited(exit: Exit | None) -> None:
        reach("exit-seen")
        context.post(WorkerExited(run.prd_id, run.run_id, exit))

    def swept() -> None:
        reach("swept-seen")
        if context.stop_wanted(run.prd_id):
            context.look_at_stories(run)  # before it is told: the engine may end right after
        context.post(RunSwept(run.prd_id, run.run_id))

    context.exits.watch(Path(run.run_dir), exited, swept, Path(run.worktree))


def earned_passes(prd: Prd, inside: Path) -> dict[str, bool]:
    """What an earlier run in this worktree achieved, for every story whose text is the same now."""
    try:
        worked = prd_file.load(inside, limit=prd_file.WORKED_MAX_BYTES)
    except prd_file.PrdInvalid:
        return {}
    before = {story.id: story for story in worked.stories}
    return {
        story.id: True
        for story in prd.stories
        if (old := before.get(story.id)) and old.passes and prd_file.same_text(story, old)
    }
