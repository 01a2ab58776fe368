from __future__ import annotations

import os
from pathlib import Path

import pytest

from coordinator import worktree_files
from coordinator.errors import PrdTuiError
from coordinator.worktree_files import copy_files, copy_prd
from tests.support.repos import git
from tests.support.sites import Site, contents
from tests.support.untouched import fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere" / "A"
    (folder / "assets" / "deep").mkdir(parents=True)
    (folder / "prd.json").write_text("{}\n")
    (folder / "assets" / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "assets" / "deep" / "run.sh").chmod(0o555)
    return folder


def test_a_prd_folder_comes_with_all_that_is_in_it(tmp_path: Path, folder: Path) -> None:
    worktree = tmp_path / "wt"
    worktree.mkdir()
    (folder / "empty").mkdir()
    assert copy_prd(folder, worktree, "A") == []
    target = worktree / "prds" / "active" / "A"
    assert contents(target) == contents(folder)
    assert (target / "empty").is_dir()
    assert (target / "assets" / "deep" / "run.sh").stat().st_mode & 0o777 == 0o755


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path, folder: Path) -> None:
    worktree = tmp_path / "wt"
    worktree.mkdir()
    copy_prd(folder, worktree, "A")
    copied = worktree / "prds" / "active" / "A" / "prd.json"
    copied.write_text("worker's\n")
    (copied.parent / "progress.txt").write_text("progress\n")
    copy_prd(folder, worktree, "A")
    assert copied.read_text() == "worker's\n"
    copy_prd(folder, worktree, "A", overwrite=True)
    assert copied.read_text() == "{}\n"
    assert (copied.parent / "progress.txt").read_text() == "progress\n"


def test_links_and_odd_files_are_copied_only_where_that_is_safe(tmp_path: Path, folder: Path) -> None:
    worktree = tmp_path / "wt"
    worktree.mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("secret\n")
    (folder / "inside").symlink_to("assets/deep/run.sh")
    (folder / "out").symlink_to("../secret")
    (folder / "absolute").symlink_to(folder / "prd.json")
    (folder / "loop").symlink_to("loop")
    (folder / "sly").symlink_to("out")
    os.mkfifo(folder / "pipe")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    warnings = copy_prd(folder, worktree, "A")
    target = worktree / "prds" / "active" / "A"
    assert (target / "inside").readlink() == Path("assets/deep/run.sh")
    present = {path.name for path in target.iterdir()}
    assert present - {"loop"} == {"assets", "inside", "prd.json"}
    assert {warning.split(" ")[0] for warning in warnings} >= {"out", "absolute", "sly", "pipe"}


def test_a_link_in_the_worktree_does_not_lead_the_copy_out(tmp_path: Path, folder: Path) -> None:
    worktree, outside = tmp_path / "wt", tmp_path / "outside"
    worktree.mkdir()
    outside.mkdir()
    (worktree / "prds").symlink_to(outside)
    copy_prd(folder, worktree, "A")
    assert list(outside.iterdir()) == []
    target = worktree / "prds" / "active" / "A"
    assert (target / "prd.json").exists()
    (outside / "victim").write_text("safe\n")
    (target / "prd.json").unlink()
    (target / "prd.json").symlink_to(outside / "victim")
    copy_prd(folder, worktree, "A", overwrite=True)
    assert (outside / "victim").read_text() == "safe\n"
    assert (target / "prd.json").read_text() == "{}\n"


def test_a_folder_beyond_measure_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worktree = tmp_path / "wt"
    worktree.mkdir()
    with (folder / "huge").open("wb") as file:
        file.truncate(worktree_files.MOST_BYTES + 1)
    with pytest.raises(PrdTuiError, match="too large"):
        copy_prd(folder, worktree, "A")
    (folder / "huge").unlink()
    monkeypatch.setattr(worktree_files, "MOST_ENTRIES", 3)
    with pytest.raises(PrdTuiError, match="too large"):
        copy_prd(folder, worktree, "A")
    assert list(worktree.iterdir()) == []


def test_ignored_files_are_brought_along(tmp_path: Path) -> None:
    ignore = ".env*\nnode_modules/\nconfig/*.local\n"
    site = Site(tmp_path / "repo", {".gitignore": ignore, "a.txt": "a\n", ".env.tracked": "t\n"})
    git(site.repo, "add", "-f", ".env.tracked")
    git(site.repo, "commit", "-q", "-m", "tracked")
    for name in (".env", "config/x.local", "config/y.txt", "node_modules/pkg/index.js"):
        (site.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (site.repo / name).write_text(f"{name}\n")
    (site.repo / "node_modules" / ".bin").mkdir()
    (site.repo / "node_modules" / ".bin" / "pkg").symlink_to("../pkg/index.js")
    (site.repo / "node_modules" / "round").symlink_to(".")
    (site.repo / ".env").chmod(0o600)
    before = fingerprint(site.repo, ["feature/A"])
    worktree = site.start("A")
    assert copy_files(site.git, [".env", "config/*", "node_modules"], worktree) == [
        "config/y.txt was not copied: git does not ignore it, so commit it instead"
    ]
    found = contents(worktree)
    assert found[".env"] == ".env\n"
    assert found["config/x.local"] == "config/x.local\n"
    assert found["node_modules/pkg/index.js"] == "node_modules/pkg/index.js\n"
    assert found["node_modules/.bin/pkg"] == "-> ../pkg/index.js"
    assert (worktree / ".env").stat().st_mode & 0o777 == 0o600
    assert git(worktree, "status", "--porcelain") == ""
    (worktree / ".env").write_text("changed\n")
    copy_files(site.git, [".env"], worktree)
    assert (worktree / ".env").read_text() == "changed\n"
    assert fingerprint(site.repo, ["feature/A"]) == before


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "../secret", "a/../../secret", "", "none", ".git/config", "**x"]
)
def test_a_pattern_that_cannot_be_served_is_a_warning(tmp_path: Path, pattern: str) -> None:
    site = Site(tmp_path / "repo")
    (tmp_path / "secret").write_text("secret\n")
    worktree = site.start("A")
    assert len(copy_files(site.git, [pattern], worktree)) == 1
    assert set(contents(worktree)) == {"README.md"}


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    site = Site(tmp_path / "repo", {".gitignore": ".env*\ndata\n", "a.txt": "a\n"})
    (tmp_path / "secret").write_text("secret\n")
    (site.repo / ".env").symlink_to(tmp_path / "secret")
    (site.repo / ".env.lost").symlink_to("nowhere")
    (site.repo / ".env.good").symlink_to("a.txt")
    (site.repo / "data").mkdir()
    (site.repo / "data" / "x").write_text("x\n")
    worktree = site.start("A")
    warnings = copy_files(site.git, [".env*"], worktree)
    assert [warning.split(" ")[0] for warning in warnings] == [".env", ".env.lost"]
    assert (worktree / ".env.good").read_text() == "a\n"
    (tmp_path / "outside").mkdir()
    (worktree / "data").symlink_to(tmp_path / "outside")
    assert len(copy_files(site.git, ["data", "data/x"], worktree)) == 2
    assert list((tmp_path / "outside").iterdir()) == []
