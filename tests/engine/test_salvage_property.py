"""Whatever a worker leaves behind: set aside, cleaned and put back, it is the same again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator import salvage
from tests.support.repos import git
from tests.support.sites import Site, contents

FILES = {"a": "a\n", "b": "b\n", "d/e": "e\n", "d/f": "f\n", ".gitignore": "ignored\n"}

places = st.sampled_from(["a", "b", "d", "d/e", "d/f", "new", "new/one", "new/two", "ignored", "prds/x"])
deeds = st.tuples(st.sampled_from(["write", "delete", "link", "chmod", "stage", "folder"]), places)


def do(worktree: Path, deed: str, name: str) -> None:
    """One thing an agent may do; impossible ones do nothing."""
    place = worktree / name
    if any(parent.is_symlink() or parent.is_file() for parent in place.parents if parent != worktree):
        return
    if deed in {"write", "link", "folder"}:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove(place)
        if deed == "write":
            place.write_text(f"{name} written\n")
        elif deed == "link":
            place.symlink_to("a")
        else:
            place.mkdir()
            (place / "within").write_text("within\n")
    elif deed == "delete":
        remove(place)
    elif deed == "chmod" and place.is_file() and not place.is_symlink():
        place.chmod(0o755)
    elif deed == "stage":
        git(worktree, "add", "-A", "--", ".", ":(exclude)prds")


def remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def modes(worktree: Path) -> dict[str, int]:
    return {name: (worktree / name).lstat().st_mode & 0o111 for name in contents(worktree)}


@settings(max_examples=30, deadline=None)
@given(st.lists(deeds, min_size=1, max_size=8))
def test_set_aside_clean_and_put_back_is_the_identity(deeds: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder).resolve() / "repo", FILES)
        worktree = site.start("A")
        for deed, name in deeds:
            do(worktree, deed, name)
        before, before_modes = contents(worktree), modes(worktree)
        kept = salvage.set_aside(site.git, worktree, "A", "run-1")
        assert contents(worktree) == before
        left = salvage.clean(site.git, worktree, kept)
        # Ignored files stay where they are, and nothing is removed to make room for what they block.
        stays = {name: text for name, text in before.items() if name == "ignored" or name.startswith("prds/")}
        assert contents(worktree) == {k: v for k, v in FILES.items() if k not in left} | stays | {
            name: text for name, text in before.items() if name.startswith("ignored/")
        }
        if kept is not None:
            assert salvage.put_back(site.git, worktree, kept) == ()
        assert contents(worktree) == before
        assert modes(worktree) == before_modes
        assert site.git.branch_commit("feature/A") == site.base
