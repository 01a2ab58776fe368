"""A log that is too long is set aside while its writer goes on: nothing of it is lost, and no hole is left."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from coordinator.log_caps import cap_logs, older_part
from tests.support.cli import completed, make_project, prd_tui
from tests.support.invariant import check_invariant
from tests.support.repos import drop_prd
from tests.support.waiting import wait_until

#: Appends numbered lines until told to stop, by its one open file, as a worker does.
COUNTER = 'i=0; while [ ! -e "$1" ]; do i=$((i+1)); echo "line $i"; done'


def numbers(*logs: Path) -> list[int]:
    text = b"".join(log.read_bytes() for log in logs)
    assert b"\0" not in text
    return [int(line.split()[1]) for line in text.splitlines() if line.startswith(b"line ")]


def test_a_log_below_its_limit_and_one_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "p_worker.log"
    assert cap_logs([log], 10) == []
    log.write_text("short\n")
    assert cap_logs([log], 10) == []
    assert log.read_text() == "short\n"
    assert not older_part(log).exists()


def test_the_whole_content_is_set_aside_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    log = tmp_path / "p_worker.log"
    for content in ("first\n" * 10, "second\n" * 10):
        log.write_text(content)
        (said,) = cap_logs([log], len(content) - 1)
        assert "p_worker.log.1" in said
        assert older_part(log).read_text() == content
        assert log.read_text() == "=== what was written before is in p_worker.log.1 ===\n"
    assert {path.name for path in tmp_path.iterdir()} == {"p_worker.log", "p_worker.log.1"}


def test_of_a_log_that_ran_away_the_end_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "p_worker.log"
    log.write_text("x" * 5000 + "the end\n")
    (said,) = cap_logs([log], 1000)
    assert "its last" in said
    head, _, rest = older_part(log).read_text().partition("\n")
    assert "before this are gone: worker.max_log" in head
    assert len(rest) == 1000
    assert rest.endswith("the end\n")


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("mine, and long enough\n")
    log = tmp_path / "p_worker.log"
    log.symlink_to(theirs)
    assert cap_logs([log], 10) == []
    assert theirs.read_text() == "mine, and long enough\n"


def test_a_writer_goes_on_where_it_was(tmp_path: Path) -> None:
    log, stop = tmp_path / "p_worker.log", tmp_path / "stop"
    with log.open("ab") as end:
        writer = subprocess.Popen(["sh", "-c", COUNTER, "sh", str(stop)], stdout=end)
    try:
        wait_until(lambda: log.stat().st_size > 20_000)
        assert cap_logs([log], log.stat().st_size - 1)
        wait_until(lambda: log.stat().st_size > 200)
    finally:
        stop.touch()
        assert writer.wait(30) == 0
    found = numbers(older_part(log), log)
    assert found == sorted(set(found))
    assert found[0] == 1
    lost = found[-1] - len(found)
    assert lost < 100, "no more than what came between the last byte copied and the cut"


def test_a_worker_that_says_too_much_completes_all_the_same(tmp_path: Path) -> None:
    work = (
        'seq 1 400000; sed -i \'s/"passes": false/"passes": true/\' "$1"; echo x > done.txt; git add done.txt\n'
        "git -c user.name=W -c user.email=w@example.invalid commit -qm done; seq 1 1000\n"
        'until [ -e "$PRD_LOG.1" ]; do sleep 0.02; done; echo the end\n'
    )
    log = tmp_path / "repo" / ".claude-loop" / "coordinator" / "logs" / "p_worker.log"
    config = (
        '[worker]\ncommand = ["./talks.sh", "{prd_json}"]\nmax_log = "1 MB"\n'
        f"[worktree]\nenv = {{PRD_LOG = '{log}'}}\n"
    )
    repo = make_project(tmp_path, config=config, files={"talks.sh": f"#!/bin/sh\n{work}"})
    drop_prd(repo, "p")
    done = prd_tui(repo, "run", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    assert set(completed(repo)) == {"p"}
    assert log.read_text().endswith("the end\n")
    assert b"\0" not in log.read_bytes() + older_part(log).read_bytes()
    assert log.stat().st_size < 1_000_000 < older_part(log).stat().st_size
    assert "was set aside" in (log.parent.parent / "coordinator.log").read_text()
    check_invariant(repo, ["p"])


def test_a_writer_that_does_not_append_costs_no_more_than_it_writes(tmp_path: Path) -> None:
    log = tmp_path / "p_worker.log"
    with log.open("wb", buffering=0) as writer:
        writer.write(b"line 1\n" * 10_000)
        assert cap_logs([log], 50_000)
        writer.write(b"line 2\n")
        assert log.stat().st_size > 50_000, "it goes on where it was"
        assert cap_logs([log], 50_000) == []
        writer.write(b"line 2\n" * 19_999)
    assert older_part(log).read_bytes() == b"line 1\n" * 10_000
    assert cap_logs([log], 50_000)
    assert older_part(log).read_bytes().count(b"line 2\n") == 20_000
    assert older_part(log).stat().st_size < 150_000


def test_a_log_that_is_shortened_meanwhile_ends_the_copying(tmp_path: Path) -> None:
    log = tmp_path / "p_worker.log"
    log.write_bytes(b"x" * 60_000_000)
    capping = threading.Thread(target=cap_logs, args=([log], 20_000_000), daemon=True)
    capping.start()
    while capping.is_alive() and not (tmp_path / ".p_worker.log.1.tmp").exists():
        pass  # the copying takes but moments
    os.truncate(log, 10)
    capping.join(30)
    assert not capping.is_alive()
