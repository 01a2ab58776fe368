"""The first time in a repository: what is there, what is missing, and a button for each thing that mends it.

Nothing is started and nothing is changed before a button is pressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from app.drawing import Cell, Span, row, title
from app.text import content, notice
from coordinator.api import PrdTuiError, Survey


class Setup(Protocol):
    """What looks at a repository and mends it. The methods raise PrdTuiError."""

    def survey(self) -> Survey: ...
    def choose_agent(self, name: str) -> None: ...
    def choose_script(self, name: str) -> None: ...
    def make_folder(self) -> None: ...
    def approve(self) -> None: ...


def is_open(found: Survey) -> bool:
    """Whether something has to be mended before any PRD can run."""
    return not found.worker or bool(found.worker_problem or found.pending) or not found.has_prd_folder


class FirstRunScreen(ModalScreen[bool]):
    """Returns whether to go on to the dashboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave", show=False),
        Binding("up,k,shift+tab", "app.focus_previous", "Previous", show=False),
        Binding("down,j,tab", "app.focus_next", "Next", show=False),
    ]

    def __init__(self, setup: Setup, found: Survey) -> None:
        super().__init__()
        self._setup = setup
        self._found = found

    def compose(self) -> ComposeResult:
        found = self._found
        with VerticalScroll(id="first-run", can_focus=False) as box:
            box.border_title = title([Span("First time here", "bright")])
            box.border_subtitle = title([Span("nothing runs before you say so", "soft")])
            yield Static(Content("\n").join(map(title, _checklist(found))), id="first-run-list")
            if question := _question(found):
                yield Static(content(question), id="first-run-question")
            for number, (label, problem) in enumerate(_offers(found)):
                button = Button(content(label), id=f"offer-{number}", classes="offer", compact=True)
                button.disabled = bool(problem)
                yield button
            with Horizontal(id="first-run-buttons"):
                yield Button("Open the dashboard", id="go", compact=True)
                yield Button("Leave", id="leave", compact=True)

    def on_mount(self) -> None:
        self._focus()

    def _focus(self) -> None:
        offers = [button for button in self.query(Button) if not button.disabled]
        offers[0].focus()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        pressed = event.button.id or ""
        if pressed in ("go", "leave"):
            self.dismiss(pressed == "go")
            return
        try:
            self._mend(int(pressed.removeprefix("offer-")))
            self._found = self._setup.survey()
        except PrdTuiError as error:
            notice(self.app, str(error), "error")
            return
        await self.recompose()
        self._focus()

    def _mend(self, number: int) -> None:
        found = self._found
        if _worker_is_open(found):
            choice = found.choices[number]
            (self._setup.choose_agent if choice.is_agent else self._setup.choose_script)(choice.name)
        elif found.pending:
            self._setup.approve()
        else:
            self._setup.make_folder()

    def action_leave(self) -> None:
        self.dismiss(False)


def _worker_is_open(found: Survey) -> bool:
    return not found.worker or bool(found.worker_problem)


def _question(found: Survey) -> str:
    """The first thing that is open, as a question."""
    if found.worker_problem:
        return f"{found.worker} cannot work: {found.worker_problem}. Who shall work through the PRDs?"
    if not found.worker:
        return "Who shall work through the PRDs?"
    if found.pending:
        return (
            "prd-tui.toml came with the repository and names commands to run. Look at it, then approve them."
        )
    if not found.has_prd_folder:
        return "There is no folder for PRDs yet."
    return ""


def _offers(found: Survey) -> Iterator[tuple[str, str]]:
    """(label, why it cannot be chosen) of each button that answers the question."""
    if _worker_is_open(found):
        for choice in found.choices:
            more = choice.problem or choice.detail
            yield (f"{choice.name} — {more}" if more else choice.name), choice.problem
    elif found.pending:
        yield f"Approve {', '.join(found.pending)}", ""
    elif not found.has_prd_folder:
        yield "Make prds/active", ""


def _checklist(found: Survey) -> Iterator[Sequence[Span]]:
    branch = found.base_branch or found.branch
    yield _line(
        not found.base_problem, "git", found.base_problem or f"{found.git}, work starts from {branch}"
    )
    worker = found.worker or "none is chosen yet"
    yield _line(bool(found.worker) and not found.worker_problem, "worker", found.worker_problem or worker)
    gates = ", ".join(found.gates)
    yield _line(None if not gates else True, "gates", gates or "none: coordinator.verify names your tests")
    if found.pending:
        yield _line(False, "settings", f"prd-tui.toml waits for approval: {', '.join(found.pending)}")
    yield _line(found.has_prd_folder, "prds/active", _prds(found))


def _prds(found: Survey) -> str:
    if not found.has_prd_folder:
        return "is not there yet"
    ready = sum(not prd.problem for prd in found.prds)
    broken = len(found.prds) - ready
    words = ["no PRD yet" if not found.prds else f"{ready} ready"]
    if broken:
        words.append(f"{broken} cannot be read")
    return ", ".join(words)


def _line(good: bool | None, name: str, text: str) -> tuple[Span, ...]:
    """`good` None: neither right nor wrong, worth knowing."""
    glyph, tone = {True: ("✓", "ready"), False: ("✗", "bad"), None: ("·", "wait")}[good]
    return row([Cell((Span(glyph, tone),), 2), Cell((Span(name, "soft"),), 13), Cell((Span(text),), 55)])
