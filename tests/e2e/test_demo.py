"""`prd-tui demo --headless` on a machine that has nothing, and on one that has everything in the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from coordinator.api import check
from coordinator.demo.repository import demo_prds
from tests.support.cli import LAUNCHER, active, completed, environment, failed, prd_tui
from tests.support.repos import git, make_repo
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

DONE = {"price-rounding", "cart-totals", "search-index", "checkout", "free-delivery", "summer-sale"}
FAILED = {"tax-report", "order-export"}


def places(tmp_path: Path) -> dict[str, str]:
    """An environment whose folder for temporary files is the test's own."""
    folder = tmp_path / "tmp"
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


def made(tmp_path: Path) -> Path:
    """The one repository that a demo has left."""
    (repo,) = (tmp_path / "tmp").glob(
        "prd-tui-demo-*/shop"
    )  # Python tries the folder out with files of its own
    return repo


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_the_prds_are_good_ones(tmp_path: Path) -> None:
    prds = demo_prds("python3", pace=0)
    assert set(prds) == DONE | FAILED
    for prd_id, prd in prds.items():
        path = tmp_path / prd_id / "prd.json"
        path.parent.mkdir()
        path.write_text(json.dumps(prd))
        checked = check(path.parent)
        assert (checked.problems, checked.warnings) == ((), ())
        assert checked.prd is not None
        assert 2 <= len(checked.prd.stories) <= 5
        assert all(story.acceptance and story.title for story in checked.prd.stories)


@pytest.mark.timeout(400)
def test_it_shows_everything_and_ends_by_itself(tmp_path: Path) -> None:
    other = make_repo(tmp_path / "other")
    before = fingerprint(other)
    settings = tmp_path / "xdg" / "prd-tui" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('[worker]\ncommand = ["no-such-loop"]\n[worktree]\nsetup = ["false"]\n')
    in_the_way = {
        "HOME": "",
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "PARALLEL_MAX_PRDS": "1",
        "COORDINATOR_AUTO_RETRY": "yes",
        "PYTHONPATH": str(other),
        "PYTHONSAFEPATH": "1",
        "LANG": "C",
    }
    done = prd_tui(other, "demo", "--headless", env=places(tmp_path) | in_the_way, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    repo = made(tmp_path)
    assert set(completed(repo)) == DONE, done.stderr
    check_summary(done.stdout, repo)
    check_failures(repo)
    check_work(repo)
    assert fingerprint(other) == before
    assert not (tmp_path / "index").exists()
    assert processes_in(repo) == []
    remove = re.findall(r"rm -rf .*", done.stdout)
    subprocess.run(["sh", "-c", remove[0]], check=True, cwd=tmp_path)
    assert list((tmp_path / "tmp").iterdir()) == []


def check_summary(text: str, repo: Path) -> None:
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert all(re.search(r" completed +(feature|campaign)/", lines[prd_id]) for prd_id in DONE)
    assert "marked the story as passing, but changed nothing" in lines["order-export"]
    assert re.search(r"US-002 failed 2×: gate .*unittest", lines["tax-report"])
    assert f"git -C {repo} log --all --oneline --graph" in text
    assert "stop --all" not in text, "nothing runs any more"


def check_failures(repo: Path) -> None:
    assert set(failed(repo)) == FAILED
    assert failed(repo)["tax-report"]["progress"] == {"completed": 1, "total": 3}
    assert failed(repo)["order-export"]["progress"] == {"completed": 1, "total": 2}
    for prd_id in FAILED:
        assert (repo / "prds" / "active" / prd_id).is_dir()
        assert (repo / ".claude-loop" / "worktrees" / prd_id).is_dir()
    logs = repo / ".claude-loop" / "coordinator" / "logs"
    retried = (logs / "search-index_worker.log").read_text()
    assert "call 1 of US-003 is told to fail" in retried
    assert "US-003 Rank the hits, attempt 2" in retried


def check_work(repo: Path) -> None:
    """Small believable commits; the demo's own gates, and the test that was red at first."""
    stories = git(repo, "log", "--format=%s", "main..feature/search-index").splitlines()
    assert len(stories) == 5
    git(repo, "merge-base", "--is-ancestor", "feature/cart-totals", "feature/checkout")
    assert git(repo, "diff", "--name-only", "main", "feature/price-rounding").splitlines() == [
        "shop/money.py",
        "tests/test_split.py",
    ]
    merged = subprocess.run(
        [
            "git",
            "-C",
            str(repo),
            "merge-tree",
            "--write-tree",
            "feature/free-delivery",
            "campaign/summer-sale",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert merged.returncode == 1
    assert "CONFLICT (content): Merge conflict in shop/pricing.py" in merged.stdout
    assert git(repo, "status", "--porcelain") == "?? prds/"
    author = git(repo, "log", "-1", "--format=%an", "feature/search-index")
    assert author == "prd-tui demo", "nobody has an identity here"


def test_ended_in_the_middle_it_says_where_it_was(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*LAUNCHER, "demo", "--headless"],
        cwd=tmp_path,
        env=environment(places(tmp_path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        wait_until(lambda: list((tmp_path / "tmp").glob("prd-tui-demo-*/shop")), 60, "the repository")
        repo = made(tmp_path)
        wait_until(lambda: active(repo), 60, "the first worker")
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=100)
    assert process.returncode == 143
    assert f"rm -rf {repo.parent}" in told
    assert processes_in(repo) == []


def test_without_a_terminal_there_is_no_dashboard(tmp_path: Path) -> None:
    refused = prd_tui(tmp_path, "demo", env=places(tmp_path))
    assert refused.returncode == 2
    assert "prd-tui demo --headless" in refused.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    refused = prd_tui(tmp_path, "demo", "--headless", env=places(tmp_path) | {"PATH": str(tools)})
    assert refused.returncode == 2
    assert "git is not installed" in refused.stderr
    assert list((tmp_path / "tmp").iterdir()) == []
    real = shutil.which("git")
    script = f'#!/bin/sh\ncase "$*" in *commit*) echo fatal: no >&2; exit 128;; *) exec {real} "$@";; esac\n'
    (tools / "git").write_text(script)
    (tools / "git").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    refused = prd_tui(tmp_path, "demo", "--headless", env=places(tmp_path) | {"PATH": path})
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert list((tmp_path / "tmp").iterdir()) == []
