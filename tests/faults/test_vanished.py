"""Things that vanish: registry, worktree, branch, folder. What is left tells the rest, and a retry mends it."""

from __future__ import annotations

import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.cli import (
    CONFIG,
    completed,
    failed,
    make_project,
    prd_tui,
    registry,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant, runs_started
from tests.support.repos import clean, drop_prd, git, prd_json
from tests.support.waiting import wait_until

#: Does its work, after it broke its surroundings in the first run only; `%s` is a file to remember that by.
BREAKS_ONCE = """#!/bin/sh
set -e
PRD=$1
git config user.name W; git config user.email w@example.invalid
echo work >> work-$PRD_ID.txt; git add work-$PRD_ID.txt; git commit -qm work
if [ ! -e "%s" ]; then touch "%s"; %s; exit 1; fi
sed -i 's/"passes": false/"passes": true/' "$PRD"
"""

BREAKS = {
    "git file": "rm .git",
    "branch": "git update-ref -d refs/heads/feature/$PRD_ID",
    "worktree": 'cd / && rm -rf "${PRD%/prds/*}"',
    "git file and branch": "git update-ref -d refs/heads/feature/$PRD_ID; rm .git",
    "git entry": 'rm -rf "$(git rev-parse --git-dir)"',
    "detached": "git switch -q --detach",
    "own repository": "rm .git; git init -q .",
    "moved its folder": 'mkdir -p prds/completed && mv "prds/active/$PRD_ID" prds/completed/',
    "no prds": "rm -rf prds",
    "prds is a link": "rm -rf prds && ln -s /tmp prds",
}


#: A fresh start makes all anew: of these it has to get rid first.
IN_THE_WAY_OF_A_FRESH_START = ("git file", "branch", "detached", "own repository")
TRIES = [
    *(pytest.param(what, False, id=f"retry-{what}") for what in BREAKS),
    *(pytest.param(what, True, id=f"fresh-{what}") for what in IN_THE_WAY_OF_A_FRESH_START),
]


@pytest.mark.parametrize(("what", "fresh"), TRIES)
def test_a_worker_that_broke_its_surroundings_can_be_tried_again(
    tmp_path: Path, what: str, fresh: bool
) -> None:
    mark = tmp_path / "broken"
    script = BREAKS_ONCE % (mark, mark, BREAKS[what])
    config = '[worker]\ncommand = ["./break.sh", "{prd_json}"]\n'
    repo = make_project(tmp_path, config=config, files={"break.sh": script})
    drop_prd(repo, "p")
    drop_prd(repo, "q")
    first = prd_tui(repo, "run", "--max-prds", "1", "--timeout", "40s")
    assert first.returncode == 1
    assert set(completed(repo)) == {"q"}, "only that PRD fails"
    assert failed(repo)["p"]["status"] == "failed", failed(repo)
    done = prd_tui(repo, "retry", "p", *(["--fresh"] if fresh else []))
    assert done.returncode == 0, done.stderr
    again = prd_tui(repo, "run", "--timeout", "40s")
    if what == "detached" and not fresh:
        assert "git -C" in failed(repo)["p"]["error"], "a person has to decide where those commits go"
        return
    assert again.returncode == 0, again.stdout
    assert set(completed(repo)) == {"p", "q"}
    check_invariant(repo, ["p", "q"])


def test_states_come_back_when_registry_and_backup_are_gone(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "done")
    drop_prd(repo, "failed", prd_json(mode="exit7"))
    drop_prd(repo, "stopped", prd_json(gate_file=str(tmp_path / "never")))
    with running(repo) as process:
        wait_for_status(repo, "stopped", "running")
        wait_until(lambda: "done" in completed(repo) and "failed" in failed(repo), 30)
        assert prd_tui(repo, "stop", "stopped").returncode == 0
        process.wait(30)
    prd_tui(repo, "retry", "failed")
    prd_tui(repo, "run")
    before = registry(repo)
    state = repo / ".claude-loop" / "coordinator"
    for name in ("registry.json", "registry.json.bak"):
        (state / name).unlink()
    prd_tui(repo, "run")
    after = registry(repo)
    for kind in ("completed_prds", "failed_prds"):
        old = {entry["prd_id"]: entry for entry in before[kind]}
        new = {entry["prd_id"]: entry for entry in after[kind]}
        assert old.keys() == new.keys()
        for prd_id, entry in old.items():
            same = ("status", "exit_code", "branch", "progress", "generation", "run_id", "error")
            assert {key: entry.get(key) for key in same} == {key: new[prd_id].get(key) for key in same}
            for key in ("failed_at", "completed_at"):
                if key in entry:
                    gap = datetime.fromisoformat(entry[key]) - datetime.fromisoformat(new[prd_id][key])
                    assert abs(gap.total_seconds()) < 5, f"{prd_id}: {key}"
    assert runs_started(repo, "stopped") == 1
    check_invariant(repo, ["done", "failed", "stopped"])


def test_a_failure_that_no_registry_recorded_keeps_its_time(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="exit7"))
    assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": "verdict-written"}).returncode == -signal.SIGKILL
    assert prd_tui(repo, "run").returncode == 1
    age = datetime.now(UTC) - datetime.fromisoformat(failed(repo)["p"]["failed_at"])
    assert age.total_seconds() < 60


