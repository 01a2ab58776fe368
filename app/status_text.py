"""Text for the commands that must start fast: cleaning, widths, durations, the words and glyphs of states."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST = 2000  # characters of one text from outside that are ever shown

#: State → glyph, word, colour.
STATES = {
    "arriving": ("…", "arriving", "grey"),
    "invalid": ("!", "invalid", "red"),
    "nothing left": ("✓", "nothing left", "grey"),
    "queued": ("·", "queued", "grey"),
    "blocked": ("⊘", "blocked", "amber"),
    "starting": ("▶", "starting", "blue"),
    "running": ("▶", "running", "blue"),
    "pausing": ("‖", "pausing", "amber"),
    "paused": ("‖", "paused", "amber"),
    "waiting": ("↻", "waiting", "amber"),
    "stopping": ("■", "stopping", "amber"),
    "stopped": ("■", "stopped", "grey"),
    "verifying": ("◌", "verifying", "blue"),
    "completed": ("✓", "ready", "green"),
    "merging": ("⇄", "merging", "blue"),
    "merged": ("●", "merged", "green"),
    "conflict": ("≠", "conflict", "red"),
    "failed": ("✗", "failed", "red"),
    "lost": ("¿", "lost", "red"),
    "dropped": ("■", "dropped", "grey"),
    # A mark of a running PRD:
    "hung": ("⚠", "hung", "amber"),
    # Not states of the engine, but what a reader finds when no engine runs:
    "ended": ("◌", "ended", "amber"),
    "gone": ("¿", "gone", "amber"),
}
_GLYPHS = frozenset(glyph for glyph, _word, _colour in STATES.values())  # one column each


def state_of(entry: dict[str, Any]) -> tuple[str, str, str]:
    """(glyph, word, colour) of an entry; a state of a later version shows as its own word."""
    status = entry.get("status")
    word = "hung" if status == "running" and entry.get("hung") is True else clean(status)
    return STATES.get(word, ("?", word or "unknown", "amber"))


def clean(value: object) -> str:
    """One line of printable text from outside, whatever it is: no controls, no escapes, no bidi marks."""
    if value is None:
        return ""
    text = str(value)[:LONGEST]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)


def quoted(word: str) -> str:
    """A word that a person typed, for a message: shortened, and in quotes where it would not be seen."""
    return fit(word, 80) if word.isprintable() and word.strip() else fit(ascii(word), 80)


def suggestion(word: str, known: list[str], otherwise: str) -> str:
    """What to do about a word that is none of `known`: the one that was meant, if any, else `otherwise`."""
    import difflib

    close = [name for name in known if name.lower() == word.lower()] or difflib.get_close_matches(
        word, known, 1
    )
    return f"did you mean {quoted(close[0])}?" if close else otherwise


def width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def fit(text: str, columns: int = 0) -> str:
    """Cuts to `columns` with an ellipsis; 0: no limit."""
    if columns <= 0 or width(text) <= columns:
        return text
    kept, used = "", 0
    for char in text:
        used += _columns(char)
        if used > columns - 1:
            break
        kept += char
    return kept + "…"


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def _columns(char: str) -> int:
    if char.isascii() or char in _GLYPHS:
        return 1
    import unicodedata

    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def duration(seconds: object) -> str:
    """`31s`, `4m40s`, `1h12m`, `3d04h`; `-` for what is no length of time."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e10:
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 1:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 1:
        return f"{minutes}m{rest:02}s"
    days, hours = divmod(hours, 24)
    return f"{hours}h{minutes:02}m" if days < 1 else f"{days}d{hours:02}h"


def epoch(text: object) -> float | None:
    """Seconds since the epoch of `2026-01-31T12:00:00.000Z`; None for the rest. (datetime takes 2 ms.)"""
    if not (isinstance(text, str) and len(text) >= 20 and text.endswith("Z")):
        return None
    try:
        year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
        seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + float(text[17:-1])
    except ValueError:
        return None
    # Days of a calendar whose year begins in March, so that leap days come last.
    shifted = year - (month <= 2)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719468
    return days * 86400 + seconds
