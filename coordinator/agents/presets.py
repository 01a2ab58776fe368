"""Agents as data: the presets, and what `[agents.NAME]` in the settings changes or adds."""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from coordinator.errors import ConfigError
from coordinator.setting_kinds import ENVIRONMENT, WORDS, Kind, Unfit, as_text, choice

_WAYS: Final = ("stdin", "argument", "file")
_FIELDS: Final[Mapping[str, Kind]] = {
    "command": WORDS,
    "prompt": choice(*_WAYS),
    "env": ENVIRONMENT,
    "stop": choice("INT", "TERM"),
}

#: Bytes of one argument of a program, as Linux has it (MAX_ARG_STRLEN, its end marker included).
_LONGEST_ARGUMENT: Final = 131_072 - 1


@dataclass(frozen=True)
class Agent:
    """A coding agent. `prompt`: how it gets its prompt; `stop`: its clean signal; see presets.toml."""

    name: str
    command: tuple[str, ...]
    prompt: str = "stdin"
    env: Mapping[str, str] | None = None
    stop: str = "TERM"

    @property
    def program(self) -> str:
        return self.command[0]

    def command_line(self, prompt: str, prompt_file: Path) -> list[str]:
        """The words to execute. Raises ConfigError for a prompt that fits into no argument."""
        if self.prompt == "stdin":
            return list(self.command)
        text = prompt if self.prompt == "argument" else str(prompt_file)
        place = "{prompt}" if self.prompt == "argument" else "{prompt_file}"
        text = text.replace("\0", "")
        words = [word.replace(place, text) for word in self.command]
        if words == list(self.command):
            words.append(text)
        if any(len(os.fsencode(word)) > _LONGEST_ARGUMENT for word in words):
            raise ConfigError(
                f"The prompt is too long for an argument of {self.name}: set agents.{self.name}.prompt to "
                '"stdin" or "file".'
            )
        return words


def find_agent(name: str, configured: Mapping[str, Any]) -> Agent:
    """The agent of this name; `configured`: the table `[agents]` of the settings. Raises ConfigError."""
    known = agent_names(configured)
    if name not in known:
        raise ConfigError(f"There is no agent {_shown(name)}: {_meant(name, known)}")
    fields: dict[str, Any] = dict(_presets().get(name, {}))
    own = configured.get(name, {})
    if not isinstance(own, Mapping):
        raise ConfigError(f"agents.{name} is {_shown(own)} where a table is expected; correct it there.")
    for key, value in own.items():
        kind = _FIELDS.get(key)
        if kind is None:
            raise ConfigError(
                f"agents.{name}.{_shown(key)} is no setting of an agent: those are {', '.join(_FIELDS)}."
            )
        fields[key] = {**fields.get("env", {}), **_read(kind, name, key, value)} if key == "env" else value
    if not fields.get("command"):
        raise ConfigError(
            f"agents.{name} has no command: name its program and arguments in agents.{name}.command."
        )
    here = {"{python}": sys.executable, "{agents}": str(Path(__file__).resolve().parent)}
    words = _read(WORDS, name, "command", fields["command"])
    return Agent(
        name=name,
        command=tuple(_filled(word, here) for word in words),
        prompt=_read(_FIELDS["prompt"], name, "prompt", fields.get("prompt", "stdin")),
        env=fields.get("env", {}),
        stop=_read(_FIELDS["stop"], name, "stop", fields.get("stop", "TERM")),
    )


def agent_names(configured: Mapping[str, Any]) -> tuple[str, ...]:
    """Every agent there is, presets first."""
    return tuple(dict.fromkeys([*_presets(), *configured]))


@cache
def _presets() -> Mapping[str, Mapping[str, Any]]:
    text = (resources.files("coordinator.agents") / "presets.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _read(kind: Kind, name: str, key: str, value: Any) -> Any:
    try:
        return kind.read(value)
    except Unfit:
        raise ConfigError(
            f"agents.{name}.{key} is {_shown(value)} where {kind.expected} is expected; correct it there."
        ) from None


def _filled(word: str, here: Mapping[str, str]) -> str:
    for placeholder, value in here.items():
        word = word.replace(placeholder, value)
    return word


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), known, 1)
    return (
        f"did you mean {close[0]}?"
        if close
        else f"choose one of {', '.join(known)}, or add agents.NAME.command."
    )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() and value else as_text(value)
    return text if len(text) <= 80 else text[:79] + "…"
