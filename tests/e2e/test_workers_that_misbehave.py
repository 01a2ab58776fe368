"""Whatever a worker does or claims: only its own PRD is affected, with a sentence of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import CONFIG, completed, failed, make_project, prd_tui, running, wait_for_status
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until

MODES = {
    "killed": "the worker was killed by SIGKILL (exit 137) and none of 2 stories passes",
    "exit7": "the worker exited with 7 and none of 2 stories passes",
    "nothing": "the worker exited with 0 and none of 2 stories passes",
    "claim": "all 2 stories are marked as passing, but feature/claim has no commit that changes anything",
    "elsewhere": "the worktree is on branch elsewhere-elsewhere instead of feature/elsewhere",
    "no-prd": "the worker deleted its prd.json",
    "delete-story": "US-002",
    "reword": "US-001",
    "red-gate": "gate `test -f never-made` failed with exit 1",
}


def test_each_fails_with_its_own_sentence_and_the_others_complete(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nmax_prds = 4\n")
    for mode in MODES:
        gates = ["test -f never-made"] if mode == "red-gate" else []
        drop_prd(repo, mode, prd_json(mode=mode, verify=gates))
    drop_prd(repo, "good", prd_json(mode=""))
    drop_prd(repo, "exit1", prd_json(mode="exit1"))
    drop_prd(repo, "leftovers", prd_json(mode="leftovers", verify=["test ! -e half-done.txt"]))

    done = prd_tui(repo, "run")

    assert done.returncode == 1, done.stderr
    assert set(completed(repo)) == {"good", "exit1", "leftovers"}
    errors = {prd_id: entry["error"] for prd_id, entry in failed(repo).items()}
    assert errors.keys() == MODES.keys()
    for mode, sentence in MODES.items():
        assert sentence in errors[mode], f"{mode}: {errors[mode]}"
        assert (repo / ".claude-loop" / "worktrees" / mode / ".git").exists(), "its worktree is kept"
        assert git(repo, "rev-parse", f"refs/heads/feature/{mode}"), "its branch is kept"
        assert (repo / "prds" / "active" / mode / "prd.json").exists()
    assert failed(repo)["killed"]["exit_code"] == 137
    assert failed(repo)["exit7"]["exit_code"] == 7
    salvaged = git(repo, "for-each-ref", "--format=%(refname)", "refs/prd/salvage/leftovers")
    assert git(repo, "show", f"{salvaged}:half-done.txt") == "not committed"


def test_uncommitted_work_is_given_back_when_a_gate_fails(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="leftovers", verify=["false"]))
    assert prd_tui(repo, "run").returncode == 1
    worktree = repo / ".claude-loop" / "worktrees" / "p"
    assert (worktree / "half-done.txt").read_text() == "not committed\n"
    assert (worktree / "p-US-001.txt").read_text() == "edited, not committed\n"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ('["./missing.sh"]', "does not exist"),
        ('["no-such-program"]', "is not on PATH"),
        ('["./README.md"]', "is not executable"),
    ],
)
def test_a_worker_that_cannot_be_started_holds_the_queue(tmp_path: Path, command: str, sentence: str) -> None:
    repo = make_project(tmp_path, config=f"[worker]\ncommand = {command}\n")
    drop_prd(repo, "one")
    drop_prd(repo, "two")
    done = prd_tui(repo, "run")
    assert done.returncode == 1
    assert "held: The worker command" in done.stderr
    assert sentence in done.stderr
    document = json.loads(prd_tui(repo, "status", "--json").stdout)
    assert {entry["prd_id"] for entry in document["queued_prds"]} == {"one", "two"}
    assert not document["failed_prds"]


def test_a_script_without_an_interpreter_holds_the_queue_too(tmp_path: Path) -> None:
    repo = make_project(
        tmp_path, config='[worker]\ncommand = ["./odd.sh"]\n', files={"odd.sh": "#!/no/such/shell\n"}
    )
    drop_prd(repo, "one")
    done = prd_tui(repo, "run")
    assert done.returncode == 1
    assert "The worker cannot be started" in done.stderr


def test_what_a_daemonising_worker_leaves_behind_is_ended(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="daemon"))
    assert prd_tui(repo, "run").returncode == 0
    assert not _processes_in(repo)


def test_a_stop_ends_what_a_daemonising_worker_started(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="daemon", gate_file=str(tmp_path / "never")))
    with running(repo):
        wait_for_status(repo, "p", "running")
        wait_until(lambda: len(_processes_in(repo)) > 1, what="the daemon lives")
        assert prd_tui(repo, "stop", "p").returncode == 0
        assert not _processes_in(repo / ".claude-loop")
    assert failed(repo)["p"]["status"] == "stopped"


def _processes_in(repo: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            cwd = (process / "cwd").readlink()
            if cwd.is_relative_to(repo) and "Z" not in (process / "stat").read_text().rpartition(")")[2][:3]:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
