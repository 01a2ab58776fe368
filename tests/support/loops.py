"""The built-in loop on a real worktree of a real run, with agents that are small scripts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coordinator import prd_file, story_record
from coordinator.git import discover
from coordinator.identity import Identity, alive, identify
from coordinator.model import Run
from coordinator.proctable import children_of, read_table, with_descendants
from coordinator.runs import Intent, new_run_id, write_intent
from tests.support.cli import LAUNCHER, environment
from tests.support.repos import git, make_repo, prd_json
from tests.support.waiting import wait_until

#: What every agent of a test begins with. `prompts/<story>-<attempt>` beside the repository holds what it was
#: asked; `wait_for` blocks until the test makes a file.
_PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
story, attempt = os.environ["PRD_STORY"], int(os.environ["PRD_ATTEMPT"])
path = pathlib.Path(os.environ["PRD_JSON"])
home = pathlib.Path(__file__).resolve().parent
prompt = sys.stdin.read()
(home / "prompts").mkdir(exist_ok=True)
(home / "prompts" / f"{story}-{attempt}").write_text(prompt)

def git(*words):
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.invalid", *words], check=True)

def write(name, text="made\\n"):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(text)

def claim(value=True):
    prd = json.loads(path.read_text())
    for each in prd["userStories"]:
        if each["id"] == story:
            each["passes"] = value
    path.write_text(json.dumps(prd))

def wait_for(name):
    while not (home / name).exists():
        time.sleep(0.01)

def told(name, text=""):
    (home / (name + ".part")).write_text(text or str(os.getpid()))
    (home / (name + ".part")).rename(home / name)

"""

#: Does what a good agent does: a file per story.
GOOD = "write(f'{story}.txt', story); print('did', story)"


def write_agent(home: Path, code: str, name: str = "agent.py") -> Path:
    """A script of `code` after the prelude; returns its path."""
    script = home / name
    script.write_text(_PRELUDE + textwrap.dedent(code))
    return script


def loop_config(script: Path, more: str = "", agent: str = "") -> str:
    """Settings that make the built-in loop call the script; `more`: further lines of [worker], then tables.

    `agent`: further lines of the agent's own table.
    """
    command = json.dumps([sys.executable, "-I", "-S", str(script)])
    return f'[worker]\nagent = "fake"\n{more}\n[agents.fake]\ncommand = {command}\n{agent}\n'


class LoopSite:
    """`repo` with a run of the PRD `p` that has come as far as its worker's start."""

    def __init__(self, home: Path, prd: str | None = None, more: str = "", **extra: Any) -> None:
        self.home = home
        self.repo = make_repo(home / "repo")
        git(self.repo, "config", "user.name", "Person")
        git(self.repo, "config", "user.email", "person@example.invalid")
        self.worktree = self.repo / ".claude-loop" / "worktrees" / "p"
        git(self.repo, "worktree", "add", "-q", "-b", "feature/p", str(self.worktree))
        (self.repo / ".git" / "info" / "exclude").write_text("/.claude-loop/\n")
        self.folder = self.worktree / "prds" / "active" / "p"
        self.folder.mkdir(parents=True)
        data = (prd or prd_json(**extra)).encode()
        parsed = prd_file.parse(data)
        text = prd_file.normalised(data, parsed, branch="feature/p", project_fallback="demo")
        (self.folder / "prd.json").write_bytes(text)
        self.paths = discover(self.repo)
        self.base = git(self.repo, "rev-parse", "HEAD")
        self._frozen, self._data = parsed, data
        self.run_id = self.new_run()
        self.agent(GOOD)
        self.configure(more)

    def new_run(self) -> str:
        """Another run in the same worktree."""
        run_id = new_run_id(1e9)
        run_dir = self.paths.run_dir("p", run_id)
        run = Run(
            prd_id="p",
            run_id=run_id,
            generation=1,
            worktree=str(self.worktree),
            branch="feature/p",
            branch_asked="feature/p",
            base_branch="main",
            base_commit=self.base,
            run_dir=str(run_dir),
            log=str(self.repo / "log"),
        )
        write_intent(self.paths, Intent(run, self._frozen, 0.0, 1), self._data)
        self.run_id = run_id
        return run_id

    def agent(self, code: str) -> None:
        write_agent(self.home, code)

    def configure(self, more: str = "") -> None:
        (self.repo / ".claude-loop" / "config.toml").write_text(loop_config(self.home / "agent.py", more))

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        prd = {"PRD_ID": "p", "PRD_JSON": str(self.folder / "prd.json"), "PRD_RUN_ID": self.run_id}
        return environment(prd | dict(extra or {}))

    def worker(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the loop to its end; stderr comes into its output."""
        with self.started(*words, env=env) as process:
            out, _ = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, "")

    @contextmanager
    def started(self, *words: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [*LAUNCHER, "worker", str(self.folder / "prd.json"), *words],
            cwd=self.worktree,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            self._end_what_is_left(process)
            process.communicate()

    def _end_what_is_left(self, process: subprocess.Popen[str]) -> None:
        """As a keeper would: an agent whose loop was killed is nobody's child any more."""
        roots = [process.pid] if process.poll() is None else []
        marker = f"PRD_RUN_ID={self.run_id}".encode()
        table = read_table()
        for pid in table:
            with contextlib.suppress(OSError):
                if marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    roots.append(pid)
        for pid in with_descendants(roots, children_of(table)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    # -- what became of it ----------------------------------------------------------------------------

    @property
    def stories(self) -> dict[str, dict[str, Any]]:
        document = json.loads((self.folder / "prd.json").read_text())
        return {story["id"]: story for story in document["userStories"]}

    @property
    def passing(self) -> list[str]:
        return [name for name, story in self.stories.items() if story["passes"]]

    @property
    def record(self) -> list[dict[str, Any]]:
        return story_record.read(story_record.record_path(self.worktree))

    @property
    def whats(self) -> list[tuple[str, str]]:
        return [(entry["story"], entry["what"]) for entry in self.record]

    @property
    def refusals(self) -> list[str]:
        return [entry["reason"] for entry in self.record if entry["what"] == "refused"]

    def progress(self) -> str:
        return (self.folder / "progress.txt").read_text()

    def prompt(self, story: str, attempt: int) -> str:
        return (self.home / "prompts" / f"{story}-{attempt}").read_text()

    def subjects(self) -> list[str]:
        """Of the commits on the branch, the oldest first."""
        log = git(self.repo, "log", "--reverse", "--format=%s", f"{self.base}..feature/p")
        return log.splitlines()

    def pid(self, name: str) -> Identity:
        """The living process that told its pid under this name."""
        wait_until((self.home / name).exists, 20, what=name)
        who = identify(int((self.home / name).read_text()))
        assert who is not None
        return who

    def gone(self, name: str) -> bool:
        who = identify(int((self.home / name).read_text()))
        return who is None or not alive(who)
