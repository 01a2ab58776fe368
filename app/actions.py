"""What a person can do on the screen: one class per action.

Keys, the key bar, the palette and the help are all made from this list, so that none can tell another story.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from app.format import short
from app.rows import TICKING, current, elapsed
from coordinator.commands import (
    HoldQueue,
    LookAgain,
    PausePrds,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopPrds,
)
from coordinator.model import ACTIVE, COMPLETED, FAILED, QUEUED, EngineSnapshot, PrdState, PrdView

if TYPE_CHECKING:
    from app.screens.main import MainScreen


@dataclass(frozen=True)
class Where:
    """What an action can look at to tell whether it can act."""

    snapshot: EngineSnapshot
    chosen: PrdView | None
    pane: str  # id of the focused pane: "prds", "stories", "log" or "queue"
    now: float = 0.0  # seconds since the epoch


class Action(ABC):
    """`keys`: the first one is the one that is shown."""

    id: ClassVar[str]
    keys: ClassVar[tuple[str, ...]]
    shown: ClassVar[str]
    label: ClassVar[str]
    help: ClassVar[str]
    group: ClassVar[str]
    in_bar: ClassVar[bool] = False
    in_palette: ClassVar[bool] = True

    def label_now(self, where: Where) -> str:
        return self.label

    def refusal(self, where: Where) -> str:
        """Why it cannot act now, one sentence; empty: it can."""
        return ""

    @abstractmethod
    def run(self, screen: MainScreen, where: Where) -> None: ...


class PrdAction(Action):
    """Acts on the chosen PRD."""

    group = "PRD"

    def refusal(self, where: Where) -> str:
        if where.chosen is None:
            return "There is no PRD to act on: drop a folder into prds/active."
        return self.refusal_of(where.chosen)

    def refusal_of(self, view: PrdView) -> str:
        return ""

    def run(self, screen: MainScreen, where: Where) -> None:
        if where.chosen is not None:
            self.act(screen, where.chosen, where)

    @abstractmethod
    def act(self, screen: MainScreen, view: PrdView, where: Where) -> None: ...


# -- the chosen PRD ---------------------------------------------------------------------------------------


class Open(PrdAction):
    id, keys, shown, label = "prd.open", ("enter",), "⏎", "Open"
    help = "show the chosen PRD alone, then its log"
    in_bar, in_palette = True, False

    def act(self, screen: MainScreen, view: PrdView, where: Where) -> None:
        screen.open_pane()


class Pause(PrdAction):
    id, keys, shown, label = "prd.pause", ("p",), "p", "Pause"
    help = "stop every process of its run where it is; again: let them go on"
    in_bar = True

    def label_now(self, where: Where) -> str:
        view = where.chosen
        held = view is not None and view.state in (PrdState.PAUSED, PrdState.PAUSING)
        return "Go on" if held else self.label

    def refusal_of(self, view: PrdView) -> str:
        if view.state in (PrdState.RUNNING, PrdState.PAUSING, PrdState.PAUSED):
            return ""
        return f"{view.prd_id} is {view.state.value}: only a running PRD can be paused."

    def act(self, screen: MainScreen, view: PrdView, where: Where) -> None:
        if view.state is PrdState.RUNNING:
            screen.submit(PausePrds((view.prd_id,)))
        else:
            screen.submit(ResumePrds((view.prd_id,)))


class Stop(PrdAction):
    id, keys, shown, label = "prd.stop", ("s",), "s", "Stop"
    help = "end its worker and every process it started; its worktree is kept"
    in_bar = True

    def refusal_of(self, view: PrdView) -> str:
        if view.state is PrdState.STOPPING:
            return f"{view.prd_id} is being stopped already."
        if view.state in ACTIVE | QUEUED:
            return ""
        return f"{view.prd_id} is {view.state.value}: there is nothing to stop."

    def act(self, screen: MainScreen, view: PrdView, where: Where) -> None:
        def stop() -> None:
            screen.submit(StopPrds((view.prd_id,)))

        if view.state in QUEUED:
            body = "Takes it out of the queue. Nothing of it has been started; r queues it again."
        else:
            body = _what_stops(view, where.now)
        screen.confirm(f"Stop {view.prd_id}?", body, "Stop it", stop)


def _what_stops(view: PrdView, now: float) -> str:
    """The consequence, in this case."""
    story = current(view)
    if view.state is PrdState.VERIFYING:
        what = "Ends its gates; its worker has ended already."
    elif story is not None and story.started_at:
        attempt = f", attempt {story.attempt} of {story.max_attempts}" if story.max_attempts else ""
        what = f"Ends {story.id}, {short(now - story.started_at)} in{attempt}, and every process it started."
    else:
        ran = elapsed(view, now)
        since = f" after {short(ran)}" if ran is not None else ""
        what = f"Ends its worker{since} and every process it started."
    return f"{what} The worktree and all work in it are kept; r goes on from there."


class Retry(PrdAction):
    id, keys, shown, label = "prd.retry", ("r",), "r", "Retry"
    help = "queue an ended PRD again, in its worktree"
    in_bar = True

    def refusal_of(self, view: PrdView) -> str:
        if view.state in FAILED:
            return ""
        if view.state in COMPLETED:
            return f"{view.prd_id} is verified: there is nothing to try again."
        if view.state is PrdState.INVALID:
            return f"{view.prd_id} cannot be read: mend its prd.json, it is looked at again by itself."
        return f"{view.prd_id} is {view.state.value}: only an ended PRD can be tried again."

    def act(self, screen: MainScreen, view: PrdView, where: Where) -> None:
        screen.submit(RetryPrds((view.prd_id,)))


# -- the queue -------------------------------------------------------------------------------------------


class Hold(Action):
    id, keys, shown, label = "queue.hold", ("P", "shift+p"), "P", "Hold"
    help = "start nothing new; what runs goes on. Again: let the queue run"
    group, in_bar = "Queue", True

    def label_now(self, where: Where) -> str:
        return "Start" if where.snapshot.queue.holds else self.label

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.submit(ReleaseQueue() if where.snapshot.queue.holds else HoldQueue())


class Look(Action):
    id, keys, shown, label = "queue.look", ("R", "shift+r"), "R", "Look again"
    help = "look at every folder in prds/active again"
    group = "Queue"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.submit(LookAgain())
        screen.say("Looking at every folder in prds/active again.")


# -- moving ----------------------------------------------------------------------------------------------


class Move(Action):
    group, in_palette = "Move", False


class Down(Move):
    id, keys, shown, label, help = "move.down", ("j", "down"), "j ↓", "Down", "one line down"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.scroll_lines(1)


class Up(Move):
    id, keys, shown, label, help = "move.up", ("k", "up"), "k ↑", "Up", "one line up"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.scroll_lines(-1)


class HalfDown(Move):
    id, keys, shown, label = "move.half_down", ("ctrl+d", "pagedown"), "ctrl+d", "Page down"
    help = "half a page down"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.scroll_pages(0.5)


class HalfUp(Move):
    id, keys, shown, label = "move.half_up", ("ctrl+u", "pageup"), "ctrl+u", "Page up"
    help = "half a page up"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.scroll_pages(-0.5)


class Start(Move):
    id, keys, shown, label, help = "move.start", ("g", "home"), "g", "First", "to the first line"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.to_start()


class End(Move):
    id, keys, shown, label, help = "move.end", ("G", "end"), "G", "Last", "to the last line"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.pane.to_end()


class NextPane(Move):
    id, keys, shown, label, help = "pane.next", ("tab",), "tab", "Next pane", "to the next pane"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.next_pane(1)


class PreviousPane(Move):
    id, keys, shown, label = "pane.previous", ("shift+tab",), "shift+tab", "Previous pane"
    help = "to the pane before"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.next_pane(-1)


class Back(Move):
    id, keys, shown, label, help = "pane.back", ("escape",), "esc", "Back", "back to the list of PRDs"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.back()


class NextTab(Move):
    id, keys, shown, label, help = "tab.next", ("]", "right_square_bracket"), "]", "Next tab", "stories → log"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.next_tab(1)


class PreviousTab(Move):
    id, keys, shown, label = "tab.previous", ("[", "left_square_bracket"), "[", "Previous tab"
    help = "log → stories"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.next_tab(-1)


# -- the log ---------------------------------------------------------------------------------------------


class LogAction(Action):
    group = "Log"


class ShowLog(LogAction):
    id, keys, shown, label, help = "log.show", ("l",), "l", "Log", "the log of the chosen PRD"
    in_bar = True

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.show_log()


class Follow(LogAction):
    id, keys, shown, label = "log.follow", ("f",), "f", "Follow"
    help = "go on at the end of the log, or stay where you read"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.log_view.toggle_follow()


class Wrap(LogAction):
    id, keys, shown, label, help = "log.wrap", ("w",), "w", "Wrap", "break long lines, or cut them"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.log_view.toggle_wrap()


class Search(LogAction):
    id, keys, shown, label, help = "log.search", ("slash",), "/", "Search", "search in the log"

    def refusal(self, where: Where) -> str:
        return "" if where.chosen is not None else "There is no log to search in."

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.ask_search()


class FindNext(LogAction):
    id, keys, shown, label, help = "log.next", ("n",), "n", "Next match", "the next match, towards the end"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.find(backwards=False)


class FindPrevious(LogAction):
    id, keys, shown, label = "log.previous", ("N", "shift+n"), "N", "Previous match"
    help = "the match before, towards the start"

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.find(backwards=True)


# -- the whole -------------------------------------------------------------------------------------------


class Help(Action):
    id, keys, shown, label, help = "app.help", ("question_mark",), "?", "Help", "every key and every state"
    group, in_bar = "prd-tui", True

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.show_help()


class Leave(Action):
    id, keys, shown, label = "app.leave", ("q", "ctrl+q"), "q", "Leave"
    help = "leave; asks what becomes of running work"
    group, in_bar = "prd-tui", True

    def run(self, screen: MainScreen, where: Where) -> None:
        screen.leave()


#: In the order in which help and key bar show them; help and leaving are last in the bar.
ACTIONS: tuple[Action, ...] = (
    Open(),
    Pause(),
    Stop(),
    Retry(),
    ShowLog(),
    Hold(),
    Look(),
    Follow(),
    Wrap(),
    Search(),
    FindNext(),
    FindPrevious(),
    Down(),
    Up(),
    HalfDown(),
    HalfUp(),
    Start(),
    End(),
    NextPane(),
    PreviousPane(),
    Back(),
    NextTab(),
    PreviousTab(),
    Help(),
    Leave(),
)
BY_ID = {action.id: action for action in ACTIONS}


def running(snapshot: EngineSnapshot) -> list[PrdView]:
    """What leaving the screen concerns."""
    return [view for view in snapshot.prds if view.state in TICKING or view.state is PrdState.PAUSED]
