"""When there is too little room, and when there is enough again."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from coordinator.events import RoomMeasured
from coordinator.room import Room, disks, judge, memory
from coordinator.settings_schema import build

GB = 10**9
SETTINGS = build({})


def disk(free: float) -> list[Room]:
    return [Room("/", 500 * GB, 1000 * GB), Room("/work", free * GB, 100 * GB)]


def plenty() -> Room:
    return Room("memory", 8 * GB, 16 * GB)


def test_what_is_missing_is_said_until_there_is_a_little_more_than_needed() -> None:
    said = judge(RoomMeasured(), disk(2.5), plenty(), SETTINGS)
    assert said == RoomMeasured()
    said = judge(said, disk(1.9), plenty(), SETTINGS)
    assert said.disk.startswith("1.9 GB free on /work, 2 GB needed: nothing starts")
    assert judge(said, disk(2.1), plenty(), SETTINGS) == said, "no flapping, and no new figure each second"
    assert judge(said, disk(2.3), plenty(), SETTINGS) == RoomMeasured()


def test_below_a_fifth_what_runs_pauses_and_goes_on_well_above_it() -> None:
    said = judge(RoomMeasured(), disk(0.39), plenty(), SETTINGS)
    assert said.starving
    assert said.disk.startswith("390 MB free on /work, 2 GB needed: running PRDs pause")
    assert judge(said, disk(0.5), plenty(), SETTINGS) == said
    fed = judge(said, disk(0.7), plenty(), SETTINGS)
    assert not fed.starving
    assert fed.disk.startswith("700 MB free on /work, 2 GB needed: nothing starts")


def test_memory_is_a_share_of_the_whole_and_pauses_nobody() -> None:
    said = judge(RoomMeasured(), disk(50), Room("memory", 0.7 * GB, 16 * GB), SETTINGS)
    assert said == RoomMeasured("", said.memory, False)
    assert said.memory.startswith("700 MB of memory free, 5 % needed: nothing starts")
    assert judge(said, disk(50), Room("memory", 0.85 * GB, 16 * GB), SETTINGS) == said
    assert judge(said, disk(50), plenty(), SETTINGS) == RoomMeasured()
    assert judge(said, disk(50), None, SETTINGS) == RoomMeasured()


@given(st.lists(st.floats(0, 5), max_size=30), st.sampled_from(["0", "2 GB", "3 %"]))
def test_who_pauses_never_starts(frees: list[float], least: str) -> None:
    settings = build({"coordinator.min_free_disk": SETTINGS_OF[least]})
    said = RoomMeasured()
    for free in frees:
        before, said = said, judge(said, disk(free), plenty(), settings)
        assert said.disk or not said.starving
        if least == "0":
            assert said == RoomMeasured()
        assert judge(said, disk(free), plenty(), settings) == said, "the same measure says the same"
        assert said.disk or not before.disk or free >= 2


def _amount(text: str) -> object:
    from coordinator.setting_kinds import AMOUNT

    return AMOUNT.read(text if text != "0" else 0)


SETTINGS_OF = {text: _amount(text) for text in ("0", "2 GB", "3 %")}


def test_this_machine_is_measured(tmp_path: Path) -> None:
    found = disks([tmp_path / "not" / "there" / "yet", tmp_path, Path("/proc")])
    assert len(found) == 2, "each file system once"
    assert 0 <= found[0].free <= found[0].whole
    assert Path(found[0].name).is_mount()
    here = memory()
    assert here is not None
    assert 0 < here.free <= here.whole
