"""A window of raw lines over a log file that grows: bounded in memory, wherever in the file it stands.

Lines are numbered in the order of the file. A number stays with its line for as long as the window is not
placed anew (`window` counts that): lines that are loaded before the first one get numbers below its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coordinator.api import LogChunk

#: (offset in bytes, from the end if negative; at most so many bytes) → what the log has there.
Read = Callable[[int, int], "LogChunk"]

TAIL = 256 << 10  # bytes that a log is opened with
CHUNK = 256 << 10  # bytes of one read
MAX_LINES, MAX_BYTES = 20_000, 4 << 20
LONGEST = 16 << 10  # bytes that are kept of one line
_BLOCKS = 16  # the window is given up in parts of this share


@dataclass(slots=True)
class _Block:
    """Lines that follow each other; `start` and `stop` are where in the file they begin and end."""

    first: int
    start: int
    stop: int
    lines: list[bytes]
    held: int


class LogRing:
    """`read` may raise what it likes: the ring is then as it was before.

    `max_lines`, `max_bytes`: what is held at most, give or take a sixteenth. `longest`: bytes kept of a line.
    """

    def __init__(
        self,
        read: Read,
        *,
        max_lines: int = MAX_LINES,
        max_bytes: int = MAX_BYTES,
        tail: int = TAIL,
        longest: int = LONGEST,
    ) -> None:
        self._read = read
        self._max_lines, self._max_bytes = max_lines, max_bytes
        self._tail, self._longest = tail, longest
        self._chunk = max(1, min(CHUNK, max_bytes // _BLOCKS))
        self._block_lines = max(1, max_lines // _BLOCKS)
        self.window = 0  # grows when the window is placed anew: line numbers of before mean nothing now
        self.version = 0  # grows with every change of what is held
        self.size = 0  # bytes of the log when it was last looked at
        self.restarts = 0  # how often the log was found shorter than before
        self.arrived = 0  # lines that were completed since `mark`, as far as `count` has seen
        self._counted = 0
        self._place(0)

    # What is held

    @property
    def first(self) -> int:
        """Number of the first line held."""
        return self._blocks[0].first if self._blocks else self._next

    @property
    def end(self) -> int:
        """One past the number of the last line held; a line without its end counts."""
        return self._next + bool(self._partial)

    @property
    def skipped(self) -> int:
        """Bytes of the log before the first line held."""
        return self._blocks[0].start if self._blocks else self._line_start

    @property
    def behind(self) -> int:
        """Bytes of the log after what is held."""
        return max(0, self.size - self._stop)

    @property
    def full(self) -> bool:
        """To load more is to give up lines at the other end."""
        return self._too_much(1)

    def line(self, number: int) -> bytes:
        """Raises IndexError for a line that is not held."""
        if number == self._next and self._partial:
            return self._partial
        for block in reversed(self._blocks):
            if number >= block.first:
                if number - block.first < len(block.lines):
                    return block.lines[number - block.first]
                break
        raise IndexError(number)

    def missing(self, number: int) -> int:
        """Bytes of a line that were too many to be kept."""
        return self._partial_missing if number == self._next else self._missing.get(number, 0)

    def is_complete(self, number: int) -> bool:
        """Its end was read: it will never be other than it is."""
        return number < self._next

    def numbered(self, start: int, *, backwards: bool = False) -> Iterator[tuple[int, bytes]]:
        """The lines held with their numbers, from `start` (included) on to either end."""
        partial = [(self._next, self._partial)] if self._partial else []
        if not backwards:
            for block in self._blocks:
                skip = max(0, start - block.first)
                yield from enumerate(block.lines[skip:], block.first + skip)
            yield from (line for line in partial if line[0] >= start)
            return
        yield from (line for line in partial if line[0] <= start)
        for block in reversed(self._blocks):
            for index in range(min(len(block.lines), start - block.first + 1) - 1, -1, -1):
                yield block.first + index, block.lines[index]

    # Where the window stands

    def open_end(self) -> None:
        """Places the window at the end of the log."""
        chunk = self._read(-self._tail, self._tail)
        data, offset = chunk.data, chunk.offset
        if offset > 0:
            begin = data.find(b"\n") + 1  # 0: one long line, of which this is a part
            data, offset = data[begin:], offset + begin
        self._place(offset)
        self.size = max(chunk.size, offset + len(data))
        self._absorb(data)
        self._give_up_first(None)

    def open_start(self) -> None:
        """Places the window at the beginning of the log."""
        chunk = self._read(0, self._chunk)
        self._place(0)
        self.size = max(chunk.size, len(chunk.data))
        self._absorb(chunk.data)

    def follow(self, budget: int) -> int:
        """Takes in what was written since, about `budget` bytes of it.

        A window that has fallen behind by more than it holds is placed at the end anew: returns the bytes
        that were passed over for that.
        """
        began = self.window
        behind = self._look(self._stop)
        if self.window == began and behind > self._max_bytes:
            from_ = self._stop
            self.open_end()
            return self.skipped - from_
        while self.window == began and budget > 0 and self.behind:
            budget -= self._load_chunk(budget)
            self._give_up_first(None)
        return 0

    def load_after(self, budget: int, keep_from: int) -> None:
        """Takes in about `budget` bytes more; lines before number `keep_from` are given up for it."""
        began = self.window
        self._look(self._stop)
        while self.window == began and budget > 0 and self.behind:
            self._give_up_first(keep_from, room=1)
            if self.full:
                break
            budget -= self._load_chunk(budget)

    def load_before(self, budget: int, keep_to: int) -> None:
        """Takes in about `budget` bytes before the first line; lines after number `keep_to` are given up."""
        while budget > 0 and self.skipped > 0:
            self._give_up_last(keep_to)
            if self.full:
                break
            wanted = min(self._chunk, self.skipped)
            chunk = self._read(self.skipped - wanted, wanted)
            if chunk.size < self.size or len(chunk.data) < wanted:
                self._restart()
                break
            self.size = chunk.size
            self._absorb_before(chunk.offset, chunk.data)
            budget -= wanted

    # Counting what is not loaded

    def mark(self) -> None:
        """Lines from here on, after what is held, are counted as arrived."""
        self._counted = self._stop
        self.arrived = -1 if self._partial else 0  # the end of a line that is held is no new line

    def count(self, budget: int) -> int:
        """Looks for new lines without loading them, in at most `budget` bytes; returns how many arrived."""
        began = self.window
        while budget > 0 and self._look(self._counted) > 0 and self.window == began:
            chunk = self._read(self._counted, min(CHUNK, budget))
            if not chunk.data:
                break
            self._counted = chunk.offset + len(chunk.data)
            self.arrived += chunk.data.count(b"\n")
            budget -= len(chunk.data)
        return max(0, self.arrived)

    # Inside

    def _place(self, offset: int) -> None:
        self._blocks: deque[_Block] = deque()
        self._lines = self._held = 0
        self._missing: dict[int, int] = {}
        self._next = 0
        self._line_start = self._stop = offset
        self._partial, self._partial_missing = b"", 0
        self.window += 1
        self.version += 1

    def _restart(self) -> None:
        self.open_end()
        self.mark()
        self.restarts += 1

    def _look(self, offset: int) -> int:
        """Bytes that the log has after `offset`; a log that has become shorter is opened anew."""
        size = self._read(offset, 0).size
        if size < self.size:
            self._restart()
            return 0
        self.size = size
        return size - offset

    def _load_chunk(self, budget: int) -> int:
        """Bytes taken in, or `budget` when there is nothing to go on for."""
        chunk = self._read(self._stop, self._chunk)
        if chunk.size < self.size:
            self._restart()
            return budget
        self.size = chunk.size
        self._absorb(chunk.data)
        return len(chunk.data) or budget

    def _absorb(self, data: bytes) -> None:
        """Takes in what follows the window."""
        if not data:
            return
        self.version += 1
        lines = data.split(b"\n")
        rest = lines.pop()
        at = self._stop
        self._stop += len(data)
        if lines:
            for begin in range(0, len(lines), self._block_lines):
                part = lines[begin : begin + self._block_lines]
                at += sum(map(len, part)) + len(part)
                if begin == 0:
                    self._grow(part[0])
                    part[0] = self._partial
                    if self._partial_missing:
                        self._missing[self._next] = self._partial_missing
                    self._partial, self._partial_missing = b"", 0
                self._append(self._shortened(part, self._next), at)
        self._grow(rest)

    def _grow(self, data: bytes) -> None:
        """More of a line whose end has not been read."""
        if self._partial_missing:
            kept = data.rstrip(b"\r").rfind(b"\r") + 1
            if not kept:
                self._partial_missing += len(data)
                return
            self._partial, data = b"", data[kept:]
        self._partial, self._partial_missing = _squeezed(self._partial + data, self._longest)

    def _shortened(self, lines: list[bytes], first: int) -> list[bytes]:
        if max(map(len, lines)) > self._longest:
            for index, line in enumerate(lines):
                lines[index], missing = _squeezed(line, self._longest)
                if missing:
                    self._missing[first + index] = missing
        return lines

    def _append(self, lines: list[bytes], stop: int) -> None:
        held = sum(map(len, lines))
        last = self._blocks[-1] if self._blocks else None
        if (
            last
            and len(last.lines) + len(lines) <= self._block_lines
            and last.held + held <= self._max_bytes // _BLOCKS
        ):
            last.lines += lines
            last.held += held
            last.stop = stop
        else:
            self._blocks.append(_Block(self._next, self._line_start, stop, lines, held))
        self._next += len(lines)
        self._lines += len(lines)
        self._held += held
        self._line_start = stop

    def _absorb_before(self, start: int, data: bytes) -> None:
        """Takes in what comes right before the window, from the first line that begins in it on."""
        self.version += 1
        begin = data.find(b"\n") + 1 if start > 0 else 0
        if begin == len(data):  # one long line, of which this is a part
            begin = 0
        lines = data[begin:].split(b"\n")
        stop = start + len(data)
        ends = 0 if lines[-1] else 1  # without: the window begins within a line, and this is more of it
        if ends:
            lines.pop()
        number = self.first
        while lines:
            part = lines[-self._block_lines :]
            del lines[-self._block_lines :]
            number -= len(part)
            begins = stop - sum(map(len, part)) - len(part) + 1 - ends
            ends = 1
            part = self._shortened(part, number)
            held = sum(map(len, part))
            self._blocks.appendleft(_Block(number, begins, stop, part, held))
            self._lines += len(part)
            self._held += held
            stop = begins

    def _give_up_first(self, keep_from: int | None, room: int = 0) -> None:
        while len(self._blocks) > 1 and self._too_much(room):
            if keep_from is not None and self._blocks[1].first > keep_from:
                break
            self._drop(self._blocks.popleft())

    def _give_up_last(self, keep_to: int) -> None:
        while len(self._blocks) > 1 and self._too_much(1) and self._blocks[-1].first > keep_to:
            block = self._blocks.pop()
            self._partial, self._partial_missing = b"", 0
            self._next = block.first
            self._line_start = self._stop = block.start
            self._drop(block)

    def _too_much(self, room: int) -> bool:
        return self._lines + room > self._max_lines or self._held + room > self._max_bytes

    def _drop(self, block: _Block) -> None:
        self.version += 1
        self._lines -= len(block.lines)
        self._held -= block.held
        if self._missing:
            self._missing = {
                number: missing
                for number, missing in self._missing.items()
                if self.first <= number < self._next
            }


def _squeezed(line: bytes, longest: int) -> tuple[bytes, int]:
    """At most `longest` bytes of a line and how many are missing; what a carriage return wrote over goes first."""
    if len(line) <= longest:
        return line, 0
    line = line[line.rstrip(b"\r").rfind(b"\r") + 1 :]
    return line[:longest], max(0, len(line) - longest)
