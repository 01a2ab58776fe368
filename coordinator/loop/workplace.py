"""The worktree as git sees it: on which branch, what changed, and committing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coordinator import snapshot
from coordinator.errors import GitError
from coordinator.git import Git
from coordinator.git_locks import clear_index_lock
from coordinator.litter import head_branch
from coordinator.model import Prd, Story
from coordinator.snapshot import is_litter
from coordinator.texts import columns, one_line

#: Columns of a commit's first line, as git's own documentation and most tools want it.
_SUBJECT = 72


class Misplaced(Exception):
    """The worktree is not in a state that could be committed; the message says why and what is missing."""


class Workplace:
    """`branch`: the one of the run. All methods raise GitError where git fails or the worktree is broken."""

    def __init__(self, git: Git, worktree: Path, branch: str) -> None:
        self.git, self.worktree, self.branch = git, worktree, branch

    def head(self) -> str:
        """The commit the worktree is on."""
        self.git.own_directory(self.worktree)
        commit = self.git.head_commit(cwd=self.worktree)
        if commit is None:
            raise GitError(
                f"HEAD of {self.worktree} names no commit: git -C {self.worktree} switch {self.branch}"
            )
        return commit

    def start_of(self, recorded: str) -> str:
        """From where a story's work counts: the commit recorded when it began, if that is still below HEAD."""
        head = self.head()
        known = bool(recorded) and self.git.head_commit(recorded) == recorded
        return recorded if known and self.git.is_ancestor(recorded, head) else head

    def check(self, base: str) -> None:
        """Raises Misplaced unless HEAD is on the run's branch, contains `base` and nothing is in conflict."""
        actual = head_branch(self.git, self.worktree)
        if actual != self.branch:
            where = f"branch {actual}" if actual else "no branch"
            raise Misplaced(f"the worktree is on {where} instead of {self.branch}: bring the work back there")
        if not self.git.is_ancestor(base, self.head()):
            raise Misplaced(
                f"commit {base[:10]}, on which the story began, is no longer on {self.branch}: bring it back "
                "(git reflog shows it)"
            )
        unmerged = self.git.run("ls-files", "-z", "--unmerged", cwd=self.worktree).fields()
        if paths := list(dict.fromkeys(field.partition("\t")[2] for field in unmerged)):
            raise Misplaced(f"{_some(paths)} in conflict: resolve it")

    def changed_since(self, base: str) -> bool:
        """Whether anything but litter differs from `base`, committed or not."""
        head = self.head()
        if head != base and not all(map(is_litter, self.git.changed_paths(base, head))):
            return True
        with self.git.scratch() as scratch:
            return bool(snapshot.take(self.git, self.worktree, scratch).changes)

    def stage(self) -> bool:
        """Makes the index hold everything but litter and repositories of their own; False: nothing to commit."""
        own = self.git.own_directory(self.worktree)
        with self.git.scratch() as scratch:
            now = snapshot.take(self.git, self.worktree, scratch)
        clear_index_lock(own, self.worktree)
        # One tree with --reset: entries that are the same keep what the index knows about their files.
        self.git.run("read-tree", "--reset", now.tree, cwd=self.worktree)
        self.git.run("update-index", "-q", "--refresh", cwd=self.worktree, check=False)
        return now.tree != self.git.tree_of(now.head) or (own / "MERGE_HEAD").exists()


def commit_message(prd_id: str, prd: Prd, story: Story) -> str:
    """Subject, what it is part of, and trailers by which it is found again."""
    story_id = one_line(story.id, 128)
    subject = columns(f"{story_id}: {one_line(story.title)}", _SUBJECT)
    title = one_line(prd.title)
    part = f"Part of {prd_id}: {title}." if title and title != prd_id else f"Part of {prd_id}."
    return f"{subject}\n\n{columns(part, _SUBJECT)}\n\nPRD: {prd_id}\nStory: {story_id}\n"


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 1} more are" if len(paths) > 1 else " is"
    return one_line(paths[0], 80) + more
