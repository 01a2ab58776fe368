"""Where a reader stands in a log: a line and a row of it at the top of a pane. Loads what he comes near to."""

from __future__ import annotations

from collections.abc import Callable

from app.widgets.log_ring import CHUNK, LogRing

#: Number of a line → how many rows it takes.
RowsOf = Callable[[int], int]


class Place:
    """`top`: number of a line and the row of it with which the pane of `height` rows begins."""

    def __init__(self, ring: LogRing, rows_of: RowsOf) -> None:
        self._ring = ring
        self._rows_of = rows_of
        self.height = 1
        self.top = (0, 0)

    def up(self, rows: int) -> None:
        ring = self._ring
        line, row = self.top
        window = ring.window
        while rows > row:
            if line <= ring.first:
                ring.load_before(CHUNK, line + self.height)
                if ring.window != window:
                    return  # the log began anew
                if line <= ring.first:
                    row = rows = 0
                    break
            rows -= row + 1
            line -= 1
            row = self._rows_of(line) - 1
        self.top = (line, row - rows)

    def down(self, rows: int) -> bool:
        """Not further than the last row at the bottom; says whether that is reached."""
        ring = self._ring
        line, row = self.top
        window = ring.window
        if ring.end - line < rows + self.height:
            ring.load_after(CHUNK, line)
        if ring.window != window:
            return False
        while rows > 0 and line < ring.end:
            left = self._rows_of(line) - 1 - row
            if rows <= left:
                row += rows
                break
            rows -= left + 1
            line, row = line + 1, 0
        lowest = self.lowest()
        self.top = min((line, row), lowest)
        return (line, row) >= lowest and not ring.behind

    def lowest(self) -> tuple[int, int]:
        """The top with which the last row is at the bottom."""
        rows = self.height
        for number in range(self._ring.end - 1, self._ring.first - 1, -1):
            rows -= self._rows_of(number)
            if rows <= 0:
                return number, -rows
        return self._ring.first, 0

    def settle(self, *, at_end: bool) -> None:
        """Stands where there are lines: at the end, or where it stood as far as that is held."""
        self.top = self.lowest() if at_end else max(self.top, (self._ring.first, 0))

    def seek(self, number: int) -> None:
        """Moves only if line `number` is not in sight, and then so that there is something above it."""
        if not self.top[0] <= number <= self.bottom():
            self.top = (number, 0)
            self.up(self.height // 3)
            self.down(0)  # what is in sight is loaded whole: the last line held may be half of one

    def bottom(self) -> int:
        """Number of the last line of which a row is in sight; past all lines if there is room for more."""
        number, rows = self.top[0], self.height + self.top[1]
        while number < self._ring.end and rows > 0:
            rows -= self._rows_of(number)
            number += 1
        return number - 1 if rows <= 0 else self._ring.end
