"""The PRD list: which row stands where, and what it says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from app.drawing import Cell, Row, Span, row
from app.estimate import Estimates
from app.format import bar, short
from app.status_text import STATES
from coordinator.model import EngineSnapshot, PrdState, PrdView, StoryState, StoryView

#: Colour words of `status` → tones of the screen.
_TONES = {"blue": "run", "green": "ready", "amber": "wait", "violet": "ask", "red": "bad", "grey": "soft"}

_AT_WORK = (
    PrdState.STARTING,
    PrdState.RUNNING,
    PrdState.PAUSING,
    PrdState.STOPPING,
    PrdState.VERIFYING,
    PrdState.MERGING,
)
#: From top to bottom: what runs, what needs a person, what waits, what is over.
_RANKS: dict[PrdState, int] = {
    **dict.fromkeys(_AT_WORK, 0),
    PrdState.WAITING: 1,
    PrdState.PAUSED: 2,
    PrdState.FAILED: 3,
    PrdState.LOST: 3,
    PrdState.CONFLICT: 3,
    PrdState.STOPPED: 4,
    PrdState.INVALID: 5,
    PrdState.ARRIVING: 6,
    PrdState.QUEUED: 7,
    PrdState.BLOCKED: 8,
    PrdState.COMPLETED: 9,
    PrdState.NOTHING_LEFT: 10,
    PrdState.MERGED: 11,
    PrdState.DROPPED: 12,
}
NEEDS_ME = frozenset({PrdState.FAILED, PrdState.LOST, PrdState.CONFLICT, PrdState.INVALID})
HUNG_LOOK = (*STATES["hung"][:2], _TONES[STATES["hung"][2]])
READY = frozenset({PrdState.COMPLETED})
#: States whose clock runs.
TICKING = frozenset({*_AT_WORK})


def look(state: PrdState) -> tuple[str, str, str]:
    """(glyph, word, tone) of a state."""
    glyph, word, colour = STATES[state.value]
    return glyph, word, "merged" if state is PrdState.MERGED else _TONES[colour]


def look_of(view: PrdView) -> tuple[str, str, str]:
    """(glyph, word, tone) of a row: its state's, unless it hangs."""
    return HUNG_LOOK if hangs(view) else look(view.state)


def hangs(view: PrdView) -> bool:
    """Whether it runs and shows no sign of progress."""
    return "hung" in view.marks


def needs_me(view: PrdView) -> bool:
    return view.state in NEEDS_ME or hangs(view)


def ordered(snapshot: EngineSnapshot) -> list[PrdView]:
    """Every row in its place; finished ones are at the bottom, the newest of them first."""

    def place(view: PrdView) -> tuple[int, float, str]:
        rank = _RANKS[view.state]
        if view.state in (PrdState.QUEUED, PrdState.BLOCKED):
            return rank, float(view.position), view.prd_id
        within = -view.ended_at if rank in (3, 4, 9, 10, 11, 12) else view.started_at
        return rank, within, view.prd_id

    return sorted(snapshot.prds, key=place)


def counts(views: Iterable[PrdView]) -> list[Span]:
    """`4▶ 1‖ 1✗ 8·`: how many are in each state, in the order of the rows."""
    found: Counter[tuple[int, str, str]] = Counter()
    for view in views:
        glyph, _word, tone = look_of(view)
        found[(_RANKS[view.state], glyph, tone)] += 1
    spans: list[Span] = []
    for (_rank, glyph, tone), number in sorted(found.items()):
        spans += [Span(f"{number}{glyph}", tone), Span(" ")]
    return spans[:-1]


# -- one row ---------------------------------------------------------------------------------------------


