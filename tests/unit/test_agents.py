"""Agents as data: presets, what settings make of them, and how each gets its prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from coordinator.agents.presets import agent_names, find_agent
from coordinator.config import Settings
from coordinator.errors import ConfigError
from coordinator.settings_schema import WorkerSettings
from coordinator.worker_command import require_agent, worker_words
from coordinator.worker_env import NoWorker

FILE = Path("/w/.claude-loop/prompt.md")


def test_presets() -> None:
    claude = find_agent("claude", {})
    assert claude.command == ("claude", "-p", "--dangerously-skip-permissions")
    assert claude.command_line("p", FILE) == list(claude.command)
    offline = find_agent("offline", {})
    assert offline.command[:2] == (sys.executable, "-I")
    assert Path(offline.command[2]).is_absolute()
    assert Path(offline.command[2]).name == "offline.py"
    assert agent_names({"mine": {}}) == ("claude", "offline", "mine")


def test_settings_change_a_preset_and_add_agents() -> None:
    configured: dict[str, Any] = {
        "claude": {"env": {"A": "1"}},
        "mine": {"command": ["m", "-x{prompt}", "y"], "prompt": "argument"},
        "paper": {"command": ["p"], "prompt": "file"},
    }
    assert find_agent("claude", configured).program == "claude"
    assert find_agent("claude", configured).env == {"A": "1"}
    assert find_agent("mine", configured).command_line("do\0 it", FILE) == ["m", "-xdo it", "y"]
    assert find_agent("paper", configured).command_line("do it", FILE) == ["p", str(FILE)]
    with pytest.raises(ConfigError, match="too long for an argument of mine"):
        find_agent("mine", configured).command_line("ä" * 70_000, FILE)


@pytest.mark.parametrize(
    ("name", "configured", "said"),
    [
        ("Cluade", {}, "There is no agent Cluade: did you mean claude?"),
        ("x", {}, "choose one of claude, offline, or add agents.NAME.command"),
        ("x", {"x": {}}, "agents.x has no command"),
        ("x", {"x": 3}, "agents.x is 3 where a table is expected"),
        ("x", {"x": {"command": "x y"}}, "agents.x.command is x y where a list of words"),
        ("x", {"x": {"command": ["x"], "prompt": "post"}}, 'agents.x.prompt is post where one of "stdin"'),
        ("x", {"x": {"command": ["x"], "env": {"a b": "c"}}}, "agents.x.env is"),
        ("x", {"x": {"command": ["x"], "promt": "stdin"}}, "agents.x.promt is no setting of an agent"),
    ],
)
def test_mistakes_are_named(name: str, configured: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_agent(name, configured)
    assert said in str(caught.value)


def settings(**worker: Any) -> Settings:
    return Settings(worker=WorkerSettings(**worker), agents={"mine": {"command": ["no-such-program"]}})


def test_the_worker_is_a_script_or_the_loop() -> None:
    assert worker_words(settings(command=("./loop.sh",), agent="claude")) == ("./loop.sh",)
    words = worker_words(settings(agent="mine"))
    assert words[:2] == (sys.executable, "-I")
    assert Path(words[2]).is_file()
    assert words[3:] == ("worker", "{prd_json}", "--agent", "mine")
    for wrong, said in (
        (settings(), "worker.agent"),
        (settings(agent="mien"), "did you mean mine?"),
        (settings(preset="ralph", agent="mine"), "not supported yet"),
    ):
        with pytest.raises(NoWorker) as caught:
            worker_words(wrong)
        assert said in str(caught.value)


def test_an_agent_must_be_there_before_a_run_starts(tmp_path: Path) -> None:
    require_agent(settings(command=("./loop.sh",)), tmp_path, tmp_path, "/bin")
    with pytest.raises(NoWorker, match="The program of agent mine, 'no-such-program' is not on PATH"):
        require_agent(settings(agent="mine"), tmp_path, tmp_path, "/bin")
