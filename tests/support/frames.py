"""The panes of the dashboard as they are on a terminal's screen, border by border."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

Cells = list[list[str]]


@dataclass(frozen=True)
class Frame:
    """A box of round corners at these cells; `lines` are its rows between its borders."""

    left: int
    top: int
    right: int
    bottom: int
    title: str
    lines: tuple[str, ...]


class Crooked(Exception):
    """A border is not where its corners say it is."""


def frames(cells: Cells) -> list[Frame]:
    """Every pane, each with both sides in one column from its top to its bottom. Raises Crooked."""
    return [_frame(cells, x, y) for x, y in _corners(cells)]


def _corners(cells: Cells) -> list[tuple[int, int]]:
    return [(x, y) for y, row in enumerate(cells) for x, char in enumerate(row) if char == "╭"]


def _frame(cells: Cells, left: int, top: int) -> Frame:
    row = cells[top]
    right = next((x for x in range(left + 1, len(row)) if row[x] == "╮"), None)
    if right is None:
        raise Crooked(f"row {top} has no right corner: {''.join(row)}")
    bottom = top + 1
    while bottom < len(cells) and cells[bottom][left] == "│":
        if cells[bottom][right] != "│":
            raise Crooked(f"row {bottom} has no border in column {right}: {''.join(cells[bottom])}")
        bottom += 1
    if bottom == len(cells) or (cells[bottom][left], cells[bottom][right]) != ("╰", "╯"):
        raise Crooked(f"the frame of row {top}, column {left} is open at row {bottom}")
    lines = tuple("".join(cells[y][left + 1 : right]) for y in range(top + 1, bottom))
    return Frame(left, top, right, bottom, "".join(row[left + 1 : right]).strip("─ "), lines)


def frame(terminal: Terminal, title: str) -> Frame:
    """The pane whose title begins so; an empty one while there is none, or another lies over its borders."""
    cells = terminal.cells()
    for x, y in _corners(cells):
        with suppress(Crooked):
            found = _frame(cells, x, y)
            if found.title.startswith(title):
                return found
    return Frame(0, 0, 0, 0, "", ())


def panes(terminal: Terminal) -> list[Frame]:
    """All there are, if every border of all of them is in its place; else none."""
    try:
        return frames(terminal.cells())
    except Crooked:
        return []


def fills(terminal: Terminal) -> bool:
    """Whether the panes are whole, and reach to the edges of the screen."""
    found = panes(terminal)
    corner = (max(pane.right for pane in found) + 1, max(pane.bottom for pane in found) + 2) if found else ()
    return corner == terminal.size


def focused(terminal: Terminal) -> str:
    """The title of the pane whose border has a colour of its own; empty while there is none."""
    titles = defaultdict(list)
    for pane in panes(terminal):
        titles[terminal.colour(pane.left, pane.top)].append(pane.title)
    alone = [found[0] for found in titles.values() if len(found) == 1]
    return alone[0] if len(alone) == 1 else ""


# -- the list of PRDs ------------------------------------------------------------------------------------


def prd_row(terminal: Terminal, prd_id: str) -> str:
    """Its row in the list; empty while there is none."""
    return next((line for line in frame(terminal, "PRDs").lines if prd_id in line[:40].split()), "")


def chosen_row(terminal: Terminal) -> str:
    """The row under the cursor."""
    return next((line for line in frame(terminal, "PRDs").lines if line.startswith("▌")), "")


def bar(row: str) -> int:
    """Half cells of a row's bar that are full."""
    return 2 * row.count("━") + row.count("╸")


def choose(terminal: Terminal, prd_id: str) -> None:
    """Moves the cursor to a PRD, a key at a time, whatever changes places meanwhile."""

    def there() -> bool:
        lines = frame(terminal, "PRDs").lines
        row, wanted = chosen_row(terminal), prd_row(terminal, prd_id)
        if not row or row == wanted or row not in lines or wanted not in lines:
            return bool(row) and row == wanted
        terminal.press("j" if lines.index(wanted) > lines.index(row) else "k")
        with suppress(AssertionError):  # a key at the end of the list moves nothing
            wait_until(lambda: _name(chosen_row(terminal)) not in ("", _name(row)), 3.0)
        return False

    terminal.wait_for(there)


def _name(row: str) -> str:
    words = row.split()
    return words[1] if len(words) > 1 else ""
