from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coordinator import branches
from coordinator.errors import GitError, PrdTuiError
from coordinator.git import Git, discover
from coordinator.worktrees import Worktrees
from tests.support.repos import git, make_repo
from tests.support.sites import FILES, Site, contents
from tests.support.untouched import fingerprint


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


# -- making ------------------------------------------------------------------------------------------


def test_a_worktree_has_its_files_its_branch_and_its_owner(site: Site) -> None:
    before = fingerprint(site.repo, ["feature/A"])
    worktree = site.begin("A")
    assert worktree == site.repo / ".claude-loop" / "worktrees" / "A"
    assert not site.worktrees.is_filled("A")
    assert contents(worktree) == {}
    assert site.worktrees.fill(worktree) is None
    assert not site.worktrees.is_filled("A")
    site.worktrees.mark_filled("A", "run-1")
    assert site.worktrees.is_filled("A")
    assert contents(worktree) == FILES
    assert os.access(worktree / "run.sh", os.X_OK)
    assert git(worktree, "branch", "--show-current") == "feature/A"
    assert git(worktree, "status", "--porcelain") == ""
    assert site.worktrees.owner(worktree) == "run-1"
    entry = site.worktrees.entries()[1]
    assert (entry.path, entry.branch, entry.head) == (worktree, "feature/A", site.base)
    assert (entry.lock_reason, entry.prunable) == ("prd:run-1", False)
    assert fingerprint(site.repo, ["feature/A"]) == before


def test_each_step_can_be_repeated(site: Site) -> None:
    worktree = site.begin("A")
    assert site.worktrees.add("A", "run-1", "feature/A") == worktree
    site.worktrees.fill(worktree)
    (worktree / "a.txt").unlink()
    site.worktrees.fill(worktree)
    assert contents(worktree) == FILES
    site.worktrees.mark_filled("A", "run-1")
    site.worktrees.mark_filled("A", "run-1")
    assert site.worktrees.add("A", "run-1", "feature/A") == worktree


def test_work_in_a_filled_worktree_is_never_filled_over(site: Site) -> None:
    worktree = site.start("A")
    (worktree / "a.txt").write_text("work\n")
    site.worktrees.fill(worktree)
    assert (worktree / "a.txt").read_text() == "work\n"
    git(worktree, "checkout", "-q", "-b", "astray")
    for run_id in ("run-1", "run-2"):
        with pytest.raises(PrdTuiError, match="still holds an earlier run"):
            site.worktrees.add("A", run_id, "feature/A")
    assert (worktree / "a.txt").read_text() == "work\n"


def test_what_is_not_ours_is_left_and_named(site: Site, tmp_path: Path) -> None:
    branches.create(site.git, "feature/A", site.base, "run-1")
    place = site.worktrees.path_for("A")
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine\n")
    with pytest.raises(PrdTuiError, match="is in the way"):
        site.worktrees.add("A", "run-1", "feature/A")
    assert (place / "notes.txt").read_text() == "mine\n"
    shutil.rmtree(place)
    git(site.repo, "worktree", "add", "-q", "-b", "users", str(place))
    with pytest.raises(PrdTuiError, match="somebody else's worktree"):
        site.worktrees.add("A", "run-1", "feature/A")
    assert site.worktrees.owner(place) is None
    with pytest.raises(GitError, match="not a worktree of prd-tui's"):
        site.worktrees.fill(place)
    with pytest.raises(GitError, match="not a worktree of prd-tui's"):
        site.worktrees.remove("A", "run-1")
    git(site.repo, "worktree", "remove", str(place))
    git(site.repo, "worktree", "add", "-q", str(tmp_path / "users"), "feature/A")
    with pytest.raises(PrdTuiError, match="is checked out in"):
        site.worktrees.add("A", "run-1", "feature/A")


def test_an_error_leaves_no_entry_and_no_directory(site: Site) -> None:
    with pytest.raises(GitError, match="could not be made"):
        site.worktrees.add("A", "run-1", "no-such-branch")
    assert len(site.worktrees.entries()) == 1
    assert not site.worktrees.path_for("A").exists()
    assert git(site.repo, "branch", "--format=%(refname:short)") == "main"


@pytest.mark.parametrize("prd_id", ["..", ".", "", "../x", "a/b", "/etc", "x/../../y"])
def test_no_worktree_outside_the_root(site: Site, prd_id: str) -> None:
    with pytest.raises(PrdTuiError, match="no place for a worktree"):
        site.worktrees.path_for(prd_id)


def test_a_link_in_the_root_is_not_followed(site: Site, tmp_path: Path) -> None:
    root = site.repo / ".claude-loop" / "worktrees"
    root.mkdir(parents=True)
    (root / "A").symlink_to(tmp_path)
    with pytest.raises(PrdTuiError, match="remove the link"):
        site.worktrees.path_for("A")


