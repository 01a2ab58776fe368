"""prd.json: bytes in, a `Prd` out, or every problem with its line and its mend.

People and tools write these files in many spellings. All spellings that are in use are understood;
whatever could mean two things is refused.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from typing import Any, Final

from coordinator.errors import PrdTuiError
from coordinator.json_spans import MAX_TROUBLES, JsonInvalid, Positions, line_of, loads
from coordinator.model import Prd, Problem, Story
from coordinator.prd_fields import (
    ACCEPTANCE_KEYS,
    BRANCH_KEYS,
    CONTAINER_KEYS,
    PROJECT_KEYS,
    TITLE_KEYS,
    Finding,
    Findings,
    PathInFile,
    Reader,
    kind,
    shown,
)

#: Stories of one PRD; the largest seen in the field has 210.
MAX_STORIES: Final = 1000


class PrdInvalid(PrdTuiError):
    """A PRD that cannot be run; `problems` has at least one entry, in the order of their lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"line {first.line}: {first}{more}" if first.line else f"{first}{more}")
        self.problems = problems


def parse(data: bytes) -> Prd:
    """Understands the bytes of a prd.json. Raises PrdInvalid with all problems found."""
    text = decode(data)
    document = read_json(text)
    findings = Findings()
    prd = _prd(document, findings)
    if findings.errors:
        raise PrdInvalid(_located(text, findings.errors))
    if not findings.warnings:
        return prd
    return Prd(**(vars(prd) | {"warnings": _located(text, findings.warnings)}))


