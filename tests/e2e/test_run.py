"""`prd-tui run` on real repositories: folders in, verified branches out."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.cli import (
    CONFIG,
    active,
    completed,
    environment,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.repos import drop_prd, git, prd_json
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

GATED = CONFIG + '[coordinator]\nverify = ["test -f README.md"]\n'


def live_workers(repo: Path) -> int:
    """Processes that run the loop script in one of this repository's worktrees."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            # a child that is about to become git still bears its parent's command line
            leads = os.getsid(int(process.name)) == int(process.name)
            inside = (process / "cwd").readlink().is_relative_to(repo / ".claude-loop" / "worktrees")
        except OSError:
            continue
        count += inside and leads and any(word.endswith(b"/loop.py") for word in command)
    return count


class Census(threading.Thread):
    """Counts live workers all the time, as a person with `ps` would."""

    def __init__(self, repo: Path) -> None:
        super().__init__(daemon=True)
        self.repo, self.most, self.ended = repo, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.01):
            self.most = max(self.most, live_workers(self.repo))


@pytest.mark.parametrize("prds", ["tracked", "untracked", "ignored"])
def test_twelve_prds_three_at_a_time(tmp_path: Path, prds: str) -> None:
    repo = make_project(tmp_path, config=GATED)
    if prds == "ignored":
        (repo / ".gitignore").write_text("prds/\n")
        git(repo, "add", ".gitignore")
        git(repo, "commit", "-q", "-m", "ignore prds")
    names = [f"PRD-{number:03}" for number in range(1, 13)]
    for number, name in enumerate(names):
        drop_prd(repo, name, prd_json(stories=1 + number % 3, pace=0.05, description="ä ☃"))
    if prds == "tracked":
        git(repo, "add", "prds")
        git(repo, "commit", "-q", "-m", "plan")
    (repo / "mine.txt").write_text("uncommitted\n")
    (repo / "README.md").write_text("# shop, edited\n")
    before = fingerprint(repo)
    census = Census(repo)
    census.start()
    done = prd_tui(repo, "run", "--max-prds", "3")
    census.ended.set()
    census.join()

    assert done.returncode == 0, done.stderr
    assert 1 <= census.most <= 3
    assert set(completed(repo)) == set(names)
    assert fingerprint(repo, new_branches={f"feature/{name}" for name in names}) == before
    for number, name in enumerate(names):
        assert not (repo / "prds" / "active" / name).exists()
        moved = json.loads((repo / "prds" / "completed" / name / "prd.json").read_text())
        assert all(story["passes"] and story["notes"] for story in moved["userStories"])
        assert (repo / "prds" / "completed" / name / "progress.txt").exists()
        branch = f"feature/{name}"
        changed = git(repo, "diff", "--name-only", "main", branch).split()
        assert changed == [f"{name}-US-{story:03}.txt" for story in range(1, 2 + number % 3)]
        assert list((repo / ".claude-loop" / "archives").glob(f"{name}-*.tar.gz"))
    assert live_workers(repo) == 0
    lines = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    for name in ("queued", "starting", "started", "verifying", "completed"):
        assert events.count(f"prd_{name}") == 12, f"every move is one line: {name}"
    assert "# shop" in (repo / "README.md").read_text()
    assert ".claude-loop" not in (repo / ".gitignore").read_text() if prds == "ignored" else True


