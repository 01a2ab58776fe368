"""What a person can do to PRDs: one class per action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.action import PrdAction, Where
from app.format import short
from app.rows import current, elapsed
from coordinator.commands import DropPrds, PausePrds, ResumePrds, RetryPrds, StopPrds
from coordinator.model import ACTIVE, COMPLETED, FAILED, QUEUED, PrdState, PrdView

if TYPE_CHECKING:
    from app.screens.main import MainScreen


#: What a pause holds up.
_GOING = (PrdState.RUNNING, PrdState.WAITING)


class Open(PrdAction):
    id, keys, shown, label = "prd.open", ("enter",), "⏎", "Open"
    help = "show the chosen PRD alone, then its log"
    in_bar, in_palette = True, False

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        screen.open_pane()


class Pause(PrdAction):
    id, keys, shown, label = "prd.pause", ("p",), "p", "Pause"
    help = "stop every process of its run where it is; again: let them go on"
    in_bar = True

    def label_now(self, where: Where) -> str:
        able = self.able(where)
        return "Go on" if able and not _that_run(able) else self.label

    def refusal_of(self, view: PrdView) -> str:
        if view.state in (*_GOING, PrdState.PAUSING, PrdState.PAUSED):
            return ""
        return f"{view.prd_id} is {view.state.value}: only a running PRD can be paused."

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        if running := _that_run(views):
            screen.submit(PausePrds(_names(running)))
        else:
            screen.submit(ResumePrds(_names(views)))


def _that_run(views: tuple[PrdView, ...]) -> tuple[PrdView, ...]:
    return tuple(view for view in views if view.state in _GOING)


def _names(views: tuple[PrdView, ...]) -> tuple[str, ...]:
    return tuple(view.prd_id for view in views)


def _called(views: tuple[PrdView, ...]) -> str:
    """The PRDs, as the object of a sentence."""
    return views[0].prd_id if len(views) == 1 else f"{len(views)} PRDs"


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

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        def stop() -> None:
            screen.submit(StopPrds(_names(views)))

        body = (
            f"{_what_stops(views, where.now)} The worktree and all work in it are kept; r goes on from there."
        )
        if all(view.state in QUEUED for view in views):
            them = "it" if len(views) == 1 else "them"
            body = f"Takes {them} out of the queue. Nothing has been started; r queues {them} again."
        screen.confirm(f"Stop {_called(views)}?", body, "Stop", stop)


class Kill(PrdAction):
    id, keys, shown, label = "prd.kill", ("ctrl+k",), "ctrl+k", "Kill"
    help = "stop it at once, without the time that a stop gives it to finish"

    def refusal_of(self, view: PrdView) -> str:
        if view.state in ACTIVE:
            return ""
        return f"{view.prd_id} is {view.state.value}: there is nothing to kill."

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        def kill() -> None:
            screen.submit(StopPrds(_names(views), kill=True))

        body = f"{_what_stops(views, where.now)} They get no time to write down what they are at."
        screen.confirm(f"Kill {_called(views)}?", body, "Kill", kill)


def _what_stops(views: tuple[PrdView, ...], now: float) -> str:
    """The consequence, in this case."""
    if len(views) > 1:
        working = sum(view.state in ACTIVE for view in views)
        queued = len(views) - working
        out = f" Takes {queued} out of the queue." if queued else ""
        workers = "the worker of 1 PRD" if working == 1 else f"the workers of {working} PRDs"
        return f"Ends {workers} and every process started by {'it' if working == 1 else 'them'}.{out}"
    view = views[0]
    story = current(view)
    if view.state is PrdState.VERIFYING:
        return "Ends its gates; its worker has ended already."
    if story is not None and story.started_at:
        attempt = f", attempt {story.attempt} of {story.max_attempts}" if story.max_attempts else ""
        return f"Ends {story.id}, {short(now - story.started_at)} in{attempt}, and every process it started."
    ran = elapsed(view, now)
    since = f" after {short(ran)}" if ran is not None else ""
    return f"Ends its worker{since} and every process it started."


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

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        screen.submit(RetryPrds(_names(views)))


class Drop(PrdAction):
    id, keys, shown, label = "prd.drop", ("D", "shift+d"), "D", "Drop"
    help = "give it up: its work is kept on a ref, its folder moves to prds/dropped"

    def refusal_of(self, view: PrdView) -> str:
        if view.state is PrdState.ARRIVING:
            return f"{view.prd_id} is still being copied: drop it once it is whole."
        if view.state in (PrdState.MERGING, PrdState.MERGED):
            return f"{view.prd_id} is {view.state.value}: there is nothing to give up."
        return ""

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        def drop() -> None:
            screen.submit(DropPrds(_names(views)))

        working = tuple(view for view in views if view.state in ACTIVE)
        folders = "Its folder moves" if len(views) == 1 else "Their folders move"
        parts = [_what_stops(working, where.now)] if working else []
        parts.append(f"{folders} to prds/dropped.")
        if any(view.run_id for view in views):
            parts.append("Worktrees go; all work in them is kept on refs under refs/prd/dropped.")
        else:
            parts.append("Nothing has been started.")
        screen.confirm(f"Drop {_called(views)}?", " ".join(parts), "Drop", drop)


class Mark(PrdAction):
    id, keys, shown, label = "prd.mark", ("space",), "space", "Mark"
    help = "mark it for what comes next, which then acts on all marked ones; again: take the mark off"
    in_palette = False

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        if where.chosen is not None:
            screen.prds.toggle_mark(where.chosen.prd_id)


class MarkAll(PrdAction):
    id, keys, shown, label = "prd.mark_all", ("ctrl+a",), "ctrl+a", "Mark all"
    help = "mark every PRD; where any is marked, none"

    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        screen.prds.mark_all(not where.marked)
