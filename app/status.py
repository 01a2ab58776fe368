"""`prd-tui status`: what is where, read from the registry, whether or not a coordinator runs.

Loads json, os, sys and time only, so that the command starts about as fast as Python itself.
"""

from __future__ import annotations

import json
import os
import sys
import time

from app.status_text import clean, duration, epoch, fit, pad, state_of, suggestion, width
from coordinator import registry_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Entry = dict[str, Any]

USAGE = """usage: prd-tui status [PRD] [--json | --short] [--plain]

Shows every PRD, or one in detail, with and without a coordinator.

  --json    the registry (or the PRD's entry) as JSON
  --short   one line, for a status bar
  --plain   no colours; so do NO_COLOR and a pipe

Exits with 1 if any PRD has failed.
"""
FLAGS = ("--json", "--short", "--plain")
NEWEST_COMPLETED = 20  # rows of completed PRDs in the table; `--json` has them all

TITLES = (("", "PRD", "STATE", "DONE", "TIME", "BRANCH", "NOW"), "grey")
_COLOURS = {"blue": "34", "green": "32", "amber": "33", "violet": "35", "red": "31", "grey": "90"}


class _Refused(Exception):
    """Wrong usage; the message is what to say."""


def main(argv: list[str], start: str) -> int:
    """`argv`: what follows the word `status`; `start`: the folder to look from. Returns the exit code."""
    try:
        flags, wanted = _parse(argv)
        if "--help" in flags:
            _say(USAGE)
            return 0
        found = registry_file.find(start) if os.path.isdir(start) else None  # noqa: PTH112
        if found is None:
            raise _Refused(
                f"{clean(start)} is not inside a git repository; go into one, or name one with -C."
            )
        return _show(*found, flags, wanted)
    except _Refused as refusal:
        return _fail(str(refusal), 2)
    except registry_file.Unreadable as error:
        return _fail(str(error), 1)


def _parse(argv: list[str]) -> tuple[set[str], str | None]:
    flags: set[str] = set()
    names: list[str] = []
    options_end = False
    for word in argv:
        if word == "--" and not options_end:
            options_end = True
        elif options_end or not word.startswith("-"):
            names.append(word)
        elif word in ("-h", "--help"):
            flags.add("--help")
        elif word in FLAGS:
            flags.add(word)
        else:
            raise _Refused(f"`status` has no option {clean(word)}; it has {', '.join(FLAGS)}.")
    if len(names) > 1:
        raise _Refused("`status` takes one PRD; leave the name out to see all.")
    return flags, names[0] if names else None


def _show(root: str, common: str, flags: set[str], wanted: str | None) -> int:
    stored = registry_file.load(root)
    document = registry_file.empty() if stored is None else stored
    for entry in document["active_prds"].values():
        if isinstance(entry.get("run_dir"), str):  # it may have been moved with the repository
            entry["run_dir"] = os.path.join(common, "prd-tui", "runs", *entry["run_dir"].split("/")[-2:])  # noqa: PTH118
    owner = registry_file.owner(common)
    if wanted is not None:
        entry = _find(document, wanted, owner)
        _say(_as_json(entry) if "--json" in flags else _details(entry))
    elif "--json" in flags:
        _say(_as_json(document))
    elif "--short" in flags:
        _say(_short(document, owner))
    elif stored is None:
        _say(_nothing_yet(root))
    else:
        _say(_table(root, document, owner, _Style(flags)))
    return 1 if document["failed_prds"] else 0


class _Style:
    """Colour and width of where the output goes."""

    def __init__(self, flags: set[str]) -> None:
        terminal = sys.stdout.isatty()
        self.colour = terminal and "--plain" not in flags and not os.environ.get("NO_COLOR")
        self.width = 0  # columns; 0: no limit
        if terminal:
            try:
                self.width = os.get_terminal_size(sys.stdout.fileno()).columns
            except (OSError, ValueError):
                self.width = 80

    def paint(self, text: str, colour: str) -> str:
        code = _COLOURS.get(colour)
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


# -- all PRDs -----------------------------------------------------------------------------------------------


