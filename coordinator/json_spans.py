"""Strict JSON, and where things stand in its text.

Reading goes through the standard parser, which is fast and knows no positions. Only when something is
wrong, or when a value is to be edited in place, is the text looked at again with positions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

#: Levels of nesting. Real files have five or six; Python's own parser gives up near a thousand.
MAX_DEPTH: Final = 64
#: Troubles told of one text.
MAX_TROUBLES: Final = 50
#: Digits of an integer: as many as always fit into 64 bits. Longer ones are no numbers to other programs.
MAX_DIGITS: Final = 18

# The closing quote is optional so that a match never fails: failing costs quadratic time in a hostile text.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
#: A string (and whether it is a key), a bracket, or a number that may be none: the rest cannot be wrong.
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})(?P<key>\s*:)?|(?P<bracket>[\[\]{{}}])"
    r"|(?<![\w.+-])(?P<number>-?(?:NaN|Infinity|\d{19}[^\s,\]}]*|\d[\d.]*[eE][^\s,\]}]*))",
    re.DOTALL,
)
_BRACKET = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(_STRING + r"|[^\s,\]}]+", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_SYNTAX: Final = {
    "Expecting value": (
        "a value is missing or not JSON here",
        "write a value, or take away the comma before it",
    ),
    "Expecting ',' delimiter": ("a comma or a closing bracket is missing", "put it before this place"),
    "Expecting ':' delimiter": ("a colon is missing after a key", "put it between the key and its value"),
    "Expecting property name enclosed in double quotes": (
        "a key in double quotes is missing",
        "write one, or take away the comma before the closing brace",
    ),
    "Illegal trailing comma before end of object": (
        "a comma stands before the closing brace",
        "take it away",
    ),
    "Illegal trailing comma before end of array": (
        "a comma stands before the closing bracket",
        "take it away",
    ),
    "Unterminated string starting at": ("a text in quotes is never closed", "put the closing quote"),
    "Invalid control character at": (
        "a text in quotes holds a line break or another control character",
        "write it as \\n, \\t or \\u00XX",
    ),
    "Invalid \\escape": ("a backslash in a text starts no known escape", "write the backslash twice"),
    "Invalid \\uXXXX escape": ("\\u is not followed by four hexadecimal digits", "write four of them"),
    "Extra data": ("something follows after the end of the JSON", "take it away"),
}


@dataclass(frozen=True)
class Trouble:
    """Something that makes a text unacceptable. `offset` counts characters from 0."""

    offset: int
    message: str
    mend: str


class JsonInvalid(Exception):
    """The text is no JSON that every program would read the same way."""

    def __init__(self, *troubles: Trouble) -> None:
        super().__init__("; ".join(trouble.message for trouble in troubles))
        self.troubles = troubles


class _Suspect(Exception):
    """A hook objects to something; where it stands is found out afterwards."""


def loads(text: str) -> Any:
    """Reads JSON in which keys are unique, numbers finite and of 64 bits, texts real Unicode.

    Raises JsonInvalid with every such trouble, or with the first place where the syntax breaks.
    """
    depth = _too_deep(text)
    if depth is not None:
        raise JsonInvalid(depth)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_suspect,
            parse_float=_finite,
            parse_int=_short,
        )
    except json.JSONDecodeError as error:
        raise JsonInvalid(_syntax(error)) from None
    except _Suspect:
        raise JsonInvalid(*islice(_troubles(text), MAX_TROUBLES)) from None
    if _SURROGATE.search(text) and (troubles := tuple(islice(_troubles(text), MAX_TROUBLES))):
        raise JsonInvalid(*troubles)
    return document


def line_of(text: str, offset: int) -> int:
    """The line, counted from 1, of the character at `offset`."""
    return text.count("\n", 0, offset) + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Suspect
    return found


def _suspect(_: str) -> Any:
    raise _Suspect


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise _Suspect
    return value


def _short(literal: str) -> int:
    if len(literal.lstrip("-")) > MAX_DIGITS:
        raise _Suspect
    return int(literal)


def _too_deep(text: str) -> Trouble | None:
    depth = 0
    for token in _BRACKET.finditer(text):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                message = f"lists and objects are nested more than {MAX_DEPTH} deep"
                return Trouble(token.start(), message, "write it flatter")
        elif mark in ("]", "}"):
            depth -= 1
    return None


def _syntax(error: json.JSONDecodeError) -> Trouble:
    message, mend = _SYNTAX.get(error.msg.removesuffix(" at"), _SYNTAX.get(error.msg, (error.msg, "mend it")))
    offset = error.pos
    if error.msg == "Expecting value" and not error.doc[offset:].strip():
        message, mend = "the file ends too early", "write the rest"
    elif error.msg == "Expecting value":
        found = _SCALAR.match(error.doc, offset)
        word = found[0][:20] if found else error.doc[offset]
        message = f"{word if word.isprintable() else ascii(word)} stands where a value belongs"
    return Trouble(offset, f"not valid JSON: {message} (column {error.colno})", mend)


def _troubles(text: str) -> Iterator[Trouble]:
    """What the parser's hooks object to, with places; `text` is JSON up to where they objected."""
    frames: list[set[str]] = []  # keys seen so far in each open object or list
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in ("{", "["):
            frames.append(set())
        elif mark in ("}", "]"):
            del frames[-1:]
        else:
            string = token["string"]
            keys = frames[-1] if token["key"] and frames else None
            if string is None:
                trouble = _number_trouble(mark, token.start())
            else:
                trouble = _string_trouble(string, token.start(), keys)
            if trouble is not None:
                yield trouble


