"""Real repositories for tests."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until


def git_env() -> dict[str, str]:
    """An environment in which git behaves the same on every machine."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    return env


def git(repo: Path, *args: str) -> str:
    """Runs git in `repo` as a person would and returns its output, stripped."""
    done = subprocess.run(
        ["git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid", *args],
        cwd=repo,
        env=git_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def clean(repo: Path, flags: str) -> None:
    """`git clean` until it has its way: what a living coordinator writes meanwhile is in its way."""

    def done() -> bool:
        words = ["git", "clean", flags]
        return (
            subprocess.run(words, cwd=repo, env=git_env(), capture_output=True, check=False).returncode == 0
        )

    wait_until(done, 10, f"git clean {flags}")


def make_repo(path: Path, files: dict[str, str] | None = None) -> Path:
    """A repository on branch `main` with one commit of `files` (a README by default)."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for name, text in (files or {"README.md": "# a repository\n"}).items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if text.startswith("#!"):
            target.chmod(0o755)
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "first")
    return path


def prd_json(stories: int = 2, **extra: Any) -> str:
    """A plain prd.json with `stories` open stories and any further keys."""
    document: dict[str, Any] = {"project": "demo"} | extra
    document.setdefault(
        "userStories",
        [{"id": f"US-{n:03}", "title": f"Story {n}", "passes": False} for n in range(1, stories + 1)],
    )
    return json.dumps(document, indent=2) + "\n"


def drop_prd(repo: Path, prd_id: str, text: str | None = None) -> Path:
    """Moves a whole PRD folder into `prds/active` in one step, as `mv` does; returns the folder."""
    staging = repo / ".git" / "staging" / prd_id
    staging.mkdir(parents=True)
    (staging / "prd.json").write_text(prd_json() if text is None else text)
    active = repo / "prds" / "active"
    active.mkdir(parents=True, exist_ok=True)
    written = (staging / "prd.json").stat().st_ctime
    wait_until(lambda: time.time() - written > 0.02)  # a folder at rest: moved as one, it is admitted sooner
    return staging.rename(active / prd_id)
