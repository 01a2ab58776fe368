"""What a branch itself holds: taking PRD folders and worker state out of it, and whether work is left."""

from __future__ import annotations

from pathlib import Path

from coordinator import faultpoints
from coordinator.errors import GitError
from coordinator.git import Git
from coordinator.git_locks import clear_index_lock
from coordinator.snapshot import LITTER, index_environment, is_litter, reset_entries


def take_out_litter(git: Git, worktree: Path, branch: str, base_commit: str) -> str | None:
    """Puts `prds/` and worker state on `branch` back to what they are on the base, by one commit of ours.

    Returns the commit, or None where there was no difference. Files in the worktree stay; its index follows.
    Can be repeated. Raises GitError where the branch is gone, or moved meanwhile.
    """
    tip = git.branch_commit(branch)
    if tip is None:
        raise GitError(f"the branch {branch} is gone: retry with --fresh starts a new one")
    made = None
    if any(is_litter(path) for path in git.changed_paths(base_commit, tip)):
        with git.scratch() as scratch:
            env = index_environment(scratch / "index")
            git.run("read-tree", tip, env=env)
            reset_entries(git, git.paths.root, base_commit, LITTER, env)
            tree = git.run("write-tree", env=env).text
        message = "Take the PRD folders and worker state out of the branch"
        made = git.run("commit-tree", tree, "-p", tip, "-m", message, env=git.identity()).text
        git.run("update-ref", "-m", "prd-tui: took out litter", f"refs/heads/{branch}", made, tip)
        faultpoints.reach("litter-removed")
    if head_branch(git, worktree) == branch:
        _follow(git, worktree, made or tip)
    return made


def has_substance(git: Git, base_commit: str, branch: str) -> bool:
    """Whether `branch` has a commit beyond the base and, `prds/` and worker state apart, differs from it."""
    tip = git.branch_commit(branch)
    if tip is None or git.rev_count(base_commit, tip) == 0:
        return False
    return any(not is_litter(path) for path in git.changed_paths(base_commit, tip))


def head_branch(git: Git, worktree: Path) -> str | None:
    """The branch checked out in `worktree`; None where HEAD is detached. Raises GitError."""
    git.own_directory(worktree)
    return git.current_branch(cwd=worktree)


def commits_elsewhere(git: Git, worktree: Path, branch: str) -> str | None:
    """The branch that got the worktree's commits in the place of `branch`; "no branch" if none has them.

    None if all commits made there are on `branch`. Raises GitError.
    """
    git.own_directory(worktree)
    log = git.run("log", "-g", "-z", "--format=%H %gs", "HEAD", "--", cwd=worktree, check=False)
    made = [field.partition(" ") for field in log.fields()] if log.returncode == 0 else []
    astray = None
    for commit, _, deed in made:
        if not deed.startswith("commit") or git.is_ancestor(commit, f"refs/heads/{branch}"):
            continue
        only = ("--count=1", "--format=%(refname)", f"--contains={commit}", "refs/heads/")
        if holder := git.run("for-each-ref", *only).text:
            return holder.removeprefix("refs/heads/")
        astray = "no branch"
    return astray


def _follow(git: Git, worktree: Path, head: str) -> None:
    """Makes the worktree's index agree with its new HEAD on litter; the files stay."""
    specs = [f":(top,literal){name}" for name in LITTER]
    same = git.run("diff-index", "--cached", "--quiet", head, "--", *specs, cwd=worktree, check=False)
    if same.returncode == 0:
        return
    clear_index_lock(git.own_directory(worktree), worktree)
    reset_entries(git, worktree, head, LITTER)
    git.run("update-index", "-q", "--refresh", cwd=worktree, check=False)
