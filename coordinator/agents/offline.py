"""A coding agent for trying things out: no key, no network, and yet it really works in the worktree.

It is started as any agent is: in the worktree, with the prompt on stdin, the PRD's file in PRD_JSON and the
story's id in PRD_STORY (else it takes the first open story that the prompt names). What it does stands in the
story under the key `offline`, an object; every key of that may be left out:

    "say": ["line", …]                              what it tells while it works
    "write": {"path": "content"}                    whole files
    "append": {"path": "text"}                      text at the end of a file
    "replace": [{"path": …, "old": …, "new": …}]    one exact text for another
    "run": [["python3", "-m", "unittest"], …]       commands; their output goes into the log
    "fail": n                                       the first n calls for this story fail half-way; -1: all
    "lie": true                                     marks the story as passing and does nothing
    "slow": seconds                                 further time, spread over the work

An edit that is there already counts as made: a second attempt begins with what the first one left. A story
without instructions gets a note, docs/<prd>/<story>.md. PRD_OFFLINE_PACE: seconds for a line of the log.
Exits: 0, 1 with a sentence, 143 after TERM. Started by its file name and isolated: no import of the package.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

PACE, LONGEST_PACE = 0.3, 60.0
_CONTAINERS = ("userStories", "stories", "tasks", "features")
_PYTHON = ("python", "python3")  # whatever it is called here, it is the one that runs this


class Refused(Exception):
    """Something cannot be done; the message is the sentence for the log."""


class Ended(BaseException):
    """TERM or INT came."""


@dataclass(frozen=True)
class Step:
    """One thing to do; `act` returns what to tell. `weight`: its time, in lines of the log."""

    act: Callable[[], str]
    weight: float = 1.0


class Worktree:
    """Reads and writes files below `root`, and nowhere else. Counts the lines it changes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.changed: set[str] = set()
        self.added = self.removed = 0

    def place(self, word: str) -> Path:
        """The file that `word` names. Raises Refused unless it is in the worktree, and a plain file or none."""
        ours = (".git", ".claude-loop")
        closed = any(part in ("", ".", "..") or part.casefold() in ours for part in word.split("/"))
        if closed or not word.isprintable() or len(word) > 1000:
            raise Refused(f"{_short(word)} is no path inside the worktree: I do not touch it.")
        target = self.root / word
        folder = Path(os.path.realpath(target.parent))
        if not folder.is_relative_to(self.root) or ".git" in folder.relative_to(self.root).parts:
            raise Refused(f"{_short(word)} leads out of the worktree: I do not touch it.")
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise Refused(f"{_short(word)} is no plain file: I do not touch it.")
        return target

    def read(self, word: str) -> str | None:
        """The text of a file; None if there is none."""
        path = self.place(word)
        return path.read_bytes().decode() if path.exists() else None

    def write(self, word: str, before: str | None, after: str) -> str:
        """Makes `after` of a file that holds `before`; what it did, for the log."""
        path, verb = self.place(word), "Write" if before is None else "Edit"
        if before == after:
            return f"{verb} {word} is done already"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.put(path, after.encode())
        lines = (before or "").splitlines(), after.splitlines()
        signs = [line[0] for line in difflib.unified_diff(*lines, n=0, lineterm="")][2:]
        self.changed.add(word)
        self.added += signs.count("+")
        self.removed += signs.count("-")
        return f"{verb} {word} +{signs.count('+')} −{signs.count('-')}"

    def put(self, path: Path, data: bytes) -> None:
        """Replaces a file in one step, so that an end at any moment leaves the old or the new one."""
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        part = self.state() / f"offline-{os.getpid()}.part"
        try:
            part.write_bytes(data)
            part.chmod(mode)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def state(self) -> Path:
        folder = self.root / ".claude-loop"
        folder.mkdir(exist_ok=True)
        return folder

    def calls_of(self, story_id: str) -> int:
        """How often this agent was called for a story in this worktree, this call included."""
        path = self.state() / "offline.json"
        try:
            stored = json.loads(path.read_bytes())
        except (OSError, ValueError):
            stored = {}
        counts = (
            {key: n for key, n in stored.items() if isinstance(n, int)} if isinstance(stored, dict) else {}
        )
        counts[story_id] = counts.get(story_id, 0) + 1
        self.put(path, json.dumps(counts).encode())
        return counts[story_id]


# -- what is asked for -----------------------------------------------------------------------------------


def read_document(path: str) -> dict[str, Any]:
    """The PRD. Raises Refused."""
    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(f"PRD_JSON={path} cannot be read: {error}.") from None
    if not isinstance(document, dict | list):
        raise Refused(f"{path} holds no PRD.")
    return document if isinstance(document, dict) else {_CONTAINERS[0]: document}


