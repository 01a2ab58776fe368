"""Names the dangerous moments, so that a test can make the program die exactly there.

`PRD_TUI_FAULT=name` makes the process kill itself with SIGKILL when it reaches that point for the first time;
`name:3` at the third time. Without the variable a point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

#: Every point, in the order in which one run passes them.
POINTS = (
    "base-check-begun",  # the check is recorded, its worktree does not exist
    "base-worktree-added",
    "base-green",  # that the gates pass on the base is on disk, its worktree is still there
    "intent-written",  # the run is recorded, nothing exists yet
    "branch-created",  # the branch exists, its worktree does not
    "worktree-added",  # the worktree is registered and empty
    "worktree-filled",  # files are there, the mark is not
    "filled-marked",
    "setup-started",
    "set-up-marked",  # every set-up command succeeded
    "keeper-spawned",  # the keeper lives, the coordinator has not read its record
    "start-recorded",
    "exit-seen",  # the worker's exit was read, nothing was decided
    "swept-seen",
    "set-aside",  # uncommitted work is on its salvage ref, the worktree is not clean yet
    "litter-removed",
    "gate-started",
    "gates-passed",
    "verdict-written",  # the verdict is in the journal
    "step-passes",
    "step-progress",
    "step-move",
    "step-archive",
    "step-metrics",
    "run-closed",
    "pause-wanted",  # the pause is in the journal, no process was stopped
    "paused",  # every process stands still, nobody was told
    "resume-wanted",  # in the journal, every process still stands
    "stop-wanted",  # the stop is in the journal, no signal was sent
    "teardown-started",
    "worktree-moved-away",  # a worktree that goes is out of its place, and still in git's list
    "drop-wanted",  # in the journal of the drop, nothing was done
    "drop-kept",  # the PRD's work is on its ref
    "drop-freed",  # its worktree is gone
    "drop-moved",  # its folder is in prds/dropped
    "drop-recorded",  # the run says that it was dropped, the journal of the drop is still there
    "deinit-worktrees-gone",  # no worktree is left, all else is
    "deinit-state-gone",  # nothing in the checkout is left
    "registry-replaced",
)

_hits: dict[str, int] = {}


def reach(point: str) -> None:
    """Dies here if a test asked for it."""
    wanted = os.environ.get("PRD_TUI_FAULT")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name != point:
        return
    _hits[point] = _hits.get(point, 0) + 1
    if _hits[point] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
