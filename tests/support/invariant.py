"""What must hold after any fault: one check for all fault tests."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from coordinator import registry_file
from coordinator.jobs import read_exit, read_start
from coordinator.paths import Paths
from coordinator.runs import read_intent
from tests.support.cli import registry
from tests.support.inhabitants import Inhabitant, inhabitants
from tests.support.repos import git_env
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

LISTS = ("queued_prds", "completed_prds", "failed_prds")

#: Records of a run that nobody changes once they are written.
FINAL = ("intent.json", "source.json", "start.json", "exit.json", "swept.json")

#: What a writer leaves that died before its file was whole.
_LEFT_OVER = re.compile(r"\..*\.(tmp|tmp-\d+-\d+-\d+|link)\Z")

Records = dict[str, bytes]


def check_invariant(
    repo: Path,
    prds: Collection[str],
    *,
    checkout: Mapping[str, Any] | None = None,
    states: Mapping[str, str] | None = None,
    records: Records | None = None,
) -> None:
    """Nothing is lost, nothing ran twice, nothing is left behind; call it once a coordinator has started again.

    `prds`: all that there are; `checkout`: the fingerprint from before the first start; `states`: the final
    state of each PRD in a run that nobody disturbed; `records`: what `final_records` told earlier.
    """
    document = registry(repo)
    _check_places(repo, document, prds)
    _check_files(repo)
    _check_runs(repo, document, records or {})
    _check_git(repo, document)
    _until_none(lambda: _strangers(repo), "alive, and no run that is on accounts for it")
    if checkout is not None:
        now = fingerprint(repo, new_branches=branches_of_runs(repo))
        changed = {key: (checkout[key], now[key]) for key in checkout if checkout[key] != now[key]}
        assert not changed, f"the checkout was touched: {changed}"
    if states is not None:
        found = {prd_id: entry["status"] for prd_id, entry in _entries(document)}
        assert found == dict(states), f"other final states: {found}"


def final_records(repo: Path) -> Records:
    """What is on record about runs now and must be found unchanged for ever: exit codes, times, intents."""
    runs = _runs(repo)
    found = {}
    for name in FINAL:
        for path in runs.glob(f"*/**/{name}"):
            found[str(path.relative_to(runs))] = path.read_bytes()
    return found


def runs_started(repo: Path, prd_id: str) -> int:
    """How often a worker was really started for the PRD: one header line in its log each."""
    return sum(_headers(repo, prd_id).values())


def exits(repo: Path, prd_id: str) -> list[dict[str, Any]]:
    """Every recorded exit of the PRD's workers, oldest first."""
    found = sorted((_runs(repo) / prd_id).glob("*/exit.json"))
    return [json.loads(path.read_text()) for path in found]


def branches_of_runs(repo: Path) -> set[str]:
    """Every branch that a run was recorded with, and the names under which a fresh start keeps old ones."""
    found = set()
    for path in _runs(repo).glob("*/*/intent.json"):
        branch = json.loads(path.read_text())["run"]["branch"]
        found |= {branch, f"{branch}-before"}
    return found


# -- the parts -------------------------------------------------------------------------------------------


def _check_places(repo: Path, document: dict[str, Any], prds: Collection[str]) -> None:
    places = Counter(prd_id for prd_id, _entry in _entries(document))
    assert set(places) == set(prds), f"lost or foreign: {set(places) ^ set(prds)}"
    assert set(places.values()) <= {1}, f"in two states: {places}"
    for prd_id in prds:
        folders = [repo / "prds" / place / prd_id for place in ("active", "completed")]
        assert sum(folder.is_dir() for folder in folders) == 1, f"the folder of {prd_id}"
        json.loads(next(folder for folder in folders if folder.is_dir()).joinpath("prd.json").read_bytes())


def _check_files(repo: Path) -> None:
    """Every state file is whole, and no file of a writer that died lies about."""
    coordinator = repo / ".claude-loop" / "coordinator"
    for name in ("registry.json", "registry.json.bak"):
        if (coordinator / name).exists():
            registry_file.parse((coordinator / name).read_bytes())
    assert not list(coordinator.glob("registry.json.corrupt-*")), "the registry was damaged"
    for path in (*coordinator.glob("*.jsonl*"), *_runs(repo).glob("*/*/*.jsonl")):
        for line in path.read_bytes().splitlines():
            assert isinstance(json.loads(line), dict), f"{path}: {line!r}"
    readers: dict[str, Callable[[Path], object]] = {
        "intent.json": partial(read_intent, Paths(repo, repo / ".git")),
        "start.json": read_start,
        "exit.json": read_exit,
    }
    for path in _runs(repo).glob("*/**/*.json"):
        json.loads(path.read_bytes())
        reader = readers.get(path.name)
        assert reader is None or reader(path.parent) is not None, f"{path} is not understood"
    for path in (repo / ".claude-loop" / "worktrees").glob("*/.claude-loop/exit_code"):
        int(path.read_text())
    state, worktrees = repo / ".claude-loop", repo / ".claude-loop" / "worktrees"
    hidden = [
        *(
            path
            for top in (coordinator, state / "archives", _runs(repo), repo / "prds")
            for path in top.rglob(".*")
        ),
        *worktrees.glob("*/prds/active/*/.*"),
    ]
    left = {path for path in hidden if _LEFT_OVER.fullmatch(path.name)}
    assert not left, f"left over: {left}"


