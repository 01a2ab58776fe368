"""What goes by itself, what `clean` removes and what `deinit` leaves: never work that is kept nowhere else."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.support.cli import completed, failed, make_project, prd_tui, running, wait_for_status
from tests.support.repos import drop_prd, git, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

CONFIG = """
[worker]
command = ["./loop.py", "{prd_json}"]
[worktree]
keep = %d
keep_days = 0
cleanup_on_failure = true
teardown = ["basename $PWD >> %s; test -e README.md"]
"""

POINTS = ["worktree-moved-away", "deinit-worktrees-gone", "deinit-state-gone"]


def project(tmp_path: Path, *, keep: int = 1) -> Path:
    return make_project(tmp_path, config=CONFIG % (keep, tmp_path / "torn"))


def with_loose_files(repo: Path) -> None:
    """From now on tearing a worktree down leaves a file in it that nobody has committed."""
    config = repo / ".claude-loop" / "config.toml"
    config.write_text(config.read_text().replace("test -e README.md", "echo loose > loose.txt"))


def worktrees(repo: Path) -> set[str]:
    root = repo / ".claude-loop" / "worktrees"
    return {path.name for path in root.iterdir()} if root.exists() else set()


def log_of(repo: Path, prd_id: str) -> str:
    return (repo / ".claude-loop" / "coordinator" / "logs" / f"{prd_id}_worker.log").read_text()


def salvaged(repo: Path) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(refname)", "refs/prd/salvage/").split()


def test_worktrees_go_by_themselves_and_are_made_again(tmp_path: Path) -> None:
    repo = project(tmp_path)
    with_loose_files(repo)
    for number, name in enumerate("abc"):
        drop_prd(repo, name, prd_json(priority=number))
    drop_prd(repo, "f", prd_json(priority=4, mode="reword"))
    assert prd_tui(repo, "run", "--max-prds", "1").returncode == 1
    assert set(completed(repo)) == {"a", "b", "c"}
    assert worktrees(repo) == {"c"}, "the newest one is kept; that of the failed one goes"
    assert sorted((tmp_path / "torn").read_text().split()) == ["a", "b", "f"]
    assert len(salvaged(repo)) == 3
    # the failed one is tried again: its worktree, its loose file and what its stories had reached come back
    edited = (repo / "prds" / "active" / "f" / "prd.json").read_text().replace("reword", "hang")
    (repo / "prds" / "active" / "f" / "prd.json").write_text(edited)
    with running(repo, "--watch"):
        wait_until(lambda: prd_tui(repo, "retry", "f").returncode == 0, what="its edited folder was read")
        wait_for_status(repo, "f", "running")
        wait_until(lambda: log_of(repo, "f").count("Story US-001 completed") == 2, 30, "f works again")
        assert log_of(repo, "f").count("Story US-002 completed") == 1, "it passed before and still does"
        assert (repo / ".claude-loop" / "worktrees" / "f" / "loose.txt").read_text() == "loose\n"
        git(repo, "merge", "-q", "feature/c")
        prd_tui(repo, "config", "set", "coordinator.max_prds", "4")
        wait_until(lambda: worktrees(repo) == {"f"}, 30, "the merged one's worktree goes")
        assert prd_tui(repo, "stop", "f").returncode == 0
        assert worktrees(repo) == {"f"}, "that of a stopped one stays"


def test_clean_does_what_its_dry_run_says(tmp_path: Path) -> None:
    repo = project(tmp_path, keep=5)
    for name in ("merged", "ready", "shell", "inner"):
        drop_prd(repo, name, prd_json(mode="leftovers"))
    assert prd_tui(repo, "run").returncode == 0
    root = repo / ".claude-loop" / "worktrees"
    git(repo, "merge", "-q", "feature/merged")
    git(repo, "worktree", "add", "-q", "-b", "mine", str(root / "mine"))
    git(root / "inner", "init", "-q", "nested")
    git(root / "inner" / "nested", "commit", "-q", "--allow-empty", "-m", "inner")
    prd_tui(repo, "config", "set", "worktree.keep", "0")
    prd_tui(repo, "config", "set", "worktree.cleanup_on_success", "true")
    (repo / "a.txt").write_text("stashed\n")
    git(repo, "add", "a.txt")
    git(repo, "stash", "-q")
    stash = git(repo, "rev-parse", "stash")
    for pinned in (stash, git(repo, "rev-parse", "HEAD")):
        git(repo, "update-ref", f"refs/prd/stash/{pinned}", pinned)
    (repo / ".claude-loop" / "coordinator" / ".registry.json.tmp-1-2-3").write_text("half")
    before = fingerprint(repo, ["feature/merged"])
    refs = git(repo, "for-each-ref", "refs/prd")
    person = subprocess.Popen(["sleep", "600"], cwd=root / "shell")
    try:
        plan = prd_tui(repo, "clean", "--dry-run")
        assert git(repo, "for-each-ref", "refs/prd") == refs
        assert worktrees(repo) == {"merged", "ready", "shell", "inner", "mine"}
        done = prd_tui(repo, "clean")
    finally:
        person.kill()
        person.wait()
    assert done.returncode == 0, done.stderr
    assert plan.stdout.replace("would remove:", "removed:").replace("would be freed", "freed") == done.stdout
    lines = done.stdout.splitlines()
    gone = [line.strip().partition(":")[0] for line in lines[1 : lines.index("left as it is:") - 1]]
    assert gone[:3] == [f"worktree .claude-loop/worktrees/{name}" for name in ("merged", "ready")] + [
        "branch feature/merged"
    ]
    assert sum(name.startswith("ref refs/prd/salvage/") for name in gone) == 4
    assert gone[-1] == "1 temporary file"
    left = "\n".join(lines[lines.index("left as it is:") :])
    assert "worktrees/mine: it is not prd-tui's" in left
    assert f"sleep ({person.pid}) is at work in" in left
    assert "holds a repository of its own (nested)" in left
    assert worktrees(repo) == {"shell", "inner", "mine"}
    assert git(repo, "for-each-ref", "--format=%(objectname)", "refs/prd/stash") == stash
    assert fingerprint(repo, ["feature/merged"]) == before
    git(repo, "update-ref", "refs/prd/salvage/x/run", "HEAD")
    with running(repo, "--watch"):  # a living owner is asked to do it
        wait_until(lambda: worktrees(repo) == {"inner", "mine"}, 30, "the shell's worktree goes by itself")
        assert "removed:\n  ref refs/prd/salvage/x/run" in prd_tui(repo, "clean").stdout
    (root / "inner" / "nested").rename(tmp_path / "nested")
    prd_tui(repo, "clean")
    assert prd_tui(repo, "clean").stdout.startswith("nothing to clean\n")


def everything(repo: Path) -> dict[str, object]:
    git_dir = {
        path.relative_to(repo).parts[1]
        for path in (repo / ".git").iterdir()
        if path.name not in ("logs", "objects", "refs", "COMMIT_EDITMSG", "packed-refs", "staging")
    }
    exclude = (repo / ".git" / "info" / "exclude").read_bytes()
    files = git(repo, "status", "--porcelain", "--ignored")
    return fingerprint(repo, ["feature/a", "feature/b"]) | {"git": git_dir, "exclude": exclude, "seen": files}


def test_deinit_leaves_no_trace(tmp_path: Path) -> None:
    repo = project(tmp_path, keep=5)
    (repo / ".claude-loop").rename(tmp_path / "aside")
    git(repo, "config", "user.name", "Somebody")
    (repo / "README.md").write_text("stashed\n")
    git(repo, "stash", "-q")
    (repo / "loose.txt").write_text("mine\n")
    assert prd_tui(repo, "deinit").stdout == "nothing of prd-tui is here\n"
    before = everything(repo)
    (tmp_path / "aside").rename(repo / ".claude-loop")
    drop_prd(repo, "a")
    drop_prd(repo, "b", prd_json(gate_file=str(tmp_path / "go")))
    with running(repo) as process:
        wait_for_status(repo, "b", "running")
        wait_until(lambda: "a" in completed(repo), 30, "a is filed")
        refused = prd_tui(repo, "deinit")
        assert refused.returncode == 3
        assert f"process {process.pid}" in refused.stderr
        process.kill()
        process.wait()
        assert "b still runs: prd-tui stop --all" in prd_tui(repo, "deinit").stderr
    root = repo / ".claude-loop" / "worktrees"
    (root / "b" / "loose.txt").write_text("not committed\n")
    git(root / "a", "switch", "-q", "--detach")
    git(root / "a", "commit", "-q", "--allow-empty", "-m", "on no branch")
    refused = prd_tui(repo, "deinit")
    assert "Nothing was changed" in refused.stderr
    assert "commits on no branch" in refused.stderr
    assert worktrees(repo) == {"a", "b"}
    git(root / "a", "branch", "feature/kept")
    git(root / "a", "switch", "-q", "feature/a")
    (repo / ".claude-loop" / "session.json").write_text("{}")
    plan = prd_tui(repo, "deinit", "--dry-run").stdout.splitlines()
    assert any(
        line.startswith("  worktree .claude-loop/worktrees/b, its branch feature/b stays") for line in plan
    )
    assert "left as it is: .claude-loop/session.json, which is not prd-tui's, or is tracked" in plan
    assert worktrees(repo) == {"a", "b"}
    for point in POINTS:
        killed = prd_tui(repo, "deinit", env={"PRD_TUI_FAULT": point})
        assert killed.returncode == -signal.SIGKILL, point
    done = prd_tui(repo, "deinit")
    assert done.returncode == 0, done.stderr
    assert prd_tui(repo, "deinit").stdout == "nothing of prd-tui is here\n"
    (ref,) = [ref for ref in salvaged(repo) if "/b/" in ref]
    assert f"  {ref}" in done.stdout.splitlines()
    assert git(repo, "show", f"{ref}:loose.txt") == "not committed"
    (repo / ".claude-loop" / "session.json").unlink()
    (repo / ".claude-loop").rmdir()
    assert sorted(str(path.relative_to(repo)) for path in (repo / "prds").rglob("*.json")) == [
        "prds/active/b/prd.json",
        "prds/completed/a/prd.json",
    ]
    (repo / "prds").rename(tmp_path / "prds")
    git(repo, "branch", "-D", "feature/kept")
    assert everything(repo) == before
    assert failed(repo) == {}
