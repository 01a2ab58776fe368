"""A worker that crashes again and again, a folder that is edited, one that is removed: the others go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.cli import CONFIG, completed, failed, make_project, running, wait_for_status
from tests.support.invariant import check_invariant, exits, runs_started
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

#: Seconds before the first automatic retry.
BACKOFF = 5.0


def test_a_crash_loop_ends_and_folders_change_under_running_prds(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG + "[coordinator]\nmax_retries = 1\nmax_prds = 4\n")
    go: dict[str, Any] = {"gate_file": str(tmp_path / "go")}
    drop_prd(repo, "crashes", prd_json(mode="exit7"))
    drop_prd(repo, "good", prd_json())
    edited, removed = drop_prd(repo, "edited", prd_json(**go)), drop_prd(repo, "removed", prd_json(**go))
    with running(repo) as process:
        for name in ("edited", "removed"):
            wait_for_status(repo, name, "running")
        changed = json.loads((edited / "prd.json").read_text())
        changed["userStories"][0]["title"] = "Something else"
        (edited / "prd.json").write_text(json.dumps(changed))
        shutil.rmtree(removed)
        told = tmp_path / "repo.stderr"
        wait_for(told, "its folder was edited", "its folder is gone from prds/active")
        (tmp_path / "go").touch()
        assert process.wait(60) == 1
    assert set(completed(repo)) == {"good", "edited", "removed"}
    check_invariant(repo, ("crashes", "good", "edited", "removed"))
    passes = {name: [story["passes"] for story in stories(repo, name)] for name in ("edited", "removed")}
    assert passes == {"edited": [False, True], "removed": [True, True]}, "what was not admitted is not done"
    assert runs_started(repo, "crashes") == 2
    first, second = exits(repo, "crashes")
    assert second["ended_at"] - first["ended_at"] >= BACKOFF
    assert failed(repo)["crashes"]["exit_code"] == 7


def stories(repo: Path, prd_id: str) -> list[dict[str, object]]:
    document = json.loads((repo / "prds" / "completed" / prd_id / "prd.json").read_text())
    found: list[dict[str, object]] = document["userStories"]
    return found


def wait_for(told: Path, *sentences: str) -> None:
    wait_until(lambda: all(sentence in told.read_text() for sentence in sentences), 30, str(sentences))
