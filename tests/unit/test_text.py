"""The door for text from outside: whatever comes, what leaves is printable, harmless and as wide as it says."""

from __future__ import annotations

import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color
from textual.content import Content

from app.sgr import Pen
from app.text import LONGEST, LogLine, content, cut_at, fit, log_line, notice, pad, plain, width

ROOT = Path(__file__).resolve().parents[2]

ATTACKS = [
    "bad [/ thing",
    "[bold]not bold[/bold] [@click=app.quit]x[/]",
    "\x1b[2J\x1b[H wiped",
    "\x1b]0;PWNED\x07 title",
    "\x1b]0;never ended",
    "\x1b]52;c;cm0gLXJmIC8=\x1b\\ clipboard",
    "\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\",
    "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\ passed through",
    "\x1b_kitty\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\ strings",
    "\x9b31mred \x9d0;PWNED\x9c \x90dcs\x9c c1",
    "\x1b\x1b[m[31m twice",
    "\x1b(0lqqk\x1b(B\x1bc\x1b7\x1b8\x1b=\x1b>",
    "a\u202egnp.exe\u202c \u2066x\u2069 \u200f\u061c bidi",
    "zero\u200bwidth\u200d\u2060\ufeff\u00adtricks",
    "👨‍👩‍👧‍👦 👍🏽 🇩🇪 ⚠️ ✔︎ 日本語",
    "e\u0301" + "\u0300" * 500,
    "\u0301leading mark",
    "\u3164\u115f\uffa0 fillers",
    "\ue000 private \U000e0041 tag \U0001fffe not a character",
    "lone \ud800 and \udcff",
    "tab\tnew\nline\rback\x08\x00\x07\x7f\u2028\u2029\x85",
    "\x1b[" + "1;" * 100_000 + "m long",
    "\x1b[31mx" * 100_000,
    "x" * 1_000_000,
    "\x1b" * 1_000_000,
    "日" * 1_000_000,
]
SAMPLE = "a é日👍\u0301\u200d\ufe0f\u202e\t\n\r\x1b\x9b\x9d\x07\x9c\\[];:?<=>0123456789mJHc/"
ANY_TEXT = st.one_of(st.text(st.characters()), st.text(st.sampled_from(SAMPLE)), st.sampled_from(ATTACKS))


def is_harmless(text: str) -> bool:
    return text.isprintable() and all(unicodedata.category(char)[0] != "C" for char in text)


@given(ANY_TEXT, st.integers(0, 3000))
def test_plain_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert is_harmless(shown)
    assert len(shown) <= limit
    assert plain(shown, limit) == shown, "what went through the door goes through it again unchanged"


@given(st.binary())
def test_any_bytes_are_text(raw: bytes) -> None:
    assert is_harmless(plain(raw))
    line = log_line(raw)
    assert is_harmless(line.text)


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=200))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert plain(text) == plain(text.encode()) == log_line(text.encode()).text == text


@given(ANY_TEXT, st.integers(-2, 60))
def test_text_fits_and_is_padded_to_the_cell(text: str, columns: int) -> None:
    assert is_harmless(fit(text, columns))
    assert cell_len(fit(text, columns)) == width(fit(text, columns)) <= max(0, columns)
    assert cell_len(pad(text, columns)) == cell_len(pad(text, columns, right=True)) == max(0, columns)


@given(ANY_TEXT, st.integers(0, 60), st.integers(0, 20))
def test_a_cut_never_splits_a_character_from_its_marks(text: str, columns: int, start: int) -> None:
    shown = plain(text)
    end = cut_at(shown, columns, min(start, len(shown)))
    assert cell_len(shown[min(start, len(shown)) : end]) <= columns
    if end < len(shown):
        assert cell_len(shown[end]) > 0


def test_what_is_cut_says_so() -> None:
    assert fit("search-index", 8) == "search-…"
    assert fit("日本語", 5) == "日本…"
    assert fit("日本語", 4) == "日…"
    assert [fit("abc", columns) for columns in (3, 2, 1, 0)] == ["abc", "a…", "…", ""]
    assert pad("日本語", 4) == "日… "
    assert pad("ab", 4, right=True) == "  ab"
    assert plain("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\x1b]0;PWNED\x07b\x1b]52;c;eA==\x1b\\c\x9d0;x\x9cd", "abcd"),
        ("a\x1b]0;never ended", "a"),
        ("a\x1b]0;never ended\nb", "a b"),
        ("\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\z", "z"),
        ("\x1b\x1b[m[31mz", "[31mz"),
        ("\x9b31mz", "z"),
        ("a\u202eb\u200bc\u2066d", "abcd"),
        ("👨‍👩‍👧", "👨👩👧"),
        ("👍🏽 ⚠️ 🇩🇪", "👍 ⚠ DE"),
        ("e\u0301" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("\u0301x", "x"),
        ("a\tb\nc\rd\u3000e", "a b c d e"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("\ud800\ue000", "\ufffd\ufffd"),
        (b"a\xffb", "a\ufffdb"),
        (None, ""),
        (Path("/tmp/x"), "/tmp/x"),
        (ValueError("[/x]"), "[/x]"),
    ],
)
def test_what_becomes_of(text: object, shown: str) -> None:
    assert plain(text) == shown


