"""What a worker can do to what it shares with others: only its own PRD is affected, with a sentence of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import (
    completed,
    failed,
    make_project,
    prd_tui,
    running,
    wait_for_status,
)
from tests.support.invariant import check_invariant
from tests.support.repos import drop_prd, git
from tests.support.untouched import fingerprint
from tests.support.waiting import wait_until

#: Does its work, then what its PRD is called; `finish` marks the stories as passing.
SCRIPT = r"""#!/bin/sh
PRD=$1
finish() { sed -i 's/"passes": false/"passes": true/' "$PRD"; }
while [ ! -e "$FLAGS/go" ]; do sleep 0.02; done
echo work > work-$PRD_ID.txt; echo "*.keep" > .gitignore; git add work-$PRD_ID.txt
git -c user.name=W -c user.email=w@example.invalid commit -qm work
case $PRD_ID in
cleans) git clean -fdxq ;;
cleans-and-goes-on) finish; cp "$PRD" "$FLAGS/kept"; git clean -fdxq; mkdir -p "${PRD%/*}"; cp "$FLAGS/kept" "$PRD" ;;
resets) finish; git reset -q --hard main ;;
pops) git stash pop -q; finish ;;
loud) head -c 30000000 /dev/zero | tr '\0' x; finish; while [ ! -e "$FLAGS/alone" ]; do sleep 0.02; done ;;
draws) printf '\033[2J\033]52;c;b3duZWQ=\007\033[31mred \342\200\256 \233 \r\n'; finish ;;
plants) finish; while [ ! -e "$FLAGS/alone" ]; do sleep 0.02; done  # what it plants is shared with the others
  mkdir hooks
  printf '#!/bin/sh\ntouch "%s/hooked"\nsleep 600\n' "$FLAGS" > hooks/post-checkout
  chmod +x hooks/post-checkout; cp hooks/post-checkout hooks/pre-commit; cp hooks/post-checkout hooks/monitor
  git config core.fsmonitor "$PWD/hooks/monitor"; git config core.hooksPath "$PWD/hooks" ;;
fills) head -c 20000000 /dev/zero > big.txt; exit 3 ;;
waits) touch "$FLAGS/waits"; while [ ! -e "$FLAGS/alone" ]; do sleep 0.02; done; finish ;;
*) finish ;;
esac
"""

SENTENCES = {
    "cleans": "the worker deleted its prd.json",
    "resets": "all 2 stories are marked as passing, but the worker committed on no branch instead of feature/resets",
}
GOOD = ("cleans-and-goes-on", "pops", "loud", "draws", "plants", "quiet")


def project(tmp_path: Path, config: str = "") -> Path:
    return make_project(
        tmp_path,
        config='[worker]\ncommand = ["./script.sh", "{prd_json}"]\nmax_log = "4 MB"\n[worktree]\n'
        f'env = {{ FLAGS = "{tmp_path}" }}\n{config}',
        files={"script.sh": SCRIPT},
    )


def test_only_the_prd_of_the_mischievous_worker_is_affected(tmp_path: Path) -> None:
    repo = project(tmp_path, '[coordinator]\nmax_prds = 10\nverify = ["test -f README.md"]\n')
    (repo / "README.md").write_text("the person's own work\n")
    git(repo, "stash")
    stash = git(repo, "rev-parse", "stash@{0}")
    for name in (*SENTENCES, *GOOD):
        drop_prd(repo, name)
    checkout = fingerprint(repo)
    with running(repo) as process:
        for name in (*SENTENCES, *GOOD):
            wait_for_status(repo, name, "running")
        (tmp_path / "go").touch()
        wait_until(lambda: set(completed(repo)) == set(GOOD) - {"plants", "loud"}, 60)
        log = repo / ".claude-loop" / "coordinator" / "logs" / "loud_worker.log"
        wait_until(lambda: log.stat().st_size < 8_000_000, 30, "the log is set aside")
        (tmp_path / "alone").touch()
        assert process.wait(60) == 1
    assert set(completed(repo)) == set(GOOD)
    assert {name: entry["error"] for name, entry in failed(repo).items()} == SENTENCES
    check_invariant(repo, (*SENTENCES, *GOOD))
    assert not (tmp_path / "hooked").exists(), "what a worker planted never runs"
    assert git(repo, "rev-parse", f"refs/prd/stash/{stash}") == stash
    told = (tmp_path / "repo.stderr").read_text()
    [line] = [line for line in told.splitlines() if "a stash of yours was taken" in line]
    assert "pops" in line
    assert line.endswith(f"git stash apply refs/prd/stash/{stash} gives it back")
    said = prd_tui(repo, "status").stdout + told
    for foreign in ("\x1b]", "\x1b[2J", "\x9b", "\u202e"):
        assert foreign not in said
    now = fingerprint(repo, new_branches={f"feature/{name}" for name in (*SENTENCES, *GOOD)})
    changed = {key for key in now if now[key] != checkout[key]}
    assert changed == {"config", "stashes", "refs"}, "which the workers changed"
    assert [ref.split()[0] for ref in set(checkout["refs"]) ^ set(now["refs"])] == ["refs/stash"]
    git(repo, "config", "--unset", "core.fsmonitor")
    git(repo, "config", "--unset", "core.hooksPath")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_worker_that_fills_a_small_disk(tmp_path: Path, small_disk: Path) -> None:
    repo = project(tmp_path, f'root = "{small_disk}"\n[coordinator]\nmin_free_disk = "1 B"\n')
    for name in ("fills", "waits"):
        drop_prd(repo, name)
    with running(repo) as process:
        for name in ("fills", "waits"):
            wait_for_status(repo, name, "running")
        (tmp_path / "go").touch()
        wait_until(lambda: "fills" in failed(repo), 60, "the full disk is told")
        drop_prd(repo, "late")
        told = tmp_path / "repo.stderr"
        wait_until(lambda: "No space left on device" in told.read_text(), 60, "the full disk is told")
        assert failed(repo)["fills"]["error"] == "the worker exited with 3 and none of 2 stories passes"
        (small_disk / "fills" / "big.txt").unlink()
        (tmp_path / "alone").touch()
        assert process.wait(60) == 1
    assert set(completed(repo)) == {"waits", "late"}
    check_invariant(repo, ("fills", "waits", "late"))
