from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator import salvage
from coordinator.errors import GitError
from coordinator.git_locks import clear_index_lock
from tests.support.repos import git, git_env
from tests.support.sites import Site, contents
from tests.support.untouched import fingerprint

FILES = {
    "kept.txt": "kept\n",
    "changed.txt": "old\n",
    "deleted.txt": "deleted\n",
    "folder/inner.txt": "inner\n",
    "run.sh": "#!/bin/sh\n",
    ".gitignore": "*.log\nbuild/\n",
    "prds/active/A/prd.json": "{}\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "repo", FILES)


@pytest.fixture
def worktree(site: Site) -> Path:
    return site.start("A")


def untidy(worktree: Path) -> None:
    """Every kind of uncommitted work, and every kind of thing that is none."""
    (worktree / "changed.txt").write_text("new\n")
    (worktree / "deleted.txt").unlink()
    (worktree / "run.sh").chmod(0o644)
    (worktree / "ünträcked\n.txt").write_text("untracked\n")
    (worktree / "new").mkdir()
    (worktree / "new" / "deep.txt").write_text("deep\n")
    (worktree / "link").symlink_to("kept.txt")
    (worktree / "staged.txt").write_text("staged\n")
    git(worktree, "add", "staged.txt")
    (worktree / "noise.log").write_text("ignored\n")
    (worktree / "prds" / "active" / "A" / "prd.json").write_text('{"passes": true}\n')
    (worktree / "prds" / "active" / "A" / "progress.txt").write_text("progress\n")
    (worktree / ".last-branch").write_text("x\n")
    (worktree / ".claude-loop").mkdir()
    (worktree / ".claude-loop" / "exit_code").write_text("0\n")


#: What is left of `untidy` in a clean worktree.
NOT_WORK = {
    "noise.log": "ignored\n",
    "prds/active/A/prd.json": '{"passes": true}\n',
    "prds/active/A/progress.txt": "progress\n",
    ".last-branch": "x\n",
    ".claude-loop/exit_code": "0\n",
}


def test_nothing_uncommitted_makes_no_salvage(site: Site, worktree: Path) -> None:
    (worktree / "noise.log").write_text("ignored\n")
    (worktree / "prds" / "active" / "A" / "prd.json").write_text("changed\n")
    os.utime(worktree / "kept.txt", (1, 1))
    assert salvage.set_aside(site.git, worktree, "A", "run-1") is None
    assert salvage.clean(site.git, worktree, None) == ()
    assert site.git.refs("refs/prd/") == {}


def test_all_uncommitted_work_is_set_aside_and_comes_back(site: Site, worktree: Path) -> None:
    before_user = fingerprint(site.repo, ["feature/A"])
    untidy(worktree)
    before, index = contents(worktree), git(worktree, "ls-files", "-s")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    assert kept.ref == "refs/prd/salvage/A/run-1"
    assert (contents(worktree), git(worktree, "ls-files", "-s")) == (before, index)
    assert salvage.salvaged_paths(site.git, kept) == sorted(
        ["changed.txt", "deleted.txt", "link", "new/deep.txt", "run.sh", "staged.txt", "ünträcked\n.txt"],
        key=os.fsencode,
    )
    assert git(worktree, "show", f"{kept.commit}:changed.txt") == "new"
    assert git(worktree, "rev-parse", f"{kept.commit}^1") == site.base
    assert site.git.branch_commit("feature/A") == site.base

    assert salvage.clean(site.git, worktree, kept) == ()
    assert contents(worktree) == FILES | NOT_WORK
    assert os.access(worktree / "run.sh", os.X_OK)
    assert not (worktree / "new").exists()
    status = git(worktree, "status", "--porcelain", "--", ".", ":(exclude)prds", ":(exclude).last-branch")
    assert status == ""
    assert salvage.clean(site.git, worktree, kept) == ()
    assert salvage.set_aside(site.git, worktree, "A", "run-1") is None
    assert salvage.held(site.git, "A", "run-1") == kept

    assert salvage.put_back(site.git, worktree, kept) == ()
    assert contents(worktree) == before
    assert not os.access(worktree / "run.sh", os.X_OK)
    assert salvage.put_back(site.git, worktree, kept) == ()
    assert contents(worktree) == before
    assert salvage.set_aside(site.git, worktree, "A", "run-1") == kept
    assert fingerprint(site.repo, ["feature/A"]) == before_user


def test_staged_content_that_no_file_has_is_kept_beside(site: Site, worktree: Path) -> None:
    (worktree / "changed.txt").write_text("staged\n")
    git(worktree, "add", "changed.txt")
    (worktree / "changed.txt").write_text("old\n")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    assert git(worktree, "show", f"{kept.commit}^2:changed.txt") == "staged"
    assert salvage.set_aside(site.git, worktree, "A", "run-1") == kept
    salvage.clean(site.git, worktree, kept)
    assert git(worktree, "diff", "--cached") == ""


def test_nothing_is_cleaned_that_the_salvage_does_not_hold(site: Site, worktree: Path) -> None:
    untidy(worktree)
    with pytest.raises(GitError, match="has changed since"):
        salvage.clean(site.git, worktree, None)
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    (worktree / "late.txt").write_text("late\n")
    before = contents(worktree)
    with pytest.raises(GitError, match=r"late\.txt .* has changed since"):
        salvage.clean(site.git, worktree, kept)
    assert contents(worktree) == before
    later = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert later
    assert kept
    assert site.git.is_ancestor(kept.commit, later.commit)
    assert salvage.clean(site.git, worktree, later) == ()


def test_a_clean_cut_off_half_way_is_finished_from_the_same_salvage(site: Site, worktree: Path) -> None:
    untidy(worktree)
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    git(worktree, "reset", "-q")
    (worktree / "link").unlink()
    (worktree / "changed.txt").write_text("old\n")
    assert salvage.set_aside(site.git, worktree, "A", "run-1") == kept
    salvage.clean(site.git, worktree, kept)
    assert contents(worktree) == FILES | NOT_WORK


def test_what_changed_otherwise_meanwhile_is_not_overwritten(site: Site, worktree: Path) -> None:
    untidy(worktree)
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    salvage.clean(site.git, worktree, kept)
    (worktree / "changed.txt").write_text("by somebody\n")
    (worktree / "new").write_text("a file now\n")
    assert salvage.put_back(site.git, worktree, kept) == ("changed.txt", "new/deep.txt")
    assert (worktree / "changed.txt").read_text() == "by somebody\n"
    assert (worktree / "new").read_text() == "a file now\n"
    assert (worktree / "staged.txt").read_text() == "staged\n"


def test_what_was_committed_meanwhile_is_not_taken_back(site: Site, worktree: Path) -> None:
    untidy(worktree)
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    salvage.clean(site.git, worktree, kept)
    (worktree / "changed.txt").write_text("committed\n")
    git(worktree, "commit", "-q", "-m", "later", "changed.txt")
    assert salvage.put_back(site.git, worktree, kept) == ("changed.txt",)
    assert (worktree / "changed.txt").read_text() == "committed\n"
    assert not (worktree / "deleted.txt").exists()


def test_files_and_folders_that_took_each_others_place(site: Site, worktree: Path) -> None:
    (worktree / "changed.txt").unlink()
    (worktree / "changed.txt").mkdir()
    (worktree / "changed.txt" / "in.txt").write_text("in\n")
    (worktree / "folder" / "inner.txt").unlink()
    (worktree / "folder").rmdir()
    (worktree / "folder").symlink_to("changed.txt")
    os.mkfifo(worktree / "pipe")
    (worktree / "kept.txt").unlink()
    os.mkfifo(worktree / "kept.txt")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    salvage.clean(site.git, worktree, kept)
    assert contents(worktree) == FILES
    salvage.put_back(site.git, worktree, kept)
    assert (worktree / "changed.txt" / "in.txt").read_text() == "in\n"
    assert (worktree / "folder").readlink() == Path("changed.txt")


def test_repositories_inside_the_worktree_are_never_touched(site: Site, worktree: Path) -> None:
    for name in ("nested", "empty"):
        (worktree / name).mkdir()
        git(worktree / name, "init", "-q")
    (worktree / "nested" / "work.txt").write_text("work\n")
    git(worktree / "nested", "add", "-A")
    git(worktree / "nested", "commit", "-q", "-m", "work")
    (worktree / "changed.txt").unlink()
    (worktree / "changed.txt").mkdir()
    git(worktree / "changed.txt", "init", "-q")
    (worktree / "other.txt").write_text("other\n")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    left = salvage.clean(site.git, worktree, kept)
    assert set(left) == {"nested", "empty", "changed.txt"}
    assert (worktree / "nested" / "work.txt").read_text() == "work\n"
    assert (worktree / "changed.txt" / ".git").is_dir()
    assert not (worktree / "other.txt").exists()


def conflict(worktree: Path) -> None:
    """Two branches that change the same line."""
    git(worktree, "checkout", "-q", "-b", "other")
    (worktree / "changed.txt").write_text("theirs\n")
    git(worktree, "commit", "-q", "-am", "theirs")
    git(worktree, "checkout", "-q", "feature/A")
    (worktree / "changed.txt").write_text("ours\n")
    git(worktree, "commit", "-q", "-am", "ours")


def fails(worktree: Path, *args: str) -> None:
    command = ["git", "-c", "user.name=T", "-c", "user.email=t@example.invalid", *args]
    assert (
        subprocess.run(command, cwd=worktree, env=git_env(), capture_output=True, check=False).returncode == 1
    )


@pytest.mark.parametrize("deed", ["merge", "rebase", "cherry-pick"])
def test_an_interrupted_merge_is_salvaged_and_ended(site: Site, worktree: Path, deed: str) -> None:
    conflict(worktree)
    fails(worktree, deed, "other")
    (worktree / "more.txt").write_text("more\n")
    head = git(worktree, "rev-parse", "HEAD")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    assert "<<<<<<<" in git(worktree, "show", f"{kept.commit}:changed.txt")
    salvage.clean(site.git, worktree, kept)
    assert git(worktree, "status", "--porcelain") == ""
    own = site.git.own_directory(worktree)
    left = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "rebase-merge", "rebase-apply", "sequencer"]
    assert [name for name in left if (own / name).exists()] == []
    assert git(worktree, "rev-parse", "HEAD") == head
    assert salvage.put_back(site.git, worktree, kept) == ()
    assert (worktree / "more.txt").read_text() == "more\n"


