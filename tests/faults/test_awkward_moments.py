"""What a person, a worker or a crash can do at an awkward moment: the next command still does what it says."""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
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
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until

GATED = CONFIG + '[coordinator]\nverify = ["test -f README.md"]\n'


def worktree(repo: Path, prd_id: str) -> Path:
    return repo / ".claude-loop" / "worktrees" / prd_id


def shut_down(repo: Path, prd_id: str) -> None:
    """A run that a signal to the coordinator ended."""
    with running(repo) as process:
        wait_for_status(repo, prd_id, "running")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


# -- stop, hold ------------------------------------------------------------------------------------------


def test_a_stop_after_a_shutdown_holds_over_the_next_start(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    shut_down(repo, "p")
    done = prd_tui(repo, "stop", "p")
    assert done.returncode == 0, done.stderr
    assert failed(repo)["p"]["status"] == "stopped"
    again = prd_tui(repo, "run", "--timeout", "20s")
    assert again.returncode == 1, again.stderr
    assert failed(repo)["p"]["status"] == "stopped"
    assert runs_started(repo, "p") == 1


def test_a_failed_prd_queued_again_and_stopped_stays_stopped(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(mode="exit7"))
    assert prd_tui(repo, "run").returncode == 1
    assert prd_tui(repo, "retry", "p").returncode == 0
    assert prd_tui(repo, "stop", "p").returncode == 0
    assert prd_tui(repo, "run").returncode == 1
    assert failed(repo)["p"]["status"] == "stopped"
    assert runs_started(repo, "p") == 1


def test_run_hold_starts_nothing(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    assert prd_tui(repo, "run", "--hold").returncode == 1
    assert runs_started(repo, "p") == 0
    assert [entry["prd_id"] for entry in registry(repo)["queued_prds"]] == ["p"]


def test_a_stop_works_while_the_settings_are_broken(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    with running(repo, "--watch") as process:
        wait_for_status(repo, "p", "running")
        (repo / ".claude-loop" / "config.toml").write_text("this is = no toml\n")
        done = prd_tui(repo, "stop", "p")
        assert done.returncode == 0, done.stderr
        assert failed(repo)["p"]["status"] == "stopped"
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        (repo / ".claude-loop" / "config.toml").write_text(CONFIG)


def test_a_stop_taken_by_a_coordinator_that_died_is_carried_out(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    with running(repo, env={"PRD_TUI_FAULT": "stop-wanted"}) as process:
        wait_for_status(repo, "p", "running")
        done = prd_tui(repo, "stop", "p")
        assert process.wait(30) == -signal.SIGKILL
        assert done.returncode == 0, done.stderr
    assert failed(repo)["p"]["status"] == "stopped"
    assert not list((repo / ".claude-loop" / "coordinator" / "commands").iterdir())


def test_a_stop_by_command_outranks_the_shutdown_that_runs_already(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nstop_grace = 3\n")
    drop_prd(repo, "p", prd_json(mode="stubborn", gate_file=str(tmp_path / "never")))
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        process.send_signal(signal.SIGTERM)
        wait_for_status(repo, "p", "stopping")
        assert prd_tui(repo, "stop", "p").returncode == 0
        process.wait(30)
    assert failed(repo)["p"]["status"] == "stopped"


def test_a_run_whose_journal_cannot_be_written_is_stopped_all_the_same(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p", prd_json(gate_file=str(tmp_path / "never")))
    with running(repo, "--watch") as process:
        entry = wait_for_status(repo, "p", "running")
        journal = Path(entry["run_dir"]) / "journal.jsonl"
        journal.rename(journal.with_name("journal.kept"))
        journal.mkdir()
        prd_tui(repo, "stop", "p")
        assert not Path(f"/proc/{entry['pid']}").exists() or "Z" in (
            Path(f"/proc/{entry['pid']}/stat").read_text()
        )
        journal.rmdir()
        journal.with_name("journal.kept").rename(journal)
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_two_stops_at_once_without_a_coordinator_both_stop(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nstop_grace = 6\n")
    for name in ("a", "b"):
        drop_prd(repo, name, prd_json(mode="stubborn", gate_file=str(tmp_path / "never")))
    with running(repo) as process:
        for name in ("a", "b"):
            wait_for_status(repo, name, "running")
            wait_until((worktree(repo, name) / ".git").is_file)
        process.kill()
        process.wait()
        with ThreadPoolExecutor() as pool:
            done = list(pool.map(lambda name: prd_tui(repo, "stop", name), ("a", "b")))
        assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert {entry["status"] for entry in failed(repo).values()} == {"stopped"}


def test_a_queued_prd_of_which_nothing_is_left_to_do_is_not_started(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    folder = drop_prd(repo, "p")
    assert prd_tui(repo, "run", "--hold").returncode == 1
    (folder / "prd.json").write_text(prd_json().replace("false", "true"))
    prd_tui(repo, "release")
    assert prd_tui(repo, "run").returncode == 0
    assert runs_started(repo, "p") == 0


# -- verified, then something goes ---------------------------------------------------------------------


def check_it_is_filed(repo: Path) -> None:
    """The next start files the verified PRD p, passes and all."""
    again = prd_tui(repo, "run", "--timeout", "20s")
    assert again.returncode == 0, again.stderr
    assert set(completed(repo)) == {"p"}
    text = (repo / "prds" / "completed" / "p" / "prd.json").read_text()
    assert text.count('"passes": true') == 2
    check_invariant(repo, ["p"])


@pytest.mark.parametrize("point", ["verdict-written", "step-passes", "step-progress", "step-move"])
def test_verified_work_is_filed_although_its_worktree_went(tmp_path: Path, point: str) -> None:
    repo = make_project(tmp_path, config=GATED)
    drop_prd(repo, "p")
    assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": point}).returncode == -signal.SIGKILL
    shutil.rmtree(worktree(repo, "p"))
    check_it_is_filed(repo)


@pytest.mark.parametrize("point", ["verdict-written", "step-passes", "step-progress"])
def test_verified_work_is_filed_although_its_folder_went(tmp_path: Path, point: str) -> None:
    repo = make_project(tmp_path, config=GATED)
    folder = drop_prd(repo, "p")
    assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": point}).returncode == -signal.SIGKILL
    shutil.rmtree(folder)
    check_it_is_filed(repo)


def test_a_gate_that_cleans_the_worktree_does_not_hold_up_the_filing(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + '[coordinator]\nverify = ["git clean -fdxq"]\n')
    drop_prd(repo, "p")
    done = prd_tui(repo, "run", "--timeout", "20s")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"p"}
    check_invariant(repo, ["p"])


def test_a_filed_folder_is_not_admitted_again_by_the_look_of_the_same_start(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=GATED)
    names = [f"q{number:02}" for number in range(25)]
    drop_prd(repo, "p")
    assert prd_tui(repo, "run", env={"PRD_TUI_FAULT": "step-progress"}).returncode == -signal.SIGKILL
    for name in names:
        drop_prd(repo, name, prd_json(stories=150))
    prd_tui(repo, "hold")
    assert prd_tui(repo, "run").returncode == 1
    assert set(completed(repo)) == {"p"}
    check_invariant(repo, ["p", *names])


def test_a_new_folder_of_the_name_that_comes_during_the_filing_is_a_new_prd(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    (repo / ".claude-loop" / "archives").write_text("in the way\n")
    drop_prd(repo, "p")
    with running(repo) as process:
        wait_until((repo / "prds" / "completed" / "p").is_dir, 30)
        folder = drop_prd(repo, "p", prd_json(stories=3))
        wait_until(lambda: "its folder was edited" in (repo.parent / "repo.stderr").read_text(), 30)
        (repo / ".claude-loop" / "archives").unlink()
        assert process.wait(60) == 0
    assert not folder.exists()
    assert completed(repo)["p"]["generation"] == 2
    assert completed(repo)["p"]["stories_completed"] == 3
    assert len(list((repo / "prds" / "completed").iterdir())) == 2, "the older folder stepped aside"


# -- settings and the base -----------------------------------------------------------------------------


def test_gates_outlive_a_clean_of_the_checkout(tmp_path: Path) -> None:
    # Green on the base, where no worker has been yet.
    gate = "test ! -e p-US-001.txt"
    repo = make_project(tmp_path, config=CONFIG + f'[coordinator]\nverify = ["{gate}"]\n')
    go = tmp_path / "go"
    drop_prd(repo, "p", prd_json(gate_file=str(go)))
    git(repo, "add", "prds")
    git(repo, "commit", "-q", "-m", "prds")
    with running(repo) as process:
        wait_for_status(repo, "p", "running")
        git(repo, "clean", "-xdfq")
        assert not (repo / ".claude-loop" / "config.toml").exists()
        wait_until((repo / ".claude-loop" / "coordinator" / "registry.json").exists, 20)
        go.touch()
        assert process.wait(60) == 1
    assert gate in failed(repo)["p"]["error"]
    (repo / ".claude-loop" / "config.toml").write_text(CONFIG)


def test_a_checkout_on_no_branch_is_refused_before_anything_fails(tmp_path: Path) -> None:
    repo = make_project(tmp_path)
    drop_prd(repo, "p")
    git(repo, "checkout", "-q", "--detach")
    done = prd_tui(repo, "run")
    assert done.returncode == 2, done.stderr
    assert "base_branch" in done.stderr
    git(repo, "checkout", "-q", "main")
    assert prd_tui(repo, "run").returncode == 0


def test_a_base_branch_that_went_does_not_keep_dependents_waiting_for_ever(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + '[coordinator]\nbase_branch = "trunk"\n')
    git(repo, "branch", "trunk")
    go = tmp_path / "go"
    drop_prd(repo, "a", prd_json(gate_file=str(go)))
    drop_prd(repo, "b", prd_json(dependsOn=["a"]))
    with running(repo) as process:
        wait_for_status(repo, "a", "running")
        git(repo, "branch", "-D", "trunk")
        go.touch()
        assert process.wait(60) == 0
    assert set(completed(repo)) == {"a", "b"}
