"""Files that are never seen half."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import coordinator
from coordinator.errors import StateError
from coordinator.files import append_line, read_json, sweep_tmp, write_atomic, write_json
from coordinator.identity import myself
from tests.support.waiting import wait_until


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert read_json(path) is None
    write_json(path, {"a": ["é", 1, None]})
    assert read_json(path) == {"a": ["é", 1, None]}
    write_atomic(path, b"[]", durable=False)
    assert path.read_bytes() == b"[]"
    assert names_in(tmp_path) == ["a.json"]


def test_keeps_the_permissions_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o600)
    write_atomic(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000, '{"a": \udcff'])
def test_an_unparsable_file_is_an_error_of_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StateError, match="is not valid JSON"):
        read_json(path)


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        read_json(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "directory"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(target, b"new")
    assert names_in(tmp_path) == ["directory"]
    with pytest.raises(StateError, match="cannot be written"):
        write_atomic(tmp_path / "none" / "a", b"new")
    with pytest.raises(StateError, match="cannot be written"):
        append_line(target, b"new")


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: a write then stops short."""
    script = f"""
import resource, signal
from pathlib import Path
from coordinator.errors import StateError
from coordinator.files import append_line, write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
folder = Path({str(tmp_path)!r})
for n in range(9):
    try:
        append_line(folder / "lines", b"x" * 29)
    except StateError:
        pass
try:
    write_atomic(folder / "kept", b"y" * 200)
except StateError as error:
    print(error)
"""
    (tmp_path / "kept").write_text("old")
    root = str(Path(coordinator.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        check=True,
    )
    assert (tmp_path / "lines").read_bytes() == (b"x" * 29 + b"\n") * 3
    assert b"keeps its old content" in done.stdout
    assert (tmp_path / "kept").read_text() == "old"
    assert names_in(tmp_path) == ["kept", "lines"]


def append_many(path: Path, word: str) -> None:
    for n in range(100):
        append_line(path, json.dumps({"word": word, "n": n, "more": "x" * n}).encode())


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(path, str(n))) for n in range(3)]
    for writer in writers:
        writer.start()
    threads = [threading.Thread(target=append_many, args=(path, f"t{n}")) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    words = [json.loads(line)["word"] for line in path.read_text().splitlines()]
    assert {word: words.count(word) for word in words} == dict.fromkeys(
        ["0", "1", "2", "t0", "t1", "t2"], 100
    )


def test_a_killed_writer_leaves_a_whole_file_and_a_sweepable_rest(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from coordinator.files import write_json
n = 0
while True:
    n += 1
    write_json(Path({str(tmp_path)!r}) / "a.json", {{"n": n, "more": "x" * 50_000}}, durable=False)
"""
    root = str(Path(coordinator.__file__).parents[1])
    for _ in range(5):
        (tmp_path / "a.json").unlink(missing_ok=True)
        writer = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root})
        wait_until((tmp_path / "a.json").exists, what="the first write")
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        document = read_json(tmp_path / "a.json")
        assert document is not None
        assert document["n"] >= 1
    sweep_tmp(tmp_path)
    assert names_in(tmp_path) == ["a.json"]


def test_the_sweep_spares_living_writers_and_foreign_files(tmp_path: Path) -> None:
    me = myself()
    names = {f".a.tmp-{me.pid}-{me.ticks}-1", ".a.tmp-1-x-1", "a.tmp-1-1-1", ".a.tmp"}
    for name in names | {f".a.tmp-{me.pid}-{me.ticks + 1}-1", ".b.json.tmp-999999999-5-2"}:
        (tmp_path / name).write_text("")
    assert sweep_tmp(tmp_path) == 2
    assert set(names_in(tmp_path)) == names
    assert sweep_tmp(tmp_path / "none") == 0
