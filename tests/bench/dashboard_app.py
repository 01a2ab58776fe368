"""`python -m tests.bench.dashboard_app KIND [PERCENT]`: a screen with 50 PRDs, to be measured from outside.

KIND: `ours` is the dashboard on an engine made up here, `table` the same list as a `DataTable`, `bare` an app of
the toolkit's with one word on it. PERCENT: how many of the rows change four times a second. `idle` and `clocks`
are the dashboard with nothing to do and with three rows that run; `no-look`, `no-tick` and `no-sample` are `idle`
without one of its timers.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from coordinator.model import EngineSnapshot

if TYPE_CHECKING:
    from rich.text import Text

    from tests.support.fake_engine import FakeEngine

#: Rows, pictures before the first one comes again, and seconds between two of them.
ROWS, PICTURES, EVERY = 50, 24, 0.25
STORIES = 8


def bare() -> None:
    from textual.app import App
    from textual.screen import Screen

    class Word(Screen[None]):
        def render(self) -> str:
            return "first-paint"

    class Bare(App[None]):
        def get_default_screen(self) -> Screen[None]:
            return Word()

    Bare().run()


def ours(percent: int) -> None:
    pictures = made_up(percent)
    engine = living(pictures[0])

    def change(snapshots: list[EngineSnapshot]) -> None:
        for number in count(1):
            time.sleep(EVERY)
            engine.becomes(snapshots[number % len(snapshots)])

    if percent:
        threading.Thread(target=change, args=(pictures,), daemon=True).start()
    show(engine)


def living(snapshot: EngineSnapshot) -> FakeEngine:
    from tests.support.fake_engine import FakeEngine

    class Living(FakeEngine):
        def alive_at(self) -> float:
            return time.monotonic()

    return Living(snapshot)


def show(engine: FakeEngine) -> None:
    from app import garbage
    from app.dashboard import Dashboard
    from app.machine import Machine

    Dashboard(lambda: engine, machine=Machine("/"), once_settled=garbage.release).run()


def made_up(percent: int) -> list[EngineSnapshot]:
    """Rows that change are new objects in every picture, the others the same, as an engine has it."""
    from coordinator.model import PrdState, PrdView, QueueView
    from tests.support.scenes import prd

    began = time.time()
    views: list[PrdView] = []
    made = []
    for picture in range(PICTURES):
        fresh = views[:]
        for row in range(ROWS if not views else ROWS * percent // 100):
            done, started = (picture + row) % STORIES, began - 1000 - 60 * row
            view = prd(f"feature-{row:02}", PrdState.RUNNING, done, STORIES, started_at=started)
            fresh[row : row + 1] = [view]
        views = fresh
        queue = QueueView(slots_used=ROWS, slots=ROWS)
        made.append(EngineSnapshot(1, tuple(views), queue, repository="shop", branch="main"))
    return made


def _cells(snapshot: EngineSnapshot, columns: int) -> dict[str, dict[str, Text]]:
    """What each cell of the twin says, by PRD and column."""
    from rich.text import Text

    from app import rows
    from app.estimate import estimate
    from app.format import bar

    now = time.time()
    ends = estimate(snapshot, now).ends
    made = {}
    for view in snapshot.prds:
        done, total = view.progress.completed, view.progress.total
        full, rest = bar(done, total, columns)
        glyph, _word, _tone = rows.look(view.state)
        end = ends.get(view.prd_id)
        made[view.prd_id] = {
            "glyph": Text(glyph, "blue"),
            "name": Text(view.prd_id),
            "bar": Text.assemble((full, "blue"), (rest, "grey37")),
            "done": Text(f"{done}/{total}", justify="right"),
            "time": Text(rows.elapsed_text(view, now), "grey62", justify="right"),
            "eta": Text("" if end is None else rows.clock(end), justify="right"),
            "now": Text(rows.now_text(view)[0], "grey62", no_wrap=True, overflow="ellipsis"),
        }
    return made


def table(percent: int) -> None:
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable

    from app import rows

    pictures = made_up(percent)
    sizes = rows.columns(65)

    class Twin(App[None]):
        CSS = "DataTable { width: 56%; height: 1fr; border: round $primary; }"

        def __init__(self) -> None:
            super().__init__()
            self._shown = _cells(pictures[0], sizes["bar"])
            self._numbers = count(1)

        def compose(self) -> ComposeResult:
            yield DataTable(cursor_type="row", cell_padding=0)

        def on_mount(self) -> None:
            table = self.query_one(DataTable)
            for key in ("glyph", "name", "bar", "done", "time", "eta", "now"):
                table.add_column(key, key=key, width=sizes[key])
            for name, row in self._shown.items():
                table.add_row(*row.values(), key=name)
            if percent:
                self.set_interval(EVERY, self._change)

        def _change(self) -> None:
            table = self.query_one(DataTable)
            fresh = _cells(pictures[next(self._numbers) % len(pictures)], sizes["bar"])
            for name, row in fresh.items():
                for key, text in row.items():
                    if text != self._shown[name][key]:
                        table.update_cell(name, key, text)
            self._shown = fresh

        def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
            event.data_table.border_subtitle = f"{event.cursor_row + 1}/{ROWS}"

    Twin().run()


def idle(*, running: int = 0, without: str = "") -> None:
    from app import dashboard
    from app.rows import TICKING
    from tests.support.scenes import busy

    if without:
        setattr(dashboard, without.upper(), 3600.0)
    snapshot = busy().engine.snapshot()
    now = time.time()
    views = [view for view in snapshot.prds if view.state not in TICKING]
    views += made_up(0)[0].prds[:running]
    views = [replace(view, started_at=now - 500) if view.started_at else view for view in views]
    show(living(replace(snapshot, prds=tuple(views))))


KINDS: dict[str, Callable[[], None]] = {
    "bare": bare,
    "ours": lambda: ours(int(sys.argv[2])),
    "table": lambda: table(int(sys.argv[2])),
    "idle": idle,
    "clocks": lambda: idle(running=3),
    "no-look": lambda: idle(without="look"),
    "no-tick": lambda: idle(without="tick"),
    "no-sample": lambda: idle(without="sample"),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
