"""What a person can do on the screen: one class per action, and the list of them all.

Keys, the key bar, the palette and the help are all made from this list, so that none can tell another story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.action import Action, Where
from app.prd_actions import Drop, Kill, Mark, MarkAll, Open, Pause, Retry, Stop
from app.rows import TICKING
from coordinator.commands import HoldQueue, LookAgain, ReleaseQueue
from coordinator.model import EngineSnapshot, PrdState, PrdView

if TYPE_CHECKING:
    from app.screens.main import MainScreen


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
    id, keys, shown, label = "pane.back", ("escape",), "esc", "Back"
    help = "back to the list of PRDs; there: take all marks off"

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
    Kill(),
    Retry(),
    Drop(),
    Mark(),
    MarkAll(),
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