def decode(data: bytes) -> str:
    """The text of a file. Raises PrdInvalid where it is not plain UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in data[:4]:
        raise PrdInvalid((Problem(1, "the file is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8"),))
    if data.startswith(b"\xef\xbb\xbf"):
        raise PrdInvalid(
            (Problem(1, "the file starts with a byte order mark", "save it as UTF-8 without BOM"),)
        )
    if not data.strip():
        raise PrdInvalid((Problem(1, "the file is empty", 'write {"userStories": [...]} into it'),))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8"
        raise PrdInvalid((Problem(line, message, "save the file as UTF-8"),)) from None


def read_json(text: str) -> Any:
    """The JSON document in `text`. Raises PrdInvalid."""
    try:
        return loads(text)
    except JsonInvalid as error:
        problems = (Problem(line_of(text, one.offset), one.message, one.mend) for one in error.troubles)
        raise PrdInvalid(tuple(problems)) from None


def container_of(document: Any) -> tuple[PathInFile, list[Any]] | None:
    """Where the list of stories stands and the list itself: the first that is not empty, else the first."""
    if isinstance(document, list):
        return (), document
    if not isinstance(document, dict):
        return None
    lists = [(key, document[key]) for key in CONTAINER_KEYS if isinstance(document.get(key), list)]
    if not lists:
        return None
    key, stories = next(((key, stories) for key, stories in lists if stories), lists[0])
    return (key,), stories


def story_ids(stories: list[Any]) -> list[str]:
    """The id of each story; one without gets a name by its position that no other story has."""
    given = [_given_id(story) for story in stories]
    taken = {one for one in given if one is not None}
    return [_positional_id(n, taken) if one is None else one for n, one in enumerate(given, start=1)]


def _given_id(story: Any) -> str | None:
    value = story.get("id") if isinstance(story, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def _positional_id(position: int, taken: set[str]) -> str:
    name = f"US-{position:03}"
    while name in taken:
        name += "x"
    return name


def _located(text: str, findings: list[Finding]) -> tuple[Problem, ...]:
    positions = Positions(text)
    first = findings[:MAX_TROUBLES]
    problems = (Problem(positions.line(one.path), one.message, one.mend) for one in first)
    return tuple(sorted(problems, key=lambda problem: problem.line))


def _prd(document: Any, findings: Findings) -> Prd:
    found = container_of(document)
    head: dict[str, Any] = document if isinstance(document, dict) else {}
    stories: tuple[Story, ...] = ()
    if found is None:
        _no_container(document, findings)
    elif not found[1]:
        findings.error(found[0], "there is no story in it: nothing to do", "add at least one story")
    elif len(found[1]) > MAX_STORIES:
        message = f"there are {len(found[1])} stories in it, more than {MAX_STORIES}"
        findings.error(found[0], message, "split it into several PRDs")
    else:
        stories = tuple(_stories(found[0], found[1], findings))
        if not findings.errors:
            _check_graph(found[0], stories, findings)
    reader = Reader(head, (), "the PRD", findings)
    project = reader.text(PROJECT_KEYS)
    priority, word = reader.priority()
    if word:
        findings.warn(
            ("priority",), f"priority {word} is no number: the PRD goes by arrival", "write a number"
        )
    return Prd(
        project=project,
        title=reader.text(("title", "name")) or project,
        description=reader.text(("description", "overview")),
        branch_name=reader.text(BRANCH_KEYS) or None,
        priority=priority,
        depends_on=reader.depends_on(lenient=True),
        verify=reader.verify(),
        stories=stories,
    )


def _no_container(document: Any, findings: Findings) -> None:
    mend = 'add "userStories": [{"id": "US-001", "title": "...", "passes": false}]'
    if not isinstance(document, dict):
        findings.error((), "the file holds neither an object nor a list of stories", mend)
        return
    for key in CONTAINER_KEYS:
        if key in document:
            findings.error((key,), f"{key} is {kind(document[key])}, not a list", "write a list of stories")
            return
    if isinstance(document.get("phases"), list):
        mend = "put the stories of all phases into one userStories list"
    findings.error((), "userStories is missing", mend)


def _stories(where: PathInFile, raw: list[Any], findings: Findings) -> Iterator[Story]:
    ids = story_ids(raw)
    seen: dict[str, int] = {}
    words: list[tuple[PathInFile, str]] = []
    for index, (story_id, entry) in enumerate(zip(ids, raw, strict=True)):
        path = (*where, index)
        if not isinstance(entry, dict):
            findings.error(
                path, f"story {index + 1} is {kind(entry)}, not an object", "write { } around its fields"
            )
            continue
        reader = Reader(entry, path, f"story {shown(story_id)}", findings)
        reader.check_id()
        if story_id in seen:
            message = f"stories {seen[story_id] + 1} and {index + 1} have the same id {shown(story_id)}"
            findings.error((*path, "id"), message, "give each story its own id")
        seen.setdefault(story_id, index)
        story, word = _story(reader, story_id)
        if word:
            words.append(((*path, "priority"), word))
        yield story
    if words:
        many = f"priority {words[0][1]}" if len(words) == 1 else f"the priority of {len(words)} stories"
        message = f"{many} is no number: the order in the file counts"
        findings.warn(words[0][0], message, "write numbers, the lower the earlier")


def _story(reader: Reader, story_id: str) -> tuple[Story, str]:
    description = reader.text(("description", "details"))
    priority, word = reader.priority()
    first_line = next((line.strip() for line in description.splitlines() if line.strip()), "")
    story = Story(
        id=story_id,
        title=reader.text(TITLE_KEYS) or first_line or story_id,
        passes=reader.passes(),
        description=description,
        acceptance=reader.lines(ACCEPTANCE_KEYS),
        priority=priority,
        depends_on=reader.depends_on(),
        notes="\n".join(reader.lines(("notes",))),
        verify=reader.verify(),
    )
    return story, word


def _check_graph(where: PathInFile, stories: tuple[Story, ...], findings: Findings) -> None:
    index = {story.id: n for n, story in enumerate(stories)}
    for n, story in enumerate(stories):
        for unknown in (name for name in story.depends_on if name not in index):
            message = f"story {shown(story.id)} depends on {shown(unknown)}, which is not here"
            findings.warn((*where, n), message, "take it away, or add that story; until then it is ignored")
    graph = {story.id: [name for name in story.depends_on if name in index] for story in stories}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        names: list[str] = error.args[1]
        circle = " -> ".join(shown(name) for name in reversed(names[:8])) + (
            " -> ..." if len(names) > 8 else ""
        )
        first = min(index[name] for name in names)
        findings.error(
            (*where, first), f"stories depend on each other in a circle: {circle}", "break the circle"
        )
