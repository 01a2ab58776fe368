"""Makes the set of the present version: one PRD in each state that an end can leave it in."""

from __future__ import annotations

import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.support.cli import completed, failed, make_project, prd_tui, running, wait_for_status
from tests.support.repos import drop_prd, prd_json
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
#: Stands for the repository in the records.
ROOT = "@ROOT@"
#: Records of a run; logs, locks and what only a living run needs are left out.
RECORDS = ("intent.json", "source.json", "start.json", "exit.json", "swept.json", "journal.jsonl", "filled")


def version() -> str:
    project = tomllib.loads((HERE.parents[2] / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def make(target: Path, version: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        repo = make_project(Path(name))
        never = "/nonexistent/never"
        drop_prd(repo, "done")
        drop_prd(repo, "broken", prd_json(mode="exit7"))
        for prd_id in ("stopped", "cut", "paused"):
            drop_prd(repo, prd_id, prd_json(gate_file=never))
        drop_prd(repo, "waits", prd_json(dependsOn=["cut"], priority=3))
        with running(repo, "--max-prds", "5") as process:
            for prd_id in ("stopped", "cut", "paused"):
                wait_for_status(repo, prd_id, "running")
            prd_tui(repo, "stop", "stopped")
            prd_tui(repo, "pause", "paused")
            wait_until(lambda: "done" in completed(repo) and "broken" in failed(repo), 30)
            process.kill()
            process.wait()
            _keep(repo, target, version)


def _keep(repo: Path, target: Path, version: str) -> None:
    def copy(source: Path, to: Path) -> None:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(source.read_text().replace(str(repo), ROOT))

    copy(repo / ".claude-loop/coordinator/registry.json", target / f"registry-{version}.json")
    runs = repo / ".git/prd-tui/runs"
    for name in RECORDS:
        for record in runs.glob(f"*/*/{name}"):
            copy(record, target / f"runs-{version}" / record.relative_to(runs))


if __name__ == "__main__":
    if (HERE / f"registry-{version()}.json").exists():
        sys.exit(f"The set of {version()} is there already.")
    make(HERE, version())
    shutil.rmtree(HERE / "__pycache__", ignore_errors=True)
