"""A worktree goes on proof alone, and whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator import branches
from coordinator.errors import GitError
from coordinator.git import Git, discover
from coordinator.removal import directory_of, loose_commits, why_it_stays
from coordinator.worktrees import Worktrees
from tests.support.cli import ROOT
from tests.support.repos import git, make_repo
from tests.support.sites import FILES, Site, contents


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


def test_commits_that_only_the_log_of_head_knows_keep_it(site: Site) -> None:
    worktree = site.start("A")
    git(worktree, "switch", "-q", "--detach")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "made on no branch")
    lost = git(worktree, "rev-parse", "HEAD")
    git(worktree, "switch", "-q", "feature/A")
    with pytest.raises(GitError, match="commits on no branch"):
        site.worktrees.remove("A", "run-1")
    git(site.repo, "update-ref", "refs/prd/dropped/A/run-1", lost)
    with pytest.raises(GitError, match="commits on no branch"):
        site.worktrees.remove("A", "run-1")
    assert site.worktrees.remove("A", "run-1", kept=("refs/prd/dropped/A/run-1",)) is None
    assert not worktree.exists()


@pytest.mark.parametrize("deed", ["cherry-pick", "revert --no-edit", "merge --no-ff --no-edit"])
def test_however_git_made_them_and_what_is_advised_helps(site: Site, deed: str) -> None:
    worktree = site.start("A")
    git(worktree, "switch", "-q", "-c", "other")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "filler")
    (worktree / "x.txt").write_text("x\n")
    git(worktree, "add", "-A")
    git(worktree, "commit", "-q", "-m", "x")
    git(worktree, "switch", "-q", "--detach", "other" if "revert" in deed else site.base)
    git(worktree, *deed.split(), "other")
    made = git(worktree, "rev-parse", "HEAD")
    git(worktree, "switch", "-q", "feature/A")
    entry = site.worktrees.entry(worktree)
    assert entry is not None
    assert loose_commits(site.git, entry) == [made]
    advice = why_it_stays(site.git, entry).split("`")[1]
    git(worktree, *advice.replace("NAME", "kept").split()[1:])
    assert why_it_stays(site.git, entry) == ""


def test_a_worktree_in_it_keeps_it_though_git_ignores_its_folder(site: Site) -> None:
    worktree = site.start("A")
    (worktree / ".gitignore").write_text(".agent/\n")
    git(worktree, "commit", "-q", "-a", "-m", "ignore")
    git(worktree, "worktree", "add", "-q", "-b", "theirs", ".agent/theirs")
    (worktree / ".agent" / "theirs" / "loose.txt").write_text("loose\n")
    with pytest.raises(GitError, match="theirs is a worktree in"):
        site.worktrees.remove("A", "run-1")
    assert (worktree / ".agent" / "theirs" / "loose.txt").exists()


def test_changes_that_git_was_told_not_to_look_for_are_set_aside(site: Site) -> None:
    worktree = site.start("A")
    git(worktree, "update-index", "--assume-unchanged", "a.txt")
    git(worktree, "update-index", "--skip-worktree", "deep/er/b.txt", "run.sh")
    (worktree / "a.txt").write_text("changed\n")
    (worktree / "deep" / "er" / "b.txt").write_text("changed\n")
    (worktree / "run.sh").unlink()  # as in a sparse checkout, where that is no change
    kept = site.worktrees.remove("A", "run-1")
    assert kept is not None
    assert git(site.repo, "diff", "--name-status", "main", kept.ref).split() == [
        "M",
        "a.txt",
        "M",
        "deep/er/b.txt",
    ]


def test_submodules_keep_it_until_a_person_has_done_what_is_advised(site: Site, tmp_path: Path) -> None:
    allow = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    git(site.repo, *allow, "add", str(make_repo(tmp_path / "lib")), "lib")
    git(site.repo, "commit", "-q", "-m", "lib")
    site.base = git(site.repo, "rev-parse", "HEAD")
    worktree = site.start("A")
    git(worktree, *allow, "update", "--init")
    with pytest.raises(GitError, match="has submodules") as refused:
        site.worktrees.remove("A", "run-1")
    said = str(refused.value)
    git(worktree, *said.split("`")[1].split()[1:])
    shutil.rmtree(said.rpartition("delete ")[2])
    assert site.worktrees.remove("A", "run-1") is None
    assert not worktree.exists()


def test_an_entry_that_names_its_worktree_from_where_it_lies_is_found(site: Site) -> None:
    worktree = site.start("A")
    own = site.repo / ".git" / "worktrees" / "A"
    (own / "gitdir").write_text(f"{os.path.relpath(worktree / '.git', own)}\n")
    assert directory_of(site.git, worktree) == own


def test_a_folder_with_a_name_like_those_that_go_is_left(site: Site) -> None:
    theirs = site.start("A").with_name(".old.going-away")
    theirs.mkdir()
    assert site.worktrees.sweep() == []
    assert theirs.is_dir()


def test_what_a_worker_rewrites_on_its_branch_does_not(site: Site) -> None:
    worktree = site.start("A")
    for name in "xyz":
        (worktree / f"{name}.txt").write_text(name)
        git(worktree, "add", "-A")
        git(worktree, "commit", "-q", "-m", name)
    git(worktree, "commit", "-q", "--amend", "-m", "other words")
    git(worktree, "reset", "-q", "--hard", "HEAD~1")
    git(worktree, "rebase", "-q", "--exec", "true", "HEAD~1")
    git(worktree, "switch", "-q", "--detach")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "a")
    git(worktree, "commit", "-q", "--allow-empty", "--amend", "-m", "b")
    git(worktree, "switch", "-q", "-c", "kept")
    site.worktrees.remove("A", "run-1")
    assert not worktree.exists()


def test_somebody_at_work_there_keeps_it(site: Site) -> None:
    worktree = site.start("A")
    (worktree / "loose.txt").write_text("loose\n")
    script = "import os, time; os.chdir('deep'); print(flush=True); time.sleep(600)"
    # Somebody else's process, not a child of whoever removes the worktree.
    shell = f'"{sys.executable}" -c "{script}" & echo $!'
    started = subprocess.Popen(["sh", "-c", shell], cwd=worktree, stdout=subprocess.PIPE, text=True)
    assert started.stdout
    pid = int(started.stdout.readline())
    started.stdout.readline()
    try:
        with pytest.raises(GitError, match=rf"\({pid}\) is at work in"):
            site.worktrees.remove("A", "run-1")
        assert (worktree / "loose.txt").exists()
    finally:
        os.kill(pid, signal.SIGKILL)
        started.stdout.close()
        started.wait()


def test_killed_on_the_way_it_is_whole_or_gone(site: Site) -> None:
    worktree = site.start("A")
    (worktree / "loose.txt").write_text("loose\n")
    code = (
        "import sys; from pathlib import Path; from coordinator.git import Git, discover; "
        "from coordinator.worktrees import Worktrees; paths = discover(Path(sys.argv[1])); "
        "Worktrees(Git(paths), paths, Path('.claude-loop/worktrees')).remove('A', 'run-1')"
    )
    env = os.environ | {"PRD_TUI_FAULT": "worktree-moved-away", "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", code, str(site.repo)], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not worktree.exists()
    assert not site.worktrees.is_filled("A")
    site.paths.run_dir("A", "run-2").mkdir(parents=True)
    assert site.worktrees.add("A", "run-2", "feature/A") == worktree
    site.worktrees.fill(worktree)
    assert contents(worktree) == FILES
    assert len(site.worktrees.sweep()) == 1
    assert sorted(path.name for path in worktree.parent.iterdir()) == ["A"]
    assert git(site.repo, "show", "refs/prd/salvage/A/run-1:loose.txt") == "loose"


def test_a_copy_of_the_repository_takes_nothing_of_the_original_down(site: Site, tmp_path: Path) -> None:
    worktree = site.start("A")
    shutil.copytree(site.repo, tmp_path / "copy", symlinks=True)
    paths = discover(tmp_path / "copy")
    door = Git(paths)
    foreign = Worktrees(door, paths, Path(".claude-loop/worktrees"))
    assert foreign.entry(worktree) is not None, "the copy's git believes that it is its own"
    with pytest.raises(GitError, match="no longer a worktree of this repository"):
        foreign.remove("A", "run-1", path=worktree)
    assert contents(worktree) == FILES


def test_a_branch_goes_only_when_it_is_ours_merged_and_not_in_use(site: Site) -> None:
    worktree = site.start("A")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "work")
    git(site.repo, "branch", "theirs")
    git(site.repo, "config", "branch.feature/A.remote", "origin")

    def deleted(name: str, *run_ids: str) -> bool:
        return branches.delete_merged(site.git, name, run_ids, git(site.repo, "rev-parse", "main"))

    site.worktrees.remove("A", "run-1")
    assert not deleted("feature/A", "run-1"), "unmerged"
    git(site.repo, "merge", "-q", "feature/A")
    assert not deleted("feature/A", "run-2"), "another's"
    assert not deleted("theirs", "run-1")
    git(site.repo, "switch", "-q", "feature/A")
    assert not deleted("feature/A", "run-1"), "checked out"
    git(site.repo, "switch", "-q", "main")
    assert deleted("feature/A", "run-1")
    assert site.git.branch_commit("feature/A") is None
    assert "feature/A" not in (site.repo / ".git" / "config").read_text()
