"""Carries effects out on daemon threads of its own; what comes of them goes to the inbox as events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from coordinator import branches, dropping
from coordinator.base_check import BaseChecker
from coordinator.cleaning import Cleaner
from coordinator.commands import Answer
from coordinator.completion import Completer
from coordinator.context import Context
from coordinator.drop_steps import BY_DROP
from coordinator.dropping import Dropper
from coordinator.effects import (
    AnswerCommand,
    CheckBase,
    CleanRepository,
    ClearBase,
    CompleteRun,
    ContinueRun,
    DropPrd,
    Effect,
    EndBaseCheck,
    EndRun,
    LookAtFolders,
    LookAtGates,
    ObserveDependencies,
    PauseRun,
    StartRun,
    TidyWorktrees,
    VerifyRun,
    WatchRun,
)
from coordinator.ending import stop_run
from coordinator.errors import PrdTuiError, StateError, disk_refuses
from coordinator.events import CompletionDelayed, DependenciesObserved, EffectFailed
from coordinator.launch import Launcher, watch
from coordinator.model import Run
from coordinator.pausing import PATIENCE, Pauses
from coordinator.takedown import tools_of
from coordinator.tidying import Tidier
from coordinator.verification import Verifier

#: Seconds between tries of a step that failed (a full disk, a folder held by somebody).
STEP_RETRY = 5.0


class Performer:
    """One thread per effect in flight: a gate of half an hour must not keep another PRD from starting."""

    def __init__(
        self, context: Context, *, answer: Callable[[Answer], None], look: Callable[[], None]
    ) -> None:
        self._context = context
        self._answer = answer
        self._look = look
        self._launcher = Launcher(context)
        self._verifier = Verifier(context)
        self._completer = Completer(context)
        tools = tools_of(context)
        self._dropper = Dropper(tools, context.metrics, self._base_commit, context.undisturbed)
        self._tidier = Tidier(tools, context.settings, context.log.warn)
        self._cleaner = Cleaner(tools, context.settings)
        self._base_checker = BaseChecker(context)
        self._pauses = Pauses(context.post, context.clock, context.log)
        self._wishes: list[threading.Thread] = []  # pauses and continuations under way
        self._count = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def in_flight(self) -> int:
        with self._lock:
            return self._count

    def at_rest(self, patience: float) -> bool:
        """Waits up to `patience` seconds until no effect is in flight."""
        deadline = time.monotonic() + patience
        while self.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.in_flight

    def stop(self) -> None:
        """Nothing waits any longer for another try; what is under way is left to the next start.

        A pause or a continuation is not: it is over within moments, and a person wished for it.
        """
        self._ended.set()
        self._base_checker.close()
        deadline = time.monotonic() + PATIENCE + 1.0
        for thread in self._wishes:
            thread.join(max(0.0, deadline - time.monotonic()))

    def perform(self, effect: Effect) -> None:
        """Returns at once, on a machine that has a thread to give."""
        if isinstance(effect, AnswerCommand):
            self._answer(effect.answer)
            return
        with self._lock:
            self._count += 1
        name = f"effect-{type(effect).__name__}"
        while (thread := self._begin(effect, name)) is None:
            time.sleep(0.1)
        if isinstance(effect, PauseRun | ContinueRun):
            self._wishes = [one for one in self._wishes if one.is_alive()] + [thread]

    def _begin(self, effect: Effect, name: str) -> threading.Thread | None:
        """None while the machine has no thread to give, as in a storm of forks: an effect must not get lost."""
        thread = threading.Thread(target=self._run, args=(effect,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        return thread

    def _run(self, effect: Effect) -> None:
        try:
            self._carry_out(effect)
        except Exception as error:  # noqa: BLE001 - one PRD's surprise must not end the engine
            prd_id = _prd_of(effect)
            self._context.log.failure(f"{type(effect).__name__} {prd_id}", error)
            sentence = str(error) if isinstance(error, PrdTuiError) else f"{type(error).__name__}: {error}"
            self._context.post(EffectFailed(prd_id, sentence))
        finally:
            with self._lock:
                self._count -= 1

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartRun():
                self._launcher.start(effect)
            case WatchRun(run):
                watch(self._context, run)
            case PauseRun(run, wish, by):
                self._pauses.pause(run, wish, by)
            case ContinueRun(run, wish):
                self._pauses.resume(run, wish)
            case EndRun(run, by, grace):
                if by == BY_DROP:
                    self._want_drop(run)
                self._pauses.close(run)
                stop_run(run, by, grace, self._context.clock, self._context.log)
            case VerifyRun(run, exit):
                self._pauses.close(run)
                self._until_done(
                    run, "its verification", lambda: self._verifier.verify(run, exit), disk_refuses
                )
            case CompleteRun(run, verdict):
                complete = partial(self._completer.complete, run, verdict)
                self._until_done(run, "verified; its filing", complete, lambda _error: True)
            case DropPrd() | TidyWorktrees() | CleanRepository():
                self._take_down(effect)
            case ObserveDependencies(branches):
                self._observe(branches)
            case LookAtFolders():
                self._look()
            case _:
                self._protect(effect)

    def _protect(self, effect: Effect) -> None:
        match effect:
            case CheckBase(unless):
                self._base_checker.check(unless)
            case EndBaseCheck():
                self._base_checker.give_up(self._context.settings().coordinator.stop_grace)
            case ClearBase():
                self._base_checker.clear()
            case LookAtGates(run):
                self._verifier.look_at_gates(run)

    def _until_done(
        self, run: Run, what: str, step: Callable[[], None], passes: Callable[[Exception], bool]
    ) -> None:
        """Repeats a step for as long as the engine runs while it fails for a reason that `passes`, or may."""
        while True:
            try:
                step()
                return
            except (PrdTuiError, OSError) as error:
                if not passes(error):
                    raise
                self._context.log.failure(f"{run.prd_id}: {what}", error)
                why = f"{what} is tried again: {error}"
                self._context.post(CompletionDelayed(run.prd_id, run.run_id, why))
            if self._ended.wait(STEP_RETRY):
                return

    def _take_down(self, effect: DropPrd | TidyWorktrees | CleanRepository) -> None:
        match effect:
            case DropPrd(prd_id):
                self._context.post(self._dropper.carry_out(effect))
                self._context.look_anew(prd_id)  # what came under this name meanwhile was taken for an edit
            case TidyWorktrees(ended):
                self._tidier.tidy(ended)
            case CleanRepository():
                self._context.post(self._cleaner.clean(effect))

    def _want_drop(self, run: Run) -> None:
        """A disk that refuses keeps nobody from stopping a worker; that it cannot be dropped is told after that."""
        try:
            dropping.want(self._context.paths, run.prd_id, self._context.clock.now())
        except (StateError, OSError) as error:
            self._context.log.warn(f"{run.prd_id}: {error}")

    def _base_commit(self) -> str:
        context = self._context
        return branches.base_commit(context.git, context.settings().coordinator.base_branch)

    def _observe(self, branches: tuple[tuple[str, str], ...]) -> None:
        """Where completed PRDs stand: one whose branch is gone, or that has none, counts as on the base."""
        context = self._context
        git = context.git
        named = context.settings().coordinator.base_branch
        base = git.head_commit(f"refs/heads/{named}" if named else "HEAD")  # None: it was deleted
        tips: dict[str, str] = {}
        known: set[str] = set()
        merged: set[str] = set()
        for name, branch in branches:
            tip = git.head_commit(f"refs/heads/{branch}") if branch else None
            if not branch and not (context.paths.completed / name).is_dir():
                continue  # nowhere: the scheduler says so
            known.add(name)
            if tip is None or (base is not None and git.is_ancestor(tip, base)):
                merged.add(name)
            else:
                tips[name] = tip
        contained = {
            (one, other)
            for one, tip in tips.items()
            for other, other_tip in tips.items()
            if one != other and git.is_ancestor(tip, other_tip)
        }
        context.post(DependenciesObserved(frozenset(known), frozenset(merged), frozenset(contained)))


def _prd_of(effect: Effect) -> str:
    match effect:
        case StartRun(prd_id=prd_id):
            return prd_id
        case WatchRun(run) | EndRun(run=run) | VerifyRun(run=run) | CompleteRun(run=run):
            return run.prd_id
        case _:  # a failed pause or continuation is no reason to give up a PRD whose worker lives
            return ""
