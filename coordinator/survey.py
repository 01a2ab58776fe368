"""What a repository has and what it still lacks before PRDs can run, and the few steps that mend it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator import branches, config
from coordinator.agents.presets import agent_names, find_agent
from coordinator.config import Settings
from coordinator.errors import ConfigError, PrdTuiError, StateError
from coordinator.git import Git, version
from coordinator.paths import Paths
from coordinator.prd_folders import check
from coordinator.settings_desk import SettingsDesk
from coordinator.settings_schema import WorkerSettings
from coordinator.worker_command import agent_program, require_agent, worker_words
from coordinator.worker_env import NoWorker, find_program

#: The agent that needs nothing: for a trial.
TRIAL = "offline"

#: Branches that work usually starts from: on another one while one of these exists, it is worth a question.
_USUAL_BASES = ("main", "master", "trunk", "develop")
#: Loop scripts by name whose ways this version does not know how to handle.
_NOT_YET = {
    "claude-loop.sh": "it does one story and has to be started again for the next",
    "ralph.sh": "it reports success whatever became of the stories, and shortens its own log",
}
_MOST_SCRIPTS = 20
_PLAIN = re.compile(r"[\w./{}:=@%+,-]+")


@dataclass(frozen=True)
class Choice:
    """A worker that could be chosen: an agent of the built-in loop, or else a script.

    `detail`: what it is, in a few words. `problem`: why it cannot be chosen; empty if it can.
    """

    name: str
    is_agent: bool
    detail: str = ""
    problem: str = ""


@dataclass(frozen=True)
class FoundPrd:
    """A folder in prds/active. `problem`: what is wrong with it, empty if nothing is."""

    prd_id: str
    title: str = ""
    open_stories: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """Facts, each as the person would see it. Sources are a file, a variable or `default`."""

    root: str
    git: str  # its version
    has_identity: bool  # git knows a name and an address for commits
    branch: str  # what is checked out; empty: no branch
    branches: tuple[str, ...]
    base_branch: str  # as the settings have it; empty: not set
    base_problem: str  # why no work could start from the base as it is set now
    worker: str  # command line or agent; empty: none is set
    worker_source: str
    worker_problem: str  # why what is set cannot work
    choices: tuple[Choice, ...]
    gates: tuple[str, ...]  # of every PRD
    pending: tuple[str, ...]  # settings of tracked files that wait for approval
    has_prd_folder: bool
    prds: tuple[FoundPrd, ...]

    @property
    def base_unclear(self) -> bool:
        """Whether a person has to say where work starts from."""
        if self.base_branch or not self.branch:
            return bool(self.base_problem)
        usual = [name for name in _USUAL_BASES if name in self.branches]
        return bool(usual) and self.branch not in _USUAL_BASES


def survey(paths: Paths) -> Survey:
    """Looks and changes nothing; a few git calls. Raises PrdTuiError where settings cannot be read."""
    git = Git(paths)
    loaded = config.load(paths, git, refuse_unapproved=False)
    settings = loaded.settings
    worker, source, problem = _worker(loaded, paths)
    return Survey(
        root=str(paths.root),
        git=".".join(map(str, version())),
        has_identity=not git.identity(),
        branch=git.current_branch() or "",
        branches=_branches(git),
        base_branch=settings.coordinator.base_branch,
        base_problem=_problem_of_base(git, settings.coordinator.base_branch),
        worker=worker,
        worker_source=source,
        worker_problem=problem,
        choices=(*_scripts(paths.root), *_agents(settings, paths)),
        gates=settings.coordinator.verify,
        pending=loaded.pending,
        has_prd_folder=paths.active.is_dir(),
        prds=tuple(_prds(paths.active)),
    )


def _worker(loaded: config.Loaded, paths: Paths) -> tuple[str, str, str]:
    """(what is set, where, why it cannot work)."""
    worker = loaded.settings.worker
    shown = {
        "worker.preset": worker.preset,
        "worker.command": _as_typed(worker.command),
        "worker.agent": worker.agent,
    }
    key = next((key for key, value in shown.items() if value), "")
    if not key:
        return "", config.DEFAULT, ""
    return shown[key], loaded.sources[key], _problem(loaded.settings, paths)


def _problem(settings: Settings, paths: Paths) -> str:
    """Why the chosen worker cannot be started in a worktree, as far as can be told now; empty if it can."""
    path = os.environ.get("PATH")
    try:
        program = worker_words(settings)[0]
        require_agent(settings, paths.root, paths.root, path)
        if "{" not in program:
            find_program(program, paths.root, paths.root, path)
    except NoWorker as error:
        return str(error)
    return ""


def _as_typed(command: Sequence[str]) -> str:
    """For people: braces need no quotes."""
    return " ".join(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in command)


def _branches(git: Git) -> tuple[str, ...]:
    return tuple(ref.removeprefix("refs/heads/") for ref in git.refs("refs/heads/"))


def _problem_of_base(git: Git, wanted: str) -> str:
    try:
        branches.base(git, wanted)
    except PrdTuiError as error:
        return str(error)
    return ""


def _scripts(root: Path) -> Iterator[Choice]:
    """Files at the top of the checkout whose name says that they are loops."""
    found = 0
    for path in sorted(root.iterdir()):
        name = path.name.lower()
        named = name.endswith((".sh", ".py")) and ("loop" in name or "ralph" in name)
        if not named or not path.name.isprintable() or not path.is_file() or found == _MOST_SCRIPTS:
            continue
        found += 1
        problem = f"not supported yet: {_NOT_YET[name]}" if name in _NOT_YET else ""
        if not problem and not os.access(path, os.X_OK):
            problem = f"not executable: chmod +x {shlex.quote(path.name)}"
        yield Choice(f"./{path.name}", is_agent=False, detail="your loop script", problem=problem)


def _agents(settings: Settings, paths: Paths) -> Iterator[Choice]:
    """Agents of the built-in loop; those that settings add are among them."""
    for name in agent_names(settings.agents):
        try:
            program = agent_program(settings, name, paths.root, paths.root, os.environ.get("PATH"))
        except (ConfigError, NoWorker) as error:
            yield Choice(name, is_agent=True, problem=str(error))
            continue
        how = "for a trial without a key" if name == TRIAL else f"with {program}"
        yield Choice(name, is_agent=True, detail=f"the built-in loop {how}")


def _prds(active: Path) -> Iterator[FoundPrd]:
    if not active.is_dir():
        return
    for folder in sorted(active.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        checked = check(folder)
        if checked.prd is None:
            yield FoundPrd(folder.name, problem=str(checked.problems[0]))
        else:
            left = sum(not story.passes for story in checked.prd.stories)
            yield FoundPrd(folder.name, checked.prd.title, left)


# -- mending ---------------------------------------------------------------------------------------------


def choose_worker(paths: Paths, *, agent: str = "", command: Sequence[str] = ()) -> None:
    """Records in this clone's settings who does the work: an agent of the built-in loop, or a command line.

    Raises PrdTuiError for one that cannot be started.
    """
    if agent:
        check_agent(paths, agent)
    words = [] if agent else complete_command(paths, command)
    chosen = {"worker.agent": agent, "worker.command": words, "worker.preset": ""}
    git = Git(paths)
    present = config.load(paths, git, refuse_unapproved=False).values
    # The agent of a command line is none of our business, and what is empty anyway need not be written down.
    desk = SettingsDesk(paths, git)
    desk.put(
        {key: value for key, value in chosen.items() if value or (present[key] and key != "worker.agent")}
    )


def check_agent(paths: Paths, name: str) -> None:
    """Raises PrdTuiError unless the built-in loop can call this agent."""
    settings = config.load(paths, Git(paths), refuse_unapproved=False).settings
    find_agent(name, settings.agents)  # with a suggestion where there is none
    agent_program(settings, name, paths.root, paths.root, os.environ.get("PATH"))


def complete_command(paths: Paths, command: Sequence[str]) -> list[str]:
    """A worker's command line as it is recorded: `{prd_json}` is added where no word names the PRD.

    Raises PrdTuiError for one that cannot be started.
    """
    if not command or not command[0].strip():
        raise NoWorker("The worker command is empty: name your loop script, as in ./loop.sh.")
    if problem := _problem(Settings(worker=WorkerSettings(command=tuple(command))), paths):
        raise NoWorker(problem)
    names_prd = any("{prd_" in word for word in command)
    return [*command] if names_prd else [*command, "{prd_json}"]


def choose_base(paths: Paths, branch: str) -> None:
    """Records the branch that work starts from. Raises PrdTuiError where there is none of that name."""
    git = Git(paths)
    if branch not in _branches(git):
        raise PrdTuiError(f"There is no branch {branch!r}: git branch lists those there are.")
    SettingsDesk(paths, git).put({"coordinator.base_branch": branch})


def make_prd_folder(paths: Paths) -> None:
    """Makes prds/active, where PRDs are dropped, and keeps prd-tui's own files out of git. Raises StateError."""
    try:
        paths.active.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"prds/active cannot be made ({error.strerror}): see what is in its way.") from error
    Git(paths).ensure_excluded()
