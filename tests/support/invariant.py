"""What must hold after any fault: one check for all fault tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.support.cli import registry

LISTS = ("queued_prds", "completed_prds", "failed_prds")


def check_invariant(repo: Path, prds: Collection[str]) -> None:
    """No PRD lost or in two states, every state file parses, no temporary file of a dead process is left."""
    document = registry(repo)
    places = Counter(document["active_prds"].keys())
    for name in LISTS:
        places.update(entry["prd_id"] for entry in document[name])
    assert set(places) == set(prds), f"lost or foreign: {set(places) ^ set(prds)}"
    assert set(places.values()) == {1}, f"in two states: {places}"
    for prd_id in prds:
        folders = [repo / "prds" / place / prd_id for place in ("active", "completed")]
        assert sum(folder.is_dir() for folder in folders) == 1, f"the folder of {prd_id}"
    coordinator = repo / ".claude-loop" / "coordinator"
    for path in (*coordinator.glob("*.jsonl"), *(repo / ".git" / "prd-tui" / "runs").glob("*/*/*.jsonl")):
        for line in path.read_text().splitlines():
            json.loads(line)
    for path in (repo / ".git" / "prd-tui" / "runs").glob("*/*/*.json"):
        json.loads(path.read_text())


def runs_started(repo: Path, prd_id: str) -> int:
    """How often a worker was really started for the PRD: one header line in its log each."""
    log = repo / ".claude-loop" / "coordinator" / "logs" / f"{prd_id}_worker.log"
    return log.read_text().count(f"=== {prd_id}: run ") if log.exists() else 0


def exits(repo: Path, prd_id: str) -> list[dict[str, Any]]:
    """Every recorded exit of the PRD's workers, oldest first."""
    found = sorted((repo / ".git" / "prd-tui" / "runs" / prd_id).glob("*/exit.json"))
    return [json.loads(path.read_text()) for path in found]