def test_content_is_no_markup() -> None:
    assert content("[/x] [b]y[/b]").plain == "[/x] [b]y[/b]"
    assert not content("[b]y[/b]").spans
    assert content("\x1b[2J[/x]", "bold").spans[0].style == "bold"
    assert isinstance(content("x"), Content)


def test_a_notice_is_no_markup() -> None:
    said: list[tuple[str, dict[str, Any]]] = []

    class App:
        def notify(self, message: str, **how: Any) -> None:
            said.append((message, how))

    notice(App(), "bad [/ \x1b]0;x\x07thing", "warning", title="\x1b[2Jtitle")  # type: ignore[arg-type]
    ((message, how),) = said
    assert message == "bad [/ thing"
    assert how == {"title": "title", "severity": "warning", "timeout": None, "markup": False}


def test_a_log_keeps_its_colours_and_nothing_else() -> None:
    line = log_line(
        b"\x1b[1;31mred\x1b[0m plain \x1b[38;5;200mpink\x1b[39m\x1b[2J\x1b[?1049h!\x1b]0;PWNED\x07"
    )
    assert line.text == "red plain pink!"
    assert [(begin, end, str(style)) for begin, end, style in line.spans] == [
        (0, 3, "bold color(1)"),
        (10, 14, "color(200)"),
    ]


@pytest.mark.parametrize(
    ("params", "style"),
    [
        ("", None),
        ("0", None),
        ("31", "color(1)"),
        ("97;104", "color(15) on color(12)"),
        ("38;2;1;2;3", "#010203"),
        ("38:2:1:2:3", "#010203"),
        ("38:2::1:2:3", "#010203"),
        ("38:5:9", "color(9)"),
        ("48;5;17;1", "bold on color(17)"),
        ("38;2;1;2;3;4", "underline #010203"),
        ("4:3", "underline"),
        ("4:0", None),
        ("1;2;3;4;7;9", "bold dim italic underline reverse strike"),
        ("1;2;3;4;7;9;22;23;24;27;29", None),
        ("31;41;39;49", None),
        ("5;6;8", None),  # what blinks or hides
        ("38;5", None),
        ("38;5;300", None),
        ("38;2;1;2", None),
        ("38;9", None),
        ("38", None),
        ("99999999999999999999", None),
        ("?1", None),
        (">4;2", None),
    ],
)
def test_colours(params: str, style: str | None) -> None:
    pen = Pen()
    pen.take(params)
    assert (None if pen.style is None else str(pen.style)) == style


def test_a_colour_with_a_number_stays_one_that_the_theme_can_choose() -> None:
    (span,) = log_line(b"\x1b[31mx").spans
    assert span[2].color == Color.from_ansi(1)


def test_a_log_shows_what_is_left_of_a_progress_bar() -> None:
    assert log_line(b"10%\r20%\r30%").text == "30%"
    assert log_line(b"10%\r20%\r\r").text == "20%"
    assert log_line(b"windows\r").text == "windows"


def test_tabs_go_to_the_next_stop() -> None:
    line = b"a\tb\x1b[1m\tc\td"
    assert log_line(line).text == "a       b       c       d"
    log_line("".join(map(chr, range(0x4E00, 0x4E00 + 5000))).encode())
    log_line("".join(map(chr, range(0xAC00, 0xAC00 + 5000))).encode())
    log_line("".join(map(chr, range(0x20000, 0x20000 + 4000))).encode())
    assert log_line(line).text == "a       b       c       d", "after more characters than are remembered"


def test_a_long_line_is_cut_and_says_how_much_is_missing() -> None:
    assert log_line(b"x" * 5000, 4096) == LogLine("x" * 4096, (), 904)
    assert log_line(b"x" * 5000, 4096, missing=50_000_000).cut == 50_000_904
    line = log_line("日".encode() * 5000, 4096)
    assert (width(line.text), line.cut) == (4096, (5000 - 2048) * 3)
    line = log_line(b"\x1b[31m" + b"x" * 100, 10)
    assert (line.text, line.spans[0][:2], line.cut) == ("x" * 10, (0, 10), 90)


@given(
    st.one_of(st.binary(), ANY_TEXT.map(lambda text: text.encode(errors="surrogatepass"))), st.integers(0, 50)
)
def test_a_line_of_a_log_is_never_wider_than_asked(raw: bytes, columns: int) -> None:
    line = log_line(raw, columns)
    assert is_harmless(line.text)
    assert cell_len(line.text) <= columns
    ends = [0, *(end for _begin, end, _style in line.spans)]
    assert all(
        last <= begin < end <= len(line.text) for last, (begin, end, _) in zip(ends, line.spans, strict=False)
    )
    for _begin, _end, style in line.spans:
        assert not style.link and not style.blink and not style.conceal and not style.meta


@pytest.mark.parametrize("text", [text for text in ATTACKS if len(text) > 10_000])
def test_huge_text_costs_little(text: str) -> None:
    """Work that grew with the square of the length would take minutes here."""
    raw = text.encode(errors="surrogatepass")
    began = time.process_time()
    plain(text), plain(raw), log_line(raw)
    assert time.process_time() - began < 5


def test_it_loads_no_toolkit() -> None:
    code = (
        "import sys, app.text, app.sgr; print([name for name in sys.modules if name.startswith('textual')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
