from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator import git_process
from coordinator.errors import GitError, PrdTuiError
from coordinator.git import Git, discover, held
from tests.support.cli import ROOT
from tests.support.repos import git, git_env, make_repo
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"a.txt": "one\n", "sub/b.txt": "two\n"})


# -- the environment ---------------------------------------------------------------------------------------


def test_nothing_but_the_allow_list_reaches_git(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    seen = Git(discover(repo)).run("-c", "alias.show-env=!env", "show-env").text
    assert "sk-secret" not in seen
    assert "/nowhere" not in seen
    assert "GIT_OPTIONAL_LOCKS=0" in seen.splitlines()
    assert "GIT_TERMINAL_PROMPT=0" in seen.splitlines()


def test_a_leaked_git_dir_does_not_lead_into_another_repository(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repo(tmp_path / "other")
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    paths = discover(repo)
    assert paths.root == repo
    assert Git(paths).is_tracked(Path("a.txt"))


def test_no_hook_and_no_fsmonitor_runs(repo: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    script = f"#!/bin/sh\ntouch {planted}\n"
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        hook = repo / ".git" / "hooks" / name
        hook.write_text(script)
        hook.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(repo / ".git" / "hooks" / "post-checkout"))
    planted.unlink(missing_ok=True)
    door = Git(discover(repo))
    door.run("status", "--porcelain")
    door.run("update-ref", "refs/heads/other", "HEAD")
    door.run("worktree", "add", "-q", str(tmp_path / "wt"), "other")
    assert not planted.exists()


def test_git_that_does_not_end_is_ended_with_its_helpers(repo: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    door = Git(discover(repo))
    with pytest.raises(GitError, match=r"did not end within 0\.3 s"):
        door.run("-c", f"alias.hang=!echo $$ > {pid_file}; exec sleep 60", "hang", timeout=0.3)
    if pid_file.exists():  # the machine may be too slow for it to have started
        wait_until(lambda: _is_dead(pid_file.read_text().strip()), what="the helper's end")


def test_an_error_is_one_sentence_with_what_git_said(repo: Path) -> None:
    with pytest.raises(GitError, match=r"git show failed in .*nonsense") as caught:
        Git(discover(repo)).run("show", "nonsense")
    assert caught.value.returncode == 128
    assert "\n" not in str(caught.value)


def test_a_directory_that_is_gone_is_named(repo: Path) -> None:
    with pytest.raises(GitError, match="is gone"):
        Git(discover(repo)).run("status", cwd=repo / "missing")


def test_git_never_climbs_from_a_broken_worktree_into_the_checkout(repo: Path) -> None:
    inner = repo / ".claude-loop" / "worktrees" / "X"
    git(repo, "worktree", "add", "-q", "-b", "x", str(inner))
    (inner / ".git").unlink()
    door = Git(discover(repo))
    with pytest.raises(GitError):
        door.run("status", cwd=inner)
    with pytest.raises(GitError, match="no longer a worktree"):
        door.own_directory(inner)


def test_a_repository_made_inside_a_worktree_is_not_taken_for_ours(repo: Path) -> None:
    inner = repo / ".claude-loop" / "worktrees" / "X"
    git(repo, "worktree", "add", "-q", "-b", "x", str(inner))
    (inner / ".git").unlink()
    git(inner, "init", "-q")
    with pytest.raises(GitError, match="no longer a worktree"):
        Git(discover(repo)).own_directory(inner)


def _is_dead(pid: str) -> bool:
    try:
        return ") Z " in Path("/proc", pid, "stat").read_text()
    except OSError:
        return True


# -- finding the repository --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [".", "sub", ".git"])
def test_the_checkout_is_found_from_inside_it(repo: Path, where: str) -> None:
    paths = discover(repo / where)
    assert (paths.root, paths.common) == (repo, repo / ".git")


def test_the_checkout_is_found_from_a_linked_worktree(repo: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", "-b", "other", str(linked))
    assert discover(linked / "sub") == discover(repo)


def test_the_checkout_is_found_through_a_link(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    assert discover(tmp_path / "link" / "sub") == discover(repo)


def test_a_submodule_is_a_repository_of_its_own(repo: Path, tmp_path: Path) -> None:
    outer = make_repo(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo), "inner")
    inner = outer / "inner"
    linked = tmp_path / "linked"
    git(inner, "worktree", "add", "-q", "-b", "other", str(linked))
    assert discover(inner / "sub").root == inner
    assert discover(linked) == discover(inner)


def test_a_separate_git_directory_works_from_the_checkout(tmp_path: Path) -> None:
    repo, store = tmp_path / "repo", tmp_path / "store"
    repo.mkdir()
    git(repo, "init", "-q", f"--separate-git-dir={store}")
    git(repo, "commit", "-q", "--allow-empty", "-m", "first")
    git(repo, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    assert discover(repo).common == store
    with pytest.raises(PrdTuiError, match="cannot be told from here"):
        discover(tmp_path / "linked")


def test_what_cannot_be_worked_on_is_refused_with_its_sentence(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(PrdTuiError, match="not in a git repository"):
        discover(tmp_path / "plain")
    with pytest.raises(PrdTuiError, match="not a directory"):
        discover(tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    with pytest.raises(PrdTuiError, match="has no commit yet"):
        discover(empty)
    bare = tmp_path / "bare"
    git(repo, "clone", "-q", "--bare", str(repo), str(bare))
    with pytest.raises(PrdTuiError, match="bare repository"):
        discover(bare)
    git(bare, "worktree", "add", "-q", str(tmp_path / "of-bare"), "main")
    with pytest.raises(PrdTuiError, match="bare repository"):
        discover(tmp_path / "of-bare")


def test_a_core_worktree_that_leads_astray_is_refused(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    git(repo, "config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(PrdTuiError, match=r"core\.worktree"):
        discover(repo)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [("git version 2.37.9", "is too old"), ("git version 2.38.0.rc1", ""), ("nonsense", "does not tell")],
)
def test_the_version_of_git_is_checked(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, sentence: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    real = next(str(Path(folder, "git")) for folder in os.get_exec_path() if Path(folder, "git").exists())
    fake = tools / "git"
    fake.write_text(f'#!/bin/sh\ncase "$*" in *version) echo "{said}";; *) exec {real} "$@";; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    if not sentence:
        assert discover(repo).root == repo
        return
    with pytest.raises(PrdTuiError, match=sentence):
        discover(repo)


def test_a_missing_git_is_said(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrdTuiError, match="git is not installed"):
        discover(repo)


def test_an_empty_home_is_enough(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    assert discover(repo).root == repo


# -- questions ---------------------------------------------------------------------------------------------


def test_tracked_is_what_the_index_holds(repo: Path) -> None:
    door = Git(discover(repo))
    (repo / "new.txt").write_text("")
    (repo / "[a].txt").write_text("")
    assert door.is_tracked(Path("a.txt"))
    assert door.is_tracked(repo / "sub" / "b.txt")
    assert not door.is_tracked(Path("new.txt"))
    assert not door.is_tracked(Path("[a].txt"))


def test_branches_commits_and_counts(repo: Path) -> None:
    door = Git(discover(repo))
    first = git(repo, "rev-parse", "HEAD")
    (repo / "ä\n.txt").write_text("x")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "second")
    second = git(repo, "rev-parse", "HEAD")
    assert door.current_branch() == "main"
    assert door.head_commit() == second
    assert door.branch_commit("main") == second
    assert door.head_commit("refs/heads/none") is None
    assert door.head_commit("--all") is None
    assert door.tree_of(first) == git(repo, "rev-parse", f"{first}^{{tree}}")
    assert door.is_ancestor(first, second)
    assert not door.is_ancestor(second, first)
    with pytest.raises(GitError):
        door.is_ancestor("0" * 40, first)
    assert (door.rev_count(first, second), door.rev_count(second, first)) == (1, 0)
    assert door.changed_paths(first, second) == ["ä\n.txt"]
    git(repo, "tag", "v1", first)
    assert door.refs("refs/heads/", "refs/tags/") == {"refs/heads/main": second, "refs/tags/v1": first}
    git(repo, "checkout", "-q", "--detach")
    assert door.current_branch() is None


def test_the_variables_a_worker_must_not_inherit_are_named(repo: Path) -> None:
    assert {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"} <= Git(discover(repo)).local_env_vars()


# -- writing -----------------------------------------------------------------------------------------------


def test_an_exclude_line_is_added_once_and_the_rest_stays(repo: Path) -> None:
    exclude = repo / ".git" / "info" / "exclude"
    exclude.write_bytes(b"# mine\r\n*.tmp\n\xff no line end")
    before = fingerprint(repo)
    door = Git(discover(repo))
    door.ensure_excluded()
    door.ensure_excluded()
    assert exclude.read_bytes() == b"# mine\r\n*.tmp\n\xff no line end\n/.claude-loop/\n"
    exclude.unlink()
    exclude.parent.rmdir()
    door.ensure_excluded()
    assert exclude.read_bytes() == b"/.claude-loop/\n"
    assert fingerprint(repo) == before


def test_our_commits_bring_an_identity_only_where_there_is_none(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    door = Git(discover(repo))
    tree = door.tree_of("HEAD")
    commit = door.run("commit-tree", tree, "-m", "x", env=door.identity()).text
    assert git(repo, "show", "-s", "--format=%an <%ae> %cn", commit) == "prd-tui <prd-tui@localhost> prd-tui"
    git(repo, "config", "user.name", "Somebody")
    git(repo, "config", "user.email", "somebody@example.invalid")
    assert Git(discover(repo)).identity() == {}


def test_a_lock_outlives_its_holder_while_a_git_keeps_it_open(repo: Path) -> None:
    door = Git(discover(repo))
    lock = door.paths.locks / "git.lock"
    with door.locked() as keep_open:
        inherited = os.dup(keep_open[0])
        with pytest.raises(GitError, match="was not free within"), held(lock, 0.05):
            pass
    # Released by name: a copy of the descriptor does not hold on to it after an orderly end.
    with held(lock, 5.0):
        pass
    os.close(inherited)


def test_scratch_of_dead_processes_is_swept(repo: Path) -> None:
    door = Git(discover(repo))
    left_over = door.paths.home / "tmp" / "999999999-x"
    left_over.mkdir(parents=True)
    with door.scratch() as mine:
        door.sweep_scratch()
        assert mine.is_dir()
        assert not left_over.exists()
    assert not mine.exists()


def test_the_environment_is_built_and_not_inherited() -> None:
    built = git_process.environment(
        {"PATH": "/bin", "AWS_SECRET": "x", "GIT_DIR": "y", "HOME": "/h", "LANG": "de"}
    )
    assert set(built) == {
        "PATH",
        "HOME",
        "GIT_OPTIONAL_LOCKS",
        "GIT_TERMINAL_PROMPT",
        "GIT_PAGER",
        "LC_ALL",
    }
    assert "GIT_CONFIG_GLOBAL" in git_env()


def test_a_thread_keeps_its_scratch_directory_while_the_process_ends(tmp_path: Path) -> None:
    paths = discover(make_repo(tmp_path / "repo"))
    script = """
import pathlib, sys, threading
from coordinator.git import Git, discover
def work():
    with Git(discover(pathlib.Path(sys.argv[1]))).scratch():
        begun.set()
        threading.Event().wait()
begun = threading.Event()
threading.Thread(target=work, daemon=True).start()
begun.wait()
"""
    subprocess.run([sys.executable, "-c", script, str(paths.root)], check=True, cwd=ROOT)
    assert len(list((paths.home / "tmp").iterdir())) == 1, "a git of that thread may still use it"
    Git(paths).sweep_scratch()
    assert list((paths.home / "tmp").iterdir()) == []
