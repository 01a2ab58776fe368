"""A handful of seeds; `python -m tests.faults --seeds N` plays as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.random_kills import plan, play


@pytest.mark.parametrize(
    ("seed", "screen"), [(9, False), (13, False), (4, True)], ids=["headless-9", "headless-13", "screen-4"]
)
def test_a_coordinator_that_dies_again_and_again_changes_nothing_in_the_end(
    tmp_path: Path, seed: int, screen: bool
) -> None:
    planned = plan(seed, screen=screen)
    assert len(planned.deaths) >= 3
    outcome = play(planned, tmp_path / "played")
    assert not outcome.problem, f"{planned}\n{outcome.problem}"
    assert outcome.died