def _check_runs(repo: Path, document: dict[str, Any], records: Records) -> None:
    """No generation of a PRD has two runs, no run two workers, and what was recorded once is there still."""
    now = final_records(repo)
    changed = {name for name, data in records.items() if now.get(name) != data}
    assert not changed, f"records were lost or changed: {changed}"
    for folder in _runs(repo).iterdir() if _runs(repo).is_dir() else ():
        intents = [
            found
            for run_dir in folder.iterdir()
            if (found := read_intent(Paths(repo, repo / ".git"), run_dir))
        ]
        generations = Counter(intent.run.generation for intent in intents)
        assert set(generations.values()) <= {1}, f"{folder.name}: a generation twice, {generations}"
        headers = _headers(repo, folder.name)
        assert set(headers.values()) <= {1}, f"{folder.name}: a run was started twice, {headers}"
    for prd_id, entry in _entries(document):
        run_dir = Path(entry["run_dir"]) if "run_dir" in entry else None
        ended = read_exit(run_dir) if run_dir and "exit_code" in entry else None
        if ended is not None and not ended.cannot_start:
            assert (entry["exit_code"], entry["exit_signal"]) == (ended.code, ended.signal), (
                f"{prd_id}: its exit"
            )


def _check_git(repo: Path, document: dict[str, Any]) -> None:
    """Each branch and worktree of ours belongs to a run that is on record; no lock and no fragment is left."""
    newest = {entry["branch"] for _prd_id, entry in _entries(document) if "branch" in entry}
    recorded = branches_of_runs(repo)
    unused = {
        branch
        for branch in recorded - newest
        if not branch.endswith("-before")
        and _git(repo, "rev-parse", "-q", "--verify", f"refs/heads/{branch}")
    }
    assert not unused, f"stray branches: {unused}"
    for block in _git(repo, "worktree", "list", "--porcelain").split("\n\n")[1:]:
        fields = dict(line.partition(" ")[::2] for line in block.splitlines())
        path = Path(fields.get("worktree", ""))
        if path.parent != repo / ".claude-loop" / "worktrees":
            continue
        run_id = fields.get("locked", "").removeprefix("prd:")
        assert "prunable" not in fields, f"a worktree that is gone is still registered: {fields}"
        assert (_runs(repo) / path.name / run_id / "intent.json").exists(), f"nobody's worktree: {fields}"
    for entry in (repo / ".git" / "worktrees").glob("*"):
        assert (entry / "gitdir").exists(), f"half a worktree: {entry}"
    _until_none(lambda: _git_locks(repo), "locks of git that nobody holds")


def _strangers(repo: Path) -> list[Inhabitant]:
    """Processes that no active PRD of the registry accounts for; a PRD with two workers has one of them."""
    active = {entry.get("run_id") for entry in registry(repo)["active_prds"].values()}
    return [one for one in inhabitants(repo) if one.run_id not in active]


def _until_none(look: Callable[[], Collection[object]], what: str) -> None:
    """Waits for what is about to end anyway; names what did not."""
    try:
        wait_until(lambda: not look(), 20)
    except AssertionError:
        raise AssertionError(f"{what}: {look()}") from None


def _git_locks(repo: Path) -> list[Path]:
    top = repo / ".git"
    return [path for path in top.rglob("*.lock") if path.relative_to(top).parts[0] != "prd-tui"]


def _entries(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    listed = [(entry["prd_id"], entry) for name in LISTS for entry in document[name]]
    return [*document["active_prds"].items(), *listed]


def _headers(repo: Path, prd_id: str) -> Counter[str]:
    """The run ids in the worker's log, which has a line for each start."""
    log = repo / ".claude-loop" / "coordinator" / "logs" / f"{prd_id}_worker.log"
    if not log.exists():
        return Counter()
    return Counter(re.findall(rf"=== {re.escape(prd_id)}: run (\S+)", log.read_text(errors="replace")))


def _runs(repo: Path) -> Path:
    return repo / ".git" / "prd-tui" / "runs"


def _git(repo: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=repo, env=git_env(), capture_output=True, text=True, check=False
    )
    return done.stdout
