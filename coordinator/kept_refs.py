"""`refs/prd/`: what was set aside, given up or pinned, and for how long it is kept."""

from __future__ import annotations

from coordinator.git import Git
from coordinator.stashes import stashes

_STASH = "refs/prd/stash/"
_KINDS = ("refs/prd/salvage/", "refs/prd/dropped/", _STASH)


def old_refs(git: Git, before: float) -> list[tuple[str, str]]:
    """Ref and commit of what was kept before that moment (seconds since the epoch).

    The pin of a stash that the person still has stays, whatever its age.
    """
    present = set(stashes(git))
    return [
        (ref, commit)
        for ref, commit, made in _dated(git)
        if made <= before and not (ref.startswith(_STASH) and commit in present)
    ]


def refs_that_hold_work(git: Git) -> tuple[list[str], list[tuple[str, str]]]:
    """The refs under `refs/prd/` that are the only ones to hold something; and the others, with their commits."""
    present = set(stashes(git))
    needed: list[str] = []
    spare: list[tuple[str, str]] = []
    for ref, commit in sorted(git.refs("refs/prd/").items()):
        in_list = ref.startswith(_STASH) and commit in present
        holder = (
            ""
            if in_list
            else git.run("for-each-ref", "--count=1", f"--contains={commit}", "refs/heads/", check=False).text
        )
        if in_list or holder:
            spare.append((ref, commit))
        else:
            needed.append(ref)
    return needed, spare


def _dated(git: Git) -> list[tuple[str, str, float]]:
    """Ref, commit and when it was made: the newer one of the commit's date and the ref's own file.

    A stash may be much older than its pin, whose own file goes when git packs refs: then it is as old as that.
    """
    packed = git.paths.common / "packed-refs"
    lines = git.run(
        "for-each-ref", "--format=%(refname) %(objectname) %(committerdate:unix)", *_KINDS
    ).text.split("\n")
    found = []
    for line in filter(None, lines):
        ref, commit, date = line.rsplit(" ", 2)
        file = git.paths.common / ref
        if ref.startswith(_STASH) and not file.is_file():
            file = packed
        written = file.stat().st_mtime if file.is_file() else 0.0
        found.append((ref, commit, max(float(date or 0), written)))
    return found
