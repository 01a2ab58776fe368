"""How the PRDs of the demo are written down."""

from __future__ import annotations

from typing import Any

Story = dict[str, Any]
Prd = dict[str, Any]

#: What an agent runs before it calls a story done.
TESTS = [["python3", "-m", "unittest", "-q"]]


def prd(title: str, priority: int, description: str, *stories: Story, **more: Any) -> Prd:
    numbered = [{"id": f"US-{number:03}", **story} for number, story in enumerate(stories, 1)]
    head = {"project": "shop", "title": title, "description": description, "priority": priority}
    return head | more | {"userStories": numbered}


def story(title: str, *criteria: str, verify: list[str] | None = None, **offline: Any) -> Story:
    more = {"verify": verify} if verify else {}
    return {"title": title, "acceptanceCriteria": list(criteria), "passes": False, **more, "offline": offline}


def test(name: str, imports: str, *body: str) -> str:
    """A test module with one class; `body`: the lines of its methods."""
    methods = "\n".join(f"    {line}" if line else "" for line in body)
    return f"import unittest\n\n{imports}\n\n\nclass {name}(unittest.TestCase):\n{methods}\n"
