"""Folders that arrive in every way while `run --watch` lives: admitted once, and only when they are whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.cli import completed, make_project, prd_tui, registry, running
from tests.support.repos import drop_prd, git, prd_json
from tests.support.waiting import wait_until

#: Writes down when it began and which files of the PRD it found, then does the work.
SCRIPT = """#!/bin/sh
(cd "${1%/*}" && find . -type f ! -name .began ! -name .seen) | sort > "../$PRD_ID.seen"
date +%s.%N > "../$PRD_ID.began"
sed -i 's/"passes": false/"passes": true/' "$1"
echo "$PRD_ID" > "$PRD_ID.txt"
git add -- "$PRD_ID.txt"
exec git -c user.name=W -c user.email=w@example.invalid commit -q -m "did it"
"""
CONFIG = '[worker]\ncommand = ["sh", "work.sh", "{prd_json}"]\n'
FILES = ("a.txt", "b.txt", "prd.json", "sub/c.txt")


@contextmanager
def watched(tmp_path: Path) -> Iterator[Path]:
    """A repository that `run --watch` looks after."""
    repo = make_project(tmp_path, config=CONFIG, files={"work.sh": SCRIPT})
    (repo / "prds" / "active").mkdir(parents=True)
    with running(repo, "--watch", "--max-prds", "8") as process:
        wait_until(
            lambda: registry(repo).get("coordinator_pid") == process.pid, what="it owns the repository"
        )
        yield repo
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def source(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "source" / name
    (folder / "sub").mkdir(parents=True)
    for file in FILES:
        (folder / file).write_text(prd_json() if file == "prd.json" else "text\n" * 5000)
    return folder


def at_rest(folder: Path) -> bool:
    return time.time() - folder.stat().st_ctime > 0.05


def check_arrival(repo: Path, name: str) -> float:
    """It completes, one worker was started for it, and that one found every file. Returns when it began."""
    wait_until(lambda: name in completed(repo), 30, f"{name} completes")
    worktrees = repo / ".claude-loop" / "worktrees"
    assert (worktrees / f"{name}.seen").read_text().split() == sorted(f"./{file}" for file in FILES)
    events = (repo / ".claude-loop" / "coordinator" / "metrics.jsonl").read_text().splitlines()
    started = [event for line in events if (event := json.loads(line))["event"] == "prd_started"]
    assert [event["prd_id"] for event in started].count(name) == 1
    log = repo / ".claude-loop" / "coordinator" / "coordinator.log"
    assert f"{name} failed" not in log.read_text()
    return float((worktrees / f"{name}.began").read_text())


def test_a_folder_at_rest_that_is_moved_in_starts_within_a_second(tmp_path: Path) -> None:
    with watched(tmp_path) as repo:
        took = []
        for name in ("one", "two", "three"):
            folder = source(tmp_path, name)
            wait_until(partial(at_rest, folder))
            subprocess.run(["mv", folder, repo / "prds" / "active"], check=True)
            moved = time.time()
            took.append(check_arrival(repo, name) - moved)
        # one of three, for a machine that is busy with other tests meanwhile
        assert min(took) < 1.0, took


def copy(source: Path, active: Path) -> None:
    subprocess.run(["cp", "-r", source, active], check=True)


def copy_slowly(source: Path, active: Path) -> None:
    """prd.json is there, whole and valid, long before the rest, and grows in pieces itself."""
    target = active / source.name
    (target / "sub").mkdir(parents=True)
    text = (source / "prd.json").read_text()
    with (target / "prd.json").open("w") as file:
        for begin in range(0, len(text), 100):
            file.write(text[begin : begin + 100])
            file.flush()
            time.sleep(0.3)
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        time.sleep(1.2)
        shutil.copyfile(source / name, target / name)


def move_over_file_systems(source: Path, active: Path) -> None:
    """What `mv` does then: copy, set the old times, remove the original."""
    shutil.copytree(source, active / source.name)
    shutil.rmtree(source)


def unpack(source: Path, active: Path) -> None:
    packed = source.with_suffix(".tar")
    subprocess.run(["tar", "-cf", packed, "-C", source.parent, source.name], check=True)
    subprocess.run(["tar", "-xf", packed, "-C", active], check=True)


def rsync(source: Path, active: Path) -> None:
    """Each file under a temporary name first, renamed with an old time, the folder's own times last."""
    target = active / source.name
    (target / "sub").mkdir(parents=True)
    for name in FILES:
        final = target / name
        unfinished = final.with_name(f".{final.name}.Xy12ab")
        unfinished.write_bytes((source / name).read_bytes())
        time.sleep(0.4)
        os.utime(unfinished, (1_000_000_000, 1_000_000_000))
        unfinished.rename(final)
    os.utime(target, (1_000_000_000, 1_000_000_000))


