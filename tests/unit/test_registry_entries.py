"""The arithmetic of the registry's lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import registry_file
from coordinator.model import ACTIVE, COMPLETED, FAILED, QUEUED, PrdState
from coordinator.registry_entries import (
    LIST_OF,
    Finished,
    kind_of,
    locate,
    one_place_each,
    place,
    remove,
    take_oldest_finished,
)

Document = dict[str, Any]

ids = st.sampled_from("ABCDE")
kinds = st.sampled_from(sorted(LIST_OF))
stored = st.sampled_from(sorted(ACTIVE | QUEUED | COMPLETED | FAILED))


def places_of(document: Document, prd_id: str) -> list[str]:
    found = ["active"] if prd_id in document["active_prds"] else []
    for kind in ("queued", "completed", "failed"):
        found += [kind for entry in document[LIST_OF[kind]] if entry["prd_id"] == prd_id]
    return found


@given(st.lists(st.tuples(ids, kinds)))
def test_a_prd_is_in_the_list_it_was_last_placed_in_and_in_no_other(moves: list[tuple[str, str]]) -> None:
    document = registry_file.empty()
    last: dict[str, str] = {}
    for number, (prd_id, kind) in enumerate(moves):
        place(document, kind, {"prd_id": prd_id, "n": number})
        last[prd_id] = kind
        for known, where in last.items():
            assert places_of(document, known) == [where]
        located = locate(document, prd_id)
        assert located is not None
        assert (located[0], located[1]["n"]) == (kind, number)
    assert one_place_each(document) == []
    for prd_id in "ABCDE":
        assert remove(document, prd_id) == (prd_id in last)
        assert locate(document, prd_id) is None


@given(st.lists(ids, unique=True), ids)
def test_placing_again_in_the_same_list_keeps_the_order(order: list[str], again: str) -> None:
    document = registry_file.empty()
    for prd_id in order:
        place(document, "queued", {"prd_id": prd_id})
    place(document, "queued", {"prd_id": again, "new": True})
    wanted = order if again in order else [*order, again]
    assert [entry["prd_id"] for entry in document["queued_prds"]] == wanted


@given(st.lists(st.tuples(ids, kinds)))
def test_whatever_others_wrote_each_prd_ends_in_one_place(entries: list[tuple[str, str]]) -> None:
    document = registry_file.empty()
    for number, (prd_id, kind) in enumerate(entries):
        if kind == "active":
            document["active_prds"][prd_id] = {"prd_id": prd_id}
        else:
            document[LIST_OF[kind]].append({"prd_id": prd_id, "n": number})
    doubled = one_place_each(document)
    for prd_id in {prd_id for prd_id, _kind in entries}:
        assert len(places_of(document, prd_id)) == 1
    assert one_place_each(document) == []
    if not doubled:
        assert sum(len(places_of(document, prd_id)) for prd_id in "ABCDE") == len(set(entries))


@given(st.lists(st.tuples(st.sampled_from(["completed", "failed"]), st.integers(0, 9))), st.integers(0, 5))
def test_the_newest_ends_stay_and_the_others_are_named(ends: list[tuple[str, int]], keep: int) -> None:
    document = registry_file.empty()
    for number, (kind, moment) in enumerate(ends):
        document[LIST_OF[kind]].append({"prd_id": f"P{number}", f"{kind}_at": f"2026-01-0{moment}"})
    before = Finished(document)
    gone = take_oldest_finished(document, keep)
    left = document["completed_prds"] + document["failed_prds"]
    assert before.missing_from(document) == gone
    assert len(left) == min(keep, len(ends))
    assert len(gone) == len(ends) - len(left)

    def moment_of(entry: Document) -> str:
        return str(entry.get("completed_at") or entry.get("failed_at"))

    if left and gone:
        assert max(map(moment_of, gone)) <= min(map(moment_of, left))


@given(stored)
def test_every_stored_state_has_its_list(status: str) -> None:
    assert str(kind_of(PrdState(status))) in LIST_OF


@pytest.mark.parametrize("state", [PrdState.ARRIVING, PrdState.INVALID, PrdState.NOTHING_LEFT])
def test_other_states_have_none(state: PrdState) -> None:
    assert kind_of(state) is None
