"""The real command, run as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coordinator import processes
from coordinator.identity import Identity
from coordinator.jobs import inspect
from tests.support.processes import stands_still
from tests.support.repos import make_repo
from tests.support.waiting import wait_until
from tests.support.workers import LOOP

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, str(ROOT / "prd_tui.py")]

CONFIG = '[worker]\ncommand = ["./loop.py", "{prd_json}"]\n'


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """No configuration of the person who runs the tests, and nothing that points at another repository."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PRD_", "PYTEST"))}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    env.pop("XDG_CONFIG_HOME", None)
    return env | dict(extra or {})


def prd_tui(
    repo: Path, *words: str, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*LAUNCHER, *words],
        cwd=repo,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_run(repo: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`prd-tui run` in the background, for whoever sees to its end and to that of its workers."""
    with (repo.parent / f"{repo.name}.stderr").open("a") as stderr:
        return subprocess.Popen(
            [*LAUNCHER, "run", *words],
            cwd=repo,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )


@contextmanager
def running(repo: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """`prd-tui run` in the background; whatever is left of it and of its runs is ended at the end."""
    process = start_run(repo, *words, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        prd_tui(repo, "kill", "--all")
        prd_tui(repo, "release")
        end_workers(repo)  # should the test have broken the command


def end_workers(repo: Path) -> None:
    """Ends every worker and every gate of a repository that nobody owns any more."""
    runs = repo / ".git" / "prd-tui" / "runs"
    for job_dir in {*runs.glob("*/*"), *(start.parent for start in runs.glob("*/*/**/start.json"))}:
        processes.terminate(job_dir, None, 0.0, kill_now=True)
        keeper = inspect(job_dir).keeper
        if keeper is not None and not processes.wait_for_end([keeper], 5.0):
            processes.send(keeper, signal.SIGKILL)


def make_project(tmp_path: Path, *, config: str = CONFIG, files: Mapping[str, str] | None = None) -> Path:
    """A repository with the loop script tracked and the settings of this clone in place."""
    repo = make_repo(tmp_path / "repo", {"README.md": "# shop\n", "loop.py": LOOP} | dict(files or {}))
    state = repo / ".claude-loop"
    state.mkdir(mode=0o700)
    (state / "config.toml").write_text(config)
    return repo


def registry(repo: Path) -> dict[str, Any]:
    path = repo / ".claude-loop" / "coordinator" / "registry.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document


def failed(repo: Path) -> dict[str, dict[str, Any]]:
    return {entry["prd_id"]: entry for entry in registry(repo).get("failed_prds", [])}


def completed(repo: Path) -> dict[str, dict[str, Any]]:
    return {entry["prd_id"]: entry for entry in registry(repo).get("completed_prds", [])}


def active(repo: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = registry(repo).get("active_prds", {})
    return found


def wait_for_status(repo: Path, prd_id: str, status: str, timeout: float = 30) -> dict[str, Any]:
    """Waits until the registry shows an active PRD in a state; returns its entry."""
    wait_until(lambda: active(repo).get(prd_id, {}).get("status") == status, timeout, f"{prd_id} is {status}")
    return active(repo)[prd_id]


def workers(repo: Path) -> dict[str, Identity]:
    """The worker's process of each active PRD that has one yet."""
    starts = {
        prd_id: inspect(Path(entry["run_dir"])).start
        for prd_id, entry in active(repo).items()
        if "run_dir" in entry
    }
    return {prd_id: start.worker for prd_id, start in starts.items() if start is not None}


def pauses(repo: Path, prd_id: str) -> bool:
    """Whether no process of the PRD's run could do anything."""
    return stands_still(Path(active(repo)[prd_id]["run_dir"]))
