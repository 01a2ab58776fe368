"""The queue protects itself: gates on the base, gates of another checkout, a full disk; with the real command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import (
    CONFIG,
    active,
    completed,
    make_project,
    pauses,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until

#: Tells each time who runs it.
RED = '#!/bin/sh\necho "$PRD_ID" >> ../../../../gates\necho 5 passed\necho 3 failed\nexit 1\n'
GREEN = RED.replace("exit 1", "exit 0")
#: Waits for the file `go`, with a child in a session of its own; both are named in the file `pids`.
SLOW = """#!/bin/sh
here=$(git rev-parse --path-format=absolute --git-common-dir)/../..
setsid sleep 3600 &
echo $$ $! >> $here/pids
while ! test -e $here/go; do sleep 0.02; done
kill $!
"""


def gated(tmp_path: Path, gate: str) -> Path:
    config = CONFIG + '[coordinator]\nverify = ["./gate.sh"]\n'
    repo = make_project(tmp_path, config=config, files={"gate.sh": gate})
    drop_prd(repo, "a")
    return repo


def status(repo: Path) -> str:
    return prd_tui(repo, "status").stdout


def held(repo: Path) -> str:
    """Why the queue holds, but for a person's word; told without a process that takes part of the machine."""
    return "; ".join(registry(repo).get("held", {}).values())


def gates_run(repo: Path) -> list[str]:
    return (repo.parent / "gates").read_text().split()


