"""What any released version left is understood by this one; `tests.faults.golden` says how a set is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from coordinator import registry_file
from coordinator.clock import SystemClock
from coordinator.git import discover
from coordinator.model import PrdState
from coordinator.recovery import Found, recover
from coordinator.registry import Registry
from tests.faults.golden.__main__ import HERE, ROOT, version
from tests.support.repos import make_repo

VERSIONS = sorted(path.stem.removeprefix("registry-") for path in HERE.glob("registry-*.json"))

#: `cut` and `paused` had a worker when the machine was switched off: lost, verified, and then once more.
STATES = {
    "done": PrdState.COMPLETED,
    "broken": PrdState.FAILED,
    "stopped": PrdState.STOPPED,
    "cut": PrdState.RUNNING,
    "paused": PrdState.RUNNING,
    "waits": PrdState.QUEUED,
}


def test_the_present_version_has_its_set() -> None:
    assert version() in VERSIONS, "make it: python -m tests.faults.golden"


@pytest.mark.parametrize("released", VERSIONS)
def test_what_a_released_version_left_is_recovered(tmp_path: Path, released: str) -> None:
    repo = make_repo(tmp_path / "repo")
    paths = discover(repo)
    shutil.copytree(HERE / f"runs-{released}", paths.runs)
    paths.coordinator.mkdir(parents=True)
    shutil.copy(HERE / f"registry-{released}.json", paths.registry)
    for record in (paths.registry, *paths.runs.glob("*/*/*.json*")):
        record.write_text(record.read_text().replace(ROOT, str(repo)))

    warnings: list[str] = []
    document = Registry(paths, SystemClock(), warn=warnings.append).read()
    assert warnings == []
    assert registry_file.load(str(repo)) is not None
    found = {one.record.prd_id: one for one in recover(paths, document, 1.0)}
    assert {name: one.record.state for name, one in found.items()} == STATES
    assert found["broken"].record.exit is not None
    assert found["broken"].record.exit.code == 7
    assert found["done"].record.progress.completed == found["done"].record.progress.total == 2
    check_places(repo, found)
    assert {name for name, one in found.items() if one.cut_off} == {"cut", "paused"}
    order = [entry["prd_id"] for entry in document["queued_prds"]]
    assert order == ["waits"]

    # The run directories alone tell the same of every PRD that ever ran.
    alone = {one.record.prd_id: one.record for one in recover(paths, registry_file.empty(), 1.0)}
    for name in STATES.keys() - {"waits"}:
        assert alone[name].state is STATES[name], name
        assert alone[name].run == found[name].record.run


def check_places(repo: Path, found: dict[str, Found]) -> None:
    for name in STATES.keys() - {"waits"}:
        run = found[name].record.run
        assert run is not None
        assert Path(run.worktree) == repo / ".claude-loop" / "worktrees" / name
        assert json.loads((Path(run.run_dir) / "intent.json").read_text())["run"]["run_id"] == run.run_id