def stories_of(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    raw: list[Any] = next((document[key] for key in _CONTAINERS if isinstance(document.get(key), list)), [])
    return [story for story in raw if isinstance(story, dict)]


def find_story(document: Mapping[str, Any], wanted: str, prompt: str) -> dict[str, Any]:
    """The story called `wanted`, else the first open one that the prompt names. Raises Refused."""
    stories = stories_of(document)
    if wanted:
        found = [story for story in stories if str(story.get("id")) == wanted]
    else:
        named = [story for story in stories if _names(prompt, str(story.get("id")))]
        found = [story for story in named if story.get("passes") is not True] or named
    if not found:
        raise Refused(f"There is no story {_short(wanted)}." if wanted else "The prompt names no story.")
    return found[0]


def _names(prompt: str, story_id: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(story_id)}(?![\w-])", prompt) is not None


def note_about(prd_id: str, story: Mapping[str, Any]) -> dict[str, Any]:
    """Instructions for a story that has none."""
    story_id, criteria = str(story.get("id")), story.get("acceptanceCriteria")
    listed = "".join(f"- {line}\n" for line in criteria) if isinstance(criteria, list) else ""
    text = (
        f"# {story.get('title') or story_id}\n\nStory {story_id} of {prd_id} asks for:\n\n"
        f"{listed or '- (nothing further)'}\n\n"
        "The offline agent wrote this note; a real one would have written the code.\n"
    )
    names = (re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip(".-") or "prd" for word in (prd_id, story_id))
    path = f"docs/{'/'.join(names)}.md"
    return {"say": ["This story has no instructions for me: I leave a note."], "write": {path: text}}


# -- checking instructions -------------------------------------------------------------------------------


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _files(value: Any) -> bool:
    return isinstance(value, dict) and _texts(list(value.values()))


def _changes(value: Any) -> bool:
    keys = {"path", "old", "new"}
    return isinstance(value, list) and all(
        _files(item) and set(item) == keys and item["old"] for item in value
    )


def _commands(value: Any) -> bool:
    return isinstance(value, list) and all(_texts(command) and command for command in value)


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86400


#: Key → default, whether a value fits, what is expected.
_KINDS: Mapping[str, tuple[Any, Callable[[Any], bool], str]] = {
    "say": ([], _texts, "a list of texts"),
    "write": ({}, _files, "an object of paths and texts"),
    "append": ({}, _files, "an object of paths and texts"),
    "replace": ([], _changes, "a list of objects with the texts path, old and new"),
    "run": ([], _commands, "a list of commands, each a list of words"),
    "fail": (0, lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "lie": (False, lambda value: isinstance(value, bool), "true or false"),
    "slow": (0, _seconds, "a number of seconds up to a day"),
}


def checked(instructions: object) -> dict[str, Any]:
    """All instructions, with defaults. Raises Refused for the first one that is not understood."""
    if not isinstance(instructions, dict):
        raise Refused('"offline" is not an object.')
    for key, value in instructions.items():
        if key not in _KINDS:
            raise Refused(f"{_short(key)} is no instruction; there are {', '.join(_KINDS)}.")
        if not _KINDS[key][1](value):
            raise Refused(f'"{key}" is not {_KINDS[key][2]}.')
    return {key: instructions.get(key, default) for key, (default, _fits, _what) in _KINDS.items()}


def _short(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:78]}…'"


# -- the work --------------------------------------------------------------------------------------------


class Work:
    """One story's work as steps; every path is checked before the first step is made."""

    def __init__(self, worktree: Worktree, story_id: str, orders: Mapping[str, Any], prd_json: str) -> None:
        self._worktree = worktree
        self._story_id = story_id
        self._orders = orders
        self._prd_json = prd_json
        for path in (*orders["write"], *orders["append"], *(change["path"] for change in orders["replace"])):
            worktree.place(path)

    def steps(self, call: int) -> list[Step]:
        """What this call does, the first one counting 1."""
        head = Step(partial(str, f"Read {os.path.relpath(self._prd_json, self._worktree.root)}"), 0.5)
        said = [Step(partial(str, line), 0.5 + min(len(line), 80) / 80) for line in self._orders["say"]]
        if self._orders["lie"]:
            return [head, *said, Step(self._claim)]
        edits = list(self._edits())
        fails: int = self._orders["fail"]
        if fails < 0 or call <= fails:
            which = "every call" if fails < 0 else f"call {call}"
            return [
                head,
                *_woven(said, edits[: (len(edits) + 1) // 2]),
                Step(partial(self._break_off, which)),
            ]
        runs = [Step(partial(self._run, command)) for command in self._orders["run"]]
        return [head, *_woven(said, edits), *runs, Step(self._finish)]

    def _edits(self) -> Iterator[Step]:
        for path, text in self._orders["write"].items():
            yield Step(partial(self._write, path, text), 1.5)
        for path, text in self._orders["append"].items():
            yield Step(partial(self._append, path, text), 1.5)
        for change in self._orders["replace"]:
            yield Step(partial(self._replace, **change), 1.5)

    def _write(self, path: str, text: str) -> str:
        return self._worktree.write(path, self._worktree.read(path), text)

    def _append(self, path: str, text: str) -> str:
        before = self._worktree.read(path)
        return self._worktree.write(path, before, (before or "").removesuffix(text) + text)

    def _replace(self, path: str, old: str, new: str) -> str:
        before = self._worktree.read(path) or ""
        made = new != "" and new in before and (old in new or old not in before)
        if not made and old not in before:
            raise Refused(f"{path} does not hold the text to be replaced: {_short(old)}.")
        return self._worktree.write(path, before, before if made else before.replace(old, new, 1))

    def _run(self, command: list[str]) -> str:
        """Its exit code is told and no more: agents go on after red tests, and gates are others' business."""
        _tell(f"Run {' '.join(command)}")
        program = sys.executable if command[0] in _PYTHON else command[0]
        try:
            child = subprocess.Popen(
                [program, *command[1:]],
                cwd=self._worktree.root,
                env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # what it leaves would be committed
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except (OSError, ValueError) as error:
            return f"  it cannot be started: {error}"
        with child:
            try:
                for line in child.stdout or ():
                    _tell(f"  {line.decode(errors='replace').rstrip()}")
            except BaseException:
                child.kill()
                raise
        return f"  exit {child.returncode}"

    def _claim(self) -> str:
        """Sets `passes`, as an agent does that thinks nobody looks."""
        document = read_document(self._prd_json)
        for story in stories_of(document):
            story["passes"] = story.get("passes") is True or str(story.get("id")) == self._story_id
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        self._worktree.put(Path(self._prd_json), text.encode())
        return f"{self._story_id} is done: all acceptance criteria are met, and passes is true."

    def _break_off(self, which: str) -> NoReturn:
        raise Refused(f"The answer broke off in the middle: {which} of {self._story_id} is told to fail.")

    def _finish(self) -> str:
        tree = self._worktree
        files = f"{len(tree.changed)} file{'' if len(tree.changed) == 1 else 's'} changed"
        return f"{self._story_id} is done: {files}, +{tree.added} −{tree.removed}."


def _woven(*parts: list[Step]) -> Iterator[Step]:
    """All in order, each list spread over the whole."""
    places = [((n + 0.5) / len(steps), step) for steps in parts for n, step in enumerate(steps)]
    return (step for _place, step in sorted(places, key=lambda pair: pair[0]))


# -- running ---------------------------------------------------------------------------------------------


def pace(text: str) -> float:
    """Seconds of one line of the log; what is no such number counts as the default."""
    try:
        seconds = float(text)
    except ValueError:
        return PACE
    return min(max(seconds, 0.0), LONGEST_PACE) if math.isfinite(seconds) else PACE


def _tell(text: str, margin: str = "  ") -> None:
    sys.stdout.write(f"{margin}{text}\n")
    sys.stdout.flush()


def work() -> None:
    """One call. Raises Refused and Ended."""
    prompt = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace")
    prd_json = os.environ.get("PRD_JSON", "")
    story = find_story(read_document(prd_json), os.environ.get("PRD_STORY", ""), prompt)
    story_id, attempt = str(story.get("id")), os.environ.get("PRD_ATTEMPT", "1")
    _tell(f"● {story_id} {story.get('title')}{'' if attempt == '1' else f', attempt {attempt}'}", "")
    prd_id = os.environ.get("PRD_ID") or Path(prd_json).resolve().parent.name
    orders = checked(story["offline"] if "offline" in story else note_about(prd_id, story))
    worktree = Worktree(Path.cwd())
    steps = Work(worktree, story_id, orders, prd_json).steps(worktree.calls_of(story_id))
    line, more = pace(os.environ.get("PRD_OFFLINE_PACE", "")), orders["slow"] / len(steps)
    for step in steps:
        time.sleep(line * step.weight + more)
        _tell(step.act())


def _end(_number: int, _frame: object) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise Ended


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        work()
    except Ended:
        with contextlib.suppress(OSError):
            _tell("I was asked to end; what is done so far stays.")
        return 143
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except (Refused, OSError, ValueError) as error:
        _tell(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
