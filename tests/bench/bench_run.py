"""The whole engine against bare loops that do the same work: refill, drains, waiting workers, arrival, idleness."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from coordinator.admission import STILL_MOVED
from coordinator.api import EngineApi, open_engine
from coordinator.commands import HoldQueue, StopMode
from coordinator.git import discover
from coordinator.model import PrdState
from tests.bench.bench_worktrees import files
from tests.bench.harness import Row, bench, call, cpu_seconds, ms, p50, percentile, versus
from tests.support.cli import completed, environment, make_project, prd_tui, running
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

#: A worker that says when it begins and ends. It works for {pause} (shell code) and commits.
WORKER = """
printf 'start %s\\n' "$EPOCHREALTIME" >>{log}
{pause}
sed -i 's/"passes": *false/"passes": true/' "$1"
echo work >work.txt
git add work.txt
git -c user.name=W -c user.email=w@example.invalid commit -q -m work
printf 'end %s\\n' "$EPOCHREALTIME" >>{log}
"""

#: What the budget for a refill was set against: xargs took this many seconds then.
XARGS_REFILL = 0.0028


@dataclass(frozen=True)
class Bed:
    """A repository, and a worker for it that writes to `log`."""

    repo: Path
    worker: Path
    log: Path

    def moments(self) -> tuple[list[float], list[float]]:
        """When workers began and when they ended, in order; seconds since the epoch."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        starts, ends = ([float(at) for what, at in lines if what == word] for word in ("start", "end"))
        return sorted(starts), sorted(ends)


def make_bed(folder: Path, pause: str = ":", count: int = 10) -> Bed:
    folder.mkdir(parents=True)
    worker, log = folder / "worker.sh", folder / "worker.log"
    worker.write_text(WORKER.format(log=log, pause=pause))
    config = f'[worker]\ncommand = ["bash", "{worker}", "{{prd_json}}"]\n'
    return Bed(make_project(folder, config=config, files=files(count)), worker, log)


def run_all(bed: Bed, number: int, limit: int) -> float:
    """`prd-tui run` of that many PRDs that lie there already, to its end; seconds."""
    for index in range(number):
        drop_prd(bed.repo, f"PRD-{index:02}", prd_json(1))
    time.sleep(STILL_MOVED)
    began = time.perf_counter()
    done = prd_tui(bed.repo, "run", "--max-prds", str(limit), timeout=300)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(completed(bed.repo)) == number
    return took


def run_bare(bed: Bed, number: int, limit: int) -> None:
    """The same git work by a loop that guards against nothing."""

    def one(index: int) -> None:
        worktree = bed.repo.parent / f"bare-{index}"
        for _ in range(10):  # `worktree add` races with itself
            with contextlib.suppress(subprocess.CalledProcessError):
                call("git", "worktree", "add", "-q", "-B", f"bare/{index}", str(worktree), cwd=bed.repo)
                break
        prd = worktree / "prd.json"
        prd.write_text(prd_json(1))
        call("bash", str(bed.worker), str(prd), cwd=worktree)

    with ThreadPoolExecutor(limit) as slots:
        list(slots.map(one, range(number)))


def gaps(starts: list[float], ends: list[float], limit: int) -> list[float]:
    """Seconds from each exit to the start that it made room for."""
    return [start - end for start, end in zip(starts[limit:], ends, strict=False)]


@bench
def refill(folder: Path) -> list[Row]:
    number, limit = 24, 3
    pause = "sleep 0.$((RANDOM % 5 + 3))$((RANDOM % 10))"
    bed = make_bed(folder / "ours", pause)
    run_all(bed, number, limit)
    ours = gaps(*bed.moments(), limit)
    checkouts = []
    for index in range(15):
        began = time.perf_counter()
        call(
            "git",
            "worktree",
            "add",
            "-q",
            "-b",
            f"plain/{index}",
            str(folder / f"plain-{index}"),
            cwd=bed.repo,
        )
        checkouts.append(time.perf_counter() - began)
    bare = make_bed(folder / "bare", pause)
    bare.log.touch()
    say = f"%s\\n' $EPOCHREALTIME >>{bare.log}"
    script = f"printf 'start {say}; {pause}; printf 'end {say}"
    (folder / "sleeper.sh").write_text(script)
    given = "\n".join(map(str, range(number))).encode()
    command = ["xargs", "-P", str(limit), "-n", "1", "bash", str(folder / "sleeper.sh")]
    subprocess.run(command, input=given, check=True)
    xargs = gaps(*bare.moments(), limit)
    more = [gap - p50(checkouts) for gap in ours]
    budget = 0.200 / XARGS_REFILL
    return [
        versus("refill p50, without the checkout", "xargs -P", xargs, more, budget),
        versus("refill p50, with it (for information)", "git worktree add", checkouts, ours, float("inf")),
        Row(
            "refill p95, without the checkout",
            f"xargs -P p95 {ms(percentile(xargs, 95))}",
            ms(percentile(more, 95)),
            percentile(more, 95) / p50(xargs),
            budget,
        ),
    ]


@bench
def drain_prds(folder: Path) -> list[Row]:
    number, rows = 20, []
    for limit in (3, 10):
        bare, ours = [], []
        for turn in range(2):
            bed = make_bed(folder / f"bare-{limit}-{turn}")
            began = time.perf_counter()
            run_bare(bed, number, limit)
            bare.append(time.perf_counter() - began)
            ours.append(run_all(make_bed(folder / f"ours-{limit}-{turn}"), number, limit))
        rows.append(
            versus(f"drain of {number} PRDs with a commit each, limit {limit}", "bare loop", bare, ours, 2.5)
        )
    return rows


