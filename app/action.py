"""What a thing is that a person can do on the screen, and what it can look at to tell whether it can be done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from coordinator.model import EngineSnapshot, PrdView

if TYPE_CHECKING:
    from app.screens.main import MainScreen


@dataclass(frozen=True)
class Where:
    """What an action can look at to tell whether it can act."""

    snapshot: EngineSnapshot
    chosen: PrdView | None
    marked: tuple[PrdView, ...]
    pane: str  # id of the focused pane: "prds", "stories", "log" or "queue"
    now: float = 0.0  # seconds since the epoch

    @property
    def targets(self) -> tuple[PrdView, ...]:
        """The marked PRDs; where none is marked, the chosen one."""
        return self.marked or ((self.chosen,) if self.chosen is not None else ())


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
    """Acts on the marked PRDs, or on the chosen one; of several, on those that it can act on."""

    group = "PRD"

    def refusal(self, where: Where) -> str:
        if not where.targets:
            return "There is no PRD to act on: drop a folder into prds/active."
        return "" if self.able(where) else self.refusal_of(where.targets[0])

    def refusal_of(self, view: PrdView) -> str:
        return ""

    def able(self, where: Where) -> tuple[PrdView, ...]:
        return tuple(view for view in where.targets if not self.refusal_of(view))

    def run(self, screen: MainScreen, where: Where) -> None:
        self.act(screen, self.able(where), where)

    @abstractmethod
    def act(self, screen: MainScreen, views: tuple[PrdView, ...], where: Where) -> None:
        """`views`: at least one, in the order of the list."""
        ...
