"""The log pane in a real app: following, reading in peace, searching, switching."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from tests.support.growing_log import GrowingLog
from tests.ui.log_host import ROWS, CountingView, Host, numbers, play, screen, strips, wheel


@pytest.fixture
def log(tmp_path: Path) -> GrowingLog:
    return GrowingLog(tmp_path / "worker.log")


def test_it_waits_for_a_log_and_follows_it(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        view.show("shop", log.read)
        assert (await screen(pilot))[0] == "no log yet"
        assert view.title_word == ""
        log.lines(0, 3)
        view.poll()
        assert await screen(pilot) == ["line 0", "line 1", "line 2", *[""] * (ROWS - 3)]
        assert view.title_word == "following"
        log.lines(3, 100)
        log.write(b"line 103")
        view.poll()
        assert numbers(await screen(pilot)) == list(range(94, 104))
        log.write(b" goes on\n")
        view.poll()
        assert (await screen(pilot))[-1] == "line 103 goes on"

    play(scenario)


def test_a_reader_is_not_pulled_down_and_new_lines_are_counted(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100)
        view.show("shop", log.read)
        view.scroll_lines(-5)
        assert not view.following
        before = await screen(pilot)
        assert numbers(before) == list(range(85, 95))
        for _ in range(38):
            log.lines(0, 1)
            view.poll()
        after = await screen(pilot)
        assert after[:-1] == before[:-1]
        assert after[-1] == "line 94                  ↓ 38 new lines"
        assert (view.new_lines, view.title_word) == (38, "paused reading · 38 new")
        view.to_end()
        assert (view.following, view.new_lines, view.title_word) == (True, 0, "following")
        assert numbers(await screen(pilot)) == [0] * ROWS
        assert isinstance(pilot.app, Host)
        assert pilot.app.changes[-2:] == ["paused reading · 38 new", "following"]

    play(scenario)


def test_a_place_survives_a_hundred_thousand_new_lines(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 1000)
        view.show("shop", log.read)
        view.scroll_pages(-1)
        place = numbers(await screen(pilot))[0]
        for begin in range(1000, 101_000, 10_000):
            log.lines(begin, 10_000, "line {} " + "x" * 90)
            view.poll()
        while view.new_lines < 100_000:
            view.poll()
        assert numbers(await screen(pilot)) == list(range(place, place + ROWS))
        view.scroll_lines(1)
        assert numbers(await screen(pilot)) == list(range(place + 1, place + 1 + ROWS))
        seen = place + 1
        for _ in range(3000):  # further than the ring holds
            view.scroll_pages(1)
            now = numbers(await screen(pilot)) if _ % 100 == 0 else []
            seen += ROWS - 1
            assert not now or now == list(range(seen, seen + ROWS))
        for _ in range(3000):
            view.scroll_pages(-1)
        assert numbers(await screen(pilot)) == list(range(place + 1, place + 1 + ROWS))

    play(scenario)


def test_scrolling_down_to_the_end_follows_again(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100)
        view.show("shop", log.read)
        view.scroll_lines(-3)
        log.lines(100, 2)
        view.poll()
        view.scroll_lines(4)
        assert not view.following
        view.scroll_lines(1)
        assert view.following
        assert numbers(await screen(pilot))[-1] == 101

    play(scenario)


def test_a_log_that_is_all_in_sight_has_nothing_to_scroll(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, ROWS)
        view.show("shop", log.read)
        await pilot.pause()
        view.scroll_lines(-1)
        view.scroll_pages(-0.5)
        view.to_start()
        assert view.following
        view.toggle_follow()
        log.lines(ROWS, 1)
        view.poll()
        assert not view.following
        assert numbers(await screen(pilot))[0] == 0
        view.toggle_follow()
        assert numbers(await screen(pilot))[-1] == ROWS

    play(scenario)


def test_a_paused_pane_with_room_fills(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.write(b"line 0\nline")
        view.show("shop", log.read)
        await pilot.pause()
        view.toggle_follow()
        log.write(b" 1\n")
        log.lines(2, 20)
        view.poll()
        assert numbers(await screen(pilot)) == list(range(ROWS))
        assert view.new_lines == 20

    play(scenario)


def test_to_the_start_of_a_long_log_and_through_it(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100_000)
        view.show("shop", log.read)
        view.to_start()
        assert numbers(await screen(pilot)) == list(range(ROWS))
        view.scroll_pages(1)
        assert numbers(await screen(pilot)) == list(range(ROWS - 1, 2 * ROWS - 1))
        view.poll()
        assert view.new_lines == 0
        view.to_end()
        assert numbers(await screen(pilot))[-1] == 99_999
        view.scroll_pages(-0.5)
        assert numbers(await screen(pilot))[-1] == 99_995

    play(scenario)


def test_long_lines_are_cut_or_wrapped(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.write(b"a" * 50 + b"\n" + "日".encode() * 30 + b"\nlast\n")
        view.show("shop", log.read)
        shown = await screen(pilot)
        assert shown[:3] == ["a" * 39 + "…", "日" * 19 + "…", "last"]
        view.toggle_wrap()
        shown = await screen(pilot)
        assert shown[:5] == ["a" * 40, "  " + "a" * 10, "日" * 20, "  " + "日" * 10, "last"]
        log.write(b"b" * 10_000 + b"\n")
        view.poll()
        shown = await screen(pilot)
        assert shown[-2:] == ["  " + "b" * 28 + "… 5.9 kB m", "  ore"]
        assert shown[-3] == "  " + "b" * 38
        view.scroll_lines(-1)
        assert (await screen(pilot))[1:] == shown[:-1]
        view.toggle_wrap()
        assert (await screen(pilot))[0] == "b" * 39 + "…"

    play(scenario)


def test_search_goes_from_line_to_line_and_marks_them(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 50)
        log.write(b"line 50 an \x1b[31mErr\x1b[0mOR\n")
        log.lines(51, 50)
        log.write(b"line 101 error ERROR\n")
        log.lines(102, 50)
        view.show("shop", log.read)
        assert view.search("error") == 2
        assert not view.following
        shown = await screen(pilot)
        assert 101 in numbers(shown)
        assert shown[-1].endswith("match 2 of 2")
        marked = next(row for row in await strips(pilot) if row.text.startswith("line 101"))
        grounds = {segment.text: segment.style.bgcolor for segment in marked if segment.style}
        assert grounds["error"] == grounds["ERROR"] != grounds["line 101 "]
        assert view.find_next(backwards=True)
        shown = await screen(pilot)
        assert "line 50 an ErrOR" in shown
        assert shown[-1].endswith("match 1 of 2")
        assert not view.find_next(backwards=True)
        assert (await screen(pilot))[-1].endswith("no more matches")
        assert view.find_next()
        assert 101 in numbers(await screen(pilot))
        assert view.search("[/x] no such thing") == 0
        assert (await screen(pilot))[-1].endswith("no match")
        assert view.search("") == 0
        assert not view.find_next()
        assert not (await screen(pilot))[-1].endswith("match")

    play(scenario)


def test_search_takes_in_all_that_the_ring_can_hold(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.write("line 0 wörd\n".encode())
        log.lines(1, 15_000, "line {} " + "." * 80)
        view.show("shop", log.read)
        assert view.search("WÖRD") == 1
        assert (await screen(pilot))[0] == "line 0 wörd"
        view.scroll_pages(1)
        assert view.search("line 9999") == 1
        assert 9999 in numbers(await screen(pilot))

    play(scenario)


def test_another_log_is_shown_from_its_end(log: GrowingLog, tmp_path: Path) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        other = GrowingLog(tmp_path / "other.log")
        log.lines(0, 100)
        other.lines(500, 100)
        view.show("shop", log.read)
        view.search("line 5")
        view.show("shop", other.read)
        assert 5 in numbers(await screen(pilot)) or 59 in numbers(await screen(pilot))
        view.show("other", other.read)
        assert view.following
        assert (await screen(pilot))[-1] == "line 599"
        assert not view.find_next()
        view.clear()
        assert (await screen(pilot))[0] == "no log yet"
        view.show("shop", log.read)
        assert (await screen(pilot))[-1] == "line 99"

    play(scenario)


def test_resizing_keeps_the_end_or_the_place(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100, "line {} " + "x" * 60)
        view.show("shop", log.read)
        view.toggle_wrap()
        for width, height in ((80, 24), (20, 7), (10, 3), (40, 10)):
            await pilot.resize_terminal(width, height)
            shown = await screen(pilot)
            assert len(shown) == height
            assert all(row.cell_length == width for row in await strips(pilot))
            assert shown[-1].strip("x ") == "" or shown[-1].startswith("line 99")
        view.scroll_lines(-40)
        first = next(row for row in await screen(pilot) if row.startswith("line"))
        await pilot.resize_terminal(60, 5)
        assert first.split()[1] in " ".join(await screen(pilot))

    play(scenario)


def test_the_wheel_scrolls(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100)
        view.show("shop", log.read)
        await pilot.pause()
        await wheel(pilot, MouseScrollUp)
        assert numbers(await screen(pilot))[-1] == 96
        await wheel(pilot, MouseScrollDown)
        assert view.following

    play(scenario)
