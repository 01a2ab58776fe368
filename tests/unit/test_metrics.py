"""Metrics and the engine's log: every line whole, none lost, nothing secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.clock import SystemClock, iso
from coordinator.engine_log import EngineLog
from coordinator.errors import StateError
from coordinator.metrics import Metrics, read, throughput
from coordinator.redaction import Redactor, looks_secret

HERE = Path(__file__).resolve().parents[2]


class FixedClock:
    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_an_event_is_one_valid_line(tmp_path: Path) -> None:
    path = tmp_path / "state" / "metrics.jsonl"
    metrics = Metrics(path, FixedClock(0))
    metrics.record("prd_started", "A", branch="feature/ü\n\x1b", load=float("inf"), where=Path("/x"))
    metrics.record("sample", None, cpu=0.5)
    lines = path.read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "timestamp": "1970-01-01T00:00:00.000Z",
            "event": "prd_started",
            "prd_id": "A",
            "branch": "feature/ü\n\x1b",
            "load": None,
            "where": "/x",
        },
        {"timestamp": "1970-01-01T00:00:00.000Z", "event": "sample", "prd_id": None, "cpu": 0.5},
    ]
    assert b"Infinity" not in path.read_bytes()
    assert path.parent.stat().st_mode & 0o777 == 0o700


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5)))
def test_any_metadata_is_valid_json(tmp_path_factory: pytest.TempPathFactory, more: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("m") / "metrics.jsonl"
    reserved = {"event", "prd_id", "self", "timestamp"}
    Metrics(path, FixedClock(0)).record("e", None, **{k: v for k, v in more.items() if k not in reserved})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = path.read_bytes().splitlines()
    assert json.loads(line, parse_constant=refuse)["event"] == "e"


def test_rotation_keeps_every_line_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, SystemClock(), limit=1000)
    for number in range(200):
        metrics.record("tick", None, number=number)
    parts = sorted(tmp_path.iterdir())
    assert len(parts) > 11  # numbers of two digits among them
    assert all(part.stat().st_size <= 1000 for part in parts)
    assert [event["number"] for event in read(path)] == list(range(200))


WRITER = """
import sys
from pathlib import Path
from coordinator.clock import SystemClock
from coordinator.metrics import Metrics

metrics = Metrics(Path(sys.argv[1]), SystemClock(), limit=3000)
for number in range(300):
    metrics.record("tick", sys.argv[2], number=number)
