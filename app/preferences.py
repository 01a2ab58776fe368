"""What the dashboard remembers of a person's taste, in one small file of theirs; losing it loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path


class Preferences:
    """Text by name. A file that cannot be read is as good as none, one that cannot be written stays unwritten."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._values: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            document = json.loads(path.read_text("utf-8")) if path else {}
            if isinstance(document, dict):
                self._values = {key: value for key, value in document.items() if isinstance(value, str)}

    def get(self, name: str) -> str:
        return self._values.get(name, "")

    def set(self, name: str, value: str) -> None:
        if self._values.get(name) == value:
            return
        self._values[name] = value
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(self._values, indent=2) + "\n", "utf-8")
            part.replace(self._path)


def preferences_file() -> Path | None:
    """`$XDG_STATE_HOME/prd-tui/dashboard.json`; None where the environment names no home."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        home = os.environ.get("HOME", "")
        state = f"{home}/.local/state" if home.startswith("/") else ""
    return Path(state) / "prd-tui" / "dashboard.json" if state else None
