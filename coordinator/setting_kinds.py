"""The kinds of value a setting can have: what is accepted, what it becomes, how it is written as text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{1,3}|%)\s*", re.ASCII)
_TIME = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*(s|min|m|h|d)\s*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Unfit(Exception):
    """The value is not of the kind."""


@dataclass(frozen=True)
class Kind:
    """`expected` completes "… where … is expected". `read` takes a TOML value; it raises Unfit."""

    expected: str
    read: Callable[[Any], Any]
    is_text: bool = False  # text from a command line or the environment is the value itself

    def read_text(self, text: str) -> Any:
        """A value as it stands on a command line or in the environment. Raises Unfit."""
        if self.is_text:
            return self.read(text)
        if self is BOOLEAN:
            return self.read(_WORDS.get(text.strip().lower(), text))
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            value = text
        if isinstance(value, str) and self in (COMMANDS, FILES):
            value = [value]
        return self.read(value)


@dataclass(frozen=True)
class Amount:
    """So many bytes, or such a fraction of what there is."""

    text: str
    size: float  # bytes, or 0..1 of the whole
    relative: bool

    def of(self, whole: float) -> float:
        """In bytes, where there are `whole` bytes."""
        return self.size * whole if self.relative else self.size

    def __str__(self) -> str:
        return self.text


def whole(least: int, most: int = 10_000) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Unfit
        return value

    return Kind(f"a whole number from {least} to {most}", read)


def number(least: float, most: float, unit: str) -> Kind:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise Unfit
        return value

    return Kind(f"a number of {unit} from {least:g} to {most:g}", read)


def seconds(least: float) -> Kind:
    """Seconds as a number, or text with a unit: `"15 min"`. At most 30 days."""

    def read(value: Any) -> float:
        if isinstance(value, str):
            match = _TIME.fullmatch(value)
            if match is None:
                raise Unfit
            value = float(match[1]) * _SECONDS[match[2]]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 30 * 86400:
            raise Unfit
        return value

    return Kind(f'seconds (at least {least:g}) or a text like "15 min"', read)


def choice(*words: str) -> Kind:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise Unfit
        return value

    return Kind("one of " + ", ".join(f'"{word}"' for word in words), read, is_text=True)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not (value.isprintable() or not value):
        raise Unfit
    return value


def _path(value: Any) -> str:
    if not _text(value).strip():
        raise Unfit
    return str(value)


def _amount(value: Any) -> Amount:
    if value == 0 and not isinstance(value, bool):
        return Amount("0", 0, relative=False)
    match = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Unfit
    size, unit = float(match[1]), match[2].upper()
    if unit == "%":
        if size > 100:
            raise Unfit
        return Amount(value, size / 100, relative=True)
    if unit not in _UNITS:
        raise Unfit
    return Amount(value, size * _UNITS[unit], relative=False)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Unfit
    if not all(isinstance(item, str) and item.strip() and "\0" not in item for item in value):
        raise Unfit
    return tuple(value)


def _words(value: Any) -> tuple[str, ...]:
    """A command line: its first word names a program, later ones may be empty."""
    if not isinstance(value, list | tuple):
        raise Unfit
    if not all(isinstance(item, str) and "\0" not in item for item in value):
        raise Unfit
    if value and not value[0].strip():
        raise Unfit
    return tuple(value)


def _environment(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise Unfit
    for name, text in value.items():
        if not _NAME.fullmatch(name) or not isinstance(text, str) or "\0" in text:
            raise Unfit
    return MappingProxyType(dict(value))


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unfit
    return MappingProxyType(dict(value))


BOOLEAN = Kind("true or false", _boolean)
TEXT = Kind("a text", _text, is_text=True)
PATH = Kind("a path", _path, is_text=True)
AMOUNT = Kind('a text like "2 GB" or "5 %"', _amount, is_text=True)
FILES = Kind('a list of files like [".env"]', _texts)
COMMANDS = Kind('a list of commands like ["pytest -q"]', _texts)
WORDS = Kind('a list of words like ["./loop.sh", "{prd_json}"]', _words)
ENVIRONMENT = Kind('a table of texts like { PORT = "{port}" }', _environment)
TABLE = Kind("a table", _table)


def as_text(value: Any) -> str:
    """A value as it would be written in a file of settings; tables as one line."""
    if isinstance(value, Amount):
        return json.dumps(value.text, ensure_ascii=False)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {as_text(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)
