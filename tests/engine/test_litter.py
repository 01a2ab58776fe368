from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator import litter, stashes
from coordinator.errors import GitError
from tests.support.repos import git
from tests.support.sites import Site, contents
from tests.support.untouched import fingerprint

TRACKED = {"a.txt": "a\n", "prds/active/A/prd.json": "{}\n", "prds/active/B/prd.json": "{}\n"}


def work(worktree: Path, files: dict[str, str], message: str = "work") -> None:
    """Commits as agents do: everything, forced."""
    for name, text in files.items():
        (worktree / name).parent.mkdir(parents=True, exist_ok=True)
        (worktree / name).write_text(text)
    git(worktree, "add", "-A", "-f", ".")
    git(worktree, "commit", "-q", "-m", message)


@pytest.mark.parametrize("files", [{"a.txt": "a\n"}, TRACKED], ids=["untracked", "tracked"])
def test_litter_goes_from_the_branch_and_stays_in_the_worktree(tmp_path: Path, files: dict[str, str]) -> None:
    site = Site(tmp_path / "repo", files)
    before = fingerprint(site.repo, ["feature/A"])
    worktree = site.start("A")
    deeds = {
        "b.txt": "b\n",
        "prds/active/A/prd.json": '{"passes": true}\n',
        "prds/active/A/progress.txt": "done\n",
        ".claude-loop/exit_code": "0\n",
        ".last-branch": "x\n",
    }
    work(worktree, deeds)
    tip = site.git.branch_commit("feature/A")
    made = litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert made == site.git.branch_commit("feature/A")
    assert git(worktree, "rev-parse", f"{made}^") == tip
    assert site.git.changed_paths(site.base, str(made)) == ["b.txt"]
    assert contents(worktree) == files | deeds
    assert git(worktree, "diff", "--cached") == ""
    assert git(worktree, "status", "--porcelain", "--", ".", ":(exclude)prds", ":(exclude).last-branch") == ""
    assert litter.take_out_litter(site.git, worktree, "feature/A", site.base) is None
    assert litter.has_substance(site.git, site.base, "feature/A")
    assert fingerprint(site.repo, ["feature/A"]) == before


