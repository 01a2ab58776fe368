"""Between the registry's document and its bytes, at a price that does not grow with what has finished."""

from __future__ import annotations

import json
from typing import Any

from coordinator import registry_file

Document = dict[str, Any]
_FINISHED = ("completed_prds", "failed_prds")
_FLAT = (str, int, float, type(None))


class RegistryText:
    """Encodes and decodes; remembers the finished lists it saw last, which few updates change.

    They are the greater part of the file. A list whose line in the file is the remembered one is copied
    instead of parsed, and one that equals it is not encoded again. For one thread at a time.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, list[Document]]] = {}

    def decode(self, data: bytes, name: str) -> Document:
        """Raises ValueError and registry_file.Newer as `registry_file.parse` does."""
        copied: Document = {}
        for key, (line, entries) in self._known.items():
            # Between line ends it stands at the top level: strings hold none, deeper values have no own line.
            start = data.find(b"\n" + line + b",\n")
            if start >= 0:
                data = data[: start + 1] + _line(key, []) + data[start + 1 + len(line) :]
                copied[key] = [entry.copy() for entry in entries]
        return complete(registry_file.parse(data, name) | copied)

    def encode(self, document: Document) -> bytes:
        """One line per key: readable by people, and made by json's fast encoder, which cannot indent."""
        lines = [self._line(key, value) for key, value in document.items()]
        return b"{\n" + b",\n".join(lines) + b"\n}\n"

    def _line(self, key: str, value: Any) -> bytes:
        if key not in _FINISHED:
            return _line(key, value)
        known = self._known.get(key)
        if known and known[1] == value:
            return known[0]
        line = _line(key, value)
        # Nested values would be shared between the copies.
        if all(isinstance(inner, _FLAT) for entry in value for inner in entry.values()):
            self._known[key] = (line, [entry.copy() for entry in value])
        else:
            self._known.pop(key, None)
        return line


def complete(document: Document) -> Document:
    """Adds the keys that came after the first release, or that a hand edit broke."""
    for key, default in (("revision", 0), ("holds", {}), ("session", {})):
        if type(document.get(key)) is not type(default):
            document[key] = default
    document.setdefault("created_at", "")
    return document


def _line(key: str, value: Any) -> bytes:
    return f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}".encode("ascii")
