"""The stories of the chosen PRD: how far each is, how long it took, its commit, why it failed."""

from __future__ import annotations

from textwrap import wrap

from app import rows
from app.drawing import Cell, Span, row
from app.format import short
from app.text import plain
from app.widgets.listing import Line, Listing
from coordinator.model import PrdState, PrdView, StoryState, StoryView

#: States of which a person wants to know all of the reason.
_EXPLAINED = frozenset(
    {PrdState.FAILED, PrdState.LOST, PrdState.CONFLICT, PrdState.BLOCKED, PrdState.WAITING, PrdState.STOPPED}
)


class StoryList(Listing):
    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._view: PrdView | None = None
        self._stories: dict[str, StoryView] = {}
        self._now = 0.0

    def show(self, view: PrdView | None, now: float) -> None:
        """The stories of `view`; another PRD's start with the cursor on the story at work."""
        other = (view.prd_id if view else "") != (self._view.prd_id if self._view else "")
        self._view, self._now = view, now
        self._stories = {story.id: story for story in view.stories} if view else {}
        self.set_keys(list(self._stories), at=_first_of_interest(view) if other and view else None)

    def tick(self, now: float) -> None:
        self._now = now
        self.redraw()

    def head_of(self, columns: int) -> tuple[Line, ...]:
        """Why the PRD is where it is, whole where the list has room for its beginning only."""
        view = self._view
        if view is None or not view.reason or not (view.state in _EXPLAINED or rows.hangs(view)):
            return ()
        tone = rows.look_of(view)[2]
        lines = wrap(plain(view.reason), max(10, columns - 3))
        room = max(1, min(4, self.size.height // 3))
        if len(lines) > room:
            lines = [*lines[: room - 1], " ".join(lines[room - 1 :])]
        return (*((Span(" "), Span(line, tone)) for line in lines), ())

    def line_of(self, index: int, columns: int) -> Line:
        assert self._view is not None  # noqa: S101 - there are no rows without a PRD
        story = self._stories[self.keys[index]]
        glyph, tone = rows.story_look(story, self._view.state)
        ids = min(max((len(key) for key in self._stories), default=0), 12)
        figures = 7
        more = self._more(story)
        extra = 22 if columns >= 60 else 10 if columns >= 44 else 0
        title_cells = max(4, columns - 3 - ids - 1 - figures - 1 - extra - 1)
        open_tone = "soft" if story.state is StoryState.OPEN else "text"
        cells = [
            Cell((Span(f" {glyph} ", tone),), 3),
            Cell((Span(story.id, "soft"),), ids),
            Cell((), 1),
            Cell((Span(story.title or story.id, open_tone),), title_cells),
            Cell((Span(self._time(story), "soft"),), figures, right=True),
            Cell((), 1),
        ]
        if extra:
            cells.append(Cell((more,), extra))
        return row([*cells, Cell((), 1)])

    def _time(self, story: StoryView) -> str:
        if story.seconds:
            return short(story.seconds)
        if self._view and self._view.state in rows.TICKING and story.state is StoryState.RUNNING:
            return short(self._now - story.started_at) if story.started_at else ""
        return ""

    def _more(self, story: StoryView) -> Span:
        if story.state is StoryState.DONE:
            return Span(story.commit[:7], "faint")
        if story.state is StoryState.FAILED:
            return Span(story.note or "given up", "bad")
        if story.attempt and story.max_attempts and story.state is StoryState.RUNNING:
            return Span(f"try {story.attempt}/{story.max_attempts}", "run" if story.attempt == 1 else "wait")
        return Span("")

    def empty_lines(self, columns: int) -> tuple[Line, ...]:
        if self._view is None:
            return ()
        if self._view.state is PrdState.INVALID:
            text = self._view.reason
        elif self._view.state is PrdState.ARRIVING:
            text = "still being copied"
        else:
            text = "no stories are known yet"
        return tuple((Span(" "), Span(line, "soft")) for line in wrap(text, max(10, columns - 2)))


def _first_of_interest(view: PrdView) -> str:
    """The story at work, the one that failed, else the first open one."""
    if view.current_story:
        return view.current_story
    for state in (StoryState.FAILED, StoryState.OPEN):
        for story in view.stories:
            if story.state is state:
                return story.id
    return ""
