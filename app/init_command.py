"""`prd-tui init`: asks what cannot be found out, writes it down, and says what comes next. Starts nothing."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from app.headless import refuse_inside_worker
from app.status_text import clean, fit, pad, width
from coordinator import api
from coordinator.api import Choice, Paths, PrdTuiError, Survey

_GATE_HINT = """none: prd-tui config set coordinator.verify '["pytest -q"]' lets only tested work pass"""
_MOST_NAMED = 5  # PRDs by name in one line


@dataclass(frozen=True)
class Answers:
    """What is to be written down; empty where nothing is."""

    agent: str = ""
    command: tuple[str, ...] = ()
    base: str = ""


def init(arguments: argparse.Namespace, paths: Paths) -> int:
    """Raises PrdTuiError, with nothing changed."""
    refuse_inside_worker(paths)
    found = api.survey(paths)
    try:
        answers = _answers(arguments, found, paths)
    except KeyboardInterrupt:
        _tell("\nNothing was changed.")
        return 130
    api.make_prd_folder(paths)
    if answers.base:
        api.choose_base(paths, answers.base)
    if answers.agent or answers.command:
        api.choose_worker(paths, agent=answers.agent, command=answers.command)
    for line in _report(found, api.survey(paths)):
        print(clean(line))
    return 0


def _answers(arguments: argparse.Namespace, found: Survey, paths: Paths) -> Answers:
    """From the command line, else from the terminal where a question is open."""
    dialogue = Dialogue(paths)
    agent, command = arguments.agent or "", _typed_command(arguments.worker, paths)
    if arguments.agent is not None:
        api.check_agent(paths, agent)
    if not agent and not command and _worker_is_open(found):
        agent, command = dialogue.worker(found.choices)
    base: str = arguments.base or ""
    if base and base not in found.branches:
        raise PrdTuiError(f"There is no branch {base!r}: git branch lists those there are.")
    if not base and found.base_unclear:
        base = dialogue.base(found)
    elif not base and not found.base_branch:
        base = found.branch
    return Answers(agent, command, base)


def _worker_is_open(found: Survey) -> bool:
    return not found.worker and not any(key.startswith("worker.") for key in found.pending)


def _typed_command(words: list[str] | None, paths: Paths) -> tuple[str, ...]:
    """What follows --worker: words of their own, or all in one as in a shell. Raises PrdTuiError."""
    if words is None:
        return ()
    return tuple(api.complete_command(paths, _split(words[0]) if len(words) == 1 else words))


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise PrdTuiError(f"{line!r} is no command line ({error}): close its quotes.") from None


class Dialogue:
    """Questions on a terminal, on stderr as stdout is for results. A bad answer is asked again.

    All raise PrdTuiError where there is no terminal, or where it ends.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def worker(self, choices: tuple[Choice, ...]) -> tuple[str, tuple[str, ...]]:
        """(agent, command); one of them is empty."""
        self._need_terminal("No worker is chosen", "--agent NAME or --worker COMMAND")
        offered = [choice for choice in choices if not choice.problem]
        _tell("Who is to work through the PRDs?")
        rows = [(choice.name, choice.detail) for choice in offered] + [("another", "a command that you type")]
        wide = max(width(choice.name) for choice in (*choices, Choice("another", False)))
        for number, (name, detail) in enumerate(rows, 1):
            _tell(f"  {number}  {pad(name, wide)}  {detail}")
        for choice in choices:
            if choice.problem:
                _tell(f"  -  {pad(choice.name, wide)}  {choice.problem}")
        while True:
            answer = self._ask(f"Number, 1 to {len(rows)} [1]: ") or "1"
            if not answer.isascii() or not answer.isdigit() or not 1 <= int(answer) <= len(rows):
                _tell(f"{fit(clean(answer), 40)} is none of these.")
            elif int(answer) == len(rows):
                return "", self._command()
            else:
                chosen = offered[int(answer) - 1]
                if chosen.is_agent:
                    return chosen.name, ()
                return "", tuple(api.complete_command(self._paths, [chosen.name]))

    def _command(self) -> tuple[str, ...]:
        while True:
            line = self._ask("Command line, as in ./loop.sh {prd_json}: ")
            try:
                return tuple(api.complete_command(self._paths, _split(line)))
            except PrdTuiError as error:
                _tell(str(error))

    def base(self, found: Survey) -> str:
        because = found.base_problem or f"The checkout is on {found.branch}."
        self._need_terminal(because, "--base BRANCH")
        default = found.branch or next((name for name in ("main", "master") if name in found.branches), "")
        _tell(because)
        while True:
            shown = f" [{default}]" if default else ""
            answer = self._ask(f"Branch that work starts from{shown}: ") or default
            if answer in found.branches:
                return answer
            _tell(f"There is no branch {fit(clean(answer), 80)}; there are {', '.join(found.branches[:20])}.")

    def _need_terminal(self, what: str, options: str) -> None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            what = what.removesuffix(".")
            raise PrdTuiError(f"{what}, and there is no terminal to ask on: prd-tui init {options} says it.")

    def _ask(self, question: str) -> str:
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            _tell("")
            raise PrdTuiError("Nothing was changed: the question was left without an answer.")
        return line.strip()


def _tell(text: str) -> None:
    print("\n".join(clean(line) for line in text.split("\n")), file=sys.stderr)


# -- afterwards ------------------------------------------------------------------------------------------


def _report(before: Survey, after: Survey) -> Iterator[str]:
    worker = after.worker or f"waits for your approval: {', '.join(after.pending)}"
    if after.worker_problem:
        worker += f" — {after.worker_problem}"
    yield f"{after.root} is set up. Nothing was started."
    yield f"  worker  {worker}{_whether_new(before.worker, after.worker)}"
    yield f"  base    {after.base_branch}{_whether_new(before.base_branch, after.base_branch)}"
    yield f"  gates   {', '.join(after.gates) or _GATE_HINT}"
    folder = "prds/active" if before.has_prd_folder else "prds/active, made now"
    yield f"  PRDs    {folder}: {_prds(after)}"
    if after.pending:
        yield f"prd-tui.toml runs commands ({', '.join(after.pending)}): look at it, then prd-tui config approve."
    ready = [prd for prd in after.prds if not prd.problem]
    first = "" if ready else "put a folder with a prd.json into prds/active, then "
    yield f"Next: {first}prd-tui opens the dashboard; prd-tui run goes without one."


def _whether_new(before: str, after: str) -> str:
    return "  (as before)" if before == after else ""


def _prds(found: Survey) -> str:
    if not found.prds:
        return "none yet"
    names = [
        f"{prd.prd_id} (cannot be used: {prd.problem})" if prd.problem else prd.prd_id for prd in found.prds
    ]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