def test_an_autostash_is_kept_and_the_stash_list_stays(site: Site, worktree: Path) -> None:
    conflict(worktree)
    (worktree / "kept.txt").write_text("autostashed\n")
    fails(worktree, "-c", "rebase.autoStash=true", "rebase", "other")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    assert kept
    assert salvage.set_aside(site.git, worktree, "A", "run-1") == kept
    parents = git(worktree, "rev-list", "--parents", "-n1", kept.commit).split()[1:]
    assert any(git(worktree, "show", f"{parent}:kept.txt") == "autostashed" for parent in parents)
    salvage.clean(site.git, worktree, kept)
    assert git(site.repo, "stash", "list") == ""


def test_a_missing_or_damaged_index_loses_nothing(site: Site, worktree: Path) -> None:
    index = site.git.own_directory(worktree) / "index"
    for damage in (index.unlink, lambda: index.write_bytes(b"DIRC nonsense"), lambda: index.write_bytes(b"")):
        (worktree / "changed.txt").write_text("new\n")
        damage()
        kept = salvage.set_aside(site.git, worktree, "A", "run-1")
        assert kept
        assert salvage.salvaged_paths(site.git, kept) == ["changed.txt"]
        salvage.clean(site.git, worktree, kept)
        assert contents(worktree) == FILES


