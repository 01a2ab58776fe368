"""Text from outside: nothing of a terminal is left in it, and it is cut where it should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.texts import columns, ends, last_line, one_line, plain


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\x1b[31mred\x1b[0m b", "ared b"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\y", "xy"),
        ("\x1b(Ba\x1b=b\x1bcc", "abc"),
        ("10 %\r50 %\r100 %\r\nnext\r", "100 %\nnext"),
        ("tab\tstays\x00\x07\x9b\u202e", "tab\tstays"),
        ("日本 ä ☃", "日本 ä ☃"),
    ],
)
def test_plain(text: str, left: str) -> None:
    assert plain(text) == left


@given(st.text())
def test_nothing_unprintable_survives(text: str) -> None:
    assert all(char in "\n\t" or char.isprintable() for char in plain(text))
    assert plain(plain(text)) == plain(text)
    assert one_line(text).isprintable()
    assert last_line(text).isprintable()


def test_one_line_and_the_last_one() -> None:
    assert one_line("a\r\n  b\tc\n") == "a b c"
    assert one_line("x" * 400, 10) == "x" * 9 + "…"
    assert last_line("first\nsecond \x1b[0m\n\n \n") == "second"
    assert last_line("") == ""


@given(st.text(alphabet="ab\n", max_size=400), st.integers(0, 60), st.integers(1, 60))
def test_ends_keeps_both_ends(text: str, head: int, tail: int) -> None:
    cut = ends(text, head, tail)
    if len(text) <= head + tail:
        assert cut == text
        return
    begin, _, end = cut.partition("[… ")
    count, _, end = end.partition(" characters left out …]\n")
    assert text.startswith(begin.removesuffix("\n")) or text.startswith(begin)
    assert text.endswith(end)
    assert len(begin) <= head + 1
    assert len(end) <= tail
    assert int(count) >= len(text) - head - tail


@given(st.text(alphabet="ab 日本\u0301", max_size=60), st.integers(2, 20))
def test_columns_never_exceeds(text: str, most: int) -> None:
    cut = columns(text, most)
    wide = sum(2 if char in "日本" else char != "\u0301" for char in cut)
    assert wide <= most
    assert cut == text or cut.endswith("…")


def test_columns_takes_what_fits_exactly() -> None:
    assert columns("abcd", 4) == "abcd"
    assert columns("abcde", 4) == "abc…"
    assert columns("日本語", 5) == "日本…"
