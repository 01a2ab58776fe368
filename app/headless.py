"""`prd-tui run`: the engine without a screen."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO

from app.cli import discard
from app.status_text import clean, quoted, suggestion
from coordinator.api import EngineApi, Happened, Paths, PrdTuiError, open_engine, require_ready
from coordinator.commands import HoldQueue, StopMode
from coordinator.model import EngineSnapshot, PrdState, PrdView

#: Seconds between two looks at the engine's history, and those it has to write down its end.
LOOK, FAREWELL = 0.05, 10.0

Printer = Callable[[Happened], None]

_GOOD = frozenset({PrdState.COMPLETED, PrdState.MERGED, PrdState.NOTHING_LEFT})


class Signals:
    """INT and TERM stop every run, a second one at once; HUP is ignored. Handlers only ask the engine."""

    def __init__(self, engine: EngineApi) -> None:
        self._engine = engine
        self.received = 0
        self._count = 0
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._count += 1
        self.received = self.received or number
        self._engine.request_stop(StopMode.TERM if self._count == 1 else StopMode.KILL)


def run_headless(arguments: argparse.Namespace, paths: Paths) -> int:
    """Runs until nothing can run any more; returns the exit code. Raises PrdTuiError."""
    refuse_inside_worker(paths)
    chosen = overrides(arguments)
    require_ready(paths, chosen)
    only = named(arguments.prds, paths)
    engine = open_engine(paths, overrides=chosen, only=only)
    signals = Signals(engine)
    if arguments.hold:
        engine.submit(HoldQueue())  # before anything can start
    engine.start()
    narrator = Narrator(engine, _json_line if arguments.json else _plain_line)
    deadline = time.monotonic() + arguments.timeout if arguments.timeout else None
    _follow(engine, narrator, watch=arguments.watch, deadline=deadline)
    engine.join(FAREWELL)
    narrator.tell()
    snapshot = engine.snapshot()
    if not arguments.json:
        views = _asked_for(snapshot, only)
        _summary(
            snapshot, [view for view in views if view.state not in _GOOD or view.prd_id in narrator.named]
        )
    if signals.received:
        return 128 + signals.received
    return _exit_code(snapshot, only)


def _follow(engine: EngineApi, narrator: Narrator, *, watch: bool, deadline: float | None) -> None:
    """Prints what happens until the engine has ended; asks it to when nothing is left to do."""
    asked, last_idle = False, -1
    while not engine.join(LOOK):
        narrator.tell()
        if asked:
            continue
        if deadline is not None and time.monotonic() > deadline:
            write("prd-tui: the time is up, stopping everything", sys.stderr)
            engine.request_stop(StopMode.TERM)
            asked = True
        elif not watch and engine.is_idle() and (snapshot := engine.snapshot()).exhausted:
            # Twice the same: an event may be on its way between two threads.
            if snapshot.version == last_idle:
                engine.request_stop(StopMode.DETACH)
                asked = True
            last_idle = snapshot.version


def overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of the command line, by dotted key."""
    given: dict[str, Any] = {
        "coordinator.max_prds": arguments.max_prds,
        "coordinator.api_limit": arguments.api_limit,
    }
    if arguments.agent is not None:  # which no loop script of the settings may hide
        given |= {"worker.agent": arguments.agent, "worker.command": [], "worker.preset": ""}
    return {key: value for key, value in given.items() if value is not None}


def refuse_inside_worker(paths: Paths) -> None:
    """Raises PrdTuiError where the environment says that a run of this repository started us."""
    run_id = os.environ.get("PRD_RUN_ID", "")
    if run_id and any(paths.runs.glob(f"*/{run_id}/intent.json")):
        raise PrdTuiError(
            "This is inside a worker of this repository: start prd-tui from a shell of your own."
        )


def named(names: list[str], paths: Paths) -> frozenset[str] | None:
    """The PRDs named on the command line. Raises PrdTuiError with a suggestion for one that is not there."""
    if not names:
        return None
    folders = [entry.name for entry in paths.active.iterdir()] if paths.active.is_dir() else []
    for name in names:
        if name not in folders:
            hint = suggestion(name, folders, "prd-tui add puts one there.")
            raise PrdTuiError(f"{quoted(name)} is no folder in prds/active: {hint}")
    return frozenset(names)


def _exit_code(snapshot: EngineSnapshot, only: frozenset[str] | None) -> int:
    """0 when every PRD it was to run completed."""
    return 0 if all(view.state in _GOOD for view in _asked_for(snapshot, only)) else 1


def _asked_for(snapshot: EngineSnapshot, only: frozenset[str] | None) -> list[PrdView]:
    return [view for view in snapshot.prds if only is None or view.prd_id in only]


# -- printing --------------------------------------------------------------------------------------------


class Narrator:
    """Tells each event once, and remembers the PRDs that any was about in `named`."""

    def __init__(self, engine: EngineApi, printer: Printer) -> None:
        self._engine = engine
        self._printer = printer
        self._seen = 0
        self.named: set[str] = set()

    def tell(self) -> None:
        """Everything since the last time."""
        while (page := self._engine.events_after(self._seen, 1000)).events:
            for event in page.events:
                self._printer(event)
                self.named.add(event.prd_id)
            self._seen = page.next_seq


def write(text: str, stream: TextIO) -> None:
    """A reader that went away must not end the night."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        discard(stream)


def _plain_line(event: Happened) -> None:
    moment = time.strftime("%H:%M:%S", time.localtime(event.at))
    state = event.state.value if event.state else ""
    words = [moment, event.prd_id or "prd-tui", state, event.text]
    write(clean("  ".join(word for word in words if word)), sys.stderr)


def _json_line(event: Happened) -> None:
    document = {
        "seq": event.seq,
        "at": event.at,
        "prd_id": event.prd_id or None,
        "state": event.state.value if event.state else None,
        "text": event.text,
    }
    write(json.dumps(document), sys.stdout)


def _summary(snapshot: EngineSnapshot, views: list[PrdView]) -> None:
    """One line per PRD on stdout: what became of it, where its work is, why it is not done."""
    for hold in snapshot.queue.holds:
        write(clean(f"held: {hold}"), sys.stderr)
    for fault in snapshot.faults:
        write(clean(f"fault: {fault}"), sys.stderr)
    wide = max((len(view.prd_id) for view in views), default=0)
    for view in sorted(views, key=lambda view: (view.state not in _GOOD, view.prd_id)):
        branch = view.branch
        if view.branch_asked and view.branch_asked != view.branch:
            branch = f"{view.branch} (asked for {view.branch_asked})"
        words = [view.prd_id.ljust(wide), view.state.value, branch, view.reason]
        write(clean("  ".join(word for word in words if word)), sys.stdout)
