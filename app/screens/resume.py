"""What an earlier session left: whether it goes on is asked before anything of it starts."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from app.actions import running
from app.screens.choice import Choice, ChoiceScreen
from coordinator.model import EngineSnapshot, PrdState, PrdView

GO_ON, HOLD = "go-on", "hold"
#: Names in one sentence before the rest is counted.
_NAMED = 4


class ResumeScreen(ChoiceScreen):
    """Returns GO_ON or HOLD; "" after `esc`: the question stays open, and with it the hold."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", f"answer('{GO_ON}')", "Resume", show=False),
        Binding("n", f"answer('{HOLD}')", "Hold", show=False),
    ]

    def __init__(self, snapshot: EngineSnapshot) -> None:
        choices = (Choice(GO_ON, "Resume (y)"), Choice(HOLD, "Hold (n)"))
        super().__init__("Resume previous session? [Y/n]", situation(snapshot), choices)

    def follow(self, snapshot: EngineSnapshot) -> None:
        """What runs may end while the question is open."""
        self.rephrase(situation(snapshot))

    def action_answer(self, choice: str) -> None:
        self.dismiss(choice)


def situation(snapshot: EngineSnapshot) -> str:
    """What waits, what of it was begun already, what runs whatever the answer is."""
    waiting = [view for view in snapshot.prds if view.state is PrdState.QUEUED]
    begun = [view for view in waiting if view.run_id]
    left = [view for view in waiting if not view.run_id]
    alive = running(snapshot)
    lines = [
        f"{what}: {_names(views)}."
        for what, views in (
            ("Goes on where it was", begun),
            ("Starts in its turn", left),
            ("Runs on in any case", alive),
        )
        if views
    ]
    return "\n".join([*lines, "Hold starts and ends nothing; P lets the queue run later."])


def _names(views: list[PrdView]) -> str:
    more = f" and {len(views) - _NAMED} more" if len(views) > _NAMED else ""
    return ", ".join(view.prd_id for view in views[:_NAMED]) + more