@lru_cache(16)
def columns(width: int) -> Mapping[str, int]:
    """Cells of each column in a list `width` wide. They depend on nothing else, so that no row jitters."""
    name = min(30, max(10, width * 27 // 100))
    fixed = {"mark": 1, "glyph": 3, "name": name, "bar": 10 if width >= 60 else 6, "done": 6, "time": 6}
    fixed |= {"eta": 6} if width >= 50 else {}
    fixed["now"] = max(0, width - sum(fixed.values()) - 3)  # a gap behind the name, two before this column
    return fixed


@lru_cache(16)
def header(width: int) -> Row:
    """The names of the columns."""
    sizes = columns(width)
    titles = {"name": "PRD", "bar": "PROGRESS", "done": "DONE", "time": "TIME", "eta": "ETA", "now": "NOW"}

    def cell(key: str, right: bool = False) -> Cell:
        return Cell((Span(titles[key], "soft"),), sizes[key], right)

    cells = [Cell((), sizes["mark"] + sizes["glyph"]), cell("name"), Cell((), 1), cell("bar")]
    cells += [cell("done", right=True), cell("time", right=True)]
    cells += [cell("eta", right=True)] if "eta" in sizes else []
    return row([*cells, Cell((), 2), cell("now")])


def times(view: PrdView, now: float, estimates: Estimates) -> tuple[str, str]:
    """(how long it has run, how long it still will), the only things of a row that change by themselves."""
    end = estimates.ends.get(view.prd_id) if view.state is PrdState.RUNNING else None
    return elapsed_text(view, now), clock(end) if end is not None else ""


def line(
    view: PrdView,
    width: int,
    spent_and_left: tuple[str, str],
    *,
    chosen: bool,
    marked: bool = False,
    numbered: bool = False,
) -> Row:
    """One PRD as a line `width` cells wide. `spent_and_left`: its times; `numbered`: a queued one tells its place."""
    sizes = columns(width)
    glyph, _word, tone = look_of(view)
    if numbered and view.state is PrdState.QUEUED:
        glyph = f"{glyph}{view.position}"
    waits = view.state in (PrdState.QUEUED, PrdState.BLOCKED, PrdState.ARRIVING, PrdState.MERGED)
    quiet = "soft" if waits or view.state is PrdState.NOTHING_LEFT else "text"
    cells = [
        Cell((Span("◆" if marked else "▌" if chosen else " ", "focus"),), sizes["mark"]),
        Cell((Span(glyph, tone),), sizes["glyph"]),
        Cell((Span(view.prd_id, "bright" if chosen else quiet),), sizes["name"]),
        Cell((), 1),
    ]
    text, text_tone = now_text(view)
    if view.state is PrdState.INVALID:
        return row([*cells, Cell((Span(text, text_tone),), width - sum(cell.columns for cell in cells))])
    done, total = view.progress.completed, view.progress.total
    full, rest = bar(done, total, sizes["bar"])
    cells.append(Cell((Span(full, tone), Span(rest, "track")), sizes["bar"]))
    figures = quiet if quiet == "soft" else "text"
    cells.append(Cell((Span(f"{done}/{total}" if total else "", figures),), sizes["done"], right=True))
    spent, left = spent_and_left
    cells.append(Cell((Span(spent, "soft"),), sizes["time"], right=True))
    if "eta" in sizes:
        cells.append(Cell((Span(left),), sizes["eta"], right=True))
    return row([*cells, Cell((), 2), Cell((Span(text, text_tone),), sizes["now"])])


def clock(seconds: float) -> str:
    """`4m40` below ten minutes, `41m` above: a column that counts every second draws the eye for nothing."""
    return short(seconds) if not 600 <= seconds < 3600 else f"{int(seconds // 60)}m"


def elapsed(view: PrdView, now: float) -> float | None:
    """Seconds its worker has run, pauses left out; None before it ran."""
    if not view.started_at:
        return None
    end = view.paused_at or (now if view.state in TICKING else view.ended_at or view.since)
    return max(0.0, end - view.started_at - view.paused_seconds)


def elapsed_text(view: PrdView, now: float) -> str:
    seconds = elapsed(view, now)
    return "" if seconds is None else clock(seconds)


def current(view: PrdView) -> StoryView | None:
    """The story its worker is at."""
    return next((story for story in view.stories if story.id == view.current_story), None)


def now_text(view: PrdView) -> tuple[str, str]:
    """(what it does or why it does nothing, its tone)."""
    _glyph, word, tone = look_of(view)
    story = current(view)
    if hangs(view):
        return view.reason or word, tone
    if view.state is PrdState.RUNNING:
        if story is None:
            return view.current_story or view.reason or "its worker is at work", "soft"
        again = f" · try {story.attempt}/{story.max_attempts}" if story.attempt > 1 else ""
        return f"{story.id} {story.title}{again}", "soft"
    if view.state is PrdState.QUEUED and not view.reason:
        return ("next" if view.position == 1 else "queued"), "faint"
    if view.state is PrdState.COMPLETED:
        return ("verified, ungated" if "ungated" in view.marks else "verified"), "soft"
    quiet = view.state in (PrdState.QUEUED, PrdState.ARRIVING, PrdState.STOPPED, PrdState.NOTHING_LEFT)
    return view.reason or word, ("faint" if quiet else tone)


def story_look(story: StoryView, prd_state: PrdState) -> tuple[str, str]:
    """(glyph, tone) of a story; one that was at work when its PRD stopped is not at work any more."""
    if story.state is StoryState.DONE:
        return "✓", "ready"
    if story.state is StoryState.FAILED:
        return "✗", "bad"
    if story.state is StoryState.RUNNING:
        if prd_state is PrdState.PAUSED:
            return "‖", "wait"
        if prd_state in TICKING:
            return "▶", "run"
    return "·", "soft"
