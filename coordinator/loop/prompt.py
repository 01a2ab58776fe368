"""The prompt of one agent call, from a template and what is known. Pure.

Placeholders of a template, `{name}` each: prd_id, prd_title, project, prd_description, prd_json, branch,
worktree, story_id, story_title, story_description, attempt, max_attempts, progress_file; and the sections
stories, acceptance, story_notes, failure, progress and gates, each with its own heading, or nothing where
there is nothing to say. A line that consists of a placeholder without a value is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.loop.notes import NAME as PROGRESS_NAME
from coordinator.loop.stories import Failure
from coordinator.model import Prd, Story
from coordinator.texts import ends, one_line, plain

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_ALONE = re.compile(r"^[ \t]*\{([a-z_]+)\}[ \t]*\n(?:[ \t]*\n)?", re.MULTILINE)

#: Characters of what may be long: a PRD's description, the list of stories, one story's own texts.
_DESCRIPTION, _STORIES, _STORY = 12_000, 8_000, 40_000


@dataclass(frozen=True)
class Ask:
    """What one call is about. `progress`: of progress.txt, cut; `gates`: the commands that will be run."""

    prd_id: str
    prd: Prd
    story: Story
    attempt: int
    max_attempts: int
    prd_json: str
    worktree: str
    branch: str
    gates: Sequence[str] = ()
    progress: str = ""
    failure: Failure | None = None


def build(template: str, ask: Ask) -> str:
    """The template with its placeholders filled in, in one pass; unknown ones stay as they are."""
    fields = _fields(ask)
    kept = _ALONE.sub(lambda found: "" if fields.get(found[1]) == "" else found[0], template)
    return _PLACEHOLDER.sub(lambda found: fields.get(found[1], found[0]), kept).strip("\n") + "\n"


def _fields(ask: Ask) -> dict[str, str]:
    prd, story = ask.prd, ask.story
    return {
        "prd_id": ask.prd_id,
        "prd_title": one_line(prd.title) or ask.prd_id,
        "project": one_line(prd.project),
        "prd_description": ends(plain(prd.description).strip(), _DESCRIPTION, 0),
        "prd_json": ask.prd_json,
        "branch": ask.branch,
        "worktree": ask.worktree,
        "story_id": one_line(story.id),
        "story_title": one_line(story.title),
        "story_description": _own_text(story),
        "attempt": str(ask.attempt),
        "max_attempts": str(ask.max_attempts),
        "progress_file": ask.prd_json.rpartition("/")[0] + f"/{PROGRESS_NAME}",
        "stories": _section("All stories of the plan", _listing(prd, story)),
        "acceptance": _section("Acceptance criteria", _bullets(story.acceptance)),
        "story_notes": _section("Notes on this story", ends(plain(story.notes).strip(), _STORY, 0)),
        "failure": _failure(ask.failure),
        "progress": _section("What was done before (progress.txt)", plain(ask.progress).strip()),
        "gates": _section("Commands that must succeed", "\n".join(f"- `{gate}`" for gate in ask.gates)),
    }


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _own_text(story: Story) -> str:
    text = plain(story.description).strip()
    return "" if text == one_line(story.title) else ends(text, _STORY, 0)


def _listing(prd: Prd, current: Story) -> str:
    if len(prd.stories) < 2:
        return ""
    lines = [
        f"- {'[x]' if story.passes else '[ ]'} {one_line(story.id, 128)} {one_line(story.title, 160)}"
        + (" ← yours" if story.id == current.id else "")
        for story in prd.stories
    ]
    return ends("\n".join(lines), _STORIES // 2, _STORIES // 2)


def _bullets(lines: Sequence[str]) -> str:
    items = (plain(line).strip().replace("\n", "\n  ") for line in lines)
    return ends("\n".join(f"- {item}" for item in items if item), _STORY, 0)


def _failure(failure: Failure | None) -> str:
    if failure is None:
        return ""
    parts = [
        f"Attempt {failure.attempt} did not hold: {failure.reason}. What it changed is still in the worktree: "
        "look at it first, then mend or replace it."
    ]
    if failure.claim:
        parts.append("It had marked the story as passing, which does not count.")
    if failure.gate_output:
        parts.append(f"Output of `{failure.gate}`:\n\n{_fenced(failure.gate_output)}")
    if failure.output:
        parts.append(f"The last that was said in that attempt:\n\n{_fenced(ends(failure.output, 0, 2000))}")
    return _section("What went wrong last time", "\n\n".join(parts))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text.strip(chr(10))}\n{fence}"
