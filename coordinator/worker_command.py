"""What does the work: a loop script of the person's, or the built-in loop with one of the agents."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from coordinator.agents.presets import find_agent
from coordinator.config import Settings
from coordinator.errors import ConfigError
from coordinator.loop.template import read_template
from coordinator.worker_env import NoWorker, find_program

#: The console entry: it lies beside the package in a checkout and in an installation alike.
_LAUNCHER = Path(__file__).resolve().parent.parent / "prd_tui.py"


def worker_words(settings: Settings) -> tuple[str, ...]:
    """The worker's command line, its placeholders not filled in. Raises NoWorker where none is chosen."""
    worker = settings.worker
    if worker.preset:
        raise NoWorker(f"worker.preset = {worker.preset!r} is not supported yet: set worker.command instead.")
    if worker.command:
        return worker.command
    if worker.agent:
        try:
            find_agent(worker.agent, settings.agents)
        except ConfigError as error:
            raise NoWorker(str(error)) from None
        return (sys.executable, "-I", str(_LAUNCHER), "worker", "{prd_json}", "--agent", worker.agent)
    raise NoWorker(
        "No worker is chosen: set worker.agent (prd-tui config set worker.agent claude) or, for a loop script "
        "of yours, worker.command; prd-tui init asks for it."
    )


def clean_signal(settings: Settings) -> int:
    """The signal on which the worker's agent ends in order; TERM for a loop script, whose agent nobody knows."""
    worker = settings.worker
    name = "TERM" if worker.command or worker.preset else find_agent(worker.agent, settings.agents).stop
    return signal.Signals[f"SIG{name}"]


def require_agent(settings: Settings, worktree: Path, root: Path, path: str | None) -> None:
    """Raises NoWorker where the built-in loop would find no agent to call, or no prompt for it.

    `path`: the PATH that the worker will have.
    """
    if settings.worker.command:
        return
    try:
        agent_program(settings, settings.worker.agent, worktree, root, path)
        read_template(settings.worker.prompt, root)
    except ConfigError as error:
        raise NoWorker(str(error)) from None


def agent_program(settings: Settings, name: str, worktree: Path, root: Path, path: str | None) -> str:
    """The absolute path of an agent's program. Raises ConfigError, and NoWorker where it is not there."""
    agent = find_agent(name, settings.agents)
    mend = f"correct agents.{name}.command, or choose another with prd-tui config set worker.agent"
    return find_program(agent.program, worktree, root, path, what=f"The program of agent {name},", mend=mend)