def gate_processes(repo: Path) -> list[int]:
    """Those of slow gates that are alive."""
    path = repo.parent / "pids"
    pids = [int(word) for word in path.read_text().split()] if path.exists() else []
    return [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


def nothing_left_of_a_check(repo: Path) -> bool:
    home = repo / ".git" / "prd-tui" / "base"
    listed = git(repo, "worktree", "list", "--porcelain")
    there = (repo / ".claude-loop" / "worktrees" / "~base").exists()
    return not ((home / "check").exists() or "~base" in listed or there)


def test_a_red_base_holds_the_queue_until_it_is_mended(tmp_path: Path) -> None:
    repo = gated(tmp_path, RED)
    with running(repo, "--watch") as process:
        why = "gate `./gate.sh` failed with exit 1 on the base main: 3 failed; mend it there"
        wait_until(lambda: why in held(repo), 30, "the queue is held")
        assert f"held: {why}" in status(repo)
        assert "held" in prd_tui(repo, "status", "--short").stdout
        assert runs_started(repo, "a") == 0
        assert nothing_left_of_a_check(repo)
        output = (repo / ".claude-loop" / "coordinator" / "logs" / "base.log").read_text()
        assert "5 passed\n3 failed\n" in output
        assert registry(repo)["holds"] == {}, "nothing of it survives"
        (repo / "gate.sh").write_text(GREEN)
        git(repo, "commit", "-qam", "mended")
        assert prd_tui(repo, "release").stdout == "the queue runs\n"
        wait_until(lambda: "a" in completed(repo), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert gates_run(repo) == ["~base", "~base", "a"]
    assert "held" not in status(repo)
    drop_prd(repo, "b")
    assert prd_tui(repo, "run").returncode == 0
    assert gates_run(repo) == ["~base", "~base", "a", "b"], "a green base is remembered"
    check_invariant(repo, ["a", "b"])


def test_a_check_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    repo = gated(tmp_path, SLOW)
    git(repo, "worktree", "add", "-q", "--lock", "--reason", "mine", str(tmp_path / "mine"))
    before = git(repo, "worktree", "list", "--porcelain")

    def under_way() -> bool:
        checking = registry(repo).get("checking") == "checking the gates on the base: ./gate.sh"
        return checking and len(gate_processes(repo)) == 2

    with running(repo) as process:
        wait_until(under_way, 30, "the check is under way")
        assert "checking the gates on the base: ./gate.sh" in status(repo)
        assert registry(repo)["active_prds"] == {}
        assert prd_tui(repo, "stop", "--all").stdout == "stopped\n"
        assert gate_processes(repo) == []
        assert process.wait(30) == 1, "the queue is held"
    assert nothing_left_of_a_check(repo)
    prd_tui(repo, "release")
    with running(repo) as process:
        wait_until(under_way, 30, "the check is under way again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert gate_processes(repo) == []
    assert nothing_left_of_a_check(repo)
    with running(repo) as process:
        wait_until(under_way, 30, "the check is under way once more")
        process.kill()
        process.wait()
        assert len(gate_processes(repo)) == 2
        before_next = gate_processes(repo)
        with running(repo) as again:
            wait_until(lambda: gate_processes(repo) and not set(gate_processes(repo)) & set(before_next), 30)
            (tmp_path / "go").touch()
            assert again.wait(60) == 0
    assert nothing_left_of_a_check(repo)
    assert gate_processes(repo) == []
    assert set(completed(repo)) == {"a"}
    assert git(repo, "worktree", "list", "--porcelain").startswith(before)


def test_a_gate_of_another_checkout_is_not_run(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    tool = repo / ".venv" / "bin" / "check"
    tool.parent.mkdir(parents=True)
    tool.write_text('#!/bin/sh\necho "$PRD_ID" >> ../../../../gates\n')
    tool.chmod(0o755)
    path = {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
    drop_prd(repo, "a", prd_json(verify=["cd . && check"]))
    with running(repo, env=path) as process:
        assert process.wait(60) == 1, "it waits for a person"
        entry = active(repo)["a"]
        waits = "waits: a gate lies outside its worktree"
        assert (entry["status"], entry["reason"]) == ("verifying", waits)
        said = (repo.parent / "repo.stderr").read_text()
        assert f"wrong code: it runs .venv/bin/check of the checkout {repo}; make a venv" in said
        with running(repo, "--watch", env=path) as again:
            wait_until(lambda: "gate `cd . && check` would test the wrong code" in held(repo), 30)
            prd_tui(repo, "config", "set", "coordinator.gates_outside", "true")
            wait_until(lambda: "a" in completed(repo), 30)
            prd_tui(repo, "config", "set", "coordinator.gates_outside", "false")
            prd_tui(repo, "config", "set", "coordinator.verify", "check")
            prd_tui(repo, "config", "set", "coordinator.max_prds", "7")
            wait_until(lambda: registry(repo)["max_parallel_prds"] == 7, 30, "the settings are read")
            drop_prd(repo, "b")
            wait_until(lambda: "gate `check` would test the wrong code" in held(repo), 30)
            assert runs_started(repo, "b") == 0
            prd_tui(repo, "config", "set", "coordinator.verify", "test -f README.md")
            wait_until(lambda: "b" in completed(repo), 30)
            assert again.poll() is None
    assert runs_started(repo, "a") == 1, "the run was not at fault"
    assert gates_run(repo) == ["a"]
    check_invariant(repo, ["a", "b"])


def test_what_a_full_disk_pauses_goes_on_by_itself(tmp_path: Path) -> None:
    """`min_free_disk` stands for the disk: it is what the free space is measured by."""
    repo = make_project(tmp_path)
    for name in ("mine", "theirs"):
        drop_prd(repo, name, prd_json(gate_file=str(tmp_path / "go"), ticks=str(tmp_path / f"{name}.ticks")))

    def set_least(amount: str) -> None:
        assert prd_tui(repo, "config", "set", "coordinator.min_free_disk", amount).returncode == 0

    with running(repo) as process:
        for name in ("mine", "theirs"):
            wait_for_status(repo, name, "running")
        assert prd_tui(repo, "pause", "mine").returncode == 0
        set_least("100000 TB")
        wait_for_status(repo, "theirs", "paused")
        drop_prd(repo, "late")
        assert pauses(repo, "theirs")
        assert active(repo)["theirs"]["reason"] == "paused: disk is low"
        assert active(repo)["mine"]["reason"] == "paused by you"
        wait_until(lambda: any(entry["prd_id"] == "late" for entry in registry(repo)["queued_prds"]), 30)
        assert "held: " in status(repo)
        assert "free on" in status(repo)
        done = prd_tui(repo, "release")
        assert (done.returncode, "100000 TB needed" in done.stderr) == (2, True)
        process.kill()
        process.wait()
        with running(repo) as again:
            wait_until(lambda: registry(repo).get("coordinator_pid") == again.pid, 30)
            wait_until(lambda: "free on" in held(repo), 30)
            assert pauses(repo, "theirs")
            assert runs_started(repo, "late") == 0
            set_least("1 MB")
            wait_for_status(repo, "theirs", "running")
            assert pauses(repo, "mine"), "a person's pause stays"
            (tmp_path / "go").touch()
            wait_until(lambda: set(completed(repo)) == {"theirs", "late"}, 30)
            assert prd_tui(repo, "resume", "mine").returncode == 0
            assert again.wait(30) == 0
    assert runs_started(repo, "theirs") == 1
    check_invariant(repo, ["mine", "theirs", "late"])
    lines = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text().splitlines()
    assert any(json.loads(line).get("reason") == "paused: disk is low" for line in lines)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB, empty."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.system(f"mount -t tmpfs -o size=40m none {place} 2>/dev/null"):  # noqa: S605
        pytest.skip("mounting a file system is not allowed here")
    try:
        yield place
    finally:
        os.system(f"umount -l {place}")  # noqa: S605


def test_nothing_starts_on_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    config = f'{CONFIG}[coordinator]\nmin_free_disk = "20 MB"\n[worktree]\nroot = "{small_disk / "trees"}"\n'
    repo = make_project(tmp_path, config=config)
    (small_disk / "full").write_bytes(b"x" * 30_000_000)
    drop_prd(repo, "a")
    with running(repo) as process:
        wait_until(lambda: f"MB free on {small_disk}, 20 MB needed: nothing starts" in held(repo), 30)
        assert runs_started(repo, "a") == 0
        (small_disk / "full").unlink()
        assert process.wait(30) == 0
    assert set(completed(repo)) == {"a"}
