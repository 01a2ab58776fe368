"""How figures look on the screen. Pure: numbers in, short text out."""

from __future__ import annotations

import time
from collections.abc import Sequence

#: Cells of a bar: full, a last half, and what is still to do.
FULL, HALF, REST = "━", "╸", "─"
_SPARKS = "▁▂▃▄▅▆▇█"


def short(seconds: float) -> str:
    """`41s`, `4m40`, `1h12`, `3d04`: five columns at most below a hundred days."""
    if seconds < 0:
        return "0s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02}"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}"


def rough(seconds: float) -> str:
    """An estimate, which has no business being exact: `~40s`, `~10m`, `~1h05`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"~{max(5, round(whole / 5) * 5)}s"
    if whole < 3600:
        return f"~{round(whole / 60)}m"
    return "~" + short(round(whole / 300) * 300)


def size(count: int) -> str:
    """`0 B`, `812 B`, `1.2 MB`: decimal, as file managers have it."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def clock(at: float) -> str:
    """The local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def bar(done: int, total: int, columns: int) -> tuple[str, str]:
    """(what is done, what is left), together `columns` wide; half a cell is drawn as half a cell.

    Something done is never drawn as nothing, something left never as everything done.
    """
    if total <= 0 or columns <= 0:
        return "", REST * max(0, columns)
    halves = round(2 * columns * min(done, total) / total)
    if 0 < done < total:
        halves = min(max(halves, 1), 2 * columns - 1)
    full, half = divmod(halves, 2)
    return FULL * full + HALF * half, REST * (columns - full - half)


def spark(values: Sequence[float], top: float) -> str:
    """One small column per value, from 0 to `top`."""
    if top <= 0:
        return _SPARKS[0] * len(values)
    last = len(_SPARKS) - 1
    return "".join(_SPARKS[round(last * min(max(value, 0.0), top) / top)] for value in values)
