"""A repository with prd-tui's worktrees in it, for tests of git and worktrees."""

from __future__ import annotations

from pathlib import Path

from coordinator import branches
from coordinator.git import Git, discover
from coordinator.worktrees import Worktrees
from tests.support.repos import git, make_repo

#: A script, a folder in a folder and an ignore rule: what a checkout has to get right.
FILES = {"a.txt": "a\n", "run.sh": "#!/bin/sh\n", "deep/er/b.txt": "b\n", ".gitignore": "*.log\n"}


class Site:
    """`repo` with `files` committed on `main`; worktrees are under `.claude-loop/worktrees`."""

    def __init__(self, repo: Path, files: dict[str, str] | None = None) -> None:
        self.repo = make_repo(repo, files)
        self.paths = discover(self.repo)
        self.git = Git(self.paths)
        self.git.ensure_excluded()
        self.worktrees = Worktrees(self.git, self.paths, Path(".claude-loop/worktrees"))
        self.base = git(self.repo, "rev-parse", "HEAD")

    def begin(self, prd_id: str, run_id: str = "run-1", branch: str | None = None) -> Path:
        """Run directory, branch and registered, empty worktree, as they are before the files come."""
        name = branch or f"feature/{prd_id}"
        self.paths.run_dir(prd_id, run_id).mkdir(parents=True, exist_ok=True)
        branches.create(self.git, name, self.base, run_id)
        return self.worktrees.add(prd_id, run_id, name)

    def start(self, prd_id: str, run_id: str = "run-1", branch: str | None = None) -> Path:
        """A worktree ready for a worker."""
        worktree = self.begin(prd_id, run_id, branch)
        assert self.worktrees.fill(worktree) is None
        self.worktrees.mark_filled(prd_id, run_id)
        return worktree


def contents(worktree: Path) -> dict[str, str]:
    """Relative path → text (or link target) of every file below `worktree`, `.git` apart."""
    return {
        str(path.relative_to(worktree)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(worktree.rglob("*"))
        if path.is_symlink() or path.is_file()
        if path.relative_to(worktree).parts[0] != ".git"
    }
