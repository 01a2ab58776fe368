"""`prd-tui`: opens the dashboard on a repository, and says on leaving what goes on without it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import traceback
from typing import TextIO

from app import garbage
from app.actions import running
from app.bridge import Bridge
from app.cli import discard
from app.dashboard import Dashboard
from app.driver import Driver
from app.headless import named, overrides, refuse_inside_worker, write
from app.machine import Machine
from app.own_command import on_a_terminal, own_command
from app.preferences import Preferences, preferences_file
from app.screens.first_run import FirstRunScreen, is_open
from app.status_text import clean
from coordinator import api
from coordinator.api import (
    EngineApi,
    OwnedElsewhere,
    Paths,
    PrdTuiError,
    Survey,
    open_engine,
    read_owner_pid,
    settings_desk,
)
from coordinator.commands import HoldQueue, StopMode
from coordinator.model import PrdView

#: Seconds the engine has to write down its end, and those a start under way may still take.
FAREWELL, STARTING = 10.0, 30.0


def open_dashboard(arguments: argparse.Namespace, paths: Paths, *, hold_first: bool = True) -> int:
    """Shows the dashboard until it is left; returns the exit code. Raises PrdTuiError."""
    refuse_inside_worker(paths)
    if not on_a_terminal():
        raise PrdTuiError("The dashboard needs a terminal: prd-tui run does the same work without one.")
    for name in ("COLUMNS", "LINES"):  # exported by a shell, they would hide that the window changes
        os.environ.pop(name, None)
    if owner := read_owner_pid(paths):
        raise _owned(owner)
    only = named(arguments.prds, paths)
    chosen = overrides(arguments)

    def opened() -> EngineApi:
        engine = open_engine(
            paths,
            overrides=chosen,
            only=only,
            hold_first=hold_first,
            ask_to_resume=not arguments.resume and not arguments.hold,
        )
        if arguments.hold:
            engine.submit(HoldQueue())  # before anything can start
        return engine

    setup = RepositorySetup(paths)
    app = Dashboard(
        opened,
        machine=Machine(str(paths.root)),
        preferences=Preferences(preferences_file()),
        on_quit=settings_desk(paths).row("coordinator.on_quit").value,
        once_settled=garbage.release,
        first_run=None if "worker.agent" in chosen else setup.question(),
        driver=Driver,
    )
    try:
        code = app.run()
    finally:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a terminal that closes sends several
        left = _end(app.bridge)
        _settle_streams()
    failure = app.bridge.failure or app.fault
    if app.signalled:
        failure = None  # the terminal is gone, or about to go: what else stumbles then is of no interest
    elif failure is not None and not isinstance(failure, PrdTuiError):
        _print("prd-tui has stumbled over itself; this says where:", sys.stderr)
        for line in "".join(traceback.format_exception(failure)).splitlines():
            _print(line, sys.stderr)
    _say_farewell(StopMode.DETACH if failure else app.farewell, left, paths)
    if isinstance(failure, PrdTuiError):
        raise failure
    if failure is not None:
        return 1
    return code if code is not None else app.return_code or 0


def _settle_streams() -> None:
    """What a closed terminal did not take any more shall not become the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


class RepositorySetup:
    """The first look at a repository, and what mends it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def question(self) -> FirstRunScreen | None:
        """What to show before anything is started; None where all is set up."""
        found = self.survey()
        return FirstRunScreen(self, found) if is_open(found) else None

    def survey(self) -> Survey:
        return api.survey(self._paths)

    def choose_agent(self, name: str) -> None:
        api.choose_worker(self._paths, agent=name)

    def choose_script(self, name: str) -> None:
        api.choose_worker(self._paths, command=(name,))

    def make_folder(self) -> None:
        api.make_prd_folder(self._paths)

    def approve(self) -> None:
        settings_desk(self._paths).approve()


def _owned(pid: int) -> PrdTuiError:
    return OwnedElsewhere(
        f"Another coordinator (process {pid}) runs this repository: prd-tui status shows its work, "
        "prd-tui stop, pause, retry, hold and release steer it."
    )


def _end(bridge: Bridge) -> list[PrdView]:
    """However the screen was left: the engine lets go of the repository. Returns the runs that go on."""
    bridge.wait_started(STARTING)
    left = running(bridge.snapshot)
    if bridge.started and bridge.engine is not None:
        bridge.engine.request_stop(StopMode.DETACH)
        bridge.engine.join(FAREWELL)
    return left


def _say_farewell(mode: StopMode | None, left: list[PrdView], paths: Paths) -> None:
    if not left or mode is not StopMode.DETACH:
        return
    command = f"{own_command()} -C {shlex.quote(str(paths.root))}"
    names = ", ".join(view.prd_id for view in left)
    go_on = "1 worker goes" if len(left) == 1 else f"{len(left)} workers go"
    _print(f"{go_on} on without a screen: {names}. Nothing new starts before you come back.")
    _print(f"  come back   {command}")
    _print(f"  stop all    {command} stop --all")


def _print(text: str, stream: TextIO | None = None) -> None:
    write(clean(text), stream or sys.stdout)
