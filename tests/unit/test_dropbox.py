"""Commands from other processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.commands import (
    Accepted,
    Command,
    HoldQueue,
    LookAgain,
    PausePrds,
    Rejected,
    ReleaseQueue,
    ResumePrds,
    RetryPrds,
    StopPrds,
    from_dict,
    to_dict,
)
from coordinator.dropbox import ANSWER_KEPT, DropBox

names = st.lists(st.text(max_size=5), max_size=3).map(tuple)
commands = st.one_of(
    st.builds(StopPrds, names, st.booleans(), st.booleans()),
    st.builds(RetryPrds, names, st.booleans()),
    st.builds(PausePrds, names, st.booleans()),
    st.builds(ResumePrds, names, st.booleans()),
    st.sampled_from([HoldQueue(), ReleaseQueue(), LookAgain()]),
)


@given(commands)
def test_a_command_survives_its_journey(command: Command) -> None:
    assert from_dict(to_dict(command)) == command


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"command": "format-disk"},
        {"command": "stop", "prd_ids": "abc"},
        {"command": "stop", "everything": "yes"},
        {"command": "hold", "extra": 1},
    ],
)
def test_what_is_no_command_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_dict(document)


def test_asked_taken_answered(tmp_path: Path) -> None:
    box = DropBox(tmp_path / "commands")
    first = box.send(StopPrds(("a",)))
    second = box.send(HoldQueue())
    assert [command for _, command in box.take()] == [StopPrds(("a",)), HoldQueue()]
    assert box.answer_of(first) is None
    box.answer(Accepted(first, "stopping", done=False))
    assert box.answer_of(first) == Accepted(first, "stopping", done=False)
    assert [command_id for command_id, _ in box.take()] == [first, second], "not done yet: the next owner's"
    box.answer(Accepted(first, "stopped", done=True))
    box.answer(Rejected(second, "no"))
    assert box.take() == []
    assert box.answer_of(second) == Rejected(second, "no")
    box.forget(first)
    assert box.answer_of(first) is None


def test_a_command_is_withdrawn_or_taken_never_both(tmp_path: Path) -> None:
    box = DropBox(tmp_path)
    command_id = box.send(HoldQueue())
    assert box.withdraw(command_id)
    assert box.take() == []
    command_id = box.send(HoldQueue())
    assert len(box.take()) == 1
    assert not box.withdraw(command_id)


def test_rubbish_is_answered_and_old_answers_are_tidied(tmp_path: Path) -> None:
    box = DropBox(tmp_path)
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json").write_text('{"command": "dance"}')
    assert box.take() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.answer.json", "2.answer.json"]
    os.utime(tmp_path / "1.answer.json", (0, 0))
    box.tidy(ANSWER_KEPT + 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["2.answer.json"]
