"""A reader's place in a log against a plain list of rows: never pulled, never lost, no row twice."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.widgets.log_place import Place
from app.widgets.log_ring import LogRing
from tests.support.growing_log import GrowingLog

Row = tuple[int, int]


class Reading(RuleBasedStateMachine):
    """Line n of the log is the text of n and takes 1 + n % 3 rows; the ring holds far less than the log."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.log = GrowingLog(Path(self._folder.name) / "log")
        self.ring = LogRing(self.log.read, max_lines=160, max_bytes=16 * 100, tail=300)
        self.place = Place(self.ring, lambda number: self._height(self._text(number)))
        self.lines = 0

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize(count=st.integers(0, 600), height=st.integers(1, 12))
    def begin(self, count: int, height: int) -> None:
        self.place.height = height
        self.log.write(b"")
        self._grow(count)
        self.ring.open_end()
        self.place.settle(at_end=True)

    @rule(count=st.integers(0, 300))
    def grow(self, count: int) -> None:
        before = self._shown()
        self._grow(count)
        self.ring.count(10_000)
        self.place.settle(at_end=False)
        assert self._shown() == before

    @rule(rows=st.integers(1, 40))
    def up(self, rows: int) -> None:
        before = self._top()
        self.place.up(rows)
        if before:
            assert self._top() == self._moved(before, -rows)

    @rule(rows=st.integers(1, 40))
    def down(self, rows: int) -> None:
        before = self._top()
        at_end = self.place.down(rows)
        if before and not at_end:
            assert self._top() == self._moved(before, rows)
        if at_end and self.lines:
            assert self._shown()[-1] == (self.lines - 1, self._height(self.lines - 1) - 1)

    @rule()
    def to_start(self) -> None:
        self.ring.open_start()
        self.place.top = (self.ring.first, 0)
        assert self._top() == ((0, 0) if self.lines else None)

    @rule()
    def to_end(self) -> None:
        self.ring.follow(1_000_000)
        self.place.settle(at_end=True)

    @rule(share=st.floats(0, 1))
    def seek(self, share: float) -> None:
        held = self.ring.end - self.ring.first
        if held:
            number = self.ring.first + min(held - 1, int(share * held))
            self.place.seek(number)
            # Only now: the last line held may have been half of one.
            assert self._text(number) in [line for line, _row in self._shown()]

    @invariant()
    def rows_follow_each_other(self) -> None:
        shown = self._shown()
        if shown:
            assert shown == [row for row in self._all() if row >= shown[0]][: len(shown)]
            assert (
                len(shown) == self.place.height
                or self.ring.behind
                or shown[-1][0] == self._text(self.ring.end - 1)
            )

    def _grow(self, count: int) -> None:
        self.log.lines(self.lines, count, "{}")
        self.lines += count

    def _text(self, number: int) -> int:
        return int(self.ring.line(number))

    @staticmethod
    def _height(line: int) -> int:
        return 1 + line % 3

    def _all(self) -> list[Row]:
        return [(line, row) for line in range(self.lines) for row in range(self._height(line))]

    def _moved(self, place: Row, rows: int) -> Row:
        every = self._all()
        return every[max(0, every.index(place) + rows)]

    def _top(self) -> Row | None:
        shown = self._shown()
        return shown[0] if shown else None

    def _shown(self) -> list[Row]:
        number, row = self.place.top
        rows: list[Row] = []
        while number < self.ring.end and len(rows) < self.place.height:
            line = self._text(number)
            rows += [(line, part) for part in range(row, self._height(line))]
            number, row = number + 1, 0
        return rows[: self.place.height]


TestReading = Reading.TestCase
TestReading.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