def test_a_root_reached_through_a_link_and_outside_the_repository_works(site: Site, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "big disk")
    worktrees = Worktrees(site.git, site.paths, tmp_path / "link")
    branches.create(site.git, "feature/A", site.base, "run-1")
    worktree = worktrees.add("A", "run-1", "feature/A")
    worktrees.fill(worktree)
    worktrees.mark_filled("A", "run-1")
    assert worktrees.is_filled("A")
    assert contents(worktree) == FILES
    assert worktrees.remove("A", "run-1") is None
    assert not worktree.exists()


def test_a_vanished_worktree_is_made_again(site: Site) -> None:
    worktree = site.start("A")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "work")
    tip = site.git.branch_commit("feature/A")
    shutil.rmtree(worktree)
    assert not site.worktrees.is_filled("A")
    for run_id in ("run-1", "run-2"):
        site.paths.run_dir("A", run_id).mkdir(parents=True, exist_ok=True)
        site.worktrees.add("A", run_id, "feature/A")
        assert not site.worktrees.is_filled("A")
        site.worktrees.fill(worktree)
        assert contents(worktree) == FILES
        site.worktrees.mark_filled("A", run_id)
        assert site.git.branch_commit("feature/A") == tip
        shutil.rmtree(worktree)


def test_files_that_look_changed_at_once_are_only_a_warning(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "plain", {"a.txt": "a\r\n"})
    (repo / ".gitattributes").write_text("*.txt text eol=lf\n")
    git(repo, "add", ".gitattributes")
    git(repo, "commit", "-q", "-m", "attributes")
    paths = discover(repo)
    worktrees = Worktrees(Git(paths), paths, Path("trees"))
    branches.create(Git(paths), "x", git(repo, "rev-parse", "HEAD"), "run-1")
    warning = worktrees.fill(worktrees.add("A", "run-1", "x"))
    assert warning is None or "a.txt" in warning
    assert (paths.root / "trees" / "A" / "a.txt").exists()


def test_a_checkout_that_fails_is_an_error(site: Site) -> None:
    (site.repo / ".gitattributes").write_text("a.txt filter=broken\n")
    git(site.repo, "add", ".gitattributes")
    git(site.repo, "commit", "-q", "-m", "attributes")
    git(site.repo, "config", "filter.broken.smudge", "false")
    git(site.repo, "config", "filter.broken.required", "true")
    site.base = git(site.repo, "rev-parse", "HEAD")
    worktree = site.begin("A")
    with pytest.raises(GitError, match=r"a\.txt"):
        site.worktrees.fill(worktree)
    assert not site.worktrees.is_filled("A")


def test_a_repository_with_a_submodule_works(site: Site, tmp_path: Path) -> None:
    inner = make_repo(tmp_path / "inner")
    git(site.repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    git(site.repo, "commit", "-q", "-m", "submodule")
    site.base = git(site.repo, "rev-parse", "HEAD")
    before = fingerprint(site.repo, ["feature/A"])
    worktree = site.start("A")
    assert list((worktree / "sub").iterdir()) == []
    assert site.worktrees.remove("A", "run-1") is None
    assert fingerprint(site.repo, ["feature/A"]) == before
    worktree = site.start("B")
    git(worktree, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
    with pytest.raises(GitError, match="has submodules"):
        site.worktrees.remove("B", "run-1")


def test_twenty_at_once_beside_an_agents_git(site: Site) -> None:
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            git(site.repo, "worktree", "prune", "--expire=now")
            git(site.repo, "gc", "-q", "--auto")
            git(site.repo, "pack-refs", "--all")

    names = [f"PRD-{number:03}" for number in range(20)]
    before = fingerprint(site.repo, [f"feature/{name}" for name in names])
    noise = threading.Thread(target=disturb)
    noise.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(site.start, names))
    finally:
        stop.set()
        noise.join()
    assert [contents(worktree) for worktree in made] == [FILES] * 20
    assert all(site.worktrees.is_filled(name) for name in names)
    assert len(site.worktrees.entries()) == 21
    heads = git(site.repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/").splitlines()
    assert heads == [*(f"feature/{name}" for name in names), "main"]
    assert fingerprint(site.repo, [f"feature/{name}" for name in names]) == before


def test_no_commit_of_a_worker_fails_while_we_look(site: Site) -> None:
    worktree = site.start("A")
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            site.git.run("status", "--porcelain", "-z", cwd=worktree)
            site.worktrees.entries()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(30):
            (worktree / f"{number}.txt").write_text(f"{number}\n")
            git(worktree, "add", "-A")
            git(worktree, "commit", "-q", "-m", f"commit {number}")
    finally:
        stop.set()
        watcher.join()
    assert site.git.rev_count(site.base, "refs/heads/feature/A") == 30
