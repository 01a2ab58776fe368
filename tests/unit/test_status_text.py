"""Text of the fast commands: clean, as wide as it says, times read right."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.status_text import STATES, clean, duration, epoch, fit, pad, width
from coordinator.clock import parse_iso
from coordinator.model import PrdState


def test_every_state_of_the_engine_has_a_glyph_and_a_word() -> None:
    assert {state.value for state in PrdState} <= STATES.keys()


@given(st.text())
def test_clean_text_is_printable(text: str) -> None:
    assert clean(text).isprintable()
    if text.isprintable():
        assert clean(text) == text


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 30))
def test_fitted_text_fits(text: str, columns: int) -> None:
    shown = fit(clean(text), columns)
    assert width(shown) <= columns
    assert width(pad(shown, columns)) == columns


def test_wide_and_combining_characters_are_measured() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert fit("日本語", 5) == "日本…"


@given(st.datetimes(min_value=datetime(1970, 1, 1)))
def test_times_are_read_as_the_library_reads_them(moment: datetime) -> None:
    text = moment.isoformat(timespec="milliseconds") + "Z"
    assert epoch(text) == pytest.approx(parse_iso(text), abs=0.001)


def test_durations() -> None:
    shown = [duration(seconds) for seconds in (0, 31.9, 280, 4320, 90000, -1, None, "x", float("nan"))]
    assert shown == ["0s", "31s", "4m40s", "1h12m", "1d01h", "-", "-", "-", "-"]
    assert [epoch(text) for text in ("", None, 5, "2026-01-31", "xxxx-01-31T12:00:00Z")] == [None] * 5