def plans_branch(repo: Path, folders: list[Path]) -> None:
    """A branch `plans` with the folders under prds/active, made without touching the checkout."""
    index = repo.parent / "plans.index"
    lines = [
        f"100644 {git(repo, 'hash-object', '-w', str(folder / name))}\tprds/active/{folder.name}/{name}"
        for folder in folders
        for name in FILES
    ]
    tree = _tree(repo, index, "\n".join(lines) + "\n")
    git(repo, "branch", "plans", git(repo, "commit-tree", "-p", "main", "-m", "plans", tree))


def _tree(repo: Path, index: Path, entries: str) -> str:
    env = {**os.environ, "GIT_INDEX_FILE": str(index)}
    subprocess.run(["git", "read-tree", "main"], cwd=repo, env=env, check=True)
    subprocess.run(
        ["git", "update-index", "--add", "--index-info"],
        cwd=repo,
        env=env,
        input=entries,
        text=True,
        check=True,
    )
    made = subprocess.run(
        ["git", "write-tree"], cwd=repo, env=env, capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "cp": copy,
    "slow": copy_slowly,
    "mv-over": move_over_file_systems,
    "tar": unpack,
    "rsync": rsync,
}


def test_every_other_way_to_arrive(tmp_path: Path) -> None:
    """All at once, as they do not know of each other; one coordinator is enough to see them all."""
    with watched(tmp_path) as repo:
        active = repo / "prds" / "active"
        whole: dict[str, float] = {}

        def arrive(name: str, way: Callable[[Path, Path], None]) -> None:
            way(source(tmp_path, name), active)
            whole[name] = time.time()

        threads = [threading.Thread(target=arrive, args=item) for item in WAYS.items()]
        for thread in threads:
            thread.start()
        plans_branch(repo, [source(tmp_path, "checkout"), source(tmp_path, "restore")])
        git(repo, "checkout", "-q", "plans", "--", "prds/active/checkout")
        whole["checkout"] = time.time()
        git(repo, "restore", "--source", "plans", "--", "prds/active/restore")
        whole["restore"] = time.time()
        for thread in threads:
            thread.join()
        for name, at in whole.items():
            assert check_arrival(repo, name) > at, f"{name} was begun before it was whole"
        assert set(completed(repo)) == {*WAYS, "checkout", "restore"}


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_the_real_rsync(tmp_path: Path) -> None:
    with watched(tmp_path) as repo:
        folder = source(tmp_path, "real")
        subprocess.run(
            ["rsync", "-a", "--bwlimit=40", str(folder), str(repo / "prds" / "active")], check=True
        )
        whole = time.time()
        assert check_arrival(repo, "real") > whole


def test_a_folder_for_prds_that_is_made_anew(tmp_path: Path) -> None:
    with watched(tmp_path) as repo:
        shutil.rmtree(repo / "prds")
        (repo / "prds" / "active").mkdir(parents=True)
        for name in ("first", "second"):
            subprocess.run(["mv", source(tmp_path, name), repo / "prds" / "active"], check=True)
        for name in ("first", "second"):
            check_arrival(repo, name)


