"""What is kept of a call's output, and how its time is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.loop.calls import LONGEST, Excerpt, Stopwatch


@given(st.lists(st.text(alphabet="abc\n", max_size=30), max_size=20), st.integers(0, 20), st.integers(1, 20))
def test_excerpts_hold_both_ends_however_the_output_comes(parts: list[str], head: int, tail: int) -> None:
    whole = "".join(parts)
    excerpt = Excerpt(head, tail)
    for part in parts:
        excerpt.feed(part.encode())
    text = excerpt.text()
    if len(whole) <= head + tail:
        assert text == whole.strip("\n")
        return
    if head:
        begin, _, end = text.partition("[… ")
        gap, _, end = end.partition(" bytes left out …]")
        assert whole.lstrip("\n").startswith(begin.strip("\n"))
        assert int(gap) == len(whole) - head - tail
        assert whole.rstrip("\n").endswith(end.strip("\n"))
    else:
        assert whole.rstrip("\n").endswith(text)
        assert len(text) <= tail


def test_an_excerpt_of_an_end_begins_with_a_line() -> None:
    excerpt = Excerpt(0, 12)
    excerpt.feed(b"a long first line\nlast line\n")
    assert excerpt.text() == "last line"


def test_a_stopwatch_stands_still_while_its_process_is_stopped() -> None:
    watch = Stopwatch(100.0)
    for second in range(1, 11):
        watch.tick(100.0 + second)
    assert watch.spent == 10.0
    assert watch.tick(50_000.0) == 10.0 + LONGEST
    assert watch.tick(50_000.5) == 10.5 + LONGEST