@bench
def waiting_workers(folder: Path) -> list[Row]:
    """Workers that wait 2 s each, from the first one's start to the last one's end."""
    number, spans = 9, {}
    for limit in (1, 3):
        bed = make_bed(folder / f"limit-{limit}", "sleep 2")
        run_all(bed, number, limit)
        starts, ends = bed.moments()
        spans[limit] = ends[-1] - starts[0]
    quotient = spans[1] / spans[3]
    return [
        Row(
            f"{number} workers of 2 s, limit 3",
            f"limit 1 {spans[1]:.2f} s",
            f"{spans[3]:.2f} s",
            quotient,
            2.9,
            True,
        ),
        Row(
            f"{number} workers of 2 s, limit 1",
            f"no overhead {number * 2} s",
            f"{spans[1]:.2f} s",
            spans[1] / number / 2,
            1.05,
        ),
    ]


@bench
def queued_to_running(folder: Path) -> list[Row]:
    """A start without anything prepared, one at a time, against git's own checkout of the repository."""
    rows = []
    for count in (10, 1000):
        bed = make_bed(folder / f"bed-{count}", count=count)
        plain, ours = [], []
        with _engine(bed) as engine:
            for index in range(15):
                worktree = bed.repo.parent / f"plain-{index}"
                began = time.perf_counter()
                call("git", "worktree", "add", "-q", "-b", f"plain/{index}", str(worktree), cwd=bed.repo)
                plain.append(time.perf_counter() - began)
                name = f"PRD-{index:02}"
                drop_prd(bed.repo, name, prd_json(1))
                wait_until(lambda: _at(engine, name, PrdState.COMPLETED), 30, name)  # noqa: B023 - called here
                ours.append(_at(engine, name, PrdState.RUNNING) - _at(engine, name, PrdState.STARTING))
                shutil.rmtree(worktree)
        rows.append(versus(f"queued → running, cold, {count} files", "git worktree add", plain, ours, 1.5))
    return rows


@bench
def arrival(folder: Path) -> list[Row]:
    """From `mv` to queued, less the time for which a folder has to be still, against bare watchfiles."""
    bed = make_bed(folder / "bed")
    (bed.repo / "prds" / "active").mkdir(parents=True)
    ours = []
    with _engine(bed) as engine:
        engine.submit(HoldQueue())
        for index in range(25):
            name = f"PRD-{index:02}"
            moved = drop_prd(bed.repo, name, prd_json(1)).stat().st_ctime
            wait_until(lambda: _at(engine, name, PrdState.QUEUED), 30, name)  # noqa: B023 - called right here
            ours.append(_at(engine, name, PrdState.QUEUED) - moved - STILL_MOVED)
    bare = _bare_watch(folder / "watched")
    anchor = "watchfiles, debounce=50, step=10"
    return [
        versus("mv → queued p50, without the stillness", anchor, bare, ours, 20 / 12),
        Row(
            "mv → queued p95, without the stillness",
            f"{anchor} p50 {ms(p50(bare))}",
            ms(percentile(ours, 95)),
            percentile(ours, 95) / p50(bare),
            40 / 12,
        ),
    ]


def _bare_watch(folder: Path) -> list[float]:
    """Seconds from a change until watchfiles tells it."""
    from watchfiles import watch

    folder.mkdir()
    found = []
    numbers = itertools.count()
    moved = 0.0
    for changes in watch(
        folder,
        debounce=50,
        step=10,
        rust_timeout=200,
        yield_on_timeout=True,
        recursive=False,
        watch_filter=None,
    ):
        if changes:
            found.append(time.time() - moved)
        if len(found) == 25:
            break
        time.sleep(0.03)
        moved = time.time()
        (folder / f"new-{next(numbers)}").mkdir()
    return found


@bench
def quiet_workers(folder: Path) -> list[Row]:
    """What the coordinator uses while its workers sleep; the anchor is a whole core."""
    number, span = 20, 10.0
    bed = make_bed(folder / "bed", "exec sleep 600")
    for index in range(number):
        drop_prd(bed.repo, f"PRD-{index:02}", prd_json(1))
    with running(bed.repo, "--max-prds", str(number)) as coordinator:
        wait_until(lambda: bed.log.exists() and len(bed.moments()[0]) == number, 60, "all workers")
        samples = [_share(coordinator.pid, span / 4) for _ in range(5)][1:]
        coordinator.send_signal(signal.SIGINT)
        coordinator.wait(60)
    share = sum(samples) / len(samples)
    what = f"coordinator's share of a core, {number} quiet workers"
    return [Row(what, "2 % of a core", f"{share * 100:.2f} %", share / 0.02, 1.0)]


def _share(pid: int, span: float) -> float:
    before, began = cpu_seconds(pid), time.perf_counter()
    time.sleep(span)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - began)


def _at(engine: EngineApi, prd_id: str, state: PrdState) -> float:
    """When the PRD came into the state, 0 if it has not; seconds since the epoch."""
    events = engine.events_after(0, 10_000).events
    return next((event.at for event in events if event.prd_id == prd_id and event.state is state), 0.0)


@contextlib.contextmanager
def _engine(bed: Bed) -> Iterator[EngineApi]:
    """The engine in this process, with the environment that the command would have."""
    import os

    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment())
    made = open_engine(discover(bed.repo))
    made.start()
    try:
        yield made
    finally:
        made.request_stop(StopMode.DETACH)
        made.join(10)
        os.environ.clear()
        os.environ.update(before)