#: Names that a folder may have and a PRD may not, as bytes.
NAMES = [
    *(
        b"-x",
        b"--help",
        b".hidden",
        b"..x",
        b"a..b",
        b"x.lock",
        b"a b",
        b"a\nb",
        b"a\x1b[2Jb",
        b"a\tb",
        b"\xff\xfe",
    ),
    *(
        "ü".encode(),
        "a\u202eb".encode(),
        "中".encode(),
        b"a;rm",
        b"$(id)",
        b"`id`",
        b"a|b",
        b"a&b",
        b"a'b",
        b'a"b',
    ),
    *(
        b"a\\b",
        b"a*b",
        b"a?b",
        b"a[b]",
        b"~",
        b"a~1",
        b"a^b",
        b"a:b",
        b"@",
        b"@{u}",
        b"a@{b",
        b"%s",
        b"{prd_id}",
    ),
    *(b"#x", b"!x", b"x" * 65, b"x" * 255, b"_x", b"a,b", b"a=b", b"\x7f", b"...", b".lock"),
]
_STORY = '{"userStories": [{"id": "a", "title": "t", "passes": false, "priority": %s}]}'

#: Contents of a prd.json that no PRD may have.
CONTENTS = {
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"userStories":' * 50_000 + b"1" + b"}" * 50_000,
    "nan": (_STORY % "NaN").encode(),
    "infinity": (_STORY % "-Infinity").encode(),
    "exponent": (_STORY % "1e999").encode(),
    "digits": (_STORY % ("9" * 5000)).encode(),
    "duplicate": b'{"userStories": [], "userStories": [{"id": "a", "title": "t", "passes": false}]}',
    "surrogate": b'{"userStories": [{"id": "a", "title": "\\ud800", "passes": false}]}',
    "utf16": prd_json().encode("utf-16"),
    "bom": prd_json().encode("utf-8-sig"),
    "latin1": b'{"userStories": [{"id": "a", "title": "\xe4", "passes": false}]}',
    "words": b'{"userStories": [{"id": "a", "title": "t", "passes": "false"}]}',
    "empty": b"",
    "nothing": b'{"userStories": []}',
    "number": b"5",
}


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 30)


def make_hostile(active: Path, outside: Path) -> set[str]:
    """One folder for each kind of mischief; returns the names as `run` shows them."""
    for raw in NAMES:
        folder = active / os.fsdecode(raw)
        folder.mkdir()
        (folder / "prd.json").write_text(prd_json())
    for name, data in CONTENTS.items():
        (active / name).mkdir()
        (active / name / "prd.json").write_bytes(data)
    kinds: dict[str, Callable[[Path], object]] = {
        "symlink": lambda path: path.symlink_to(outside / "whole.json"),
        "zero": lambda path: path.symlink_to("/dev/zero"),
        "fifo": os.mkfifo,
        "folder": Path.mkdir,
        "sparse": make_sparse,
    }
    (outside / "whole.json").write_text(prd_json())
    for name, make in kinds.items():
        (active / name).mkdir()
        make(active / name / "prd.json")
    (active / "linked").symlink_to(outside)
    return {*CONTENTS, *kinds, "linked"}


def test_hostile_folders_are_a_row_each_and_nothing_else(tmp_path: Path) -> None:
    repo = make_project(tmp_path, config=CONFIG, files={"work.sh": SCRIPT})
    active, outside = repo / "prds" / "active", tmp_path / "outside"
    active.mkdir(parents=True)
    outside.mkdir()
    shown = make_hostile(active, outside)
    for name in ("good", "fine"):
        drop_prd(repo, name)
    before = sorted(path.name for path in (*tmp_path.iterdir(), *outside.iterdir()))
    done = prd_tui(repo, "run", "--json", timeout=60)
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    invalid = [event["prd_id"] for event in events if event["state"] == "invalid"]
    assert len(invalid) == len(set(invalid)) == len(NAMES) + len(shown)
    assert shown <= set(invalid)
    assert all(event["text"] for event in events if event["state"] == "invalid")
    assert set(completed(repo)) == {"good", "fine"}
    assert sorted(path.name for path in (*tmp_path.iterdir(), *outside.iterdir())) == before
    for place in (repo / ".claude-loop" / "worktrees", repo / ".git" / "prd-tui" / "runs"):
        assert {path.name for path in place.iterdir() if path.is_dir()} == {"good", "fine"}
    branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    assert branches == ["feature/fine", "feature/good", "main"]
