from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator import branches
from coordinator.errors import GitError
from coordinator.git import Git, discover
from tests.support.repos import git, make_repo


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo")


@pytest.fixture
def door(repo: Path) -> Git:
    return Git(discover(repo))


HOSTILE = [
    "",
    "-f",
    "--detach",
    "@",
    "@{-1}",
    "HEAD",
    "head",
    "FETCH_HEAD",
    "ORIG_HEAD",
    "stash",
    "refs/heads/main",
    "heads/main",
    "tags/x",
    "remotes/origin/x",
    "a b",
    "a\nb",
    "a\tb",
    "a\x1b[31m",
    "a\u202eb",
    "a\u200bb",
    "a\u00a0b",
    "a\ud800",
    "../x",
    "a/../b",
    "/a",
    "a/",
    "a//b",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a.",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[b",
    "a\\b",
    "x" * 201,
    "ä" * 101,
    "0123456789abcdef0123456789abcdef01234567",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_and_another_one_taken(door: Git, name: str) -> None:
    assert branches.why_unusable(door, name)
    assert branches.choose(door, name, "PRD-001", ()) == "feature/PRD-001"


@pytest.mark.parametrize(
    "name", ["feature/x", "über", "fix#12(a)", "a" * 200, "release/over_head", "deadbeef"]
)
def test_a_harmless_name_is_taken_as_it_is(door: Git, name: str) -> None:
    assert branches.why_unusable(door, name) is None
    assert branches.choose(door, name, "PRD-001", ()) == name


def test_no_name_asked_for_is_feature_and_the_id(door: Git) -> None:
    assert branches.choose(door, None, "PRD-001", ()) == "feature/PRD-001"


def test_a_taken_name_gets_the_next_free_suffix(door: Git, repo: Path) -> None:
    git(repo, "branch", "feature/x")
    assert branches.choose(door, "feature/x", "A", ()) == "feature/x-1"
    git(repo, "branch", "feature/x-1")
    assert branches.choose(door, "feature/x", "A", {"feature/x-2"}) == "feature/x-3"
    assert branches.choose(door, "main", "A", ()) == "main-1"
    assert branches.choose(door, "new", "A", {"new"}) == "new-1"


def test_a_branch_without_a_commit_is_taken_where_it_is_checked_out(
    door: Git, repo: Path, tmp_path: Path
) -> None:
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "wt"))
    git(tmp_path / "wt", "checkout", "-q", "--orphan", "unborn")
    assert branches.choose(door, "unborn", "A", ()) == "unborn-1"


def test_a_name_that_would_nest_gives_way(door: Git, repo: Path) -> None:
    git(repo, "branch", "topic/one")
    assert branches.choose(door, "topic", "A", ()) == "feature/A"
    assert branches.choose(door, "topic/one/more", "A", ()) == "feature/A"
    assert branches.choose(door, "other/one", "A", {"other"}) == "feature/A"
    assert branches.choose(door, "other", "A", {"other/one"}) == "feature/A"
    git(repo, "branch", "feature/A")
    assert branches.choose(door, "topic", "A", ()) == "feature/A-1"
    git(repo, "branch", "x")
    git(repo, "branch", "x-1/deep")
    assert branches.choose(door, "x", "A", ()) == "x-2"


def test_a_branch_called_feature_is_no_dead_end(door: Git, repo: Path) -> None:
    git(repo, "branch", "feature")
    assert branches.choose(door, None, "A", ()) == "feature-A"
    git(repo, "branch", "feature-A")
    assert branches.choose(door, None, "A", ()) == "feature-A-1"
    git(repo, "branch", "feature-B/x")
    assert branches.choose(door, None, "B", ()) == "feature-B-prd"
    assert branches.choose(door, None, "odd.", ()) == "feature-odd.-prd"


