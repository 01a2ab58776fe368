"""Names for new branches, and making them so that a crash leaves no doubt whose they are."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from itertools import count

from coordinator import faultpoints
from coordinator.errors import GitError, PrdTuiError
from coordinator.git import Git

#: Room for a suffix and git's `.lock` within the 255 bytes that a file name may have.
LONGEST = 200

_HEADS = "refs/heads/"
#: `git checkout heads/x` finds refs/heads/x first, so a branch by such a name cannot be reached by its name.
_AMBIGUOUS = ("refs/", "heads/", "tags/", "remotes/")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{40}([0-9a-fA-F]{24})?")
_MARK = "prd-tui: "


def base(git: Git, wanted: str) -> tuple[str, str]:
    """The branch that work starts from (`wanted`, else the checkout's) and its commit. Raises PrdTuiError."""
    name = wanted or git.current_branch()
    if not name:
        raise PrdTuiError("The checkout is on no branch: set coordinator.base_branch, then start again.")
    commit = git.head_commit(f"refs/heads/{name}")
    if commit is None:
        raise PrdTuiError(f"The base branch {name} does not exist: correct coordinator.base_branch.")
    return name, commit


def base_commit(git: Git, wanted: str) -> str:
    """As `base`, the commit alone; empty where there is none."""
    try:
        return base(git, wanted)[1]
    except PrdTuiError:
        return ""


def why_unusable(git: Git, name: str) -> str | None:
    """Why no branch may be called `name`, as a clause for people; None if one may."""
    upper = name.upper()
    if not name:
        return "the name is empty"
    # Categories C: control, format (bidi among them), surrogate, unassigned; Z: every kind of space.
    if any(unicodedata.category(character)[0] in "CZ" for character in name):
        return "it has spaces or invisible characters"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    if name.startswith("-"):
        return "it starts with a hyphen"
    if name == "@" or upper in {"HEAD", "STASH"} or (upper.endswith("_HEAD") and "/" not in name):
        return "git uses that name itself"
    if name.startswith(_AMBIGUOUS) or _OBJECT_ID.fullmatch(name):
        return "git would take it for something else"
    done = git.run("check-ref-format", "--branch", name, check=False)
    if done.returncode != 0 or done.text != name:
        return "git does not allow it"
    return None


def choose(git: Git, asked: str | None, prd_id: str, reserved: Collection[str]) -> str:
    """A free name for the branch of `prd_id`, as near to `asked` as can be had.

    A name that exists, is checked out somewhere or is in `reserved` gets the next free suffix `-1`, `-2`, …;
    one that git or we refuse, or that would nest under or over a taken one, gives way to `feature/<ID>`.
    """
    fold = _folding(git)
    taken = {fold(name) for name in _existing(git) | set(reserved)}
    # An id may end in a full stop, which git refuses at the end of a name, and there may be a branch called
    # `feature`: the last of these is always possible.
    bases = (asked or "", f"feature/{prd_id}", f"feature-{prd_id}", f"feature-{prd_id}-prd")
    base = next(
        (base for base in bases if why_unusable(git, base) is None and not _nests(fold(base), taken)),
        bases[-1],
    )
    names = (base if n == 0 else f"{base}-{n}" for n in count())
    return next(name for name in names if fold(name) not in taken and not _nests(fold(name), taken))


def create(git: Git, name: str, commit: str, run_id: str) -> None:
    """Makes the branch at `commit`, if and only if there is none; its reflog says for which run.

    Done already for this run: nothing happens. Raises GitError where somebody else's branch has the name.
    """
    nothing = "0" * len(commit)
    message = f"{_MARK}{run_id}"
    done = git.run(
        "update-ref", "--create-reflog", "-m", message, f"{_HEADS}{name}", commit, nothing, check=False
    )
    if done.returncode != 0 and not (
        created_by(git, name) == run_id and git.branch_commit(name) == git.head_commit(commit)
    ):
        raise GitError(
            f"the branch {name} could not be made; retry to take another name",
            returncode=done.returncode,
            stderr=done.stderr,
        )
    faultpoints.reach("branch-created")


def created_by(git: Git, name: str) -> str | None:
    """The run that made the branch, by the first entry of its reflog; None if it was not one of ours."""
    first = (_reflog(git, name) or [("", "")])[-1][1]
    return first.removeprefix(_MARK) if first.startswith(_MARK) else None


def withdraw(git: Git, name: str, run_id: str) -> bool:
    """Deletes a branch that `run_id` made and nobody has used; says whether it did.

    Used is what has moved since, or is checked out anywhere.
    """
    tip = git.branch_commit(name)
    if tip is None or _reflog(git, name) != [(tip, f"{_MARK}{run_id}")] or name in checked_out(git):
        return False
    return git.run("update-ref", "-d", f"{_HEADS}{name}", tip, check=False).returncode == 0


def delete_merged(git: Git, name: str, run_ids: Collection[str], base: str) -> bool:
    """Deletes a branch that one of the runs made and whose commits are all on `base`, a commit.

    Says whether it did: one that is checked out anywhere stays. What git itself noted of it goes with it.
    """
    tip = git.branch_commit(name)
    if tip is None or not is_spare(git, name, run_ids, base):
        return False
    if git.run("update-ref", "-d", f"{_HEADS}{name}", tip, check=False).returncode != 0:
        return False
    if git.run("config", "--local", "--get-regexp", f"^branch\\.{re.escape(name)}\\.", check=False).text:
        git.run("config", "--local", "--remove-section", f"branch.{name}", check=False)
    return True


def is_spare(git: Git, name: str, run_ids: Collection[str], base: str) -> bool:
    """Whether `delete_merged` would delete it."""
    return (
        created_by(git, name) in run_ids
        and git.is_ancestor(f"{_HEADS}{name}", base)
        and name not in checked_out(git)
    )


def keep_under_other_name(git: Git, name: str, run_id: str) -> str:
    """Renames a branch of ours, reflog included, so that its name is free again; returns the new name.

    Raises GitError where it is not ours or is checked out somewhere.
    """
    if created_by(git, name) is None:
        raise GitError(f"the branch {name} was not made by prd-tui and keeps its name")
    if name in checked_out(git):
        raise GitError(f"the branch {name} is checked out and keeps its name: remove that worktree first")
    kept = choose(git, f"{name}-before", run_id, ())
    git.run("branch", "-m", "--", name, kept)
    return kept


def checked_out(git: Git) -> set[str]:
    """Branches checked out in any worktree, the main checkout among them; one may have no commit yet."""
    prefix = os.fsencode(f"branch {_HEADS}")
    fields = git.worktree_list().split(b"\0")
    return {os.fsdecode(field.removeprefix(prefix)) for field in fields if field.startswith(prefix)}


def _reflog(git: Git, name: str) -> list[tuple[str, str]]:
    """Commit and message of each entry, the newest first; empty where there is no reflog."""
    done = git.run(
        "log", "-g", "-z", "--format=%H %gs", "--end-of-options", f"{_HEADS}{name}", "--", check=False
    )
    entries = [field.partition(" ") for field in done.fields()] if done.returncode == 0 else []
    return [(commit, message) for commit, _, message in entries]


def _existing(git: Git) -> set[str]:
    return {ref.removeprefix(_HEADS) for ref in git.refs(_HEADS)} | checked_out(git)


def _folding(git: Git) -> Callable[[str], str]:
    """How names are compared: without regard to case where the file system has none."""
    return str.casefold if git.ignores_case() else str


def _nests(name: str, taken: Iterable[str]) -> bool:
    """Whether git could not hold `name` beside one of `taken`, as a file beside a folder of the same name."""
    return any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in taken)
