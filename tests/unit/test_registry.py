"""The registry: one place per PRD, nothing lost, damage set aside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from coordinator.clock import SystemClock, parse_iso
from coordinator.errors import StateError
from coordinator.paths import Paths
from coordinator.registry import KEPT_FINISHED, Registry

Document = dict[str, Any]


def make_paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, tmp_path / ".git")


def make(tmp_path: Path, **more: Any) -> Registry:
    return Registry(make_paths(tmp_path), SystemClock(), **more)


def on_disk(registry_paths: Paths) -> Document:
    document: Document = json.loads(registry_paths.registry.read_bytes())
    return document


def nothing(_document: Document) -> None:
    """A change that changes nothing but the revision."""


def raising() -> Document:
    raise AssertionError("must not be asked to rebuild")


# -- first use and schema ---------------------------------------------------------------------------------


def test_the_first_update_makes_private_folders_and_every_key_of_the_schema(tmp_path: Path) -> None:
    make(tmp_path).update(nothing)
    paths = make_paths(tmp_path)
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert paths.coordinator.stat().st_mode & 0o777 == 0o700
    document = on_disk(paths)
    assert document["version"] == "1.0"
    assert {
        "created_at",
        "coordinator_pid",
        "max_parallel_prds",
        "api_limit",
        "active_prds",
        "queued_prds",
        "completed_prds",
        "failed_prds",
        "revision",
        "holds",
        "session",
    } <= document.keys()
    assert parse_iso(document["created_at"]) > 0


def test_reading_before_the_first_use_writes_nothing(tmp_path: Path) -> None:
    assert make(tmp_path).read()["active_prds"] == {}
    assert not make_paths(tmp_path).state.exists()


def test_a_registry_of_the_first_release_loads_and_keeps_what_it_holds(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    paths.coordinator.mkdir(parents=True)
    old = {
        "version": "1.0",
        "created_at": "2026-01-01T00:00:00Z",
        "coordinator_pid": 1,
        "max_parallel_prds": 5,
        "api_limit": 20,
        "active_prds": {"A": {"prd_id": "A", "status": "running", "pid": 7, "colour": "green"}},
        "queued_prds": [
            {"prd_id": "B", "queued_at": "2026-01-01T00:00:00Z", "priority": 0, "waiting_for": []}
        ],
        "completed_prds": [],
        "failed_prds": [],
        "a_key_of_somebody_else": [1, {"deep": None}],
    }
    paths.registry.write_text(json.dumps(old, indent=4))
    document = make(tmp_path, rebuild=raising).update(nothing)
    assert {key: document[key] for key in old} == old
    assert document["revision"] == 1


# -- one PRD ----------------------------------------------------------------------------------------------


def test_a_prds_way_through_the_lists(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register({"prd_id": "A", "queued_at": "2026-01-01T00:00:00Z"}, "queued")
    registry.update_status("A", "starting", pid=12)
    assert [entry["prd_id"] for entry in registry.list_active()] == ["A"]
    registry.update_status("A", "verifying")
    registry.update_status("A", "completed", duration_seconds=3)
    entry = registry.get("A")
    assert entry is not None
    assert (entry["status"], entry["pid"], entry["duration_seconds"]) == ("completed", 12, 3)
    first_end = entry["completed_at"]
    registry.update_status("A", "merged")
    assert (registry.get("A") or {})["completed_at"] == first_end
    assert registry.list_active() == []
    assert registry.deregister("A")
    assert not registry.deregister("A")
    assert registry.get("A") is None


def test_a_second_end_is_dated_anew(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register({"prd_id": "A", "failed_at": "2026-01-01T00:00:00Z"}, "failed")
    registry.update_status("A", "queued")
    registry.update_status("A", "failed", error="again")
    assert (registry.get("A") or {})["failed_at"] > "2026-01-01T00:00:00Z"


def test_the_status_of_an_unknown_prd_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nobody is not in the registry"):
        make(tmp_path).update_status("nobody", "running")


def test_a_change_that_raises_changes_nothing(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register({"prd_id": "A"})
    before = make_paths(tmp_path).registry.read_bytes()

    def half(document: Document) -> None:
        document["active_prds"].clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.update(half)
    with pytest.raises(ValueError, match="JSON compliant"):
        registry.update(lambda document: document.update(load=float("nan")))
    assert make_paths(tmp_path).registry.read_bytes() == before


def test_a_prd_put_into_two_lists_stays_in_the_liveliest(tmp_path: Path) -> None:
    said: list[str] = []
    registry = make(tmp_path, warn=said.append)

    def careless(document: Document) -> None:
        document["active_prds"]["A"] = {"prd_id": "A"}
        document["failed_prds"] += [{"prd_id": "A"}, {"prd_id": "B", "n": 1}, {"prd_id": "B", "n": 2}]

    document = registry.update(careless)
    assert document["failed_prds"] == [{"prd_id": "B", "n": 2}]
    assert list(document["active_prds"]) == ["A"]
    assert len(said) == 2


# -- what has finished ------------------------------------------------------------------------------------


def completed(number: int) -> Document:
    return {"prd_id": f"P{number:05}", "completed_at": f"2026-01-01T00:00:00.{number:05}Z"}


def test_finished_entries_beyond_the_newest_move_to_the_history(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.update(lambda document: document["completed_prds"].extend(map(completed, range(KEPT_FINISHED))))
    registry.register({"prd_id": "F", "failed_at": "2026-01-01T00:00:00.00000Z"}, "failed")
    registry.register(completed(KEPT_FINISHED), "completed")
    document = registry.read()
    assert len(document["completed_prds"]) + len(document["failed_prds"]) == KEPT_FINISHED
    assert document["completed_prds"][0]["prd_id"] == "P00001"
    lines = [json.loads(line) for line in make_paths(tmp_path).history.read_bytes().splitlines()]
    assert [line["prd_id"] for line in lines] == ["F", "P00000"]


def test_an_end_that_a_new_run_displaces_is_in_the_history(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register({"prd_id": "A", "failed_at": "2026-01-01T00:00:00Z", "error": "why"}, "failed")
    registry.register({"prd_id": "A"}, "queued")
    (line,) = make_paths(tmp_path).history.read_bytes().splitlines()
    assert json.loads(line)["error"] == "why"


def test_a_finished_entry_may_hold_nested_values(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register(completed(1) | {"gates": {"ran": 1}}, "completed")

    def again(document: Document) -> None:
        document["completed_prds"][0]["gates"]["ran"] += 1

    for _ in range(3):
        registry.update(again)
    assert make(tmp_path).read()["completed_prds"][0]["gates"] == {"ran": 4}


def test_a_change_inside_a_finished_entry_is_written(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register(completed(1), "completed")
    for status in ("completed", "merged"):
        registry.update_status("P00001", status)
        assert make(tmp_path).read()["completed_prds"][0]["status"] == status


# -- damage -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"null", b"[]", b"{}", b'{"version": "1.0"}', b"\0" * 4096, b"[" * 100_000, b"\xff\xfe"],
)
def test_a_damaged_registry_is_set_aside_and_its_backup_taken(tmp_path: Path, damage: bytes) -> None:
    said: list[str] = []
    make(tmp_path).register({"prd_id": "A"})
    revision = make(tmp_path).update(nothing)["revision"]
    paths = make_paths(tmp_path)
    paths.registry.write_bytes(damage)
    document = make(tmp_path, warn=said.append, rebuild=raising).update(nothing)
    assert list(document["active_prds"]) == ["A"]
    assert document["revision"] > revision
    (aside,) = paths.coordinator.glob("registry.json.corrupt-*")
    assert aside.read_bytes() == damage
    assert "backup was taken" in said[0]


def test_reading_a_damaged_registry_repairs_it(tmp_path: Path) -> None:
    make(tmp_path).register({"prd_id": "A"})
    make(tmp_path).update(nothing)
    paths = make_paths(tmp_path)
    paths.registry.write_bytes(paths.registry.read_bytes()[:50])
    assert list(make(tmp_path).read()["active_prds"]) == ["A"]
    assert list(on_disk(paths)["active_prds"]) == ["A"]


def test_with_the_backup_damaged_too_it_is_rebuilt_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    make(tmp_path).register({"prd_id": "A"})
    paths = make_paths(tmp_path)
    paths.registry.write_bytes(b"torn")
    paths.registry.with_name("registry.json.bak").write_bytes(b"torn too")
    registry = make(tmp_path, rebuild=lambda: {"active_prds": {"B": {"prd_id": "B"}}}, warn=said.append)
    document = registry.update(nothing)
    assert list(document["active_prds"]) == ["B"]
    assert document["rebuilt"] is True
    assert "it was rebuilt" in said[0]


def test_without_a_way_to_rebuild_the_fresh_one_is_marked(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    paths.coordinator.mkdir(parents=True)
    paths.registry.write_bytes(b"")
    assert make(tmp_path).update(nothing)["rebuilt"] is True
    assert len(list(paths.coordinator.glob("registry.json.corrupt-*"))) == 1


@pytest.mark.parametrize("version", ["2.0", "10", "2"])
def test_a_newer_registry_is_refused_and_left_alone(tmp_path: Path, version: str) -> None:
    paths = make_paths(tmp_path)
    paths.coordinator.mkdir(parents=True)
    text = json.dumps({"version": version, "active_prds": "something else"})
    paths.registry.write_text(text)
    registry = make(tmp_path)
    for attempt in (registry.read, lambda: registry.update(nothing)):
        with pytest.raises(StateError, match=f"version {version}.*update prd-tui"):
            attempt()
    assert paths.registry.read_text() == text


def test_the_backup_is_the_file_before(tmp_path: Path) -> None:
    registry = make(tmp_path)
    paths = make_paths(tmp_path)
    registry.register({"prd_id": "A"})
    for _ in range(3):
        before = paths.registry.read_bytes()
        registry.update(nothing)
        assert paths.registry.with_name("registry.json.bak").read_bytes() == before


def test_a_folder_deleted_under_a_living_process_is_written_anew(tmp_path: Path) -> None:
    said: list[str] = []
    registry = make(tmp_path, warn=said.append)
    registry.register({"prd_id": "A"})
    revision = registry.read()["revision"]
    shutil.rmtree(make_paths(tmp_path).state)
    document = registry.update(nothing)
    assert list(document["active_prds"]) == ["A"]
    assert document["revision"] > revision
    assert "written anew" in said[0]
    assert make_paths(tmp_path).state.stat().st_mode & 0o777 == 0o700


def test_it_is_written_anew_also_after_another_process_made_a_fresh_one(tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register({"prd_id": "A"})
    shutil.rmtree(make_paths(tmp_path).state)
    make(tmp_path).update(nothing)
    assert list(registry.update(nothing)["active_prds"]) == ["A"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    make_paths(tmp_path).state.write_text("a file where the folder belongs")
    with pytest.raises(StateError, match="cannot be made"):
        make(tmp_path).update(nothing)


def test_temporary_files_of_dead_writers_are_swept(tmp_path: Path) -> None:
    paths = make_paths(tmp_path)
    paths.coordinator.mkdir(parents=True)
    left_over = paths.coordinator / ".registry.json.tmp-1-1-1"
    left_over.write_text("half")
    make(tmp_path).update(nothing)
    assert not left_over.exists()


def test_secrets_of_the_environment_do_not_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", 'sk-"quoted"-123456')
    monkeypatch.setenv("OTHER_TOKEN", "completed_prds")
    registry = make(tmp_path)
    registry.register({"prd_id": "A", "error": 'rejected: sk-"quoted"-123456!'}, "failed")
    registry.register({"prd_id": "A"}, "queued")
    assert on_disk(make_paths(tmp_path))["completed_prds"] == []
    for file in make_paths(tmp_path).coordinator.iterdir():
        assert b"123456" not in file.read_bytes()
    assert b"rejected: [secret]!" in make_paths(tmp_path).history.read_bytes()
