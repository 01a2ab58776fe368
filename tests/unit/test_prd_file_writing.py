"""The worker's copy, results written back, and what counts as tampering."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import prd_file
from coordinator.model import Prd
from coordinator.prd_file import StoryResult

SAMPLES = [
    '{"userStories":[{"id":"US-001","title":"One","passes":false,"notes":""},{"id":"US-002","passes":true}]}',
    '[\n  {\n    "category": "setup",\n    "description": "One",\n    "complete": false\n  },\n'
    '  {"complete": true}\n]\n',
    '{\r\n\t"project": "p",\r\n\t"tasks": [\r\n\t\t{\r\n\t\t\t"id": 1,\r\n\t\t\t"status": "pending"\r\n'
    "\t\t}\r\n\t]\r\n}\r\n",
    '{ "stories" : [ { "id" : "a" , "deps" : [ ] } , { "id" : "b" } , { } ] }',
    '{"features": [{\n  "passes": true}]}',
    '{"name": "é \\ud83d\\ude00",'
    ' "userStories": [{"title": "a \\"b\\" {[,:", "x": [{"passes": false}], "passes": true}]}',
    '{"userStories": [{"id": "US-002"}, {"notes": null, "passed": false}, {"notes": ["a", "b"]}, {"id": 7}]}',
    '{"userStories": [], "tasks": [{"depends_on": [], "title": "One", "passes": false, "verify": "make"}]}',
]
PARSED = [prd_file.parse(sample.encode()) for sample in SAMPLES]


def stripped(text: bytes) -> Any:
    """The document without what may be written back."""
    document = json.loads(text)
    lists = (
        [document]
        if isinstance(document, list)
        else [one for one in document.values() if isinstance(one, list)]
    )
    for story in (story for stories in lists for story in stories):
        for key in ("passes", "passed", "complete", "completed", "notes"):
            story.pop(key, None)
    return document


@given(st.data())
def test_results_are_written_into_the_text_and_nothing_else(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(SAMPLES) - 1))
    original, prd = SAMPLES[index].encode(), PARSED[index]
    updates = {
        story.id: StoryResult(data.draw(st.booleans()), data.draw(st.none() | st.text(max_size=12)))
        for story in prd.stories
        if data.draw(st.booleans())
    }
    written = prd_file.write_back(original, updates | {"nowhere": StoryResult(True, "x")})
    for before, after in zip(prd.stories, prd_file.parse(written).stories, strict=True):
        wanted = updates.get(before.id, StoryResult(before.passes))
        assert after.passes is wanted.passes
        assert after.notes == (before.notes if wanted.notes is None else wanted.notes)
    assert stripped(written) == stripped(original)
    assert prd_file.write_back(written, updates) == written


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_is_already_so_changes_no_byte(sample: str) -> None:
    prd = prd_file.parse(sample.encode())
    same = {story.id: StoryResult(story.passes, story.notes) for story in prd.stories}
    assert prd_file.write_back(sample.encode(), same) == sample.encode()


def test_the_exact_bytes() -> None:
    def written(text: str, **updates: StoryResult) -> str:
        return prd_file.write_back(text.encode(), updates).decode()

    done = StoryResult(True, "ok")
    assert (
        written('[{"id":"a","passes":false,"x":1}]', a=done)
        == '[{"id":"a","passes":true,"x":1,"notes":"ok"}]'
    )
    assert written('[{"id": "a"}]', a=done) == '[{"id": "a", "passes": true, "notes": "ok"}]'
    assert written('[{"id":"a"}]', a=done) == '[{"id":"a","passes":true,"notes":"ok"}]'
    assert written("[{}]", **{"US-001": done}) == '[{"passes": true, "notes": "ok"}]'
    assert (
        written('[{"id": "a", "complete": false}]', a=StoryResult(True)) == '[{"id": "a", "complete": true}]'
    )
    assert (
        written('[\r\n  {\r\n    "id": "a",\r\n    "status": "todo"\r\n  }\r\n]', a=StoryResult(True))
        == '[\r\n  {\r\n    "id": "a",\r\n    "status": "todo",\r\n    "passes": true\r\n  }\r\n]'
    )
    assert (
        written('[\n  {\n    "id": "a"\n  }\n]', a=StoryResult(True))
        == '[\n  {\n    "id": "a",\n    "passes": true\n  }\n]'
    )
    assert written('[{"id": "a", "notes": "old"}]', a=StoryResult(False, "a\u2028\n")) == (
        '[{"id": "a", "notes": "a\u2028\\n"}]'
    )
    assert (
        written('[{"id": "a", "notes": ""}]', a=StoryResult(False, "x\ud800"))
        == '[{"id": "a", "notes": "x?"}]'
    )


def test_a_broken_file_is_not_written_into() -> None:
    with pytest.raises(prd_file.PrdInvalid):
        prd_file.write_back(b'[{"id": 1}', {})


def plain(prd: Prd, sample: str, **more: Any) -> dict[str, Any]:
    data = prd_file.normalised(
        sample.encode(), prd, branch="feature/x", project_fallback="fallback", passes=more.get("passes")
    )
    document: dict[str, Any] = json.loads(data)
    return document


@pytest.mark.parametrize(("sample", "prd"), list(zip(SAMPLES, PARSED, strict=True)))
def test_the_plain_copy_suits_any_loop_script(sample: str, prd: Prd) -> None:
    document = plain(prd, sample)
    assert document["branchName"] == "feature/x"
    assert document["project"]
    assert len(document["userStories"]) == len(prd.stories)
    for story in document["userStories"]:
        assert isinstance(story["id"], str)
        assert isinstance(story["title"], str)
        assert isinstance(story["passes"], bool)
        assert isinstance(story["priority"], int | float)
        assert isinstance(story["dependsOn"], list)
        assert not {"complete", "completed", "passed", "deps"} & story.keys()
    worked = prd_file.parse(json.dumps(document).encode())
    assert prd_file.differences(prd, worked) == ()
    assert [one.passes for one in worked.stories] == [one.passes for one in prd.stories]
    assert [one.notes for one in worked.stories] == [one.notes for one in prd.stories]


def test_the_plain_copy_keeps_unknown_keys_and_takes_passes_and_branch() -> None:
    sample = (
        '{"qualityChecks": ["x"], "branch_name": "old",'
        ' "stories": [{"id": 3, "labels": ["l"]}, {"priority": "P1"}]}'
    )
    prd = prd_file.parse(sample.encode())
    document = plain(prd, sample, passes={"3": True})
    assert document["qualityChecks"] == ["x"]
    assert document["project"] == "fallback"
    assert "branch_name" not in document
    assert "stories" not in document
    first, second = document["userStories"]
    assert (first["labels"], first["passes"], first["priority"]) == (["l"], True, 1)
    assert (second["id"], second["priority"]) == ("US-002", 2)


def altered(**change: Any) -> tuple[str, ...]:
    base: dict[str, Any] = {
        "verify": ["make"],
        "userStories": [
            {"id": "a", "title": "A", "acceptanceCriteria": ["x"], "verify": ["pytest"], "dependsOn": []},
            {"id": "b", "title": "B", "description": "hard", "dependsOn": ["a"]},
        ],
    }
    frozen = prd_file.parse(json.dumps(base).encode())
    for story in base["userStories"]:
        story.update(change.get(story["id"], {}))
    base["userStories"] = [s for s in base["userStories"] if s["id"] not in change.get("removed", ())]
    base["userStories"] += change.get("added", [])
    base["verify"] = change.get("verify", base["verify"])
    return prd_file.differences(frozen, prd_file.parse(json.dumps(base).encode()))


def test_a_workers_own_business_is_no_difference() -> None:
    assert altered() == ()
    assert altered(a={"passes": True, "notes": "done", "priority": 9}, added=[{"id": "c"}]) == ()
    assert altered(a={"verify": ["pytest", "mypy"]}, verify=["make", "make check"]) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"removed": ["b"]}, ["b", "removed"]),
        ({"a": {"title": "Easy"}}, ["title", "a", "changed"]),
        ({"b": {"description": "easy", "dependsOn": []}}, ["description and dependsOn", "were changed"]),
        ({"a": {"acceptanceCriteria": []}}, ["acceptanceCriteria", "changed"]),
        ({"a": {"verify": []}}, ["verify of story a", "emptied"]),
        ({"a": {"verify": ["true"]}}, ["verify of story a", "changed"]),
        ({"verify": []}, ["verify of the PRD", "emptied"]),
    ],
)
def test_tampering_is_told(change: dict[str, Any], words: list[str]) -> None:
    told = altered(**change)
    assert len(told) == 1
    assert all(word in told[0] for word in words)


@pytest.mark.parametrize("prd", PARSED)
def test_a_frozen_prd_survives_json(prd: Prd) -> None:
    assert prd_file.from_dict(json.loads(json.dumps(prd_file.to_dict(prd)))) == prd


def test_same_text_looks_at_what_is_asked_for() -> None:
    one, other = prd_file.parse(
        b'[{"id": "a"}, {"id": "b", "title": "a", "passes": true, "notes": "n"}]'
    ).stories
    assert prd_file.same_text(one, other)
    assert not prd_file.same_text(one, prd_file.parse(b'[{"id": "a", "verify": "x"}]').stories[0])