def test_branches_that_are_taken_get_another_name(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    git(repo, "branch", "feature/foreign")
    git(repo, "switch", "-q", "feature/foreign")
    (repo / "foreign.txt").write_text("theirs\n")
    git(repo, "add", "foreign.txt")
    git(repo, "commit", "-q", "-m", "theirs")
    git(repo, "switch", "-q", "main")
    foreign = git(repo, "rev-parse", "feature/foreign")
    drop_prd(repo, "a", prd_json(branchName="feature/same"))
    drop_prd(repo, "b", prd_json(branchName="feature/same"))
    drop_prd(repo, "c", prd_json(branchName="main"))
    drop_prd(repo, "d", prd_json(branchName="feature/foreign"))
    drop_prd(repo, "e", prd_json(branchName="--detach"))
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr
    branches = {prd_id: entry["branch"] for prd_id, entry in completed(repo).items()}
    assert {branches["a"], branches["b"]} == {"feature/same", "feature/same-1"}
    assert branches["c"] == "main-1"
    assert branches["d"] == "feature/foreign-1"
    assert branches["e"] == "feature/e"
    assert git(repo, "rev-parse", "feature/foreign") == foreign
    assert "main-1 (asked for main)" in done.stdout


def test_dependencies_stand_on_the_work_they_need(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "base", prd_json())
    drop_prd(repo, "next", prd_json(dependsOn=["base"]))
    drop_prd(repo, "ghosted", prd_json(dependsOn=["ghost"]))
    drop_prd(repo, "ring", prd_json(dependsOn=["ring"]))
    done = prd_tui(repo, "run")
    assert done.returncode == 1
    assert set(completed(repo)) == {"base", "next"}
    assert git(repo, "merge-base", "--is-ancestor", "feature/base", "feature/next") == ""
    reasons = {entry["prd_id"]: entry["reason"] for entry in registry(repo)["queued_prds"]}
    assert reasons["ghosted"] == "depends on ghost, which is nowhere"
    assert "cycle" in reasons["ring"]


def test_two_unmerged_dependencies_block_until_one_is_merged(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "a")
    drop_prd(repo, "b")
    drop_prd(repo, "c", prd_json(dependsOn=["a", "b"]))
    assert prd_tui(repo, "run").returncode == 1
    assert "merge a and b first" in registry(repo)["queued_prds"][0]["reason"]
    git(repo, "merge", "-q", "--no-edit", "feature/a")
    assert prd_tui(repo, "run").returncode == 0
    assert set(completed(repo)) == {"a", "b", "c"}


def test_interrupt_stops_in_order_and_the_next_run_goes_on(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert live_workers(repo) == 0
    assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["p"]
    gate.touch()
    assert prd_tui(repo, "run").returncode == 0
    assert set(completed(repo)) == {"p"}


def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="stubborn", gate_file=str(tmp_path / "never")))
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        wait_until(lambda: live_workers(repo) == 1, what="the worker lives")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        wait_for_status(repo, "p", "stopping")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert time.monotonic() - began < 20
    assert live_workers(repo) == 0


