"""Everything uncommitted in a worktree as a git tree, made through an index of its own.

Neither the worktree nor its real index is touched. `prds/` and the worker's own state never count.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from coordinator.errors import GitError
from coordinator.git import Git

#: What is never part of a PRD's result: PRD folders, and what loop scripts leave at the top of a worktree.
LITTER = ("prds", ".claude-loop", ".last-branch")

GITLINK = "160000"
GONE = "000000"

#: Mode and object id of a path in a tree; mode GONE: the path is not there.
FileEntry: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Snapshot:
    """`changes` are the paths in which `tree` differs from `head`.

    `staged` is the tree of the index where that holds content which neither HEAD nor the file has.
    `nested` are untracked repositories inside the worktree; their content is not in `tree`.
    `pristine`: index and files are what `head` has, but for files of litter.
    """

    head: str
    tree: str
    staged: str | None
    changes: Mapping[str, FileEntry]
    nested: tuple[str, ...]
    pristine: bool = False


def is_litter(path: str) -> bool:
    return path.split("/", 1)[0] in LITTER


def index_environment(index: Path) -> dict[str, str]:
    """For git commands on an index of our own; what they write is on disk before they end."""
    settings = {"core.fsync": "all", "core.fsyncMethod": "batch"}
    env = {"GIT_INDEX_FILE": str(index), "GIT_CONFIG_COUNT": str(len(settings))}
    for n, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
    return env


def take(git: Git, worktree: Path, scratch: Path) -> Snapshot:
    """The present state of `worktree`. `scratch` is a directory for the temporary index. Raises GitError."""
    own = git.own_directory(worktree)
    untouched = _untouched(git, worktree)
    if untouched is not None:
        return Snapshot(untouched, git.tree_of(untouched), None, {}, (), pristine=True)
    head = git.head_commit("HEAD", cwd=worktree)
    if head is None:
        raise GitError(
            f"HEAD of {worktree} is on a branch without a commit: check its branch out again there"
        )
    env = index_environment(scratch / "index")
    _copy_index(git, own, worktree, head, env)
    changed = _unstaged(git, worktree, env)
    untracked, nested = _untracked(git, worktree, env)
    cached = _named(git, worktree, env, "diff-index", "--cached", "--ignore-submodules=none", head, "--")
    if not changed and not untracked and not cached:
        return Snapshot(head, git.tree_of(head), None, {}, nested)

    reset_entries(git, worktree, head, LITTER, env)
    unmerged = set(
        git.run("diff-files", "-z", "--name-only", "--diff-filter=U", cwd=worktree, env=env).fields()
    )
    reset_entries(git, worktree, head, unmerged, env)
    staged = None
    if (cached & set(changed)) - unmerged:
        staged = git.run("write-tree", cwd=worktree, env=env).text
    present = {path for path, mode in changed.items() if _holds(worktree, path, mode)}
    nothing = "0" * len(head)
    _index_info(git, worktree, env, [f"0 {nothing}\t{path}" for path in set(changed) - present])
    _add(git, worktree, env, present | untracked)
    tree = git.run("write-tree", cwd=worktree, env=env).text
    if staged == git.tree_of(head):
        staged = None
    return Snapshot(head, tree, staged, differences(git, head, tree), nested)


def differences(git: Git, old: str, new: str) -> dict[str, FileEntry]:
    """What each path that differs between two trees is in `new`."""
    fields = git.run("diff-tree", "-r", "-z", "--no-renames", "--end-of-options", old, new).fields()
    found = {}
    for raw, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, _ = raw.split(" ")
        found[path] = (mode, oid)
    return found


def entries_of(git: Git, tree: str, names: Iterable[str] = ()) -> dict[str, FileEntry]:
    """All files of `tree`, or those under `names` (paths from its top)."""
    found = {}
    for field in git.run("ls-tree", "-r", "-z", "--full-tree", tree, "--", *names).fields():
        described, _, path = field.partition("\t")
        mode, _, oid = described.split(" ")
        found[path] = (mode, oid)
    return found


def reset_entries(
    git: Git, cwd: Path, tree: str, names: Collection[str], env: Mapping[str, str] | None = None
) -> None:
    """Makes the index hold, under `names`, exactly what `tree` has there; files stay as they are.

    It is the real index of the worktree `cwd`, unless `env` names another one.
    """
    if not names:
        return
    specs = [f":(top,literal){name}" for name in names]
    present = git.run("ls-files", "-z", "--", *specs, cwd=cwd, env=env).fields()
    wanted = entries_of(git, tree, names)
    if not present and not wanted:
        return
    nothing = "0" * len(git.tree_of(tree))
    removed = [f"0 {nothing}\t{path}" for path in dict.fromkeys(present)]
    added = [f"{mode} {oid}\t{path}" for path, (mode, oid) in wanted.items()]
    _index_info(git, cwd, env, removed + added)


def _untouched(git: Git, worktree: Path) -> str | None:
    """HEAD if one look of git finds nothing to take, as after most runs; None where a closer one is due."""
    args = ("--branch", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    done = git.run("status", "--porcelain=v2", *args, cwd=worktree, check=False)
    head = None
    for field in done.fields():
        kind, _, rest = field.partition(" ")
        if field.startswith("# branch.oid "):
            head = rest.split(" ")[1]
        elif kind != "#" and not _is_loose_litter(kind, rest):
            return None
    return None if done.returncode != 0 or head == "(initial)" else head


def _is_loose_litter(kind: str, rest: str) -> bool:
    """Whether a line of `status --porcelain=v2` tells of litter of which nothing is in the index."""
    if kind == "1" and rest.startswith("."):
        return is_litter(rest.split(" ", 7)[7])
    return kind == "?" and is_litter(rest)


def _copy_index(git: Git, own: Path, worktree: Path, head: str, env: Mapping[str, str]) -> None:
    index = Path(env["GIT_INDEX_FILE"])
    refresh = ("update-index", "-q", "--unmerged", "--refresh")
    if (own / "index").is_file():
        # A copy keeps what git knows about unchanged files, so that only the changed ones are read.
        shutil.copyfile(own / "index", index)
        if git.run(*refresh, cwd=worktree, env=env, check=False).returncode < 128:
            return
        index.unlink()
    git.run("read-tree", head, cwd=worktree, env=env)
    git.run(*refresh, cwd=worktree, env=env, check=False)


def _named(git: Git, worktree: Path, env: Mapping[str, str], command: str, *args: str) -> set[str]:
    fields = git.run(command, "-z", "--name-only", "--no-renames", *args, cwd=worktree, env=env).fields()
    return {path for path in fields if not is_litter(path)}


def _unstaged(git: Git, worktree: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Path → mode on disk of what differs from the index; unmerged paths are among them."""
    fields = git.run("diff-files", "-z", "--ignore-submodules=dirty", cwd=worktree, env=env).fields()
    found: dict[str, str] = {}
    for raw, path in zip(fields[::2], fields[1::2], strict=True):
        if not is_litter(path):
            found[path] = raw.split(" ")[1]
    return found


