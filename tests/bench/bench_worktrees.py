"""Making worktrees against plain `git worktree add`."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from coordinator import branches
from tests.bench.harness import Row, bench, call, interleaved, versus
from tests.support.sites import Site

#: As in the measurement that the budget comes from.
AT_ONCE = 10
ROUNDS = 12


def files(count: int) -> dict[str, str]:
    """A repository of `count` small files."""
    return {f"src/part{number // 50}/file{number}.txt": f"line {number}\n" * 20 for number in range(count)}


@bench
def worktrees(folder: Path) -> list[Row]:
    rows = []
    for count in (10, 500):
        site = Site(folder / f"repo-{count}", files(count))
        numbers = itertools.count()
        raced: list[int] = []
        plain, ours = interleaved(
            ROUNDS,
            lambda: raced.append(_at_once(lambda name: _plain(site, name), numbers)),  # noqa: B023 - called here
            lambda: _at_once(lambda name: _prepared(site, name), numbers),  # noqa: B023
        )
        failed = sum(raced)
        anchor = f"plain, racing, {failed} of {ROUNDS * AT_ONCE} failed,"
        rows.append(versus(f"{AT_ONCE} worktrees at once, {count} files", anchor, plain, ours, 1.6))
        missing = sum(not (site.repo / name / ".git").exists() for name in site_made(site))
        rows.append(
            Row(f"{AT_ONCE} worktrees at once, {count} files: failures", anchor, str(missing), missing, 0)
        )
    return rows


def site_made(site: Site) -> list[str]:
    """Paths, below the repository, of the worktrees that were asked for."""
    runs = sorted(path.name for path in site.paths.runs.iterdir())
    return [f".claude-loop/worktrees/{name}" for name in runs]


def _at_once(make: Callable[[str], bool], numbers: itertools.count[int]) -> int:
    """Makes AT_ONCE of them in parallel; how many failed."""
    names = [f"W{next(numbers)}" for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(not made for made in pool.map(make, names))


def _plain(site: Site, name: str) -> bool:
    try:
        call(
            "git",
            "worktree",
            "add",
            "-q",
            "-b",
            f"plain/{name}",
            str(site.repo.parent / f"{site.repo.name}-{name}"),
            cwd=site.repo,
        )
    except subprocess.CalledProcessError:
        return False
    return True


def _prepared(site: Site, name: str) -> bool:
    site.paths.run_dir(name, "run-1").mkdir(parents=True)
    branches.create(site.git, f"feature/{name}", site.base, "run-1")
    worktree = site.worktrees.add(name, "run-1", f"feature/{name}")
    site.worktrees.fill(worktree)
    site.worktrees.mark_filled(name, "run-1")
    return True
