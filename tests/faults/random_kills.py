"""Five PRDs, and a coordinator that dies again and again: the same end as if nobody had disturbed it.

A seed says how each session runs (without a screen or as a dashboard on a terminal), when it dies and how. The
same seed gives the same plan; the moments within the program differ a little from one time to the next.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coordinator.proctable import Table, children_of, read_table
from tests.support.cli import CONFIG, end_workers, make_project, prd_tui, registry, start_run
from tests.support.invariant import check_invariant, exits, final_records
from tests.support.repos import drop_prd, prd_json
from tests.support.terminal import Terminal, dashboard
from tests.support.untouched import fingerprint

#: What becomes of each PRD in a run that nobody disturbs.
FINAL = {
    "plain": "completed",
    "seven": "failed",
    "slow": "completed",
    "daemon": "completed",
    "after": "completed",
}
#: Seconds that a whole run takes on an idle machine, about: deaths are spread over them.
WHOLE = 2.5
#: Seconds in which a coordinator starts and looks at what the last one left.
RECOVERY = 0.6
#: Seconds that the last session may take.
PATIENCE = 90.0

KILL, HANGUP, TERMINATE, CLOSED = "kill -9", "SIGHUP", "SIGTERM", "closed terminal"
#: As the kernel does when memory runs out: every git in the middle of something dies with the coordinator.
KILL_GITS = "kill -9 with its gits"


@dataclass(frozen=True)
class Death:
    """`after`: seconds from the start of the session."""

    after: float
    how: str = KILL


@dataclass(frozen=True)
class Plan:
    seed: int
    screen: bool
    deaths: tuple[Death, ...]
    ended_by_screen: bool

    def __str__(self) -> str:
        deaths = ", ".join(f"{death.how} at {death.after:.2f} s" for death in self.deaths)
        return f"{deaths}; ended {'on the screen' if self.ended_by_screen else 'without a screen'}"


def plan(seed: int, *, screen: bool) -> Plan:
    """One to four sessions that die: at any moment, while they come back, or both in quick succession."""
    dice = random.Random(f"{seed} {screen}")
    deaths: list[Death] = []
    for number in range(dice.choice((1, 2, 2, 3, 4))):
        early = number > 0 and dice.random() < 0.5
        after = dice.uniform(0.1, RECOVERY) if early else dice.uniform(0.1, WHOLE)
        how = dice.choice((KILL, KILL, KILL_GITS, HANGUP, TERMINATE, CLOSED) if screen else (KILL, KILL_GITS))
        deaths.append(Death(after + (0.4 if screen else 0.0), how))
    return Plan(seed, screen, tuple(deaths), screen and dice.random() < 0.5)


@dataclass
class Outcome:
    plan: Plan
    repo: Path
    seconds: float = 0.0
    problem: str = ""
    died: list[str] = field(default_factory=list)  # sessions that were still there when their time came


def play(planned: Plan, folder: Path) -> Outcome:
    """Plays a seed in `folder`, which goes again if all is well; a violation is told in `problem`."""
    began = time.monotonic()
    outcome = Outcome(planned, folder / "repo")
    try:
        _play(planned, folder, outcome)
    except (AssertionError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        outcome.problem = f"{error}\n{''.join(traceback.format_tb(error.__traceback__))}"
    else:
        shutil.rmtree(folder)
    outcome.seconds = time.monotonic() - began
    return outcome


def play_seed(seed: int, *, screen: bool) -> Outcome:
    """In a directory of its own, which is kept when something is wrong."""
    return play(plan(seed, screen=screen), Path(tempfile.mkdtemp(prefix=f"prd-tui-seed-{seed}-")))


# -- one seed --------------------------------------------------------------------------------------------


def five_prds(folder: Path) -> Path:
    """One does its work, one exits with 7, one is slow, one leaves daemons, one waits for the first, gated."""
    repo = make_project(folder, config=CONFIG + "[coordinator]\nmax_prds = 2\nstop_grace = 2\n")
    drop_prd(repo, "plain", prd_json(priority=1))
    drop_prd(repo, "seven", prd_json(priority=2, mode="exit7", verify=["true"]))
    drop_prd(repo, "slow", prd_json(priority=3, mode="leftovers", pace=0.25))
    drop_prd(repo, "daemon", prd_json(priority=4, mode="daemon"))
    gates = ["test -f plain-US-001.txt", "test -f after-US-002.txt"]
    drop_prd(repo, "after", prd_json(priority=5, dependsOn=["plain"], verify=gates))
    return repo


def _play(planned: Plan, folder: Path, outcome: Outcome) -> None:
    repo = five_prds(folder)
    checkout = fingerprint(repo)
    records: dict[str, bytes] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(end_workers, repo)
        for death in planned.deaths:
            if planned.screen:
                _die_on_screen(repo, death, stack, outcome)
            else:
                _die_headless(repo, death, outcome)
            now = final_records(repo)
            lost = {name for name, data in records.items() if now.get(name) != data}
            assert not lost, f"records changed: {lost}"
            records = now
        if planned.ended_by_screen:
            _end_on_screen(repo, stack)
        else:
            done = prd_tui(repo, "run", timeout=PATIENCE)
            assert done.returncode == 1, f"the last run ended with {done.returncode}: {done.stderr}"
        check_invariant(repo, FINAL, checkout=checkout, states=FINAL, records=records)
        assert [one["code"] for one in exits(repo, "seven")][-1] == 7
        revision = registry(repo)["revision"]
        once_more = prd_tui(repo, "run", timeout=PATIENCE)
        assert once_more.returncode == 1, once_more.stderr
        assert registry(repo)["revision"] > revision
        check_invariant(repo, FINAL, checkout=checkout, states=FINAL, records=final_records(repo))


def _die_headless(repo: Path, death: Death, outcome: Outcome) -> None:
    process = start_run(repo)
    try:
        process.wait(death.after)
    except subprocess.TimeoutExpired:
        outcome.died.append(death.how)
    finally:
        if death.how == KILL_GITS:
            _kill_with_gits(process.pid)
        process.kill()
        process.communicate()


def _kill_with_gits(pid: int) -> None:
    """The process and every git below it, all in one moment; keepers live on, and so do their workers."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    for one in (pid, *_gits_below(pid, table := read_table(), children_of(table))):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _gits_below(pid: int, table: Table, children: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """Not a worker's: between it and the coordinator there is its keeper."""
    for child in children.get(pid, ()):
        if table[child].name.startswith(b"git"):
            yield child
            yield from _gits_below(child, table, children)