def test_stop_and_retry_against_a_live_owner_and_without_one(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    drop_prd(repo, "q", prd_json(gate_file=str(gate)))
    with running(repo, "--watch") as process:
        wait_for_status(repo, "p", "running")
        wait_for_status(repo, "q", "running")
        second = prd_tui(repo, "run")
        assert second.returncode == 3
        assert str(process.pid) in second.stderr
        stopped = prd_tui(repo, "stop", "p")
        assert stopped.returncode == 0, stopped.stderr
        assert failed(repo)["p"]["status"] == "stopped"
        assert prd_tui(repo, "stop", "p").returncode != 0, "it does not run any more"
        assert prd_tui(repo, "retry", "p").returncode == 0
        wait_for_status(repo, "p", "running")
        process.kill()
        process.wait()
        assert prd_tui(repo, "stop", "q").returncode == 0
        assert live_workers(repo) == 1
        assert failed(repo)["q"]["status"] == "stopped"
        assert prd_tui(repo, "retry", "q").returncode == 0
    gate.touch()
    assert prd_tui(repo, "retry", "p").returncode == 0
    assert prd_tui(repo, "release").returncode == 0
    assert prd_tui(repo, "run").returncode == 0
    assert set(completed(repo)) == {"p", "q"}


def test_hold_and_release(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    assert prd_tui(repo, "hold").returncode == 0
    held = prd_tui(repo, "run")
    assert held.returncode == 1
    assert "held by a person" in held.stderr
    assert not active(repo)
    assert prd_tui(repo, "release").returncode == 0
    assert prd_tui(repo, "run").returncode == 0


def test_named_prds_alone_run(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    for name in ("a", "b"):
        drop_prd(repo, name)
    assert prd_tui(repo, "run", "b").returncode == 0
    assert set(completed(repo)) == {"b"}
    wrong = prd_tui(repo, "run", "aa")
    assert wrong.returncode == 2
    assert "did you mean a?" in wrong.stderr


def test_folders_dropped_while_it_watches_run_at_once(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    with running(repo, "--watch") as process:
        wait_until(
            lambda: registry(repo).get("coordinator_pid") == process.pid, what="it owns the repository"
        )
        drop_prd(repo, "late")
        wait_until(lambda: "late" in completed(repo), 30, "the late one completes")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_fresh_retry_keeps_the_old_branch(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="delete-story"))
    assert prd_tui(repo, "run").returncode == 1
    old = git(repo, "rev-parse", "feature/p")
    text = (repo / "prds" / "active" / "p" / "prd.json").read_text()
    (repo / "prds" / "active" / "p" / "prd.json").write_text(text.replace("delete-story", ""))
    assert prd_tui(repo, "retry", "p", "--fresh").returncode == 0
    assert prd_tui(repo, "run").returncode == 0
    tips = git(repo, "for-each-ref", "--format=%(objectname)", "refs/heads/feature").split()
    assert old in tips
    assert git(repo, "rev-parse", completed(repo)["p"]["branch"]) != old


def test_the_same_id_again_is_a_new_prd(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    assert prd_tui(repo, "run").returncode == 0
    first = git(repo, "rev-parse", "feature/p")
    drop_prd(repo, "p", prd_json(stories=3))
    done = prd_tui(repo, "run")
    assert done.returncode == 0, done.stderr + done.stdout
    assert git(repo, "rev-parse", "feature/p") == first
    folders = sorted(entry.name for entry in (repo / "prds" / "completed").iterdir())
    assert len(folders) == 2
    assert folders[0] == "p"
    assert git(repo, "diff", "--name-only", "main", "feature/p-1").count("US-") == 3


def test_secrets_of_workers_stay_out_of_the_records(tmp_path: Path) -> None:
    """A gate that prints a key: its last line is the reason of the failure."""
    config = GATED + '[worktree]\nenv = { SHOP_API_KEY = "k3y-Of-The-Shop" }\n'
    repo = make_project(tmp_path, config=config)
    drop_prd(repo, "p", prd_json(verify=['echo "$SHOP_API_KEY $MY_TOKEN"; exit 1']))
    assert prd_tui(repo, "run", env={"MY_TOKEN": "t0ken-Of-Mine"}).returncode == 1
    assert failed(repo)["p"]["error"].endswith(": [secret] [secret]")
    for path in (repo / ".claude-loop" / "coordinator").glob("*.*"):
        assert not path.is_file() or b"-Of-" not in path.read_bytes(), path


def test_environment_of_the_worker(tmp_path: Path) -> None:
    script = "#!/bin/sh\nenv | sort > seen.env\nls -l /proc/self/fd/0 > stdin.txt\nexit 3\n"
    repo = make_project(tmp_path, config='[worker]\ncommand = ["./env.sh"]\n', files={"env.sh": script})
    drop_prd(repo, "p")
    env = environment({"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere", "SECRET_TOKEN": "s3cr3t-value"})
    assert prd_tui(repo, "run", env=env).returncode == 1
    worktree = repo / ".claude-loop" / "worktrees" / "p"
    seen = dict(
        line.split("=", 1) for line in (worktree / "seen.env").read_text().splitlines() if "=" in line
    )
    assert seen["PRD_ID"] == "p"
    assert seen["PRD_JSON"] == str(worktree / "prds/active/p/prd.json")
    assert seen["PRD_SLOT"] == "1"
    assert seen["PRD_PORT"].isdigit()
    assert "GIT_DIR" not in seen
    assert "/dev/null" in (worktree / "stdin.txt").read_text()
    for path in (repo / ".claude-loop" / "coordinator").rglob("*"):
        assert path.is_dir() or b"s3cr3t-value" not in path.read_bytes()


def test_a_deleted_lock_file_is_taken_anew(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    gate = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(gate)))
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        lock = repo / ".git" / "prd-tui" / "locks" / "coordinator.lock"
        lock.unlink()
        wait_until(lock.exists, what="the lock is taken anew")
        wait_until(lambda: prd_tui(repo, "run").returncode == 3, what="a second one gives way again")
        gate.touch()
        assert process.wait(60) == 0
    assert set(completed(repo)) == {"p"}


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    (repo / "prds").mkdir()
    (repo / "prds" / "active").write_text("")
    refused = prd_tui(repo, "run")
    assert refused.returncode == 2
    assert "prds/active is not a folder" in refused.stderr
