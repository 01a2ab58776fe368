"""The fields of a prd.json and of its stories, each in all the spellings that are in use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Spellings of one field, the plain one first; of several in one file the first counts.
CONTAINER_KEYS: Final = ("userStories", "stories", "tasks", "features")
PASSES_KEYS: Final = ("passes", "passed", "complete", "completed")
DEPENDS_KEYS: Final = ("dependsOn", "dependencies", "blockedBy", "deps", "depends_on", "blocked_by")
PROJECT_KEYS: Final = ("project", "projectName", "name")
TITLE_KEYS: Final = ("title", "name", "task", "summary")
ACCEPTANCE_KEYS: Final = ("acceptanceCriteria", "acceptance_criteria", "acceptance", "steps")
BRANCH_KEYS: Final = ("branchName", "branch_name")

#: Words of a `status`. Any other counts as open, with a warning.
_DONE: Final = frozenset({"done", "completed", "complete", "passed", "passes", "closed", "finished"})
_OPEN: Final = frozenset(
    {"pending", "open", "todo", "to_do", "active", "in_progress", "started", "not_started", "new", "ready"}
    | {"planned", "backlog", "blocked", "failed"}
)
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_MAX_ID: Final = 128

PathInFile = tuple[str | int, ...]


@dataclass(frozen=True)
class Finding:
    path: PathInFile
    message: str
    mend: str


@dataclass
class Findings:
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def error(self, path: PathInFile, message: str, mend: str) -> None:
        self.errors.append(Finding(path, message, mend))

    def warn(self, path: PathInFile, message: str, mend: str) -> None:
        self.warnings.append(Finding(path, message, mend))


def passes_key(story: Mapping[str, Any]) -> str | None:
    """The key that says by true or false whether the story is done; None: there is none."""
    if PASSES_KEYS[0] in story:
        return PASSES_KEYS[0]
    return next((key for key in PASSES_KEYS if story.get(key) is not None), None)


class Reader:
    """Fields of one object, each in any of its spellings; null is the same as missing."""

    def __init__(self, entry: dict[str, Any], path: PathInFile, label: str, findings: Findings) -> None:
        self._entry = entry
        self._path = path
        self._label = label
        self._findings = findings

    def check_id(self) -> None:
        value = self._entry.get("id")
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, str | int):
            self._error("id", f"the id of a story is {kind(value)}", "write a text or a whole number")
        elif isinstance(value, str) and (len(value) > _MAX_ID or not value.isprintable()):
            message = "the id of a story has control characters or is too long"
            self._error("id", message, f"write at most {_MAX_ID} printable characters")

    def text(self, keys: tuple[str, ...]) -> str:
        """The first of `keys` that has a text; a list of texts counts as its lines."""
        for key in keys:
            value = self._entry.get(key)
            if isinstance(value, list) and all(isinstance(line, str) for line in value):
                value = "\n".join(value)
            if value is None or value == "":
                continue
            if isinstance(value, str):
                return value
            self._error(key, f"{key} of {self._label} is {kind(value)}, not a text", "write it in quotes")
        return ""

    def lines(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """The first of `keys` that is there, as lines; what is not a text is shown as JSON."""
        for key in keys:
            value = self._entry.get(key)
            if value is None:
                continue
            items = value if isinstance(value, list) else [value]
            return tuple(one if isinstance(one, str) else json.dumps(one, sort_keys=True) for one in items)
        return ()

    def verify(self) -> tuple[str, ...]:
        value = self._entry.get("verify")
        commands = [value] if isinstance(value, str) and value.strip() else value
        if commands is None or commands == "":
            return ()
        if isinstance(commands, list) and all(isinstance(one, str) and one.strip() for one in commands):
            return tuple(commands)
        message = f"verify of {self._label} is {kind(value)}, not a list of commands"
        self._error("verify", message, 'write for example ["pytest -q"]')
        return ()

    def passes(self) -> bool:
        key = passes_key(self._entry)
        if key is None:
            return self._status()
        value = self._entry[key]
        if isinstance(value, bool):
            return value
        message = f"{key} of {self._label} is {kind(value)}, not true or false"
        self._error(key, message, "write true or false without quotes")
        return False

    def _status(self) -> bool:
        value = self._entry.get("status")
        if value is None:
            return False
        if not isinstance(value, str):
            self._error(
                "status",
                f"status of {self._label} is {kind(value)}, not a word",
                'write "pending" or "done"',
            )
            return False
        word = re.sub(r"[\s-]+", "_", value.strip().lower())
        if word not in _DONE and word not in _OPEN:
            message = f"status {shown(value)} of {self._label} is unknown: it counts as open"
            self._findings.warn((*self._path, "status"), message, 'write "pending" or "done", or use passes')
        return word in _DONE

    def priority(self) -> tuple[float | None, str]:
        """The number, or None and what is there instead of one."""
        value = self._entry.get("priority")
        if value is None:
            return None, ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value), ""
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            return float(value), ""
        return None, shown(value) if isinstance(value, str) else kind(value)

    def depends_on(self, *, lenient: bool = False) -> tuple[str, ...]:
        """Ids under all spellings. `lenient`: only the plain spelling has to be a list of ids."""
        found: dict[str, None] = {}
        for key in DEPENDS_KEYS:
            value = self._entry.get(key)
            if value is None:
                continue
            ids = value if isinstance(value, list) else [value]
            if all(isinstance(one, str | int) and not isinstance(one, bool) for one in ids):
                found |= dict.fromkeys(str(one) for one in ids if one != "")
            elif lenient and key != DEPENDS_KEYS[0]:
                message = f"{key} of {self._label} is not a list of ids: it is ignored"
                self._findings.warn((*self._path, key), message, "use dependsOn for the PRDs it waits for")
            else:
                self._error(
                    key, f"{key} of {self._label} is not a list of ids", 'write for example ["US-001"]'
                )
        return tuple(found)

    def _error(self, key: str, message: str, mend: str) -> None:
        self._findings.error((*self._path, key), message, mend)


def kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def shown(text: str) -> str:
    """A text from a file as part of a sentence: short, and without control characters."""
    short = text if len(text) <= 40 else f"{text[:37]}..."
    return json.dumps(short) if not short.isprintable() else f'"{short}"'
