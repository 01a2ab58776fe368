"""What writers leave that die before their file is whole goes at the next start; all else stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

from coordinator.identity import myself
from coordinator.left_overs import sweep_left_overs
from coordinator.paths import Paths


def test_only_what_the_dead_left_goes(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, living = f".tmp-{gone.pid}-7-3", f".tmp-{myself().pid}-{myself().ticks}-3"
    paths, worktrees = Paths(tmp_path, tmp_path / ".git"), tmp_path / "worktrees"
    places = [
        paths.run_dir("a", "run-1"),
        paths.run_dir("a", "run-1") / "gates" / "001",
        paths.run_dir("a", "run-1") / "setup" / "001",
        paths.run_dir("a", "run-1") / "teardown" / "001",
        paths.active / "a",
        paths.completed / "b",
        worktrees / "a" / "prds" / "active" / "a",
        worktrees / "a" / ".claude-loop",
    ]
    elsewhere = tmp_path / "elsewhere"
    for place in (*places, elsewhere):
        place.mkdir(parents=True)
        for name in (f".prd.json{dead}", f".prd.json{living}", ".prd.json.tmp", "prd.json"):
            (place / name).touch()
    (paths.active / "link").symlink_to(elsewhere)
    assert sweep_left_overs(paths, worktrees) == len(places)
    assert not any((place / f".prd.json{dead}").exists() for place in places)
    for place in places:
        assert len([entry for entry in place.iterdir() if entry.is_file()]) == 3
    assert (elsewhere / f".prd.json{dead}").exists(), "a link is not followed"
    assert sweep_left_overs(Paths(tmp_path / "nowhere", tmp_path / "nowhere"), worktrees / "none") == 0