def test_a_deleted_or_moved_prd_folder_comes_back_on_the_branch(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    git(worktree, "rm", "-q", "-r", "prds/active/B")
    (worktree / "prds" / "completed").mkdir()
    git(worktree, "mv", "prds/active/A", "prds/completed/A")
    git(worktree, "commit", "-q", "-m", "moved")
    made = litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert made
    assert site.git.changed_paths(site.base, made) == []
    assert not litter.has_substance(site.git, site.base, "feature/A")
    assert (worktree / "prds" / "completed" / "A" / "prd.json").exists()


def test_a_prds_that_became_a_file_is_litter_too(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    git(worktree, "rm", "-q", "-r", "prds")
    work(worktree, {"prds": "a file\n"})
    made = litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert made
    assert site.git.changed_paths(site.base, made) == []


def test_uncommitted_work_beside_the_litter_stays_uncommitted(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    work(worktree, {"b.txt": "b\n", ".last-branch": "x\n"})
    (worktree / "a.txt").write_text("staged\n")
    git(worktree, "add", "a.txt")
    (worktree / "c.txt").write_text("c\n")
    made = litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert site.git.changed_paths(site.base, str(made)) == ["b.txt"]
    assert git(worktree, "diff", "--cached", "--name-only") == "a.txt"
    assert (worktree / "c.txt").exists()


def test_a_branch_nobody_stands_on_is_changed_alone(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    work(worktree, {"b.txt": "b\n", ".last-branch": "x\n"})
    git(worktree, "checkout", "-q", "-b", "elsewhere")
    before = (git(worktree, "status", "--porcelain"), git(worktree, "ls-files", "-s"))
    assert litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert (git(worktree, "status", "--porcelain"), git(worktree, "ls-files", "-s")) == before
    git(worktree, "checkout", "-q", "--detach")
    git(site.repo, "branch", "-D", "feature/A")
    with pytest.raises(GitError, match="is gone"):
        litter.take_out_litter(site.git, worktree, "feature/A", site.base)


def test_death_between_the_commit_and_the_index_is_made_good(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    work(worktree, {"b.txt": "b\n", ".last-branch": "x\n"})
    script = (
        "import sys; from pathlib import Path; from coordinator import litter; "
        "from coordinator.git import Git, discover; "
        "here = Path(sys.argv[1]); "
        "litter.take_out_litter(Git(discover(here)), here, 'feature/A', sys.argv[2])"
    )
    env = dict(os.environ) | {"PRD_TUI_FAULT": "litter-removed", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script, str(worktree), site.base], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    tip = site.git.branch_commit("feature/A")
    assert litter.take_out_litter(site.git, worktree, "feature/A", site.base) is None
    assert site.git.branch_commit("feature/A") == tip
    assert git(worktree, "diff", "--cached") == ""


def test_our_commit_needs_no_identity_and_runs_no_hook_and_no_gpg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", "")
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    work(worktree, {"b.txt": "b\n", ".last-branch": "x\n"})
    git(site.repo, "config", "commit.gpgsign", "true")
    git(site.repo, "config", "gpg.program", "/bin/false")
    git(site.repo, "config", "user.useConfigOnly", "true")
    made = litter.take_out_litter(site.git, worktree, "feature/A", site.base)
    assert git(site.repo, "show", "-s", "--format=%an %ce", str(made)) == "prd-tui prd-tui@localhost"


def test_substance_is_a_commit_with_a_difference_that_is_no_litter(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    assert not litter.has_substance(site.git, site.base, "feature/A")
    git(worktree, "commit", "-q", "--allow-empty", "-m", "empty")
    assert not litter.has_substance(site.git, site.base, "feature/A")
    work(worktree, {"prds/active/A/prd.json": "x\n", ".last-branch": "x\n"})
    assert not litter.has_substance(site.git, site.base, "feature/A")
    work(worktree, {"a.txt": "there\n"})
    assert litter.has_substance(site.git, site.base, "feature/A")
    work(worktree, {"a.txt": "a\n"}, "and back")
    assert not litter.has_substance(site.git, site.base, "feature/A")
    assert not litter.has_substance(site.git, site.base, "none")


def test_commits_on_another_branch_are_found(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    worktree = site.start("A")
    assert litter.commits_elsewhere(site.git, worktree, "feature/A") is None
    assert litter.head_branch(site.git, worktree) == "feature/A"
    git(worktree, "checkout", "-q", "--detach")
    assert litter.head_branch(site.git, worktree) is None
    work(worktree, {"b.txt": "b\n"})
    git(worktree, "checkout", "-q", "feature/A")
    assert litter.commits_elsewhere(site.git, worktree, "feature/A") == "no branch"
    git(worktree, "checkout", "-q", "-b", "astray")
    work(worktree, {"c.txt": "c\n"})
    git(worktree, "checkout", "-q", "feature/A")
    assert litter.commits_elsewhere(site.git, worktree, "feature/A") == "astray"


def test_stashes_are_pinned_and_a_change_is_seen(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", TRACKED)
    assert stashes.pin_stashes(site.git) == ()
    assert stashes.stash_changed(site.git, ()) is None
    for text in ("one\n", "two\n"):
        (site.repo / "a.txt").write_text(text)
        git(site.repo, "stash", "-q")
    user = fingerprint(site.repo, ["feature/A"])
    before = stashes.pin_stashes(site.git)
    assert list(before) == git(site.repo, "log", "-g", "--format=%H", "refs/stash").split()
    assert stashes.pin_stashes(site.git) == before
    assert fingerprint(site.repo, ["feature/A"]) == user
    worktree = site.start("A")
    git(worktree, "stash", "pop", "-q")
    git(worktree, "stash", "drop", "-q")
    (worktree / "a.txt").write_text("three\n")
    git(worktree, "stash", "-q")
    change = stashes.stash_changed(site.git, before)
    assert change
    assert change.gone == before
    assert list(change.added) == [git(site.repo, "rev-parse", "refs/stash")]
    pinned = site.git.refs("refs/prd/stash/")
    assert set(pinned.values()) == set(before)
