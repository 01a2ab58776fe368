"""prd.json: what is understood, what is refused, and where."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import prd_file
from coordinator.model import Prd, Problem
from coordinator.prd_file import PrdInvalid


def parse(document: Any) -> Prd:
    return prd_file.parse(json.dumps(document, indent=2).encode())


def problems(data: bytes | str | dict[str, Any] | list[Any]) -> tuple[Problem, ...]:
    if isinstance(data, dict | list):
        data = json.dumps(data, indent=2)
    with pytest.raises(PrdInvalid) as caught:
        prd_file.parse(data.encode() if isinstance(data, str) else data)
    assert all(one.message and one.mend for one in caught.value.problems)
    assert "\n" not in str(caught.value)
    return caught.value.problems


def story(**fields: Any) -> dict[str, Any]:
    return {"id": "US-001", "title": "One", "passes": False} | fields


def test_every_field_is_read() -> None:
    prd = parse(
        {
            "project": "shop",
            "title": "Search",
            "description": "Find things.",
            "branchName": "feature/search",
            "priority": 2.5,
            "dependsOn": ["login"],
            "verify": ["make check"],
            "userStories": [
                story(passes=True),
                story(
                    id="US-002",
                    title="Two",
                    description="More.",
                    acceptanceCriteria=["a", "b"],
                    priority=2,
                    dependsOn=["US-001"],
                    notes="careful",
                    verify=["pytest -q"],
                ),
            ],
        }
    )
    assert (prd.project, prd.title, prd.description) == ("shop", "Search", "Find things.")
    assert (prd.branch_name, prd.priority, prd.depends_on) == ("feature/search", 2.5, ("login",))
    assert prd.verify == ("make check",)
    assert prd.warnings == ()
    first, second = prd.stories
    assert first.passes and not second.passes
    assert (second.id, second.title, second.description) == ("US-002", "Two", "More.")
    assert (second.acceptance, second.priority, second.depends_on) == (("a", "b"), 2.0, ("US-001",))
    assert (second.notes, second.verify) == ("careful", ("pytest -q",))


@pytest.mark.parametrize("key", ["userStories", "stories", "tasks", "features"])
def test_every_name_of_the_list_of_stories(key: str) -> None:
    assert [one.id for one in parse({key: [story()]}).stories] == ["US-001"]


def test_a_list_at_the_top_and_an_empty_list_beside_a_full_one() -> None:
    assert parse([story()]).stories[0].title == "One"
    assert len(parse({"userStories": [], "tasks": [story()]}).stories) == 1


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"passes": True}, True),
        ({"passed": True}, True),
        ({"complete": True}, True),
        ({"completed": True}, True),
        ({"passes": False, "complete": True}, False),
        ({"passes": False, "status": "done"}, False),
        ({"completed": None, "status": "done"}, True),
        ({"status": "completed"}, True),
        ({"status": "Complete"}, True),
        ({"status": "in_progress"}, False),
        ({"status": "In Progress"}, False),
        ({"status": "not-started"}, False),
        ({"status": None}, False),
        ({}, False),
    ],
)
def test_how_a_story_says_that_it_is_done(fields: dict[str, Any], done: bool) -> None:
    prd = parse({"stories": [{"id": 1} | fields]})
    assert prd.stories[0].passes is done
    assert prd.warnings == ()


def test_an_unknown_status_is_open_and_said() -> None:
    prd = parse({"stories": [{"id": 1, "status": "gargle"}]})
    assert not prd.stories[0].passes
    assert "gargle" in prd.warnings[0].message
    assert prd.warnings[0].line == 5


def test_ids_are_texts_numbers_or_the_position() -> None:
    prd = parse([{"id": 7}, {"title": "no id"}, {"id": "x"}, {"id": None}, {"id": "US-005"}, {}, {"id": ""}])
    assert [one.id for one in prd.stories] == ["7", "US-002", "x", "US-004", "US-005", "US-006", "US-007"]
    prd = parse([{"id": "US-002"}, {"title": "its own name is taken"}])
    assert [one.id for one in prd.stories] == ["US-002", "US-002x"]


@pytest.mark.parametrize(
    "key", ["dependencies", "dependsOn", "blockedBy", "deps", "depends_on", "blocked_by"]
)
def test_every_spelling_of_a_dependency(key: str) -> None:
    assert parse([{"id": 1}, {"id": 2, key: [1]}]).stories[1].depends_on == ("1",)
    assert parse([{"id": 1}, {"id": 2, key: "1"}]).stories[1].depends_on == ("1",)
    assert parse({key: ["other-prd"], "tasks": [story()]}).depends_on == ("other-prd",)


def test_titles_and_names_fall_back() -> None:
    prd = parse({"name": "shop", "tasks": [{"task": "Do it"}, {"description": "\nFirst line\nsecond"}, {}]})
    assert prd.project == prd.title == "shop"
    assert [one.title for one in prd.stories] == ["Do it", "First line", "US-003"]
    assert parse({"projectName": "p", "tasks": [{}]}).project == "p"
    assert parse([{"details": "More", "acceptance_criteria": ["a"]}]).stories[0].acceptance == ("a",)


def test_priorities_that_are_words_leave_the_order_with_a_warning() -> None:
    prd = parse({"priority": "P0", "stories": [story(priority="high"), story(id="b", priority="low")]})
    assert prd.priority is None
    assert [one.priority for one in prd.stories] == [None, None]
    assert [one.line for one in prd.warnings] == [2, 8]
    assert "P0" in prd.warnings[0].message
    assert "2 stories" in prd.warnings[1].message
    prd = parse({"priority": "3", "stories": [story(priority=" 1.5 ")]})
    assert (prd.priority, prd.stories[0].priority, prd.warnings) == (3.0, 1.5, ())


def test_an_unknown_story_dependency_is_a_warning() -> None:
    prd = parse([story(dependsOn=["nowhere"])])
    assert "nowhere" in prd.warnings[0].message
    assert prd.stories[0].depends_on == ("nowhere",)


def test_a_dictionary_of_packages_is_no_dependency_on_prds() -> None:
    prd = parse({"dependencies": {"left-pad": "1"}, "stories": [story()]})
    assert prd.depends_on == ()
    assert "dependencies" in prd.warnings[0].message


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ('{"userStories": [{"passes":\n"false"}]}', 2, "passes"),
        ('{"userStories": [\n{"passes": 1}]}', 2, "passes"),
        ('{"userStories": [\n{"passes": null}]}', 2, "passes"),
        ('{"userStories": [{},\n{"complete": "yes"}]}', 2, "complete"),
        ('{"userStories": [{"status":\n true}]}', 2, "status"),
        ('{"userStories": [{}, {},\n\n7]}', 3, "not an object"),
        ('{"userStories": [{}, {},\n\nnull]}', 3, "not an object"),
        ('{"userStories": [{"id": 1},\n{"id": "1"}]}', 2, "same id"),
        ('{"userStories": [{"id": 1.5}]}', 1, "id"),
        ('{"userStories": [{"id": "a\\nb"}]}', 1, "id"),
        ('{"userStories": [{"id": 1, "deps": [2]},\n{"id": 2, "deps": [1]}]}', 1, "circle"),
        ('{"userStories": [{"id": 1},\n{"id": 2, "deps": [2]}]}', 2, "circle"),
        ('{"userStories": [{"dependsOn":\n[{}]}]}', 2, "dependsOn"),
        ('{"dependsOn":\n{}, "userStories": [{}]}', 2, "dependsOn"),
        ('{"userStories": [{"verify":\n[""]}]}', 2, "verify"),
        ('{"verify":\n7, "userStories": [{}]}', 2, "verify"),
        ('{"userStories": [{"title":\n7}]}', 2, "title"),
        ('{"project":\n7, "userStories": [{}]}', 2, "project"),
        ('{"project": "x",\n"userStories":\n[]}', 3, "nothing to do"),
        ("[]", 1, "nothing to do"),
        ('\n{"project": "x"}', 2, "userStories is missing"),
        ('{"phases": [{}]}', 1, "userStories is missing"),
        ('{"userStories":\n{}}', 2, "not a list"),
        ("7", 1, "neither"),
        ("null", 1, "neither"),
    ],
)
def test_refused_with_the_line(text: str, line: int, word: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].line == line
    assert word in found[0].message


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("", 1, "empty"),
        (" \n ", 1, "empty"),
        ('{"a": 1\n"b": 2}', 2, "comma"),
        ('{"a": [1,\n...]}', 2, "..."),
        ('/home/x/prd.json\n{"a": 1}', 1, "/home/x"),
        ('{"a":\n', 2, "too early"),
        ('{"a": 1}\n}', 2, "after the end"),
        ('{"a": NaN}', 1, "NaN"),
        ('{"a":\n-Infinity}', 2, "Infinity"),
        ('{"a":\n1e999}', 2, "1e999"),
        ('{"a":\n' + "7" * 5000 + "}", 2, "5000 digits"),
        ('{"a":\n-' + "7" * 19 + "}", 2, "19 digits"),
        ('{"a": 1,\n"b": {"a": 1},\n"a": 2}', 3, '"a"'),
        ('{"a": 1,\n"\\u0061": 2}', 2, "twice"),
        ('{"a":\n"\\ud800"}', 2, "surrogate"),
        ('{"\\udc00x":\n1}', 1, "surrogate"),
        ('{"a": "b\nc"}', 1, "control character"),
        ("[" * 100_000, 1, "nested"),
        ('{"a":' * 200_000, 1, "nested"),
        ("[" * 65 + "]" * 65, 1, "nested"),
        ('["' + '\\"' * 100_000, 1, "never closed"),
        ("[" + "{}," * 1000 + "{}]", 1, "1001 stories"),
    ],
)
def test_bad_json_is_refused_with_the_line(text: str, line: int, word: str) -> None:
    started = time.perf_counter()
    found = problems(text)
    assert time.perf_counter() - started < 5
    assert found[0].line == line
    assert word in found[0].message


@pytest.mark.parametrize(
    ("data", "line", "word"),
    [
        (b'{"a":\n"\xff"}', 2, "0xff"),
        (b'"\xed\xa0\x80"', 1, "UTF-8"),
        (b'\xef\xbb\xbf{"userStories": [{}]}', 1, "byte order mark"),
        ('{"userStories": [{}]}'.encode("utf-16"), 1, "UTF-16"),
        ('{"userStories": [{}]}'.encode("utf-16-be"), 1, "UTF-16"),
    ],
)
def test_other_encodings_are_refused(data: bytes, line: int, word: str) -> None:
    found = problems(data)
    assert (found[0].line, word in found[0].message) == (line, True)


def test_all_problems_are_found_at_once() -> None:
    found = problems([{"id": 1, "passes": "no"}, 3, {"id": 1, "verify": {}}])
    assert [one.line for one in found] == sorted(one.line for one in found)
    assert len(found) == 4
    found = problems('{"a": NaN,\n"a": 1e999}')
    assert [one.line for one in found] == [1, 2, 2]


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not() -> None:
    assert parse([{"title": "\U0001f600"}]).stories[0].title == "\U0001f600"  # written as two escapes


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["id", "passes", "status", "userStories", "tasks", "deps", "verify", "title", "notes"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(json_values)
def test_any_json_is_understood_or_refused(value: Any) -> None:
    try:
        prd = parse(value)
    except PrdInvalid as error:
        assert all(problem.line >= 1 for problem in error.problems)
    else:
        assert prd.stories
        assert prd_file.from_dict(json.loads(json.dumps(prd_file.to_dict(prd)))) == prd


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ \n01eNa-u', max_size=60).map(str.encode))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    try:
        prd_file.parse(data)
    except PrdInvalid as error:
        assert error.problems


def write(folder: Path, data: bytes = b"{}") -> Path:
    (folder / "prd.json").write_bytes(data)
    return folder


def refused(folder: Path) -> Problem:
    started = time.perf_counter()
    with pytest.raises(PrdInvalid) as caught:
        prd_file.read_bytes(folder)
    assert time.perf_counter() - started < 5
    return caught.value.problems[0]


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    assert prd_file.read_bytes(write(tmp_path, b"x" * prd_file.MAX_BYTES)) == b"x" * prd_file.MAX_BYTES
    write(tmp_path, b'{"userStories": [{}]}')
    assert prd_file.load(tmp_path).stories[0].id == "US-001"


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    target = tmp_path / "prd.json"
    assert "missing" in refused(tmp_path).message
    target.symlink_to("/dev/zero")
    assert "symlink" in refused(tmp_path).message
    target.unlink()
    os.mkfifo(target)
    assert "pipe" in refused(tmp_path).message
    target.unlink()
    target.mkdir()
    assert "folder" in refused(tmp_path).message
    target.rmdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket is limited to 107 bytes
        try:
            server.bind("prd.json")
        finally:
            os.chdir(here)
    assert "socket" in refused(tmp_path).message
    target.unlink()
    (tmp_path / "elsewhere.json").write_text('{"userStories": [{}]}')
    target.symlink_to("elsewhere.json")
    assert "symlink" in refused(tmp_path).message


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "prd.json").open("wb") as file:
        file.truncate(2 << 30)
    assert "larger" in refused(tmp_path).message


def test_a_folder_that_is_a_symlink_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert "folder" in refused(tmp_path / "link").message
    assert "folder" in refused(tmp_path / "nowhere").message
    assert "folder" in refused(tmp_path / "real" / "prd.json").message


@pytest.mark.parametrize("name", ["a", "PRD-001", "0.1_x-Y", "a" * 64, "lock", "a.locks"])
def test_good_ids(name: str) -> None:
    assert prd_file.valid_prd_id(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *[
            "",
            ".",
            "..",
            "-x",
            ".hidden",
            "_x",
            "a..b",
            "a.lock",
            "a" * 65,
            "a b",
            "a/b",
            "../x",
            "a\n",
            "\x1b[2J",
        ],
        *["é", "a\u202eb", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\", "a@{", "\udcff", "1\u0660", "a\x00"],
    ],
)
def test_bad_ids_say_why(name: str) -> None:
    reason = prd_file.valid_prd_id(name)
    assert reason is not None
    assert reason.isprintable()


def test_all_pass() -> None:
    assert prd_file.all_pass(parse([{"passes": True}]))
    assert not prd_file.all_pass(parse([{"passes": True}, {}]))
