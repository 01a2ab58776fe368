from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coordinator import branches
from coordinator.errors import GitError
from coordinator.git import Git, discover
from coordinator.mending import mend
from coordinator.moved import reconnect
from coordinator.worktrees import Worktrees
from tests.support.repos import git
from tests.support.sites import FILES, Site, contents
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

#: Begins, fills and marks the worktree of PRD A in the repository of argv[1], as run-1.
SCRIPT = """
import sys
from pathlib import Path
from coordinator.git import Git, discover
from coordinator.worktrees import Worktrees
paths = discover(Path(sys.argv[1]))
worktrees = Worktrees(Git(paths), paths, Path(".claude-loop/worktrees"))
path = worktrees.add("A", "run-1", "feature/A")
worktrees.fill(path)
worktrees.mark_filled("A", "run-1")
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


def run_script(site: Site, **variables: str) -> subprocess.Popen[bytes]:
    site.paths.run_dir("A", "run-1").mkdir(parents=True, exist_ok=True)
    branches.create(site.git, "feature/A", site.base, "run-1")
    env = dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(site.repo)], env=env)


# -- crashes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["worktree-added", "worktree-filled"])
def test_a_worktree_without_its_mark_is_reclaimed(site: Site, point: str) -> None:
    user = site.start("users", branch="users-own")
    git(site.repo, "worktree", "unlock", str(user))
    git(site.repo, "worktree", "lock", "--reason", "on a stick", str(user))
    assert run_script(site, PRD_TUI_FAULT=point).wait(30) == -signal.SIGKILL
    path = site.worktrees.path_for("A")
    assert path.exists()
    assert not site.worktrees.is_filled("A")
    assert site.worktrees.reclaim(["run-1"]) == []
    assert path.exists()
    done = site.worktrees.reclaim([])
    assert [sentence for sentence in done if str(path) in sentence]
    assert not path.exists()
    assert site.git.branch_commit("feature/A") is None
    assert site.worktrees.reclaim([]) == []
    assert user.exists()
    assert len(site.worktrees.entries()) == 2


def test_a_filled_worktree_is_never_reclaimed(site: Site) -> None:
    assert run_script(site, PRD_TUI_FAULT="filled-marked").wait(30) == -signal.SIGKILL
    assert site.worktrees.is_filled("A")
    assert site.worktrees.reclaim([]) == []
    assert contents(site.worktrees.path_for("A")) == FILES


def test_a_worktree_whose_run_was_forgotten_or_started_is_left(site: Site) -> None:
    forgotten, started = site.begin("A"), site.begin("B")
    shutil.rmtree(site.paths.run_dir("A", "run-1"))
    (site.paths.run_dir("B", "run-1") / "start.json").write_text("{}")
    assert "nothing is recorded" in site.worktrees.reclaim([])[0]
    assert forgotten.exists()
    assert started.exists()


def test_reclaiming_one_keeps_its_branch(site: Site) -> None:
    site.begin("A")
    site.begin("B")
    assert site.worktrees.reclaim_one("A")
    assert not site.worktrees.path_for("A").exists()
    assert site.git.branch_commit("feature/A") == site.base
    assert site.worktrees.path_for("B").exists()
    assert site.worktrees.reclaim_one("A") == []
    site.paths.run_dir("A", "run-2").mkdir()
    site.worktrees.fill(site.worktrees.add("A", "run-2", "feature/A"))


def test_a_branch_with_commits_outlives_its_half_made_worktree(site: Site) -> None:
    worktree = site.begin("A")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "work")
    site.worktrees.reclaim([])
    assert not worktree.exists()
    assert site.git.rev_count(site.base, "refs/heads/feature/A") == 1


def test_what_git_cannot_list_is_reclaimed_too(site: Site) -> None:
    fragment = site.repo / ".git" / "worktrees" / "A"
    foreign = site.repo / ".git" / "worktrees" / "B"
    for place, reason in ((fragment, "prd:run-1"), (foreign, "mine")):
        place.mkdir(parents=True)
        (place / "locked").write_text(reason)
    site.worktrees.reclaim([])
    assert not fragment.exists()
    assert foreign.exists()
    broken = site.begin("C")
    (broken / ".git").unlink()
    site.worktrees.reclaim([])
    assert not broken.exists()
    assert len(site.worktrees.entries()) == 1


def test_an_add_that_was_killed_in_the_middle_does_not_stop_every_git(site: Site) -> None:
    ours = site.begin("A")
    theirs = site.repo.parent / "theirs"
    git(site.repo, "worktree", "add", "-q", "--detach", str(theirs))
    entries = site.repo / ".git" / "worktrees"
    for name in ("A", "theirs"):
        (entries / name / "commondir").write_bytes(b"")
    assert site.git.run("worktree", "list", check=False).returncode != 0, "nor does any other such command"
    assert [entry.path for entry in site.worktrees.entries()] == [site.repo, ours, theirs]
    site.worktrees.reclaim([])
    assert [entry.path for entry in site.worktrees.entries()] == [site.repo, theirs]
    (entries / "theirs" / "gitdir").write_bytes(b"")  # killed a moment before: no command lists it
    site.begin("B", run_id="run-2")
    (entries / "B" / "gitdir").write_bytes(b"")
    site.worktrees.reclaim([])
    assert not (entries / "B").exists()
    assert (entries / "theirs").exists()


def test_kill_while_filling_ends_in_a_whole_tree(tmp_path: Path) -> None:
    files = {f"{n:04}.txt": f"{n}\n" * 50 for n in range(400)}
    site = Site(tmp_path / "repo", files)
    slow = "sh -c 'sleep 0.02; cat'"
    (site.repo / ".gitattributes").write_text("00*.txt filter=slow\n")
    git(site.repo, "config", "filter.slow.smudge", slow)
    git(site.repo, "add", "-A")
    git(site.repo, "commit", "-q", "-m", "slow")
    site.base = git(site.repo, "rev-parse", "HEAD")
    child = run_script(site)
    path = site.worktrees.path_for("A")
    wait_until(lambda: path.is_dir() and len(list(path.iterdir())) > 5, 30.0, "a half-filled worktree")
    child.kill()
    child.wait()
    assert not site.worktrees.is_filled("A")
    # Its git has a session of its own and works on; nobody may fill or delete under it.
    site.worktrees.fill(path)
    assert git(path, "status", "--porcelain") == ""
    assert len([name for name in contents(path) if name.endswith(".txt")]) == 400
    assert not (site.git.own_directory(path) / "index.lock").exists()


def test_a_stale_index_lock_does_not_stop_a_fill(site: Site) -> None:
    worktree = site.begin("A")
    (site.git.own_directory(worktree) / "index.lock").touch()
    site.worktrees.fill(worktree)
    assert contents(worktree) == FILES


def test_a_moved_repository_is_repaired(site: Site, tmp_path: Path) -> None:
    site.start("A")
    site.repo.rename(tmp_path / "moved")
    paths = discover(tmp_path / "moved")
    worktrees = Worktrees(Git(paths), paths, Path(".claude-loop/worktrees"))
    path = worktrees.path_for("A")
    assert [str(path) in said for said in reconnect(Git(paths), worktrees)] == [True]
    assert worktrees.is_filled("A")
    assert git(path, "status", "--porcelain") == ""
    assert reconnect(Git(paths), worktrees) == []


def test_a_copy_without_its_worktrees_never_looks_into_those_of_the_original(
    site: Site, tmp_path: Path
) -> None:
    path = site.begin("A")  # half-made: whose entry names it may remove it
    copy = tmp_path / "copy"
    shutil.copytree(site.repo, copy, ignore=shutil.ignore_patterns(".claude-loop"))
    paths = discover(copy)
    worktrees = Worktrees(Git(paths), paths, Path(".claude-loop/worktrees"))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert reconnect(Git(paths), worktrees) == []
    worktrees.reclaim(())
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert [entry.path for entry in worktrees.entries()] == [copy]
    assert site.worktrees.owner(path) == "run-1"


def test_a_worktree_that_two_repositories_want_stays_with_the_first(site: Site, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    first = Worktrees(site.git, site.paths, elsewhere)
    branches.create(site.git, "feature/A", site.base, "run-1")
    path = first.add("A", "run-1", "feature/A")
    first.fill(path)
    copy = shutil.copytree(site.repo, tmp_path / "copy")
    paths = discover(copy)
    second = Worktrees(Git(paths), paths, elsewhere)
    assert reconnect(Git(paths), second) == []
    with pytest.raises(GitError, match="another repository"):
        mend(Git(paths), second, "A", "run-1")
    assert path.is_dir()
    assert first.owner(path) == "run-1"
    assert second.owner(path) is None


def test_a_git_file_that_is_none_holds_nobody_up(site: Site) -> None:
    worktree = site.start("A")
    (worktree / "loop").symlink_to("loop")
    seen = []

    def look() -> None:
        seen.append((reconnect(site.git, site.worktrees), site.worktrees.is_filled("A")))

    for content in (b"gitdir: \0\n", b"gitdir: loop\n", None):
        (worktree / ".git").unlink()
        os.mkfifo(worktree / ".git") if content is None else (worktree / ".git").write_bytes(content)
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(30)
    assert seen == [([], False)] * 3


def test_a_worktree_that_is_moved_aside_leaves_all_commits_that_no_branch_has(site: Site) -> None:
    worktree = site.start("A")
    commits = []
    for words in (("--detach",), ("--detach", "main"), ("feature/A",)):
        git(worktree, "switch", "-q", *words)
        git(worktree, "commit", "-q", "--allow-empty", "-m", f"on {words}")
        commits.append(git(worktree, "rev-parse", "HEAD"))
    git(site.repo, "update-ref", "-d", "refs/heads/feature/A")
    said = mend(site.git, site.worktrees, "A", "run-1")
    assert said is not None
    assert set(site.git.refs("refs/prd/salvage/").values()) == set(commits)
    assert site.git.head_commit("refs/prd/salvage/A/run-1-head") == commits[-1]


# -- taking down -------------------------------------------------------------------------------------


def test_removing_keeps_every_commit_and_every_change(site: Site) -> None:
    before = fingerprint(site.repo, ["feature/A"])
    worktree = site.start("A")
    (worktree / "b.txt").write_text("b\n")
    git(worktree, "add", "-A")
    git(worktree, "commit", "-q", "-m", "work")
    (worktree / "c.txt").write_text("c\n")
    (worktree / "x.log").write_text("ignored\n")
    closed = worktree / "closed"
    closed.mkdir()
    (closed / "x.log").write_text("ignored\n")
    closed.chmod(0o500)
    worktree.chmod(0o500)
    tip = site.git.branch_commit("feature/A")
    kept = site.worktrees.remove("A", "run-1")
    assert kept
    assert git(site.repo, "show", f"{kept.ref}:c.txt") == "c"
    assert site.git.branch_commit("feature/A") == tip
    assert not worktree.exists()
    assert len(site.worktrees.entries()) == 1
    assert not site.worktrees.is_filled("A")
    assert site.worktrees.remove("A", "run-1") is None
    assert fingerprint(site.repo, ["feature/A"]) == before


def test_a_worktree_that_holds_the_only_copy_stays(site: Site) -> None:
    worktree = site.start("A")
    git(worktree, "checkout", "-q", "--detach")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "work")
    with pytest.raises(GitError, match="commits on no branch"):
        site.worktrees.remove("A", "run-1")
    git(worktree, "checkout", "-q", "-b", "kept")
    (worktree / "nested").mkdir()
    git(worktree / "nested", "init", "-q")
    with pytest.raises(GitError, match=r"a repository of its own \(nested\)"):
        site.worktrees.remove("A", "run-1")
    assert worktree.exists()
    shutil.rmtree(worktree)
    assert site.worktrees.remove("A", "run-1") is None
    assert len(site.worktrees.entries()) == 1
