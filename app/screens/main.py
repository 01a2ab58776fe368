"""The one screen: where the panes are, which one has the focus, and what the keys do to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from app import rows
from app.action import Action, Where
from app.actions import ACTIONS, BY_ID
from app.drawing import Span, title
from app.estimate import Estimates, estimate
from app.format import size
from app.screens.choice import Choice, ChoiceScreen
from app.text import Severity
from app.widgets.event_strip import EventStrip
from app.widgets.gauges import Gauges, Readings
from app.widgets.key_bar import Key, KeyBar
from app.widgets.listing import Listing
from app.widgets.log_view import LogView
from app.widgets.prd_list import PrdList
from app.widgets.queue_list import QueueList
from app.widgets.story_list import StoryList
from coordinator.commands import Command
from coordinator.model import EngineSnapshot, PrdView

if TYPE_CHECKING:
    from app.dashboard import Dashboard

#: Columns and rows below which nothing useful fits.
SMALLEST = (60, 16)
#: Columns from which on there is room for panes beside the list, and for three of them side by side.
MEDIUM, WIDE = 100, 160
PANES = ("prds", "stories", "log", "queue")
TABS = {"stories": "Stories", "log": "Log"}


class Pane(Protocol):
    """What every pane can do."""

    def scroll_lines(self, count: int) -> None: ...
    def scroll_pages(self, pages: float) -> None: ...
    def to_start(self) -> None: ...
    def to_end(self) -> None: ...


class MainScreen(Screen[None]):
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - no class variable to the toolkit's types
        (0, "-tiny"),
        (SMALLEST[0], "-narrow"),
        (MEDIUM, "-medium"),
        (WIDE, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (SMALLEST[1], "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#prds"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(",".join(action.keys), f"act('{action.id}')", action.label, show=False, id=action.id)
        for action in ACTIONS
    ]

    def __init__(self, size: Size) -> None:
        """`size`: the terminal's, so that the first layout is the right one."""
        super().__init__(classes=" ".join(_classes(size)))
        self._snapshot = EngineSnapshot()
        self._tab = "stories"
        self._searched = ""
        self._columns, self._row_count = size

    def compose(self) -> ComposeResult:
        yield Gauges(id="gauges")
        yield Static(id="banner")
        with Container(id="body"):
            yield PrdList(id="prds")
            with Container(id="side"):
                yield StoryList(id="stories")
                yield LogView(id="log")
                yield QueueList(id="queue")
        yield EventStrip(id="events")
        yield Input(id="search", placeholder="search in the log", compact=True)
        yield KeyBar(id="keys")
        yield Static(id="small")

    def on_mount(self) -> None:
        self._show_tab()
        self.show_place()
        self.show_gauges()

    @property
    def _wide(self) -> bool:
        return self._columns >= WIDE

    # -- what is shown ----------------------------------------------------------------------------------

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def prds(self) -> PrdList:
        return self.query_one("#prds", PrdList)

    @property
    def stories(self) -> StoryList:
        return self.query_one("#stories", StoryList)

    @property
    def log_view(self) -> LogView:
        return self.query_one("#log", LogView)

    def show(self, snapshot: EngineSnapshot) -> None:
        """Everything that depends on the engine's state."""
        self._snapshot = snapshot
        now = self.dashboard.now()
        estimates = estimate(snapshot, now)
        self.prds.show(snapshot, estimates, now, self.dashboard.empty_hint(snapshot))
        self.query_one("#queue", QueueList).show(snapshot, estimates)
        self.show_chosen()
        self.show_gauges(estimates)
        self._show_small()

    def tick(self) -> None:
        """A second has passed."""
        now = self.dashboard.now()
        self.prds.tick(now)
        self.stories.tick(now)
        self.show_gauges()

    def show_gauges(self, estimates: Estimates | None = None) -> None:
        estimates = estimates or estimate(self._snapshot, self.dashboard.now())
        loads = tuple(self.dashboard.machine.samples)
        readings = Readings(self._snapshot, self.dashboard.mood(self._snapshot), estimates, loads)
        self.query_one("#gauges", Gauges).show(readings)

    def show_events(self) -> None:
        self.query_one("#events", EventStrip).show(tuple(self.dashboard.bridge.events))

    def show_banner(self, spans: list[Span]) -> None:
        """A line across the screen for what concerns the whole; an empty one takes no room."""
        banner = self.query_one("#banner", Static)
        banner.update(title(spans))
        banner.display = bool(spans)

    def show_chosen(self) -> None:
        """The detail of the PRD under the cursor."""
        view = self.prds.chosen
        self.stories.show(view, self.dashboard.now())
        if view is None:
            self.log_view.clear()
        else:
            self.log_view.show(view.prd_id, self.dashboard.read_log_of(view.prd_id))
        self.show_titles()
        self.show_keys()

    def show_titles(self) -> None:
        view = self.prds.chosen
        name = Span(view.prd_id if view else "no PRD", "bright" if view else "soft")
        log = self.log_view
        word = Span(log.title_word, "ready" if log.following else "wait")
        branch = [Span(view.branch, "faint")] if view and view.branch else []
        self.stories.entitle([name, Span("  "), *self._tab_names()], branch)
        alone = self._tab == "log" and not self._wide
        head = [name, Span("  "), *self._tab_names()] if alone else [Span("Log", "bright")]
        extent = [Span(size(log.log_size), "faint")] if log.log_size else []
        log.entitle([*head, Span("  "), word] if view else head, extent)

    def _tab_names(self) -> list[Span]:
        spans: list[Span] = []
        for key, label in TABS.items():
            chosen = key == self._tab or self._wide
            if self._wide and key == "log":
                continue
            spans += [Span(label, "strong" if chosen else "soft"), Span(" ")]
        return spans[:-1]

    def show_keys(self) -> None:
        where = self.where()
        entries = tuple(
            Key(action.id, action.shown, action.label_now(where), not action.refusal(where))
            for action in ACTIONS
            if action.in_bar
        )
        self.query_one("#keys", KeyBar).show(entries)

    def show_place(self) -> None:
        """What depends on the size of the terminal."""
        self.prds.numbered = self._columns < MEDIUM
        self.prds.redraw()
        self.show_titles()
        self._show_small()

    def _show_small(self) -> None:
        """What stands there instead of all panes; not while it is hidden, for it has the screen laid out anew."""
        if self._columns >= SMALLEST[0] and self._row_count >= SMALLEST[1]:
            return
        spans = [
            Span(f"prd-tui needs {SMALLEST[0]}×{SMALLEST[1]}  ", "soft"),
            *rows.counts(self._snapshot.prds),
        ]
        self.query_one("#small", Static).update(title(spans))

    # -- where the focus is -----------------------------------------------------------------------------

    def where(self) -> Where:
        pane = self.focused.id if self.focused is not None and self.focused.id in PANES else "prds"
        return Where(self._snapshot, self.prds.chosen, self.prds.marked, pane or "prds", self.dashboard.now())

    @property
    def pane(self) -> Pane:
        return cast("Pane", self.query_one(f"#{self.where().pane}", Widget))

    def _panes(self) -> list[Widget]:
        """Those that can be seen, in the order of `tab`."""
        found = (self.query_one(f"#{name}") for name in PANES)
        return [pane for pane in found if pane.display and pane.size.height > 0]

    def next_pane(self, step: int) -> None:
        panes = self._panes()
        if not panes:
            return  # the terminal is too small for any
        place = next((number for number, pane in enumerate(panes) if pane.id == self.where().pane), 0)
        panes[(place + step) % len(panes)].focus()

    def next_tab(self, step: int) -> None:
        names = list(TABS)
        self._tab = names[(names.index(self._tab) + step) % len(names)]
        self._show_tab()
        if self.where().pane != "prds":
            self.query_one(f"#{self._tab}").focus()

    def show_log(self) -> None:
        self._tab = "log"
        self._show_tab()
        self.log_view.focus()

    def open_pane(self) -> None:
        """From the list to the chosen PRD, which then has the screen to itself; there, from tab to tab."""
        if self.where().pane == "prds":
            self.add_class("-zoom")
            self.query_one(f"#{self._tab}").focus()
        else:
            self.toggle_class("-zoom")
        self.show_titles()

    def back(self) -> None:
        """From the search to the log, from anywhere else to the list; there the marks go."""
        if self.query_one("#search", Input).has_focus:
            self._end_search()
            return
        if self.has_class("-zoom"):
            self.remove_class("-zoom")
        elif self.prds.has_focus:
            self.prds.mark_all(False)
        self.prds.focus()

    def _show_tab(self) -> None:
        self.set_class(self._tab == "log", "-tab-log")
        self.show_titles()

    def on_descendant_focus(self) -> None:
        self.show_keys()

    def on_resize(self, event: events.Resize) -> None:
        self._columns, self._row_count = event.size
        self.show_place()

    def on_listing_moved(self, event: Listing.Moved) -> None:
        if event.listing.id == "prds":
            self.show_chosen()

    def on_log_view_reading_changed(self) -> None:
        self.show_titles()

    # -- what the keys do -------------------------------------------------------------------------------

    def action_act(self, action_id: str) -> None:
        self.perform(BY_ID[action_id])

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        self.perform(BY_ID[event.action_id])

    def perform(self, action: Action) -> None:
        """Does it, or says why not."""
        where = self.where()
        refusal = action.refusal(where)
        if refusal:
            self.say(refusal, "warning")
        else:
            action.run(self, where)
            self.show_titles()
            self.show_keys()

    def submit(self, command: Command) -> None:
        if not self.dashboard.bridge.submit(command):
            self.say("The engine is still starting: try again in a moment.", "warning")

    def say(self, text: str, severity: Severity = "information") -> None:
        self.dashboard.say(text, severity)

    def confirm(self, question: str, body: str, label: str, act: Callable[[], None]) -> None:
        """Asks before something that cannot be taken back; the focus is on leaving it."""

        def answered(choice: str | None) -> None:
            if choice == "yes":
                act()

        choices = [Choice("no", "Leave it"), Choice("yes", label, danger=True)]
        self.app.push_screen(ChoiceScreen(question, body, choices), answered)

    def show_help(self) -> None:
        from app.screens.help import HelpScreen

        self.app.push_screen(HelpScreen())

    def leave(self) -> None:
        self.dashboard.ask_to_leave()

    # -- search -----------------------------------------------------------------------------------------

    def ask_search(self) -> None:
        self.show_log()
        box = self.query_one("#search", Input)
        box.display = True
        box.value = ""
        box.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._end_search()
        self._searched = event.value
        if event.value and not self.log_view.search(event.value):
            self.say(f"{event.value} is not in this part of the log.", "warning")
        self.show_titles()

    def find(self, *, backwards: bool) -> None:
        if not self._searched:
            self.say("Nothing has been searched for yet: / asks what for.", "warning")
        elif not self.log_view.find_next(backwards):
            self.say(f"{self._searched} is not in this part of the log.", "warning")

    def _end_search(self) -> None:
        self.query_one("#search", Input).display = False
        self.log_view.focus()

    @property
    def chosen(self) -> PrdView | None:
        return self.prds.chosen


def _classes(size: Size) -> Iterator[str]:
    """Those that the toolkit puts on a screen of this size, too."""
    for cells, points in (
        (size.width, MainScreen.HORIZONTAL_BREAKPOINTS),
        (size.height, MainScreen.VERTICAL_BREAKPOINTS),
    ):
        yield [name for least, name in points if cells >= least][-1]