def test_line_ends_that_git_would_warn_of_do_not_stop_it(site: Site, worktree: Path) -> None:
    git(site.repo, "config", "core.autocrlf", "input")
    git(site.repo, "config", "core.safecrlf", "true")
    (worktree / "crlf.txt").write_bytes(b"a\r\nb\n")
    assert salvage.set_aside(site.git, worktree, "A", "run-1")


def test_a_branch_without_a_commit_is_said(site: Site, worktree: Path) -> None:
    git(worktree, "checkout", "-q", "--orphan", "nothing")
    with pytest.raises(GitError, match="without a commit"):
        salvage.set_aside(site.git, worktree, "A", "run-1")


def test_an_index_lock_of_the_dead_goes_and_one_in_use_is_waited_for(site: Site, worktree: Path) -> None:
    lock = site.git.own_directory(worktree) / "index.lock"
    (worktree / "changed.txt").write_text("new\n")
    kept = salvage.set_aside(site.git, worktree, "A", "run-1")
    lock.touch()
    salvage.clean(site.git, worktree, kept)
    assert not lock.exists()

    (worktree / "changed.txt").write_text("new\n")
    script = (
        "import os, sys, time; fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n"
        "print(flush=True); sys.stdin.read(); os.unlink(sys.argv[1])"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdout.readline()
    with pytest.raises(GitError, match=f"process {holder.pid} holds the index"):
        clear_index_lock(lock.parent, worktree, patience=0.05)
    assert lock.exists()
    holder.stdin.close()
    salvage.clean(site.git, worktree, kept)
    assert holder.wait(10) == 0
    holder.stdout.close()
    assert contents(worktree) == FILES


def test_death_right_after_setting_aside_loses_nothing(site: Site, worktree: Path) -> None:
    untidy(worktree)
    before = contents(worktree)
    script = (
        "import sys; from pathlib import Path; from coordinator import salvage; "
        "from coordinator.git import Git, discover; "
        "salvage.set_aside(Git(discover(Path(sys.argv[1]))), Path(sys.argv[1]), 'A', 'run-1')"
    )
    env = dict(os.environ) | {"PRD_TUI_FAULT": "set-aside", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script, str(worktree)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    kept = salvage.held(site.git, "A", "run-1")
    assert kept
    assert contents(worktree) == before
    assert salvage.set_aside(site.git, worktree, "A", "run-1") == kept
    salvage.clean(site.git, worktree, kept)
    assert contents(worktree) == FILES | NOT_WORK


def test_it_works_in_a_sha256_repository(tmp_path: Path) -> None:
    repo = tmp_path / "plain"
    repo.mkdir()
    git(repo, "init", "-q", "--object-format=sha256", "-b", "main")
    (repo / "a.txt").write_text("a\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "first")
    from coordinator.git import Git, discover

    door = Git(discover(repo))
    worktree = tmp_path / "wt"
    git(repo, "worktree", "add", "-q", "-b", "x", str(worktree))
    (worktree / "a.txt").unlink()
    (worktree / "b.txt").write_text("b\n")
    kept = salvage.set_aside(door, worktree, "A", "run-1")
    assert kept
    salvage.clean(door, worktree, kept)
    assert contents(worktree) == {"a.txt": "a\n"}
    salvage.put_back(door, worktree, kept)
    assert contents(worktree) == {"b.txt": "b\n"}
