"""Many writers at once, and writers killed at any moment: nothing lost, nothing torn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from coordinator import registry_file
from coordinator.clock import SystemClock
from coordinator.paths import Paths
from coordinator.registry import Registry

HERE = Path(__file__).resolve().parents[2]

#: argv: root, name, how many updates (0: until killed). Each update adds one entry and prints its number.
WRITER = """
import sys
from pathlib import Path
from coordinator.clock import SystemClock
from coordinator.paths import Paths
from coordinator.registry import Registry

root, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
registry = Registry(Paths(root, root / ".git"), SystemClock())
number = 0
while number < count or not count:
    number += 1
    key = f"{name}-{number}"
    registry.register({"prd_id": key, "status": "running"}, "active")
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def start_writer(
    root: Path, name: str, count: int, out: Path, fault: str | None = None
) -> subprocess.Popen[bytes]:
    env = dict(os.environ) | {"PYTHONPATH": str(HERE)} | ({"PRD_TUI_FAULT": fault} if fault else {})
    with out.open("ab") as stdout:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), name, str(count)],
            stdout=stdout,
            stdin=subprocess.DEVNULL,
            env=env,
        )


def has_content(file: Path) -> bool:
    return file.stat().st_size > 0


def open_registry(root: Path) -> Registry:
    return Registry(Paths(root, root / ".git"), SystemClock(), rebuild=_never)


def _never() -> dict[str, object]:
    raise AssertionError("nothing may be so damaged that it has to be rebuilt")


def test_eight_processes_lose_no_update_and_every_reader_sees_a_whole_file(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, f"W{n}", 200, tmp_path / f"out{n}") for n in range(8)]
    revisions: list[int] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            document = registry_file.load(str(tmp_path))
            if document is not None:
                revisions.append(document["revision"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        assert [writer.wait(120) for writer in writers] == [0] * 8
    finally:
        ended.set()
        reader.join()
        for writer in writers:
            writer.kill()
            writer.wait()
    document = open_registry(tmp_path).read()
    assert document["active_prds"].keys() == {f"W{n}-{k}" for n in range(8) for k in range(1, 201)}
    assert document["revision"] == 1600
    assert revisions == sorted(revisions)


def test_writers_killed_at_any_moment_tear_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.storm", str(tmp_path), "300", "31"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folder = Paths(tmp_path, tmp_path / ".git").coordinator
    open_registry(tmp_path).update(lambda document: None)
    left = {entry.name for entry in folder.iterdir()}
    assert left - {".registry.json.bak.link"} == {"registry.json", "registry.json.bak"}


def test_dying_right_after_the_replace_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    writer = start_writer(tmp_path, "A", 0, out, fault="registry-replaced:3")
    assert writer.wait(60) == -signal.SIGKILL
    assert out.read_text() == "1\n2\n"
    document = open_registry(tmp_path).read()
    assert list(document["active_prds"]) == ["A-1", "A-2", "A-3"]
    assert json.loads(json.dumps(document)) == document


def test_threads_of_one_process_share_one_registry(tmp_path: Path) -> None:
    registry = Registry(Paths(tmp_path, tmp_path / ".git"), SystemClock())

    def write(name: str) -> None:
        for number in range(50):
            registry.register({"prd_id": f"{name}-{number}"}, "active")

    threads = [threading.Thread(target=write, args=(f"T{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.list_active()) == 200
    assert registry.read()["revision"] == 200


FULL_DISK = """
import resource, sys
from pathlib import Path
from coordinator.clock import SystemClock
from coordinator.errors import StateError
from coordinator.paths import Paths
from coordinator.registry import Registry

root = Path(sys.argv[1])
registry = Registry(Paths(root, root / ".git"), SystemClock())
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    registry.register({"prd_id": "B", "error": "x" * 9000}, "failed")
except StateError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path) -> None:
    registry = Registry(Paths(tmp_path, tmp_path / ".git"), SystemClock())
    registry.register({"prd_id": "A"})
    folder = Paths(tmp_path, tmp_path / ".git").coordinator
    before = (folder / "registry.json").read_bytes()
    said = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env=dict(os.environ) | {"PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "cannot be written" in said
    assert (folder / "registry.json").read_bytes() == before
    assert {entry.name for entry in folder.iterdir()} == {"registry.json", "registry.json.bak"}
    registry.register({"prd_id": "B"})  # and it works again once there is room
