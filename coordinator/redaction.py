"""Keeps secrets of the environment out of what is written down.

A worker or a gate may print its own API key, and the end of its output becomes the reason of a failure: so
every record passes here on its way to a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from itertools import chain

#: Last word of a variable's name that says its value is secret.
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH)\Z", re.IGNORECASE
)
#: A plain word or a path is no key, and as a replacement pattern it could damage the record's own words.
_HARMLESS = re.compile(r"[a-z_ -]*\Z|[A-Z_ -]*\Z|/.*|[0-9.]*\Z", re.DOTALL)
_SHORTEST = 8  # characters

HIDDEN = "[secret]"


def looks_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Replaces the values of secret-looking variables of `environ` (default: this process's now) and `more`."""

    def __init__(
        self, environ: Mapping[str, str] | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        variables = (os.environ if environ is None else environ, more or {})
        values = {
            value
            for name, value in chain.from_iterable(each.items() for each in variables)
            if looks_secret(name) and len(value) >= _SHORTEST and not _HARMLESS.match(value)
        }
        # The longest first: one secret may begin with another.
        self._values = sorted(values, key=len, reverse=True)
        self._in_json = [json.dumps(value)[1:-1].encode("ascii") for value in self._values]

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def json(self, data: bytes) -> bytes:
        """The same for a JSON document in ASCII; it stays valid."""
        for value in self._in_json:
            data = data.replace(value, HIDDEN.encode("ascii"))
        return data