def _entries(document: Entry, owner: int | None) -> list[Entry]:
    """Every entry with a `status`, in the order of the table: what runs, what waits, what ended."""
    active = [_honest(entry | {"prd_id": prd_id}, owner) for prd_id, entry in document["active_prds"].items()]
    queued = [{"status": "queued"} | entry for entry in document["queued_prds"]]
    failed = [{"status": "failed"} | entry for entry in document["failed_prds"]]
    completed = [{"status": "completed"} | entry for entry in document["completed_prds"]]
    return active + queued + failed + completed


def _honest(entry: Entry, owner: int | None) -> Entry:
    """What an active entry means when no coordinator keeps it up to date: its worker may be long gone."""
    entry = {"status": "running"} | entry
    run_dir = entry.get("run_dir")
    if owner is not None:
        return entry
    ended = registry_file.run_record(run_dir, "exit.json") if isinstance(run_dir, str) else None
    if ended is not None:
        code = ended.get("code")
        reason = f"ended with exit code {code}; `prd-tui run` verifies its work"
        return entry | {"status": "ended", "reason": reason, "exit_code": code}
    start = registry_file.run_record(run_dir, "start.json") if isinstance(run_dir, str) else None
    if isinstance(run_dir, str) and start is not None and not registry_file.written_here(run_dir, start):
        reason = "this repository is a copy: its worker belongs to the original; `prd-tui run` begins anew"
        return entry | {"status": "gone", "reason": reason}
    if not _worker_lives(start, entry.get("pid")):
        reason = "its worker is gone and left no exit code; `prd-tui run` looks after it"
        return entry | {"status": "gone", "reason": reason}
    return entry


def _worker_lives(start: Entry | None, pid: object) -> bool:
    if start is None:  # all there is to go by is the pid, where one was given already
        return not isinstance(pid, int) or pid <= 0 or registry_file.lives(pid, None)
    if start.get("boot_id") != registry_file.boot_id():
        return False
    try:
        return any(
            registry_file.lives(start[who]["pid"], start[who]["ticks"]) for who in ("worker", "keeper")
        )
    except (KeyError, TypeError, ValueError):
        return True  # a record we cannot judge says nothing


def _table(root: str, document: Entry, owner: int | None, style: _Style) -> str:
    entries = _entries(document, owner)
    surplus = max(0, len(document["completed_prds"]) - NEWEST_COMPLETED)
    if surplus:
        entries[-len(document["completed_prds"]) :] = entries[-NEWEST_COMPLETED:]
    now = time.time()
    rows = [_row(entry, now) for entry in entries]
    lines = [_header(root, owner), *(f"held: {reason}" for reason in _holds(document, owner))]
    if owner is not None and document.get("checking"):
        lines.append(clean(document["checking"]))
    lines.append("")
    if rows:
        widths = [max(width(cells[column]) for cells, _colour in [TITLES, *rows]) for column in range(6)]
        lines += [_line(cells, widths, style, colour) for cells, colour in [TITLES, *rows]]
    else:
        lines.append("No PRDs yet; drop a folder with a prd.json into prds/active.")
    if surplus:
        lines.append(f"… and {surplus} more completed (--json shows them)")
    return "\n".join(lines) + "\n"


def _header(root: str, owner: int | None) -> str:
    name = clean(os.path.basename(root))  # noqa: PTH119
    if owner is not None:
        return f"{name}: coordinator {owner} runs"
    written = registry_file.modified(root) or time.time()
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(written))
    age = duration(max(0.0, time.time() - written))
    return f"{name}: no coordinator runs; state as of {moment}, {age} ago"


def _holds(document: Entry, owner: int | None) -> list[str]:
    """Why nothing starts. What but a person's word holds a queue does so only while a coordinator sees it."""
    kinds = [document.get("holds"), document.get("held") if owner is not None else None]
    return [clean(reason) for holds in kinds if isinstance(holds, dict) for reason in holds.values()]


def _row(entry: Entry, now: float) -> tuple[tuple[str, ...], str]:
    """(cells of a row, its colour)."""
    glyph, word, colour = state_of(entry)
    if entry.get("ungated"):
        word += ", ungated"
    cells = (
        glyph,
        fit(clean(entry.get("prd_id")), 40),
        word,
        _done(entry),
        _time(entry, now),
        fit(clean(entry.get("branch")), 40),
        _why(entry),
    )
    return cells, colour


