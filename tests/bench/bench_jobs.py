"""Starting, watching and ending jobs, without git: the keeper against bare processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coordinator import processes
from coordinator.exits import ExitWatcher
from coordinator.jobs import inspect
from coordinator.model import Exit
from tests.bench.harness import Row, bench, interleaved, ms, percentile, resident, seconds, versus
from tests.support.processes import Jobs, jobs_in, until_swept

JOBS, LIMIT = 200, 10
TREE = 10

#: What the budgets in milliseconds were set against, in seconds.
XARGS_JOB, MAKE_JOB, BARE_TREE = 0.00091, 0.00090, 0.0006

#: Says when it ends, in its last instruction.
LAST_WORDS = "import time, os; os.write(1, b'%.6f' % time.time()); os._exit(0)"


@bench
def keeper(folder: Path) -> list[Row]:
    """What a job costs that runs alone: until its program runs, and for as long as it does."""
    with jobs_in(folder) as jobs:
        numbers = itertools.count()
        bare, started = interleaved(
            30,
            lambda: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True),
            lambda: jobs.start(f"job-{next(numbers)}", "true"),
        )
        handle = jobs.start("quiet", "sleep", "600")
        assert handle.facts.start is not None
        ours = resident(handle.facts.start.keeper.pid)
        code = "import time; print(flush=True); time.sleep(600)"
        with subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE) as sleeper:
            assert sleeper.stdout and sleeper.stdout.readline()
            least = resident(sleeper.pid)
            sleeper.kill()
    return [
        versus("start of a job until recorded", "python -I -S -c pass", bare, started, 60 / 15),
        Row(
            "keeper, resident, of 12 MiB", f"python -I -S {least:.1f} MiB", f"{ours:.1f} MiB", ours / 12, 1.0
        ),
    ]


@bench
def drain(folder: Path) -> list[Row]:
    """JOBS trivial jobs, LIMIT at a time."""
    times: dict[str, list[float]] = {"xargs": [], "make": [], "ours": []}
    makefile = folder / "Makefile"
    names = " ".join(f"job{number}" for number in range(JOBS))
    makefile.write_text(f".PHONY: {names}\nall: {names}\n{names}:\n\t@/bin/true\n")
    with jobs_in(folder / "jobs") as jobs:
        for turn in range(3):
            given = "\n".join(str(number) for number in range(JOBS)).encode()
            command = ["xargs", "-P", str(LIMIT), "-n", "1", "/bin/true"]
            times["xargs"].append(seconds(lambda: subprocess.run(command, input=given, check=True)) / JOBS)  # noqa: B023
            make = ["make", "-s", "-j", str(LIMIT), "-f", str(makefile)]
            times["make"].append(seconds(lambda: subprocess.run(make, check=True)) / JOBS)  # noqa: B023
            times["ours"].append(seconds(lambda: _drain(jobs, turn)) / JOBS)  # noqa: B023
    what = f"a job in a drain of {JOBS}, limit {LIMIT}, without git"
    return [
        versus(what, "xargs -P", times["xargs"], times["ours"], 0.060 / XARGS_JOB),
        versus(what, "make -j", times["make"], times["ours"], 0.060 / MAKE_JOB),
    ]


def _drain(jobs: Jobs, turn: int) -> None:
    with _watcher() as exits, ThreadPoolExecutor(LIMIT) as slots:

        def run(number: int) -> None:
            ended = threading.Event()
            handle = jobs.start(f"drain-{turn}-{number}", "/bin/true")
            exits.watch(handle.job_dir, lambda _exit: ended.set(), lambda: None)
            ended.wait(60)

        list(slots.map(run, range(JOBS)))


@bench
def exit_noticed(folder: Path) -> list[Row]:
    """From a worker's last instruction to the callback, against a parent that waits for its own child."""
    with jobs_in(folder) as jobs, _watcher() as exits:
        numbers = itertools.count()
        bare, ours = [], []
        for _ in range(40):
            words = subprocess.run(
                [sys.executable, "-c", LAST_WORDS], stdout=subprocess.PIPE, check=True
            ).stdout
            bare.append(time.time() - float(words))
            ours.append(_noticed(jobs, exits, f"job-{next(numbers)}"))
    anchor = "subprocess.run returns"
    return [
        versus("exit → callback p50", anchor, bare, ours, 10.0),
        Row(
            "exit → callback p95",
            f"{anchor} p95 {ms(percentile(bare, 95))}",
            ms(percentile(ours, 95)),
            percentile(ours, 95) / percentile(bare, 95),
            20.0,
        ),
    ]


def _noticed(jobs: Jobs, exits: ExitWatcher, name: str) -> float:
    seen: list[float] = []
    told, swept = threading.Event(), threading.Event()

    def on_exit(_exit: Exit | None) -> None:
        seen.append(time.time())
        told.set()

    handle = jobs.python(name, f"import time; time.sleep(0.1); {LAST_WORDS}", header="")
    exits.watch(handle.job_dir, on_exit, swept.set)
    assert told.wait(30)
    assert swept.wait(30)
    return seen[0] - float((jobs.folder / f"{name}.log").read_text())


@bench
def stop(folder: Path) -> list[Row]:
    """Ending a tree of TREE obedient processes, recorded and proved, against killpg and a wait for each."""
    script = f"for n in $(seq {TREE - 1}); do sleep 600 & done; echo ready; wait"
    bare, ours, left = [], [], 0
    with jobs_in(folder) as jobs:
        for number in range(30):
            bare.append(_killpg(script))
            handle = jobs.shell(f"tree-{number}", script)
            while len(group := processes.members(handle.job_dir)) < TREE:
                time.sleep(0.002)
            ours.append(seconds(lambda: jobs.executor.cancel(handle, 10.0)))  # noqa: B023 - called right here
            assert inspect(handle.job_dir).swept
            left += sum(not processes.wait_for_end([who], 0.0) for who in group)
            until_swept(handle.job_dir)
    return [
        versus(f"stop of a tree of {TREE}", "killpg and wait", bare, ours, 0.030 / BARE_TREE),
        Row(f"stop of a tree of {TREE}: survivors", "of 300", str(left), left, 0),
    ]


def _killpg(script: str) -> float:
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as tree:
        assert tree.stdout and tree.stdout.readline()
        found = subprocess.run(
            ["pgrep", "-g", str(tree.pid)], stdout=subprocess.PIPE, check=True
        ).stdout.split()
        fds = [os.pidfd_open(int(pid)) for pid in found]
        poller = select.poll()
        for fd in fds:
            poller.register(fd, select.POLLIN)

        def end() -> None:
            os.killpg(tree.pid, signal.SIGTERM)
            open_fds = set(fds)
            while open_fds:
                for fd, _ in poller.poll():
                    poller.unregister(fd)
                    open_fds.discard(fd)

        took = seconds(end)
    for fd in fds:
        os.close(fd)
    return took


@contextlib.contextmanager
def _watcher() -> Iterator[ExitWatcher]:
    made = ExitWatcher()
    try:
        yield made
    finally:
        made.stop()
