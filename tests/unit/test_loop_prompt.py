"""The prompt: what is known, where the template says, once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coordinator.loop.prompt import Ask, build
from coordinator.loop.stories import Failure
from coordinator.loop.template import read_template
from coordinator.model import Prd, Story

STORY = Story(
    "US-001", "Log in", passes=False, description="With a password.", acceptance=("It works", "Fast")
)


def ask(**more: Any) -> Ask:
    story = more.pop("story", STORY)
    other = Story("US-002", "Log out", passes=True)
    prd = Prd("shop", "The shop", "All about it", None, None, (), (), (story, other))
    fields = {"prd_json": "/w/prds/active/p/prd.json", "worktree": "/w", "branch": "feature/p"}
    return Ask(
        **({"prd_id": "p", "prd": prd, "story": story, "attempt": 1, "max_attempts": 3} | fields | more)
    )


def test_the_built_in_one_says_what_there_is_and_leaves_out_what_is_not() -> None:
    template = read_template("", None)
    text = build(template, ask(gates=("pytest -q", "ruff check")))
    for said in (
        "# The shop",
        "All about it",
        "- [ ] US-001 Log in ← yours\n- [x] US-002 Log out",
        "# Your story: US-001 Log in",
        "With a password.",
        "- It works\n- Fast",
        "- `pytest -q`\n- `ruff check`",
        "/w/prds/active/p/progress.txt",
        "`feature/p`",
    ):
        assert said in text
    assert "What went wrong" not in text
    assert "progress.txt)" not in text
    assert "\n\n\n" not in text
    assert not [word for word in ("{", "}") if word in text]
    failure = Failure(2, "gate `x` failed", "agent said", "x", "gate said ```` here", claim=True)
    text = build(template, ask(failure=failure, progress="## US-002\ndone"))
    assert "Attempt 2 did not hold: gate `x` failed." in text
    assert "`````\ngate said ```` here\n`````" in text
    assert "agent said" in text
    assert "does not count" in text
    assert "## US-002\ndone" in text


_TEXT = st.text(alphabet=st.characters(exclude_characters="|\x1b"), max_size=100)


@given(_TEXT, _TEXT)
def test_values_are_filled_in_once_and_made_plain(description: str, title: str) -> None:
    story = Story("US-001", title, passes=False, description=description + " {prd_id}")
    text = build("{story_description}|{story_title}|{prd_id}|{nothing}", ask(story=story))
    body, name, prd_id, unknown = text.removesuffix("\n").split("|")
    assert (prd_id, unknown) == ("p", "{nothing}")
    assert name.isprintable()
    assert all(char in "\n\t" or char.isprintable() for char in body)
    assert not body or body.endswith("{prd_id}")


def test_a_huge_prd_makes_a_bounded_prompt() -> None:
    stories = tuple(Story(f"US-{n}", "t" * 500, passes=False, description="d" * 100_000) for n in range(1000))
    prd = Prd("shop", "T" * 5000, "D" * 1_000_000, None, None, (), (), stories)
    text = build(read_template("", None), ask(prd=prd, story=stories[0]))
    assert len(text) < 100_000
    assert "← yours" in text