def test_names_that_differ_in_case_clash_where_the_file_system_has_none(door: Git, repo: Path) -> None:
    git(repo, "branch", "Topic/A")
    assert branches.choose(door, "topic/a", "A", ()) == "topic/a"
    git(repo, "config", "core.ignorecase", "true")
    assert branches.choose(Git(discover(repo)), "topic/a", "A", ()) == "topic/a-1"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.one_of(
        st.none(), st.text(max_size=12), st.sampled_from(["feature/x", "main", "feature", "a/b"])
    ),
    prd_id=st.text(string.ascii_letters + string.digits, min_size=1, max_size=4).map(
        lambda text: f"{text}.x"
    ),
    reserved=st.sets(st.sampled_from(["feature", "feature/x", "a", "a/b/c", "main-1", "feature/A"])),
)
def test_the_chosen_name_can_always_be_created(
    door: Git, asked: str | None, prd_id: str, reserved: set[str]
) -> None:
    name = branches.choose(door, asked, prd_id, reserved)
    assert name not in reserved
    assert not any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in reserved)
    head = door.head_commit()
    assert head
    branches.create(door, name, head, "run-1")
    assert branches.withdraw(door, name, "run-1")


def test_a_branch_is_made_once_and_says_for_which_run(door: Git, repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "config", "core.logAllRefUpdates", "false")
    branches.create(door, "mine", head, "run-1")
    assert branches.created_by(door, "mine") == "run-1"
    branches.create(door, "mine", head, "run-1")  # after a crash
    with pytest.raises(GitError, match="could not be made"):
        branches.create(door, "mine", head, "run-2")
    git(repo, "branch", "theirs")
    with pytest.raises(GitError, match="could not be made"):
        branches.create(door, "theirs", head, "run-1")
    assert branches.created_by(door, "theirs") is None
    assert branches.created_by(door, "none") is None


def test_only_an_unused_branch_of_the_run_is_withdrawn(door: Git, repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    for name in ("unused", "used", "checked-out", "other"):
        branches.create(door, name, head, "run-2" if name == "other" else "run-1")
    git(repo, "worktree", "add", "-q", str(tmp_path / "used"), "used")
    git(tmp_path / "used", "commit", "-q", "--allow-empty", "-m", "work")
    git(repo, "worktree", "remove", "-f", str(tmp_path / "used"))
    git(repo, "worktree", "add", "-q", str(tmp_path / "co"), "checked-out")
    answers = {
        name: branches.withdraw(door, name, "run-1") for name in ("unused", "used", "checked-out", "other")
    }
    assert answers == {"unused": True, "used": False, "checked-out": False, "other": False}
    assert not branches.withdraw(door, "main", "run-1")
    assert door.branch_commit("unused") is None


def test_an_old_branch_is_kept_under_another_name(door: Git, repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    branches.create(door, "feature/A", head, "run-1")
    git(repo, "worktree", "add", "-q", str(tmp_path / "wt"), "feature/A")
    with pytest.raises(GitError, match="checked out"):
        branches.keep_under_other_name(door, "feature/A", "run-1")
    git(tmp_path / "wt", "commit", "-q", "--allow-empty", "-m", "work")
    tip = git(tmp_path / "wt", "rev-parse", "HEAD")
    git(repo, "worktree", "remove", "-f", str(tmp_path / "wt"))
    assert branches.keep_under_other_name(door, "feature/A", "run-1") == "feature/A-before"
    assert door.branch_commit("feature/A") is None
    assert door.branch_commit("feature/A-before") == tip
    assert branches.created_by(door, "feature/A-before") == "run-1"
    with pytest.raises(GitError, match="not made by prd-tui"):
        branches.keep_under_other_name(door, "main", "run-1")


def test_a_sha256_repository_works(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "--object-format=sha256", "-b", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "first")
    door = Git(discover(repo))
    head = door.head_commit()
    assert head
    assert len(head) == 64
    branches.create(door, "mine", head, "run-1")
    assert branches.why_unusable(door, head)
    assert branches.withdraw(door, "mine", "run-1")
