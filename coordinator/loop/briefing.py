"""What an agent is told about a story, and the gates it will be measured by."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator import prd_file
from coordinator.config import Settings
from coordinator.loop import notes, prompt
from coordinator.loop.own_prd import OwnPrd
from coordinator.loop.stories import Failure, is_last
from coordinator.model import Story

#: Bytes of progress.txt that a prompt holds: its beginning, where people put what always counts, and its end.
PROGRESS_HEAD, PROGRESS_TAIL = 3000, 9000


@dataclass(frozen=True)
class Briefing:
    """`template`: see prompt.py; `branch`: the one that the worktree is on."""

    settings: Settings
    template: str
    own: OwnPrd
    branch: str

    @property
    def prd_id(self) -> str:
        return self.own.folder.name

    def gates(self, story: Story) -> tuple[str, ...]:
        """The commands that must succeed before the story counts, each once."""
        prd = self.own.prd
        whole = prd.verify if is_last(prd.stories, story) else ()
        return tuple(dict.fromkeys((*self.settings.coordinator.verify, *story.verify, *whole)))

    def ask(self, story: Story, attempt: int, failure: Failure | None) -> str:
        """The prompt."""
        ask = prompt.Ask(
            prd_id=self.prd_id,
            prd=self.own.prd,
            story=story,
            attempt=attempt,
            max_attempts=self.settings.worker.max_attempts,
            prd_json=str(self.own.folder / prd_file.NAME),
            worktree=str(self.own.worktree),
            branch=self.branch,
            gates=self.gates(story),
            progress=notes.read(self.own.folder, PROGRESS_HEAD, PROGRESS_TAIL),
            failure=failure,
        )
        return prompt.build(self.template, ask)