def _die_on_screen(repo: Path, death: Death, stack: contextlib.ExitStack, outcome: Outcome) -> None:
    deadline = time.monotonic() + death.after
    terminal = stack.enter_context(dashboard(repo))
    person = _Person(terminal)
    while time.monotonic() < deadline:
        person.answer()
        with contextlib.suppress(subprocess.TimeoutExpired):
            terminal.process.wait(min(0.05, max(0.0, deadline - time.monotonic())))
    outcome.died.append(death.how)
    if death.how == CLOSED:
        terminal.close_master()
    elif death.how == KILL_GITS:
        _kill_with_gits(terminal.process.pid)
    else:
        number = {KILL: signal.SIGKILL, HANGUP: signal.SIGHUP, TERMINATE: signal.SIGTERM}[death.how]
        terminal.signal(number)
    assert terminal.process.wait(20) != 1, f"it ended with a fault:\n{terminal.afterwards}"


def _end_on_screen(repo: Path, stack: contextlib.ExitStack) -> None:
    """Until every PRD is where it has to be, then `q`."""
    terminal = stack.enter_context(dashboard(repo))
    person = _Person(terminal)

    def all_ended() -> bool:
        person.answer()
        document = registry(repo)
        ended = [
            entry["prd_id"] for name in ("completed_prds", "failed_prds") for entry in document.get(name, [])
        ]
        return document.get("coordinator_pid") == terminal.process.pid and set(ended) == set(FINAL)

    terminal.wait_for(all_ended, PATIENCE)
    terminal.press("q")
    assert terminal.wait_exit() == 0
    terminal.check_restored()


class _Person:
    """Answers what a person is asked, once: at a first start, and after a session that ended early."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._answered: set[str] = set()

    def answer(self) -> None:
        text = self._terminal.text()
        for question, key in (("starts them", "P"), ("Resume previous session", "y")):
            if question in text and question not in self._answered:
                self._answered.add(question)
                self._terminal.press(key)
