"""The dashboard: wiring only. The engine runs in threads of its own; the screen looks at it five times a second."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files

from rich.console import RenderableType
from textual import events
from textual.app import App, SystemCommand
from textual.driver import Driver
from textual.reactive import Reactive
from textual.screen import Screen

from app import actions
from app.bridge import LOOK, Bridge, Clock
from app.drawing import Span
from app.format import short
from app.machine import Machine
from app.preferences import Preferences
from app.rows import TICKING
from app.screens.choice import Choice, ChoiceScreen
from app.screens.first_run import FirstRunScreen
from app.screens.main import MainScreen
from app.screens.resume import GO_ON, HOLD, ResumeScreen
from app.text import Severity, notice, plain
from app.themes import ANSI_DARK, ANSI_LIGHT, DARK, THEMES
from coordinator.api import EngineApi, LogChunk
from coordinator.commands import HoldQueue, ReleaseQueue, StopMode
from coordinator.model import FIRST, PERSON, RESUME, EngineSnapshot, PrdState, QueueView

#: Seconds between two samples of the machine's load, and two movements of the clocks.
SAMPLE, TICK = 2.0, 1.0
#: Seconds between two looks at an engine that is starting, and how many of them there are at most.
EARLY, EARLY_LOOKS = 0.02, 100
#: Seconds after which all that a start makes has been made.
SETTLED = 3.0

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

ReadLog = Callable[[int, int], LogChunk]


class Dashboard(App[int]):
    """Returns the exit code. `farewell`: how it was left, `fault`: what ended it, for what is printed afterwards."""

    CSS = files("styles").joinpath("dashboard.tcss").read_text("utf-8")
    TITLE = "prd-tui"
    ENABLE_COMMAND_PALETTE = True
    ansi_theme_dark = Reactive(ANSI_DARK, init=False)
    ansi_theme_light = Reactive(ANSI_LIGHT, init=False)

    def __init__(
        self,
        open_engine: Callable[[], EngineApi],
        *,
        machine: Machine,
        preferences: Preferences | None = None,
        on_quit: str = "ask",
        first_run: FirstRunScreen | None = None,
        driver: type[Driver] | None = None,
        once_settled: Callable[[], None] | None = None,
        now: Clock = time.time,
        monotonic: Clock = time.monotonic,
    ) -> None:
        super().__init__(driver_class=driver)
        self.bridge = Bridge(open_engine, monotonic)
        self.machine = machine
        self.now = now
        self.farewell: StopMode | None = None
        self.fault: Exception | None = None
        self.signalled = 0
        self._preferences = preferences or Preferences(None)
        self._on_quit = on_quit
        self._first_run = first_run
        self._once_settled = once_settled
        self._ending: StopMode | None = None
        self._asked = False  # whether the last session's work goes on
        self._banner: tuple[Span, ...] = ()
        self._take_colours()

    # -- beginning --------------------------------------------------------------------------------------

    def _take_colours(self) -> None:
        """Before anything is drawn: to change them afterwards costs a style sheet read and a layout each."""
        for theme in THEMES:
            self.register_theme(theme)
        wanted = self._preferences.get("theme") or DARK
        self.set_reactive(App.theme, wanted if wanted in self.available_themes else DARK)
        self.stylesheet.set_variables(self.get_css_variables())

    def get_default_screen(self) -> Screen[None]:
        return MainScreen(self.size)

    def on_load(self) -> None:
        """Before the terminal is touched: from then on it has to be restored, whatever comes."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)

    def on_mount(self) -> None:
        if self.theme != DARK:
            self.mutate_reactive(App.theme)  # the toolkit has to be told of all others: a light one, for one
        self.theme_changed_signal.subscribe(self, lambda theme: self._preferences.set("theme", theme.name))
        if self.signalled:
            return  # it came while the screen was being opened
        if self._first_run is None:
            self._start()
        else:
            self.push_screen(self._first_run, self._agreed)
        if self._once_settled is not None:
            self.set_timer(SETTLED, self._once_settled)
        self.set_interval(LOOK, self.look)
        self.set_interval(TICK, self._tick)
        self.set_interval(SAMPLE, self._sample)

    def _agreed(self, go_on: bool | None) -> None:
        """The first look at a repository is over: only now the engine starts."""
        if go_on:
            self._start()
        else:
            self.leave(StopMode.DETACH, 0)

    def _start(self) -> None:
        """Opens the engine. What it finds first is waited for, so it is looked at more often until it is at rest."""
        self.bridge.start()
        self._early = self.set_interval(EARLY, self._look_early, repeat=EARLY_LOOKS)

    def _look_early(self) -> None:
        at_rest = self.bridge.at_rest
        self.look()
        if at_rest:
            self._early.stop()

    def _signalled(self, number: int) -> None:
        """Leaves; the workers go on. A terminal that closes sends several: further ones mean nothing."""
        self.signalled = number
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_IGN)
        self.leave(StopMode.DETACH, 128 + number)

    @property
    def main(self) -> MainScreen:
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)  # noqa: S101 - the default screen above
        return screen

    # -- looking at the engine --------------------------------------------------------------------------

    def look(self) -> None:
        """Five times a second: shows what has changed, and nothing else."""
        if not self.is_running:
            return  # the screen is being taken down
        if self.bridge.failure is not None:
            self.leave(StopMode.DETACH, 1)
            return
        seen = self.bridge.look()
        main = self.main
        if seen.changed:
            main.show(seen.snapshot)
        if seen.fresh:
            main.show_events()
            for event in seen.fresh:
                if event.state is PrdState.DROPPED:
                    self.say(event.text, "information")
                elif event.refused or event.alarming:
                    self.say(f"{event.prd_id}: {event.text}" if event.prd_id else event.text, "warning")
        self._show_banner(seen.snapshot, seen.stale_for, seen.ended)
        self._ask_to_resume(seen.snapshot)
        if main.log_view.display:
            main.log_view.poll()
        if seen.ended and self._ending is not None:
            self.leave(self._ending, 0)

    def _tick(self) -> None:
        if self.is_running:
            self.main.tick()

    def _sample(self) -> None:
        self.machine.sample()

    def _show_banner(self, snapshot: EngineSnapshot, stale_for: float, ended: bool) -> None:
        spans: list[Span] = []
        if ended and self._ending is None:
            spans = [Span("✗ The engine has ended by itself: ", "bad"), Span("what you see is ")]
            spans += [Span(f"{short(stale_for)} old; leave with q and start prd-tui again.")]
        elif stale_for:
            spans = [Span("! No sign of life from the engine: ", "bad")]
            spans += [Span(f"what you see is {short(stale_for)} old.")]
        elif snapshot.faults:
            spans = [Span("! ", "bad"), Span(snapshot.faults[0], "bad")]
        elif FIRST in snapshot.queue.hold_kinds and (ready := _startable(snapshot)):
            count = "1 PRD is ready" if ready == 1 else f"{ready} PRDs are ready"
            spans = [
                Span(f"{count} — ", "bright"),
                Span("P", "key"),
                Span(" starts them. "),
                Span(_FIRST, "soft"),
            ]
        elif RESUME in snapshot.queue.hold_kinds:
            spans = [
                Span("‖ The last session left work: ", "wait"),
                Span("P", "key"),
                Span(" lets it go on."),
            ]
        elif snapshot.queue.hold_kinds == (PERSON,):
            spans = [Span("‖ Held by you: ", "wait"), Span("what runs goes on, nothing new starts. ")]
            spans += [Span("P", "key"), Span(" lets the queue run.")]
        elif snapshot.queue.holds:
            spans = _held(snapshot.queue)
        elif snapshot.queue.checking:
            checking = snapshot.queue.checking
            spans = [Span("◌ ", "run"), Span(f"{checking[0].upper()}{checking[1:]}")]
        if tuple(spans) != self._banner:
            self._banner = tuple(spans)
            self.main.show_banner(spans)

    def _ask_to_resume(self, snapshot: EngineSnapshot) -> None:
        """Once, while the engine waits for the answer; from elsewhere it may come too."""
        asks = RESUME in snapshot.queue.hold_kinds
        if isinstance(self.screen, ResumeScreen):
            if asks:
                self.screen.follow(snapshot)
            else:
                self.screen.dismiss("")
        elif asks and not self._asked:
            self._asked = True
            self.push_screen(ResumeScreen(snapshot), self._resume)

    def _resume(self, choice: str | None) -> None:
        if choice == GO_ON:
            self.bridge.submit(ReleaseQueue())
        elif choice == HOLD:
            self.bridge.submit(HoldQueue())

    # -- what the screen asks ---------------------------------------------------------------------------

    def mood(self, snapshot: EngineSnapshot) -> tuple[str, str, str]:
        """(glyph, word, tone) of the whole."""
        if self._ending is StopMode.DRAIN:
            return "▶", "DRAINING", "wait"
        if self._ending is not None:
            return "■", "STOPPING", "wait"
        if not snapshot.version:
            return "…", "STARTING", "soft"
        states = [view.state for view in snapshot.prds]
        if snapshot.queue.holds:
            return "‖", "HELD", "wait"
        if any(state in TICKING for state in states):
            return "▶", "RUNNING", "run"
        if snapshot.queue.checking:
            return "◌", "CHECKING", "run"
        if PrdState.PAUSED in states:
            return "‖", "PAUSED", "wait"
        return "·", "IDLE", "soft"

    def empty_hint(self, snapshot: EngineSnapshot) -> str:
        if not snapshot.version:
            return "Looking at the repository …"
        return "Drop a folder with a prd.json into prds/active: it starts by itself."

    def read_log_of(self, prd_id: str) -> ReadLog:
        return partial(self.bridge.read_log, prd_id)

    def say(self, text: str, severity: Severity = "information") -> None:
        notice(self, text, severity)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: every action, and Textual's own theme picker."""
        for action in actions.ACTIONS:
            if action.in_palette:
                yield SystemCommand(action.label, action.help, partial(self.main.perform, action))
        yield SystemCommand("Theme", "choose the colours; the choice is kept", self.action_change_theme)

    # -- leaving ----------------------------------------------------------------------------------------

    def ask_to_leave(self) -> None:
        """Asks what becomes of running work, where there is any and the settings do not say."""
        running = actions.running(self.bridge.snapshot)
        if self._ending in (StopMode.TERM, StopMode.KILL):
            body = f"{_runs(len(running))} still being ended. Killing gives them no time to finish."
            choices = [Choice("wait", "Wait"), Choice("kill", "Kill at once", danger=True)]
            self.push_screen(ChoiceScreen("Still stopping", body, choices), self._left)
        elif not running or self._on_quit == "leave":
            self.leave(StopMode.DETACH, 0)
        elif self._on_quit == "stop":
            self._left("stop")
        else:
            self.push_screen(
                ChoiceScreen("Leave prd-tui?", _consequence(len(running)), _LEAVE, again="q"), self._left
            )

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Paste):  # an input shows what was pasted as it is
            event.text = "\n".join(map(plain, event.text.splitlines()))
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        """Every key comes by here, also one that was on its way to what a question has covered meanwhile."""
        if isinstance(self.screen, ChoiceScreen):
            self.screen.take(event.key)

    def _left(self, choice: str | None) -> None:
        modes = {
            "leave": StopMode.DETACH,
            "drain": StopMode.DRAIN,
            "stop": StopMode.TERM,
            "kill": StopMode.KILL,
        }
        mode = modes.get(choice or "")
        if mode is StopMode.DETACH:
            self.leave(mode, 0)
        elif mode is not None:
            self._ending = mode
            self.bridge.request_stop(mode)
            self.main.show_gauges()

    def leave(self, mode: StopMode, code: int) -> None:
        self.farewell = mode
        self.exit(code)

    def _handle_exception(self, error: Exception) -> None:
        self.fault = self.fault or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Closes the screen. The toolkit would write out all variables, and text from outside as it is."""
        self._close_messages_no_wait()

    def panic(self, *_renderables: RenderableType) -> None:
        """The keyboard could not be read, or the like; again nothing is written as it is."""
        self.fault = self.fault or RuntimeError("The terminal can no longer be read.")
        self._close_messages_no_wait()


_FIRST = "It is the first time here: nothing runs before you say so."
_LEAVE = (
    Choice("leave", "Leave running"),
    Choice("drain", "Drain"),
    Choice("stop", "Stop all", danger=True),
    Choice("cancel", "Cancel"),
)


def _held(queue: QueueView) -> list[Span]:
    """What holds the queue; of several reasons one that a person's word does not lift."""
    reasons = sorted(zip(queue.hold_kinds, queue.holds, strict=True), key=lambda one: one[0] == PERSON)
    count = f"({len(reasons)} reasons) " if len(reasons) > 1 else ""
    return [Span("‖ Held: ", "wait"), Span(count, "soft"), Span(reasons[0][1])]


def _startable(snapshot: EngineSnapshot) -> int:
    """How many PRDs would start once nothing holds the queue; a blocked one waits for a person."""
    return sum(view.state is PrdState.QUEUED for view in snapshot.prds)


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"


def _consequence(count: int) -> str:
    them = "it" if count == 1 else "them"
    return (
        f"{_runs(count)} under way.\n\n"
        f"Leave running: the workers go on without a screen; prd-tui takes {them} over when you come back. "
        "Nothing new starts meanwhile.\n"
        "Drain: start nothing new, leave when these have ended.\n"
        "Stop all: end every worker now; worktrees are kept and the next start goes on from there."
    )
