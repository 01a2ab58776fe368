"""Gates: commands the coordinator runs itself to verify work."""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.model import Prd


def gate_commands(configured: tuple[str, ...] | list[str], prd: Prd) -> list[str]:
    """The gates of the settings, the PRD and its stories, each command once, in that order."""

    def all_of_them() -> Iterator[str]:
        yield from configured
        yield from prd.verify
        for story in prd.stories:
            yield from story.verify

    return list(dict.fromkeys(all_of_them()))