"""


def test_rotation_by_many_processes_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    env = dict(os.environ) | {"PYTHONPATH": str(HERE)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], env=env, stdin=subprocess.DEVNULL)
        for name in "ABCD"
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    events = list(read(path))
    for name in "ABCD":
        assert [event["number"] for event in events if event["prd_id"] == name] == list(range(300))
    assert sum(part.read_bytes().count(b"\n") for part in tmp_path.iterdir()) == 1200


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, SystemClock())
    metrics.record("one", None)
    with path.open("ab") as file:
        file.write(b'{"event": "torn\n\xff\xff\n[1]\n{}\n')
    metrics.record("two", None)
    assert [event["event"] for event in read(path)] == ["one", "two"]
    assert list(read(tmp_path / "none.jsonl")) == []


def test_whether_an_event_is_recorded(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", SystemClock())
    assert not metrics.has("prd_completed", "r1")
    metrics.record("prd_completed", "A", run_id="r1")
    assert metrics.has("prd_completed", "r1")
    assert not metrics.has("prd_completed", "r2")
    assert not metrics.has("prd_started", "r1")


def test_a_metrics_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        Metrics(tmp_path / "file" / "metrics.jsonl", SystemClock()).record("e", None)


# -- throughput -------------------------------------------------------------------------------------------


def event(name: str, at: float) -> dict[str, Any]:
    return {"event": name, "timestamp": iso(at), "prd_id": "A"}


def test_throughput_is_prds_per_hour() -> None:
    day = 1_000_000.0
    events = [event("prd_started", day), event("prd_completed", day + 60), event("prd_completed", day + 900)]
    assert throughput(events, day + 1800) == pytest.approx(4.0)
    assert throughput(events, day + 1800, window=950) == pytest.approx(4.0)
    assert throughput(events, day + 200_000) == 0
    assert throughput(events[:1], day + 1800) == 0
    assert throughput([], day) == 0
    assert throughput([{"event": "prd_completed", "timestamp": "soon"}, {}], day) == 0


@given(st.lists(st.floats(0, 86400)), st.floats(0, 86400))
def test_throughput_is_finite_and_never_negative(moments: list[float], now: float) -> None:
    found = throughput([event("prd_completed", moment) for moment in moments], now)
    assert 0 <= found <= max(1, len(moments)) * 3600


# -- the engine's log -------------------------------------------------------------------------------------


def test_a_log_line_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.log"
    log = EngineLog(path, FixedClock(0))
    log.write("started\nforged line\r\x1b[2J\u202e\udc80 é")
    log.warn("disk")
    assert path.read_text().splitlines() == [
        "1970-01-01T00:00:00.000Z started\\nforged line\\r\\x1b[2J\\u202e\\udc80 é",
        "1970-01-01T00:00:00.000Z warning: disk",
    ]


def test_a_fault_is_logged_with_where_it_came_from(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "coordinator.log")
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        log.failure("dividing", error)
    text = (tmp_path / "coordinator.log").read_text()
    assert "fault while dividing: ZeroDivisionError('oops')" in text
    assert "test_metrics.py" in text


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "coordinator.log", limit=2000)
    for number in range(500):
        log.write(f"line {number}")
    files = {file.name: file for file in tmp_path.iterdir()}
    assert files.keys() == {"coordinator.log", "coordinator.log.1"}
    assert all(file.stat().st_size <= 2000 for file in files.values())
    assert files["coordinator.log"].read_text().endswith("line 499\n")


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "coordinator.log", limit=10_000_000)

    def write(word: str) -> None:
        for _ in range(100):
            log.write(word * 50)

    threads = [threading.Thread(target=write, args=(word,)) for word in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line.split()[1] for line in (tmp_path / "coordinator.log").read_text().splitlines()]
    assert len(lines) == 400
    assert all(len(set(line)) == 1 and len(line) == 50 for line in lines)


def test_a_log_that_cannot_be_written_raises_nothing_and_counts(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("in the way")
    log = EngineLog(folder / "coordinator.log")
    log.write("one")
    log.write("two")
    folder.unlink()
    log.write("three")
    text = (folder / "coordinator.log").read_text()
    assert "2 lines before this one could not be written" in text
    assert "three" in text


# -- secrets ----------------------------------------------------------------------------------------------


def test_secrets_of_the_environment_reach_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = 'sk-"ant"-\\ünïcode-0123456789'
    monkeypatch.setenv("ANTHROPIC_API_KEY", value)
    Metrics(tmp_path / "metrics.jsonl", SystemClock()).record("e", "A", reason=f"401 for {value}")
    EngineLog(tmp_path / "coordinator.log").write(f"401 for {value}")
    for file in tmp_path.iterdir():
        assert "0123456789" not in file.read_text()
        assert "[secret]" in file.read_text()
    assert next(read(tmp_path / "metrics.jsonl"))["reason"] == "401 for [secret]"


def test_plain_words_and_paths_are_no_secrets() -> None:
    redactor = Redactor(
        {
            "A_TOKEN": "completed_prds",
            "B_KEY": "/home/me/.ssh/id",
            "C_SECRET": "short",
            "HOME": "/home/Me1",
            "D_PASSWORD": "1234567890.5",
        }
    )
    text = "completed_prds /home/me/.ssh/id short /home/Me1 1234567890.5"
    assert redactor.text(text) == text


def test_names_that_hold_secrets() -> None:
    for name in ("OPENAI_API_KEY", "GITHUB_TOKEN", "apikey", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        assert looks_secret(name), name
    for name in ("PRD_TOKEN_HELD", "SSH_AUTH_SOCK", "MONKEY", "PATH"):
        assert not looks_secret(name), name
