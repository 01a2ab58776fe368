"""The only door for text from outside: what goes in is anything, what comes out can be shown.

Nothing that leaves here holds a control character, an escape sequence, a bidi mark or a character whose
width terminals disagree about, and none of it is markup. Widths are terminal cells as the toolkit counts them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.cells import cell_len, get_character_cell_size

if TYPE_CHECKING:
    from rich.style import Style
    from textual.app import App
    from textual.content import Content

LONGEST = 2000  # characters of one title, path or message that are ever shown
COLUMNS = 4096  # columns of one line of a log that are ever shown
LINE_BYTES = (
    16 << 10
)  # of one line of a log that are looked at: escape sequences need more bytes than columns
COLOURS = 256  # changes of colour in one line that are followed
TAB = 8
ELLIPSIS = "…"
REPLACEMENT = "\ufffd"

Severity = Literal["information", "warning", "error"]

_STRING_END = r"\x07|\x1b\\|\x9c|[\x18\x1a]"
_ESCAPE = re.compile(
    r"(?P<csi>(?:\x1b\[|\x9b)(?P<params>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~])?)"
    # OSC, DCS, APC, PM and SOS carry a string; one without an end goes on to the end of its line.
    rf"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x18\x1a\x1b\x9c\r\n]*(?:{_STRING_END})?"
    r"|\x1b[ -/]+[0-~]?"
    r"|\x1b[0-~]?"
)

_SELECTORS = frozenset({0x034F, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)})
_FILLERS = frozenset({0x115F, 0x1160, 0x3164, 0xFFA0})
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_MARKS_KEPT = 4  # combining marks on one character; more of them climb into the lines above


class LogLine(NamedTuple):
    """One line of a log: `spans` are the ranges of `text` that have a style; `cut`: bytes that are not shown."""

    text: str
    spans: tuple[tuple[int, int, Style], ...]
    cut: int


class _Replacements(dict[int, "int | str | None"]):
    """For str.translate: what each character becomes, found out when it is first met."""

    def __missing__(self, code: int) -> int | str | None:
        found = _replacement(code)
        if len(self) < 10_000:  # text that goes through all of Unicode shall not fill the memory
            self[code] = found
        return found


def _replacement(code: int) -> int | str | None:
    if code in _FLAG_LETTERS:
        return chr(ord("A") + code - _FLAG_LETTERS.start)
    if code in _SELECTORS or code in _FILLERS or code in _SKIN_TONES:
        return None
    char = chr(code)
    if char.isprintable():
        return code
    if char.isspace():
        return " "
    return REPLACEMENT if unicodedata.category(char) in ("Cs", "Cn", "Co") else None


_REPLACEMENTS = _Replacements()
_REPLACEMENTS_WITH_TABS = _Replacements({0x09: 0x09})


def _harmless(text: str, table: _Replacements) -> str:
    text = text.translate(table)
    if text.isascii() or all(map(get_character_cell_size, set(text))):
        return text
    kept = []
    marks = _MARKS_KEPT  # one that has no character before it would sit on what is left of the text
    for char in text:
        marks = 0 if get_character_cell_size(char) else marks + 1
        if marks <= _MARKS_KEPT:
            kept.append(char)
    return "".join(kept)


def plain(value: object, limit: int = LONGEST) -> str:
    """One printable line of at most `limit` characters; a text that was cut ends in an ellipsis.

    Bytes are read as UTF-8, None is empty, everything else is taken as its str().
    """
    if isinstance(value, bytes):
        text = value[: limit * 8].decode("utf-8", "replace")
    else:
        text = "" if value is None else str(value)
    if text.isascii() and text.isprintable():
        return _shortened(text, limit)
    text = text[: limit * 8]
    if "\x1b" in text or not text.isprintable():
        text = _ESCAPE.sub("", text)
    return _shortened(_harmless(text, _REPLACEMENTS), limit)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)] + ELLIPSIS[: max(0, limit)]


def width(text: str) -> int:
    """Terminal cells that a text of this door takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(value: object, columns: int) -> str:
    """Printable text of at most `columns` cells, cut with an ellipsis; nothing when there is no room."""
    text = plain(value)
    if width(text) <= columns:
        return text
    if columns <= 0:
        return ""
    return text[: cut_at(text, columns - 1)] + ELLIPSIS


def pad(value: object, columns: int, *, right: bool = False) -> str:
    """Printable text of exactly `columns` cells; `right`: the spaces come before it."""
    text = fit(value, columns)
    spaces = " " * (columns - width(text))
    return spaces + text if right else text + spaces


def cut_at(text: str, columns: int, start: int = 0) -> int:
    """The index up to which `text` from `start` on takes no more than `columns` cells.

    Marks stay with their character. It is `start` itself when not even one character has room.
    """
    if text.isascii():
        return min(len(text), start + max(0, columns))
    used = 0
    for index in range(start, len(text)):
        used += get_character_cell_size(text[index])
        if used > columns:
            return index
    return len(text)


def content(value: object, style: str = "") -> Content:
    """Text for a title, a label or a part of one; `style` is the program's own, in the toolkit's words."""
    from textual.content import Content

    return Content.styled(plain(value), style) if style else Content(plain(value))


def notice(
    app: App[Any],
    value: object,
    severity: Severity = "information",
    *,
    title: object = "",
    timeout: float | None = None,
) -> None:
    """A toast. `timeout`: seconds; None is the toolkit's own."""
    app.notify(plain(value, 500), title=plain(title, 80), severity=severity, timeout=timeout, markup=False)


def log_line(raw: bytes, columns: int = COLUMNS, *, missing: int = 0) -> LogLine:
    """A line of a log with its colours, and nothing else of what it says to a terminal.

    What was written over by a carriage return is not shown. At most `columns` cells are kept. `missing`:
    bytes of the line that the caller has already left out.
    """
    from app.sgr import Pen

    if raw.endswith(b"\r"):
        raw = raw.rstrip(b"\r")
    if b"\r" in raw:
        raw = raw[raw.rfind(b"\r") + 1 :]
    head = raw[:LINE_BYTES]
    missing += len(raw) - len(head)
    text = head.decode("utf-8", "replace")
    if text.isascii() and text.isprintable():
        return _capped(text, (), columns, missing)
    pen = Pen()
    pieces: list[str] = []
    spans: list[tuple[int, int, Style]] = []
    length = position = 0

    def add(piece: str) -> None:
        nonlocal length
        if not (piece.isascii() and piece.isprintable()):
            piece = _harmless(piece, _REPLACEMENTS_WITH_TABS)
            before = " " * (length % TAB)
            piece = (before + piece).expandtabs(TAB)[len(before) :]
        if piece:
            if (style := pen.style) is not None:
                spans.append((length, length + len(piece), style))
            pieces.append(piece)
            length += len(piece)

    for match in _ESCAPE.finditer(text):
        add(text[position : match.start()])
        position = match.end()
        if len(spans) > COLOURS:
            break
        if match["final"] == "m" and not match["between"]:
            pen.take(match["params"])
    add(_ESCAPE.sub("", text[position:]))
    return _capped("".join(pieces), tuple(spans), columns, missing)


def _capped(text: str, spans: tuple[tuple[int, int, Style], ...], columns: int, missing: int) -> LogLine:
    if len(text) <= columns and (text.isascii() or cell_len(text) <= columns):
        return LogLine(text, spans, missing)
    end = cut_at(text, columns)
    missing += len(text[end:].encode())
    spans = tuple((start, min(stop, end), style) for start, stop, style in spans if start < end)
    return LogLine(text[:end], spans, missing)
