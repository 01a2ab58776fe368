"""The loop's own prd.json: what stands in the worktree is a copy, put back after each call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coordinator import prd_file
from coordinator.errors import StateError
from coordinator.files import make_way, write_atomic
from coordinator.model import Prd
from coordinator.prd_file import PrdInvalid, StoryResult
from coordinator.worktree_files import make_real_folders

#: Characters of a story's notes that an agent may leave.
_LONGEST_NOTES = 8192


class OwnPrd:
    """`prd` is the PRD as this loop knows it, `folder` where it belongs: `<worktree>/prds/active/<ID>`."""

    def __init__(self, folder: Path) -> None:
        """Raises PrdInvalid."""
        self.folder = folder
        self.worktree = folder.parents[min(2, len(folder.parents) - 1)]
        self._data = prd_file.read_bytes(folder, limit=prd_file.WORKED_MAX_BYTES)
        self.prd: Prd = prd_file.parse(self._data)
        # A PRD of this name that was completed before may lie there by right.
        self._lies_there = self._moved.exists()

    @property
    def _moved(self) -> Path:
        return self.worktree / "prds" / "completed" / self.folder.name

    def set_passes(self, story_id: str, passes: bool) -> None:
        """In the file and in `prd`; whatever stands in the file's place is replaced. Raises StateError."""
        self._update(story_id, StoryResult(passes))
        self._write()

    def put_back(self, story_id: str) -> tuple[bool, tuple[str, ...]]:
        """Undoes what an agent did to the file; its notes on the story it worked on may stay.

        Returns whether the agent had marked that story as passing, and what was undone, a phrase each.
        Raises StateError.
        """
        if not self.worktree.is_dir():
            raise StateError(f"the worktree {self.worktree} is gone: retry makes it anew from its branch")
        undone = ["the agent moved the PRD's folder to prds/completed"] if self._bring_home() else []
        try:
            found = prd_file.read_bytes(self.folder, limit=prd_file.WORKED_MAX_BYTES)
            theirs = None if found == self._data else prd_file.parse(found)
        except PrdInvalid as error:
            undone.append(f"the agent damaged prd.json: {error}")
            self._write()
            return False, tuple(undone)
        if theirs is None:
            return False, tuple(undone)
        marked = self._marked(theirs)
        if marked:
            undone.append(f"the agent marked {', '.join(marked[:5])} as passing itself")
        undone += self._other_changes(theirs)
        self._keep_notes(theirs, story_id)
        self._write()
        return story_id in marked, tuple(undone)

    # -- inside ---------------------------------------------------------------------------------------

    def _bring_home(self) -> bool:
        """Moves the folder back from where some agents put what they think is completed."""
        if self._lies_there or not self._moved.is_dir() or self._moved.is_symlink():
            return False
        make_real_folders(self.worktree, self.folder)
        for entry in list(self._moved.iterdir()):
            place = self.folder / entry.name
            if not place.is_dir():
                entry.replace(place)
        if not any(self._moved.iterdir()):
            self._moved.rmdir()
        return True

    def _marked(self, theirs: Prd) -> list[str]:
        mine = {story.id for story in self.prd.stories if story.passes}
        ours = {story.id for story in self.prd.stories}
        return [story.id for story in theirs.stories if story.passes and story.id in ours - mine]

    def _other_changes(self, theirs: Prd) -> Iterator[str]:
        passing = {story.id for story in theirs.stories if story.passes}
        known = {story.id for story in theirs.stories}
        for story in self.prd.stories:
            if story.passes and story.id in known - passing:
                yield f"the agent took back that {story.id} passes"
        yield from prd_file.differences(self.prd, theirs)
        if added := known - {story.id for story in self.prd.stories}:
            yield f"the agent added {len(added)} {'story' if len(added) == 1 else 'stories'} to prd.json"

    def _keep_notes(self, theirs: Prd, story_id: str) -> None:
        before = next(story for story in self.prd.stories if story.id == story_id)
        after = next((story for story in theirs.stories if story.id == story_id), before)
        if after.notes != before.notes:
            self._update(story_id, StoryResult(before.passes, after.notes[:_LONGEST_NOTES]))

    def _update(self, story_id: str, result: StoryResult) -> None:
        self._data = prd_file.write_back(self._data, {story_id: result})
        self.prd = prd_file.parse(self._data)

    def _write(self) -> None:
        make_real_folders(self.worktree, self.folder)
        path = self.folder / prd_file.NAME
        make_way(path)
        write_atomic(path, self._data)
