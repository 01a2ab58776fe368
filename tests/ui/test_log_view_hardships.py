"""The log pane and what is hard on it: size, speed, hostile text, files that vanish, every theme."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from tests.support.growing_log import GrowingLog
from tests.ui.log_host import COLUMNS, ROWS, CountingView, numbers, play, screen, strips
from tests.unit.test_text import ATTACKS, is_harmless

GIB = 1 << 30


@pytest.fixture
def log(tmp_path: Path) -> GrowingLog:
    return GrowingLog(tmp_path / "worker.log")


def test_a_gigabyte_opens_at_its_end_at_once(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.make_sparse(GIB, b"\n" + b"".join(b"line %d\n" % number for number in range(5000)))
        view.show("shop", log.read)
        assert numbers(await screen(pilot))[-1] == 4999
        assert log.reads <= 256 << 10
        view.to_start()
        await pilot.pause()
        view.poll()
        view.scroll_pages(1)
        assert log.reads <= 4 << 20
        view.to_end()
        assert numbers(await screen(pilot))[-1] == 4999
        assert log.reads <= 5 << 20

    play(scenario)


def test_nothing_that_a_log_says_reaches_the_terminal_or_ends_the_app(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        for attack in ATTACKS:
            log.write(attack.encode(errors="surrogatepass").replace(b"\n", b" ") + b"\n\xff\xfe\x9b2J\n")
        view.show("shop", log.read)
        view.to_start()
        for wrapped in (False, True):
            for _ in range(30):
                for strip in await strips(pilot):
                    assert strip.cell_length == COLUMNS == cell_len(strip.text)
                    assert all(is_harmless(segment.text) for segment in strip if segment.text)
                view.scroll_pages(0.5 if not wrapped else -0.5)
                view.poll()
            if not wrapped:
                view.toggle_wrap()
        view.search("[/")
        await pilot.pause()
        assert pilot.app.is_running

    play(scenario)


def test_a_log_that_began_anew_is_followed_from_there(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100)
        view.show("shop", log.read)
        view.scroll_pages(-2)
        log.replace(b"fresh\n")
        view.poll()
        assert await screen(pilot) == ["fresh", *[""] * (ROWS - 1)]
        assert view.title_word == "following"

    play(scenario)


def test_a_log_that_cannot_be_read_says_so_until_it_can(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 100)
        log.fails = True
        view.show("shop", log.read)
        assert (await screen(pilot))[0] == "the log cannot be read: Permission deni…"[:COLUMNS]
        for work in (view.poll, view.to_start, view.to_end, lambda: view.scroll_lines(-3)):
            work()
        assert view.search("x") == 0
        log.fails = False
        view.to_end()
        view.poll()
        assert numbers(await screen(pilot))[-1] == 99

    play(scenario)


def test_one_that_cannot_keep_up_says_what_it_passed_over(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 10)
        view.show("shop", log.read)
        log.lines(10, 200_000, "line {} " + "x" * 60)
        view.poll()
        assert numbers(await screen(pilot))[-1] == 200_009
        assert view.title_word == "following · 14.2 MB skipped"
        for _ in range(30):
            view.poll()
        assert view.title_word == "following"

    play(scenario)


def test_only_what_changed_is_repainted(log: GrowingLog) -> None:
    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        log.lines(0, 3)
        view.show("shop", log.read)
        await pilot.pause()
        view.drawn.clear()
        for _ in range(5):
            view.poll()
        await pilot.pause()
        assert view.drawn == []
        log.lines(3, 1)
        view.poll()
        await pilot.pause()
        assert view.drawn == [3]
        log.lines(4, 100)
        view.poll()
        view.scroll_lines(-5)
        await pilot.pause()
        view.drawn.clear()
        log.lines(104, 1)
        view.poll()
        await pilot.pause()
        assert view.drawn == [ROWS - 1]

    play(scenario)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
@pytest.mark.parametrize("no_color", [False, True])
def test_colours_can_be_read_in_every_theme(
    log: GrowingLog, theme: str, no_color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")

    async def scenario(pilot: Pilot[None], view: CountingView) -> None:
        ink = b"".join(
            b"\x1b[38;2;%d;%d;%dmgrey %d\x1b[0m \x1b[%dmnumbered\x1b[0m\n"
            % (grey, grey, grey, grey, 30 + index)
            for index, grey in enumerate(range(0, 256, 32))
        )
        log.write(ink)
        view.show("shop", log.read)
        view.search("grey 64")
        pilot.app.theme = theme
        assert (await screen(pilot))[0] == "grey 0 numbered"
        if "ansi" in theme:
            return
        for strip in await strips(pilot):
            for segment in strip:
                assert segment.style is not None
                color, ground = segment.style.color, segment.style.bgcolor
                if segment.text.strip() and color and ground and color.triplet and ground.triplet:
                    assert sum(abs(a - b) for a, b in zip(color.triplet, ground.triplet, strict=True)) > 60

    play(scenario)
