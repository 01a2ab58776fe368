"""Faults are injected, and what must survive is looked at: by the real command, real git and real processes.

`tests.support.invariant.check_invariant` says what holds after any of them. Which fault is injected where, by
number; where no folder is named, it is this one:

Coordinator
     1  killed at random moments: test_random_kills, `python -m tests.faults --seeds N` for as many as one likes
  2, 8  killed at every named point, each step of a completion among them: test_fault_points
     3  killed between spawn and record: test_fault_points[keeper-spawned], engine/test_executor
     4  killed after the intent, before the spawn: test_fault_points[intent-written to set-up-marked]
     5  a worker exits with 7 meanwhile: test_coordinator_killed
     6  a worker completes meanwhile: test_coordinator_killed
     7  its keeper is killed: test_coordinator_killed
     9  killed while it comes back, twice: test_random_kills, test_fault_points
    10  several are started together: test_clinging_processes
    11  the terminal is closed: e2e/test_dashboard_leaving, test_random_kills on a screen
    12  a pane stumbles: e2e/test_dashboard_leaving
    13  a foreign process has the recorded pid: test_clinging_processes, engine/test_processes
    14  the machine was started anew: test_moved
    15  a zombie that nobody reaps: test_clinging_processes, engine/test_processes

Processes
    16  descendants in other sessions and without an environment: test_clinging_processes, engine/test_processes
    17  the leader ends, a child ignores TERM: engine/test_processes, engine/test_keeper, test_clinging_processes
    18  ten workers ignore TERM: test_clinging_processes
    19  interrupts while it ends: test_clinging_processes, e2e/test_run
    20  a storm of forks: engine/test_processes, engine/test_keeper
    21  a paused worker is stopped: engine/test_pausing, engine/test_processes
    22  killed while a worker is paused: e2e/test_pause, test_fault_points[pause-wanted, paused, resume-wanted]
    23  a long pause: engine/test_health
    24  the clock is set: unit/test_clock_jumps
    25  a log of a gigabyte, a line of 50 MB: ui/test_log_view_hardships, unit/test_log_ring, engine/test_log_caps
    30  a worker that crashes again and again: test_setbacks, unit/test_lifecycle

State
    31  writers of the registry are killed: test_registry_storm
    32  the disk is full: test_storage, test_registry_storm, engine/test_keeper, test_mischief
33, 34  the registry is torn, empty, newer, read-only, or bad with its backup: test_storage, test_vanished
    35  what released versions left: test_golden

git
    36  twenty starts beside an agent's git: engine/test_worktrees
    37  killed in `git worktree add`: engine/test_worktree_crashes, test_fault_points
    38  looks while workers commit: engine/test_worktrees
    39  index locks, stale and in use: engine/test_salvage, engine/test_worktree_crashes
    40  a worker deletes its worktree, its branch, its .git: test_vanished
    45  hooks, fsmonitor and variables that lead astray: engine/test_git, e2e/test_places, test_mischief

Input
    46  hostile ids and branch names: e2e/test_arrival, engine/test_branches, unit/test_admission
    47  hostile prd.json: e2e/test_arrival, unit/test_prd_file
    48  every way in which a folder arrives: e2e/test_arrival, engine/test_watcher
    49  a folder is removed or edited while it runs: test_setbacks, test_vanished, unit/test_lifecycle
    50  hostile text on a real terminal: ui/test_log_terminal, e2e/test_dashboard_hostile
    51  keys in the environment: e2e/test_run, engine/test_git
    52  no watches are left: engine/test_watcher
    53  clean, switch and stash by the person: test_checkout_changes
    54  a worker cleans its worktree: test_mischief
    55  killed while a worktree is filled: engine/test_worktree_crashes, test_fault_points
"""