@pytest.mark.parametrize("how", ["clean", "clean-worktrees", "rm"])
def test_the_state_folder_is_deleted_while_runs_are_on(tmp_path: Path, how: str) -> None:
    repo = make_project(tmp_path)
    (repo / ".git" / "info" / "exclude").write_text("prds/\n")
    go = tmp_path / "go"
    drop_prd(repo, "a", prd_json(gate_file=str(go)))
    drop_prd(repo, "b", prd_json(gate_file=str(go)))
    kept = shutil.copytree(repo / "prds", tmp_path / "prds")
    with running(repo) as process:
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
        if how == "rm":
            shutil.rmtree(repo / ".claude-loop", ignore_errors=True)
        else:
            clean(repo, "-xdffq" if how == "clean-worktrees" else "-xdfq")
            shutil.copytree(kept, repo / "prds", dirs_exist_ok=True)
        go.touch()
        code = process.wait(60)
    (repo / ".claude-loop").mkdir(exist_ok=True)
    (repo / ".claude-loop" / "config.toml").write_text(CONFIG)
    if how == "clean":
        assert code == 0
    else:
        assert code == 1
        assert prd_tui(repo, "retry", "a", "b").returncode == 0
        last = prd_tui(repo, "run", "--timeout", "40s")
        assert last.returncode == 0, last.stdout + last.stderr
    assert set(completed(repo)) == {"a", "b"}


def test_a_worker_that_cannot_be_started_holds_the_queue_over_a_crash(tmp_path: Path) -> None:
    repo = make_project(tmp_path, files={"loop.py": "#!/no/such/interpreter\n"})
    drop_prd(repo, "p")
    env = {"PRD_TUI_FAULT": "start-recorded"}
    assert prd_tui(repo, "run", env=env).returncode == -signal.SIGKILL
    done = prd_tui(repo, "run")
    assert done.returncode == 1
    assert "interpreter" in done.stderr
    assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["p"]


def test_a_prd_whose_folder_went_starts_anew_from_what_was_admitted(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    mark = tmp_path / "broken"
    folder = drop_prd(repo, "p", prd_json(mode="killed"))
    with running(repo, "--watch") as process:
        wait_until(lambda: "p" in failed(repo), 30, "p failed")
        (folder / "prd.json").write_text(prd_json())
        wait_until(lambda: prd_tui(repo, "status", "p").returncode is not None)
        shutil.rmtree(folder)
        shutil.rmtree(repo / ".claude-loop" / "worktrees" / "p")
        assert prd_tui(repo, "retry", "p").returncode == 0
        wait_until(lambda: runs_started(repo, "p") == 2, 30, "p is started again")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not mark.exists()


@pytest.mark.parametrize(
    "point", ["intent-written", "branch-created", "worktree-added", "worktree-filled", "keeper-spawned"]
)
def test_a_fresh_retry_that_is_killed_leaves_no_stray_branch(tmp_path: Path, point: str) -> None:
    repo = make_project(tmp_path)
    folder = drop_prd(repo, "p", prd_json(mode="delete-story"))
    assert prd_tui(repo, "run").returncode == 1
    (folder / "prd.json").write_text(prd_json())
    assert prd_tui(repo, "retry", "p", "--fresh").returncode == 0
    assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": point}).returncode == -signal.SIGKILL
    assert prd_tui(repo, "run").returncode == 0
    branches = git(repo, "branch", "--format=%(refname:short)").split()
    assert sorted(branches) == ["feature/p", "feature/p-before", "main"]
    check_invariant(repo, ["p"])
