"""A window over a growing file: what it holds is what the file has there, wherever it is moved."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.widgets.log_ring import LogRing
from tests.support.growing_log import GrowingLog

MIB = 1 << 20


@pytest.fixture
def log(tmp_path: Path) -> GrowingLog:
    return GrowingLog(tmp_path / "worker.log")


def held(ring: LogRing) -> list[bytes]:
    return [ring.line(number) for number in range(ring.first, ring.end)]


def test_a_log_that_is_not_there_yet_is_empty_and_then_grows(log: GrowingLog) -> None:
    ring = LogRing(log.read)
    ring.open_end()
    assert (held(ring), ring.size, ring.skipped, ring.behind) == ([], 0, 0, 0)
    log.write(b"one\ntwo")
    ring.follow(MIB)
    assert held(ring) == [b"one", b"two"]
    assert [ring.is_complete(number) for number in (0, 1)] == [True, False]
    log.write(b" and more\n\nfour\n")
    ring.follow(MIB)
    assert held(ring) == [b"one", b"two and more", b"", b"four"]
    assert list(ring.numbered(2)) == [(2, b""), (3, b"four")]
    assert list(ring.numbered(2, backwards=True)) == [(2, b""), (1, b"two and more"), (0, b"one")]


def test_it_opens_at_the_end_at_a_whole_line(log: GrowingLog) -> None:
    log.lines(0, 10_000)
    ring = LogRing(log.read, tail=1000)
    ring.open_end()
    assert held(ring)[-1] == b"line 9999"
    assert ring.skipped + sum(len(line) + 1 for line in held(ring)) == ring.size
    assert log.path.read_bytes()[ring.skipped :].startswith(held(ring)[0] + b"\n")
    assert log.reads == 1000


def test_lines_keep_their_numbers_when_old_ones_are_given_up_and_loaded_again(log: GrowingLog) -> None:
    log.lines(0, 1000)
    ring = LogRing(log.read, max_lines=160, max_bytes=16_000)
    ring.open_end()
    ring.open_start()
    while ring.behind:
        ring.load_after(100, keep_from=ring.end - 1)
    assert ring.end - ring.first <= 160 + 100
    assert [ring.line(number) for number in (ring.first, 999)] == [b"line %d" % ring.first, b"line 999"]
    while ring.skipped:
        ring.load_before(100, keep_to=ring.first)
    assert [ring.line(number) for number in (0, 5)] == [b"line 0", b"line 5"]
    assert ring.end < 400
    with pytest.raises(IndexError):
        ring.line(ring.end)
    with pytest.raises(IndexError):
        ring.line(-1)


def test_lines_of_a_reader_are_not_given_up(log: GrowingLog) -> None:
    log.lines(0, 300)
    ring = LogRing(log.read, max_lines=160, max_bytes=16_000)
    ring.open_start()
    for _ in range(20):
        ring.load_after(1000, keep_from=0)
    assert ring.first == 0
    assert ring.behind > 0


def test_new_lines_are_counted_without_being_loaded(log: GrowingLog) -> None:
    log.write(b"one\ntwo")
    ring = LogRing(log.read)
    ring.open_end()
    ring.mark()
    assert ring.count(MIB) == 0
    log.write(b"\n")
    assert ring.count(MIB) == 0, "the end of a line that is shown is no new line"
    log.lines(0, 38)
    assert ring.count(100) < 38
    assert ring.count(MIB) == 38
    assert held(ring) == [b"one", b"two"]
    ring.load_after(MIB, keep_from=0)
    assert len(held(ring)) == 40


def test_a_log_that_became_shorter_is_opened_anew(log: GrowingLog) -> None:
    log.lines(0, 100)
    ring = LogRing(log.read)
    ring.open_end()
    window = ring.window
    log.replace(b"fresh\n")
    assert ring.follow(MIB) == 0
    assert (held(ring), ring.restarts) == ([b"fresh"], 1)
    assert ring.window > window
    log.path.unlink()
    ring.load_after(MIB, keep_from=0)
    assert (held(ring), ring.restarts, ring.size) == ([], 2, 0)


@pytest.mark.parametrize("how", ["follow", "load_after", "load_before", "count"])
def test_a_shorter_log_is_noticed_whatever_is_done(log: GrowingLog, how: str) -> None:
    log.lines(0, 10_000)
    ring = LogRing(log.read, tail=1000)
    ring.open_end()
    ring.mark()
    log.replace(b"a\nb\n")
    match how:
        case "follow":
            ring.follow(MIB)
        case "count":
            assert ring.count(MIB) == 0
        case "load_after":
            ring.load_after(MIB, 0)
        case _:
            ring.load_before(MIB, 0)
    assert (held(ring), ring.restarts) == ([b"a", b"b"], 1)


def test_one_that_has_fallen_behind_goes_to_the_end_and_says_what_it_passed_over(log: GrowingLog) -> None:
    log.lines(0, 10)
    ring = LogRing(log.read, max_bytes=64 << 10, tail=4 << 10)
    ring.open_end()
    before = ring.size
    log.lines(10, 100_000)
    passed_over = ring.follow(MIB)
    assert passed_over == ring.skipped - before > 64 << 10
    assert held(ring)[-1] == b"line 100009"
    assert ring.behind == 0
    assert ring.follow(MIB) == 0


def test_work_and_memory_are_bounded_by_the_budget_and_the_window(log: GrowingLog) -> None:
    log.lines(0, 10)
    ring = LogRing(log.read)
    ring.open_end()
    log.write(b"\n" * 3 * MIB)
    log.reads = 0
    ring.follow(MIB)
    assert log.reads == MIB
    assert ring.end - ring.first <= 20_000
    assert ring.behind == 2 * MIB


def test_a_line_of_fifty_megabytes_is_never_held(log: GrowingLog) -> None:
    log.write(b"short\n")
    ring = LogRing(log.read)
    ring.open_end()
    with log.path.open("ab") as file:
        for _ in range(50):
            file.write(b"x" * MIB)
    ring.open_start()
    tracemalloc.start()
    for _ in range(60):
        ring.load_after(MIB, keep_from=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * MIB
    number = ring.end - 1
    assert len(ring.line(number)) + ring.missing(number) == 50 * MIB
    log.write(b"\nnext\n")
    ring.load_after(MIB, keep_from=0)
    assert (ring.missing(number), held(ring)[-1]) == (50 * MIB - len(ring.line(number)), b"next")


def test_opening_within_a_huge_line_shows_a_part_of_it(log: GrowingLog) -> None:
    log.write(b"first\n" + b"x" * MIB)
    ring = LogRing(log.read)
    ring.open_end()
    assert ring.end - ring.first == 1
    while ring.skipped:
        ring.load_before(MIB, keep_to=ring.end)
    assert held(ring)[0] == b"first"
    assert ring.skipped == 0


def test_a_progress_bar_without_an_end_shows_its_last_state(log: GrowingLog) -> None:
    ring = LogRing(log.read, longest=64)
    ring.open_end()
    for percent in range(100):
        log.write(b"\rworking %d %%" % percent)
        ring.follow(MIB)
        assert held(ring)[-1].rpartition(b"\r")[2] == b"working %d %%" % percent
        assert ring.missing(ring.end - 1) == 0
    log.write(b"\r" + b"x" * 100)
    ring.follow(MIB)
    assert ring.missing(ring.end - 1) == 36
    log.write(b"x" * 10)
    ring.follow(MIB)
    assert ring.missing(ring.end - 1) == 46
    log.write(b"\rdone\r\n")
    ring.follow(MIB)
    assert (held(ring), ring.missing(0)) == ([b"done\r"], 0)


def test_a_log_that_cannot_be_read_leaves_the_ring_as_it_was(log: GrowingLog) -> None:
    log.lines(0, 10)
    ring = LogRing(log.read)
    ring.open_end()
    log.fails = True
    for work in (ring.open_end, ring.open_start, lambda: ring.follow(1), lambda: ring.count(1)):
        with pytest.raises(PermissionError):
            work()
    assert len(held(ring)) == 10
    log.fails = False
    log.lines(10, 1)
    ring.follow(MIB)
    assert len(held(ring)) == 11


LINES = st.lists(st.binary(max_size=12), max_size=30).map(b"\n".join)


class AgainstThePlainFile(RuleBasedStateMachine):
    """Lines of less than a chunk: the window must be exactly a stretch of the file's lines."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.log = GrowingLog(Path(self._folder.name) / "log")
        self.ring = LogRing(self.log.read, max_lines=64, max_bytes=16 * 40, tail=100)
        self.known: dict[int, bytes] = {}
        self.window = -1

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize(data=LINES)
    def begin(self, data: bytes) -> None:
        self._write(data)
        self.ring.open_end()

    @rule(data=LINES)
    def grow(self, data: bytes) -> None:
        self._write(data)

    @rule(data=LINES)
    def replaced(self, data: bytes) -> None:
        size = self.ring.size
        self.log.replace(data)
        self.ring.open_end()
        if len(data) < size:
            self.ring.follow(1)

    @rule(budget=st.integers(1, 200))
    def follow(self, budget: int) -> None:
        self.ring.follow(budget)

    @rule(budget=st.integers(1, 200), share=st.floats(0, 1))
    def load_after(self, budget: int, share: float) -> None:
        keep = self._number(share)
        self.ring.load_after(budget, keep)
        assert keep == self.ring.end or self.ring.line(keep) is not None

    @rule(budget=st.integers(1, 200), share=st.floats(0, 1))
    def load_before(self, budget: int, share: float) -> None:
        keep = self._number(share)
        self.ring.load_before(budget, keep)
        assert keep >= self.ring.first

    @rule()
    def open_start(self) -> None:
        self.ring.open_start()

    @rule()
    def open_end(self) -> None:
        self.ring.open_end()
        assert self.ring.behind == 0

    @rule(data=LINES)
    def count(self, data: bytes) -> None:
        self.ring.follow(100_000)
        self.ring.mark()
        partial = self.ring.end > self.ring.first and not self.ring.is_complete(self.ring.end - 1)
        before = self.log.path.stat().st_size
        self._write(data)
        written = self.log.path.read_bytes()[before:]
        assert self.ring.count(100_000) == max(0, written.count(b"\n") - partial)

    @invariant()
    def holds_a_stretch_of_the_file(self) -> None:
        content = self.log.path.read_bytes() if self.log.path.exists() else b""
        lines, skipped = held(self.ring), self.ring.skipped
        text = b"\n".join(lines)
        assert content[skipped:].startswith(text)
        assert skipped == 0 or content[skipped - 1 : skipped] == b"\n" or skipped == len(content)
        shown = skipped + len(text) + bool(lines and self.ring.is_complete(self.ring.end - 1))
        assert shown + self.ring.behind == self.ring.size
        assert (
            self.ring.line(self.ring.end - 1)
            if lines and shown == len(content) and content[-1:] != b"\n"
            else True
        )

    @invariant()
    def lines_keep_their_numbers(self) -> None:
        if self.ring.window != self.window:
            self.window, self.known = self.ring.window, {}
        for number in range(self.ring.first, self.ring.end):
            line = self.ring.line(number)
            if self.ring.is_complete(number):
                assert self.known.setdefault(number, line) == line
        numbers = [number for number, _ in self.ring.numbered(self.ring.first)]
        assert numbers == list(range(self.ring.first, self.ring.end))
        assert numbers[::-1] == [number for number, _ in self.ring.numbered(self.ring.end, backwards=True)]

    @invariant()
    def is_bounded(self) -> None:
        chunk = 40
        assert self.ring.end - self.ring.first <= 64 + chunk + 1
        assert sum(map(len, held(self.ring))) <= 16 * 40 + 2 * chunk + 400

    def _write(self, data: bytes) -> None:
        """No line shall become longer than a chunk."""
        last = self.log.path.read_bytes().rpartition(b"\n")[2] if self.log.path.exists() else b""
        self.log.write(b"\n" + data if len(last) > 12 else data)

    def _number(self, share: float) -> int:
        return round(self.ring.first + share * (self.ring.end - self.ring.first))


TestAgainstThePlainFile = AgainstThePlainFile.TestCase
TestAgainstThePlainFile.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    yield
    tracemalloc.stop()
