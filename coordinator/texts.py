"""Text from outside, made fit for a line of a log, a record, a commit or a prompt. Pure."""

from __future__ import annotations

import re
import unicodedata

#: Control sequences of terminals: colours and cursor moves, titles and links, and the short ones.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def plain(text: str) -> str:
    """Lines of printable text; of a line that was drawn over (a progress bar) what was left standing."""
    lines = _ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")
    standing = (line.rstrip("\r").rpartition("\r")[2] for line in lines)
    return "\n".join("".join(c for c in line if c == "\t" or c.isprintable()) for line in standing)


def one_line(text: str, limit: int = 300) -> str:
    """The same as a single line of at most `limit` characters."""
    line = " ".join(plain(re.sub(r"[\r\n]+", "\n", text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def last_line(text: str, limit: int = 200) -> str:
    """The last line that says anything, as `one_line`."""
    said = [line for line in plain(text).split("\n") if line.strip()]
    return one_line(said[-1], limit) if said else ""


def ends(text: str, head: int, tail: int) -> str:
    """The first `head` and the last `tail` characters, in whole lines as far as there are any."""
    if len(text) <= head + tail:
        return text
    begin = text[: text.rfind("\n", 0, head) + 1 or head] if head else ""
    after = text.find("\n", len(text) - tail - 1) + 1
    end = text[after:] if 0 < after < len(text) else text[len(text) - tail :]
    gap = len(text) - len(begin) - len(end)
    return f"{begin}{'' if not begin or begin.endswith(chr(10)) else chr(10)}[… {gap} characters left out …]\n{end}"


def columns(text: str, most: int) -> str:
    """`text` cut to `most` columns of a terminal, with an ellipsis where something was cut."""
    used = 0
    for position, char in enumerate(text):
        used += _width(char)
        if used > most or (used == most and position + 1 < len(text)):
            return text[:position].rstrip() + "…"
    return text


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
