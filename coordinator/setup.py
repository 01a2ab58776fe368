"""What makes a checked-out worktree ready for work, and what is done before it goes: commands of the person's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coordinator.context import Context
from coordinator.errors import PrdTuiError
from coordinator.faultpoints import reach
from coordinator.model import Run
from coordinator.shell_jobs import ShellJobs, ShellKind


class SetUpFailed(PrdTuiError):
    """A set-up command failed, as it would in every other worktree."""


def set_up(
    context: Context,
    run: Run,
    slot: int,
    *,
    begun: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> None:
    """Runs the commands of `worktree.setup` in a filled worktree: once, however many runs it serves.

    `begun` is told of each command. Where one failed, or a crash came, all of them run again for the next run.
    Returns early when `cancelled`. Raises SetUpFailed, StateError.
    """
    if context.worktrees.is_set_up(run.prd_id):
        return
    settings = context.settings().worktree
    for number, command in enumerate(settings.setup, 1):
        if cancelled():
            return
        begun(command)
        minutes = settings.setup_minutes
        result = context.shell.run(run, slot, ShellKind.SETUP, number, command, minutes=minutes)
        if not result.ok:
            raise SetUpFailed(
                f"Setting up the worktree of {run.prd_id} failed, {result.explanation()}: mend worktree.setup "
                f"(prd-tui logs {run.prd_id} shows the output), then release the queue."
            )
    if not context.worktrees.is_filled(run.prd_id):
        raise SetUpFailed(
            f"Setting up the worktree of {run.prd_id} destroyed it: mend worktree.setup, then release the queue."
        )
    context.worktrees.mark_set_up(run.prd_id)
    reach("set-up-marked")


def tear_down(shell: ShellJobs, run: Run, slot: int) -> list[str]:
    """Runs the commands of `worktree.teardown`, each once for a run; returns a warning for each that failed.

    `run`: the newest one of the worktree, which no process works in any more. Raises StateError.
    """
    if not Path(run.worktree).is_dir():
        return []
    settings = shell.settings().worktree
    results = [
        shell.run(run, slot, ShellKind.TEARDOWN, number, command, minutes=settings.setup_minutes)
        for number, command in enumerate(settings.teardown, 1)
    ]
    return [f"{run.prd_id}: {result.explanation()}" for result in results if not result.ok]