def _untracked(git: Git, worktree: Path, env: Mapping[str, str]) -> tuple[set[str], tuple[str, ...]]:
    """Files git neither knows nor ignores, and the repositories among them (which it lists as `name/`)."""
    fields = git.run("ls-files", "-z", "--others", "--exclude-standard", cwd=worktree, env=env).fields()
    ours = [path for path in fields if not is_litter(path)]
    nested = tuple(path.rstrip("/") for path in ours if path.endswith("/"))
    return {path for path in ours if not path.endswith("/")}, nested


def _holds(worktree: Path, path: str, mode: str) -> bool:
    """Whether there is something at `path` that git can store, reached through no symbolic link."""
    place = worktree / path
    if os.path.realpath(place.parent) != str(Path(os.path.realpath(worktree)) / Path(path).parent):
        return False
    try:
        kind = place.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(kind) or stat.S_ISLNK(kind) or (mode == GITLINK and stat.S_ISDIR(kind))


def _add(git: Git, worktree: Path, env: Mapping[str, str], paths: Collection[str]) -> None:
    if paths:
        data = b"".join(os.fsencode(path) + b"\0" for path in sorted(paths))
        git.run("update-index", "--add", "--replace", "-z", "--stdin", cwd=worktree, env=env, input=data)


def _index_info(git: Git, cwd: Path, env: Mapping[str, str] | None, lines: list[str]) -> None:
    if lines:
        data = b"".join(os.fsencode(line) + b"\0" for line in lines)
        git.run("update-index", "-z", "--index-info", cwd=cwd, env=env, input=data)