def _done(entry: Entry) -> str:
    progress = entry.get("progress")
    if isinstance(progress, dict):
        return f"{clean(progress.get('completed', '?'))}/{clean(progress.get('total', '?'))}"
    return clean(entry.get("stories_completed", "-"))


def _time(entry: Entry, now: float) -> str:
    if "duration_seconds" in entry:
        return duration(entry["duration_seconds"])
    started = epoch(entry.get("started_at"))
    return "-" if started is None else duration(max(0.0, now - started))


def _why(entry: Entry) -> str:
    """What the PRD does now, or why it does not."""
    waiting = entry.get("waiting_for")
    told = clean(entry.get("reason") or entry.get("error"))
    if not told and isinstance(waiting, list) and waiting:
        told = "after " + ", ".join(clean(name) for name in waiting)
    return told or clean(entry.get("current_story"))


def _line(cells: tuple[str, ...], widths: list[int], style: _Style, colour: str) -> str:
    padded = [pad(cell, columns) for cell, columns in zip(cells, widths, strict=False)]
    before = "  ".join(padded)
    room = style.width - width(before) - 2 if style.width else 0
    last = "" if style.width and room < 4 else fit(cells[6], room)
    padded[0] = style.paint(padded[0], colour)
    padded[2] = style.paint(padded[2], colour)
    return ("  ".join(padded) + "  " + last).rstrip()


def _short(document: Entry, owner: int | None) -> str:
    counts: dict[tuple[str, str, str], int] = {}
    for entry in _entries(document, owner):
        state = state_of(entry)
        counts[state] = counts.get(state, 0) + 1
    words = [f"{number} {glyph} {word}" for (glyph, word, _colour), number in counts.items()]
    held = ["held"] if _holds(document, owner) else []
    return "prd-tui: " + (" · ".join([*words, *held]) or "no PRDs") + "\n"


def _nothing_yet(root: str) -> str:
    try:
        waiting = [entry.name for entry in os.scandir(os.path.join(root, "prds", "active")) if entry.is_dir()]  # noqa: PTH118
    except OSError:
        waiting = []
    if not waiting:
        return "Nothing has run here yet; drop a folder with a prd.json into prds/active.\n"
    folders = "1 folder waits" if len(waiting) == 1 else f"{len(waiting)} folders wait"
    return f"Nothing has run here yet; {folders} in prds/active and `prd-tui run` starts the work.\n"


# -- one PRD ------------------------------------------------------------------------------------------------


def _find(document: Entry, wanted: str, owner: int | None) -> Entry:
    entries = _entries(document, owner)
    for entry in entries:
        if entry.get("prd_id") == wanted:
            return entry
    names = [str(entry.get("prd_id")) for entry in entries]
    hint = suggestion(wanted, names, "`prd-tui status` lists those that are.")
    raise _Refused(f"No PRD called {clean(wanted)} is known here; {hint}")


def _details(entry: Entry) -> str:
    glyph, word, _colour = state_of(entry)
    pairs = [("state", f"{glyph} {word}"), ("why", _why(entry)), ("stories", _done(entry))]
    pairs.append(("time", _time(entry, time.time())))
    told = {"prd_id", "status", "reason", "error", "progress", "duration_seconds", "stories_completed"}
    internal = {"generation", "retries", "lost_before", "fresh", "run_dir"}
    if entry.get("branch_asked") == entry.get("branch"):
        internal.add("branch_asked")
    for key, value in entry.items():
        if key not in told | internal and value not in (None, "", [], {}):
            text = value if isinstance(value, str) else json.dumps(value)
            pairs.append((clean(key).replace("_", " "), clean(text)))
    shown = [(name, text) for name, text in pairs if text not in ("", "-")]
    columns = max(width(name) for name, _text in shown)
    lines = [clean(entry.get("prd_id")), *(f"  {pad(name, columns)}  {text}" for name, text in shown)]
    return "\n".join(lines) + "\n"


def _as_json(document: Entry) -> str:
    """A line per key: json's fast encoder cannot indent, and the other one takes as long as all the rest."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


# -- output -------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # `status | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"prd-tui: {clean(message)}\n")
    return code
