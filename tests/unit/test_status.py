"""`status`: what it says, when it exits with what, and how little it loads."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.status import main
from coordinator import registry_file
from coordinator.clock import SystemClock
from coordinator.identity import identify
from coordinator.locks import OwnerLock
from coordinator.paths import Paths
from coordinator.registry import Registry
from tests.support.repos import git, make_repo

LAUNCHER = Path(__file__).resolve().parents[2] / "prd_tui.py"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "shop")


def registry_of(repo: Path) -> Registry:
    return Registry(Paths(repo, repo / ".git"), SystemClock())


def fill(repo: Path, *, failed: bool = False) -> None:
    registry = registry_of(repo)
    registry.register(
        {
            "prd_id": "login",
            "status": "running",
            "branch": "feature/login",
            "started_at": "2026-01-31T12:00:00.000Z",
            "progress": {"completed": 2, "total": 8},
            "current_story": "US-003",
        }
    )
    registry.register({"prd_id": "mailer", "status": "blocked", "waiting_for": ["login"]}, "queued")
    registry.register({"prd_id": "audit", "waiting_for": []}, "queued")
    registry.register(
        {
            "prd_id": "search",
            "completed_at": "2026-01-31T12:00:00.000Z",
            "duration_seconds": 3600,
            "stories_completed": 12,
            "branch": "feature/search",
        },
        "completed",
    )
    if failed:
        registry.register({"prd_id": "rates", "error": "the gate failed", "exit_code": 7}, "failed")


def said(repo: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words), str(repo)) == code
    out = capsys.readouterr()
    assert out.err == ""
    return out.out


def refused(where: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    assert main(list(words), str(where)) == code
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.startswith("prd-tui: ")
    assert out.err.count("\n") == 1
    return out.err


def row(text: str, prd_id: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if prd_id in line.split()[:3]]
    return line.split()


# -- the table ------------------------------------------------------------------------------------------


def test_the_table_has_glyph_word_progress_branch_and_reason(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(repo, failed=True)
    text = said(repo, capsys, code=1)
    assert "shop: no coordinator runs; state as of 2" in text
    assert row(text, "login")[:4] == ["▶", "login", "running", "2/8"]
    assert row(text, "login")[-2:] == ["feature/login", "US-003"]
    assert row(text, "mailer") == ["⊘", "mailer", "blocked", "-", "-", "after", "login"]
    assert row(text, "audit")[:3] == ["·", "audit", "queued"]
    assert row(text, "search")[:5] == ["✓", "search", "ready", "12", "1h00m"]
    assert row(text, "rates")[-3:] == ["the", "gate", "failed"]
    assert "\x1b" not in text


def test_the_exit_code_tells_of_failures(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repo)
    said(repo, capsys)
    fill(repo, failed=True)
    for words in ((), ("--json",), ("--short",), ("login",)):
        said(repo, capsys, *words, code=1)


def test_holds_are_shown(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry_of(repo).update(lambda document: document["holds"].update(person="held by you"))
    assert "held: held by you" in said(repo, capsys)


def test_of_many_completed_the_newest_are_shown(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = registry_of(repo)

    def many(document: dict[str, Any]) -> None:
        document["completed_prds"] += [
            {"prd_id": f"P{n:03}", "completed_at": f"2026-01-01T00:00:00.{n:03}Z"} for n in range(50)
        ]

    registry.update(many)
    text = said(repo, capsys)
    assert "P049" in text
    assert "P029" not in text
    assert "30 more completed" in text
    assert len(json.loads(said(repo, capsys, "--json"))["completed_prds"]) == 50


def test_text_from_outside_cannot_reach_the_terminal_as_control(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b]0;x\x07\u202e\x9b2J\nb\udc80"
    registry_of(repo).register(
        {"prd_id": f"P{evil}", "status": evil, "branch": evil, "error": evil, evil: evil}, "failed"
    )
    for words in ((), ("--short",), (f"P{evil}",)):
        text = said(repo, capsys, *words, code=1)
        assert text.replace("\n", "").isprintable()
    assert json.loads(said(repo, capsys, "--json", code=1))["failed_prds"][0]["error"] == evil


def test_entries_of_odd_shapes_do_not_break_it(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = registry_of(repo)
    registry.update(
        lambda document: document["active_prds"].update(A={"status": 5, "progress": [], "pid": "x"})
    )
    registry.update(lambda document: document["queued_prds"].append({"waiting_for": 3, "prd_id": None}))
    registry.update(lambda document: document["completed_prds"].append({"duration_seconds": "long"}))
    said(repo, capsys)
    said(repo, capsys, "A")
    said(repo, capsys, "--short")


# -- with and without an owner ----------------------------------------------------------------------------


def test_a_living_coordinator_is_named(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repo)
    paths = Paths(repo, repo / ".git")
    lock = OwnerLock(paths.locks / "coordinator.lock", "run")
    assert registry_file.owner(str(paths.common)) is None
    with lock:
        assert registry_file.owner(str(paths.common)) == os.getpid()
        assert f"coordinator {os.getpid()} runs" in said(repo, capsys)
    assert registry_file.owner(str(paths.common)) is None


def test_a_record_of_another_process_or_boot_is_no_owner(repo: Path) -> None:
    lock = repo / ".git" / "prd-tui" / "locks" / "coordinator.lock"
    lock.parent.mkdir(parents=True)
    me = identify(os.getpid())
    assert me is not None
    true = {"pid": me.pid, "boot_id": me.boot_id, "start_ticks": me.ticks}
    common = str(repo / ".git")
    lock.write_text(json.dumps(true).ljust(512))
    assert registry_file.owner(common) == me.pid
    for wrong in ({"boot_id": "other"}, {"start_ticks": me.ticks + 1}, {"pid": 2**22 + 1}, {"pid": None}):
        lock.write_text(json.dumps(true | wrong))
        assert registry_file.owner(common) is None
    for garbage in ("", "[]", "{", "null"):
        lock.write_text(garbage)
        assert registry_file.owner(common) is None


def test_an_exit_that_nobody_has_looked_at_is_told(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = repo / ".git" / "prd-tui" / "runs" / "A" / "r1"
    run_dir.mkdir(parents=True)
    (run_dir / "exit.json").write_text('{"code": 7, "signal": null}')
    registry_of(repo).register({"prd_id": "A", "status": "running", "run_dir": str(run_dir), "pid": 1})
    assert "ended with exit code 7" in said(repo, capsys)
    with OwnerLock(repo / ".git" / "prd-tui" / "locks" / "coordinator.lock", "run"):
        assert row(said(repo, capsys), "A")[2] == "running"


def test_a_worker_that_is_gone_is_not_shown_running(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    me = identify(os.getpid())
    assert me is not None
    run_dir = repo / ".git" / "prd-tui" / "runs" / "A" / "r1"
    run_dir.mkdir(parents=True)
    registry_of(repo).register({"prd_id": "A", "status": "running", "run_dir": str(run_dir), "pid": 0})

    def record(ticks: int, boot_id: str) -> str:
        dead = {"pid": 2**22 + 1, "ticks": 1}
        worker = {"pid": me.pid, "ticks": ticks}
        (run_dir / "start.json").write_text(
            json.dumps({"boot_id": boot_id, "keeper": dead, "worker": worker})
        )
        return row(said(repo, capsys), "A")[2]

    assert row(said(repo, capsys), "A")[2] == "running"  # nothing started yet
    assert record(me.ticks, me.boot_id) == "running"
    assert record(me.ticks + 1, me.boot_id) == "gone"
    assert record(me.ticks, "other boot") == "gone"
    (run_dir / "start.json").unlink()
    registry_of(repo).update_status("A", "running", pid=2**22 + 1)
    assert row(said(repo, capsys), "A")[2] == "gone"


# -- JSON, one PRD, refusals ----------------------------------------------------------------------------


def test_json_is_the_registry(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repo)
    assert json.loads(said(repo, capsys, "--json")) == registry_of(repo).read()


def test_before_the_first_run(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing has run here yet; drop a folder" in said(repo, capsys)
    (repo / "prds" / "active" / "A").mkdir(parents=True)
    assert "1 folder waits in prds/active" in said(repo, capsys)
    document = json.loads(said(repo, capsys, "--json"))
    assert document["version"] == "1.0"
    assert document["active_prds"] == {}
    assert document["failed_prds"] == []
    assert not (repo / ".claude-loop").exists()


def test_one_prd(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repo, failed=True)
    text = said(repo, capsys, "rates", code=1)
    assert text.startswith("rates\n")
    assert "✗ failed" in text
    assert "the gate failed" in text
    assert json.loads(said(repo, capsys, "rates", "--json", code=1))["exit_code"] == 7
    assert json.loads(said(repo, capsys, "audit", "--json", code=1))["status"] == "queued"


def test_wrong_words_are_refused_in_one_sentence(
    repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(repo)
    assert "did you mean login?" in refused(repo, capsys, "logn")
    assert "did you mean login?" in refused(repo, capsys, "LOGIN")
    assert "lists those" in refused(repo, capsys, "nothing-like-it", "--json")
    assert "--frob" in refused(repo, capsys, "--frob")
    assert "one PRD" in refused(repo, capsys, "login", "mailer")
    assert "not inside a git repository" in refused(tmp_path, capsys)
    said(repo, capsys, "--", "login")
    assert "usage" in said(repo, capsys, "--help")


def test_damaged_and_newer_registries(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(repo)
    file = Paths(repo, repo / ".git").registry
    file.write_text("{")
    assert row(said(repo, capsys), "login")[2] == "running"  # from the backup
    file.with_name("registry.json.bak").write_text("")
    assert "damaged" in refused(repo, capsys, "--json", code=1)
    file.write_text('{"version": "3.1"}')
    assert "version 3.1" in refused(repo, capsys, code=1)


# -- finding the repository -------------------------------------------------------------------------------


def test_the_main_checkout_is_found_from_anywhere(repo: Path, tmp_path: Path) -> None:
    wanted = (str(repo), str(repo / ".git"))
    deep = repo / "a" / "b"
    deep.mkdir(parents=True)
    git(repo, "worktree", "add", "-q", str(tmp_path / "linked"))
    git(repo, "worktree", "add", "-q", str(repo / ".claude-loop" / "worktrees" / "A"), "-b", "A")
    link = tmp_path / "link"
    link.symlink_to(deep)
    inner = repo / ".claude-loop" / "worktrees" / "A"
    for start in (repo, deep, link, tmp_path / "linked", inner):
        assert registry_file.find(str(start)) == wanted
    assert registry_file.find(str(tmp_path)) is None


def test_a_git_dir_that_lies_apart(repo: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    git(repo, "init", "-q", "--separate-git-dir", str(apart))
    assert registry_file.find(str(repo)) == (str(repo), str(apart))
    outer = make_repo(tmp_path / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo), "sub")
    modules = outer / ".git" / "modules" / "sub"
    assert registry_file.find(str(outer / "sub")) == (str(outer / "sub"), str(modules))
    git(outer / "sub", "worktree", "add", "-q", str(tmp_path / "of-sub"))
    assert registry_file.find(str(tmp_path / "of-sub")) == (str(outer / "sub"), str(modules))


# -- the real command -----------------------------------------------------------------------------------


def start(repo: Path, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, str(LAUNCHER), "status", *words],
        cwd=repo,
        env=dict(os.environ) | env,
        capture_output=True,
        check=False,
    )


HEAVY = {"textual", "rich", "git", "psutil", "watchfiles", "argparse", "pathlib", "dataclasses", "typing"}
HEAVY |= {"subprocess", "datetime", "tomllib", "asyncio", "unicodedata", "difflib", "shutil", "tempfile"}


@pytest.mark.parametrize("words", [(), ("--json",), ("login",), ("--short",)])
def test_it_loads_next_to_nothing(repo: Path, words: tuple[str, ...]) -> None:
    fill(repo)
    program = (
        f"import sys; sys.path.insert(0, {str(LAUNCHER.parent)!r})\n"
        f"from app.cli import main\nmain({['status', *words]!r})\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=repo, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not loaded & HEAVY
    assert "coordinator" in loaded


def test_a_pipe_and_any_locale_get_plain_text(repo: Path) -> None:
    fill(repo)
    done = start(repo, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert b"login" in done.stdout
    assert b"\x1b" not in done.stdout
    assert done.stderr == b""


def on_terminal(repo: Path, *words: str, **env: str) -> str:
    master, slave = pty.openpty()
    try:
        child = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "status", *words],
            cwd=repo,
            env=dict(os.environ) | env,
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
        )
        assert child.wait(30) == 0
        return os.read(master, 65536).decode()
    finally:
        os.close(slave)
        os.close(master)


def test_colours_only_where_they_are_wanted(repo: Path) -> None:
    fill(repo)
    assert "\x1b[34m" in on_terminal(repo, NO_COLOR="")
    assert "\x1b" not in on_terminal(repo, NO_COLOR="1")
    assert "\x1b" not in on_terminal(repo, "--plain", NO_COLOR="")


def test_a_reader_that_leaves_is_no_fault(repo: Path) -> None:
    fill(repo)
    head = shutil.which("true")
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" "{LAUNCHER}" status | {head}; exit ${{PIPESTATUS[0]}}'],
        cwd=repo,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert done.returncode in (0, 141)