def _string_trouble(mark: str, offset: int, keys: set[str] | None) -> Trouble | None:
    """What is wrong with a string in quotes; `keys` is given, and grows, if it is a key."""
    value = mark[1:-1]
    if "\\" in mark:
        try:
            value = json.loads(mark)
        except ValueError:  # behind the place where the parser stopped
            return None
        if not _encodes(value):
            message = "a text holds half of a surrogate pair"
            return Trouble(offset, message, "write the character itself, or both halves")
    if keys is None:
        return None
    if value in keys:
        return Trouble(offset, f"the key {mark} is there twice in one object", "keep one of the two")
    keys.add(value)
    return None


def _number_trouble(mark: str, offset: int) -> Trouble | None:
    if mark in ("NaN", "Infinity", "-Infinity"):
        return Trouble(offset, f"{mark} is no JSON number", "write a number, or null")
    if mark.lstrip("-").isdecimal():
        mend = f"write at most {MAX_DIGITS}, or a text in quotes"
        return Trouble(offset, f"a number has {len(mark.lstrip('-'))} digits", mend)
    try:
        finite = math.isfinite(float(mark))
    except ValueError:
        return None
    if finite:
        return None
    shown = mark if len(mark) <= 20 else f"{mark[:17]}..."
    return Trouble(offset, f"the number {shown} is too large", "write a smaller one")


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Place:
    """A value in a text, as offsets. In an object `key_start` to `key_end` is its key with the quotes."""

    start: int
    end: int
    key_start: int
    key_end: int


class Positions:
    """Places in a text that `loads` accepted; containers are taken apart only where asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._children: dict[int, dict[str | int, Place]] = {}

    def root(self) -> Place:
        start = self._blank(0)
        return Place(start, self._end(start), start, start)

    def children(self, container: Place) -> dict[str | int, Place]:
        """Members of an object by key, or items of a list by index, in order; none in anything else."""
        if container.start not in self._children:
            self._children[container.start] = dict(self._walk(container))
        return self._children[container.start]

    def find(self, path: tuple[str | int, ...]) -> Place:
        """The value at `path`, or the nearest one around it that exists."""
        place = self.root()
        for step in path:
            inner = self.children(place).get(step)
            if inner is None:
                break
            place = inner
        return place

    def line(self, path: tuple[str | int, ...]) -> int:
        return line_of(self.text, self.find(path).start)

    def _walk(self, container: Place) -> Iterator[tuple[str | int, Place]]:
        opening = self.text[container.start]
        if opening not in "[{":
            return
        at = self._blank(container.start + 1)
        index = 0
        while self.text[at] not in "]}":
            key_start = key_end = at
            if opening == "{":
                key_end = self._end(at)
                at = self._blank(self._blank(key_end) + 1)  # over the colon
            end = self._end(at)
            step = json.loads(self.text[key_start:key_end]) if opening == "{" else index
            yield step, Place(at, end, key_start, key_end)
            index += 1
            at = self._blank(end)
            if self.text[at] == ",":
                at = self._blank(at + 1)

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self.text, at)
        return found.end() if found else at

    def _end(self, start: int) -> int:
        """Where the value that starts at `start` ends."""
        if self.text[start] not in "[{":
            found = _SCALAR.match(self.text, start)
            return found.end() if found else start
        depth = 0
        for token in _BRACKET.finditer(self.text, start):
            mark = token[0]
            if mark in ("[", "{"):
                depth += 1
            elif mark in ("]", "}"):
                depth -= 1
                if depth == 0:
                    return token.end()
        return len(self.text)
