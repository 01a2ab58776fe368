"""The built-in loop: what `prd-tui worker PRD_JSON` does, story by story, until all pass or one is given up."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from types import FrameType

from coordinator import config, prd_file, story_record
from coordinator.agents.presets import find_agent
from coordinator.errors import PrdTuiError, StateError
from coordinator.git import Git, discover
from coordinator.loop import notes
from coordinator.loop.briefing import Briefing
from coordinator.loop.calls import Caller, adopt_orphans, write_out
from coordinator.loop.iteration import Attempt, Bench, Cut, Refused
from coordinator.loop.own_prd import OwnPrd
from coordinator.loop.stories import Failure, began_at, last_failure, next_story, unproven
from coordinator.loop.template import read_template
from coordinator.loop.workplace import Workplace
from coordinator.model import Run, Story
from coordinator.paths import Paths
from coordinator.prd_file import PrdInvalid
from coordinator.redaction import Redactor
from coordinator.runs import Intent, read_intent
from coordinator.story_record import StoryRecord, record_path
from coordinator.texts import one_line

GAVE_UP = 1
_STDOUT = 1
_RUN_ID = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")


class Ending:
    """INT and TERM ask for the end: what runs is finished, nothing new begun. A second INT ends it at once."""

    def __init__(self) -> None:
        self.signal = 0
        self._interrupts = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self.signal:
            self.signal = number
            _say("a signal asks for the end: the call that runs is finished, and nothing new is begun")
        self._interrupts += number == signal.SIGINT

    def wanted(self) -> bool:
        return self.signal != 0

    def hurry(self) -> bool:
        return self._interrupts > 1


def run_worker(prd_json: Path, agent: str | None = None) -> int:
    """Works through the PRD in its run's worktree; returns the exit code.

    0: all stories pass; 1: one was given up; 128+n after signal n. Raises PrdTuiError where it cannot begin,
    or cannot go on: with exit code 2 outside a run's worktree, 127 without the agent's program.
    """
    paths, intent = _run_of(prd_json)
    settings = config.load(paths, Git(paths)).settings
    name = agent or settings.worker.agent
    if not name:
        raise PrdTuiError("No agent is chosen: prd-tui config set worker.agent claude, or --agent NAME.")
    find_agent(name, settings.agents)
    ending = Ending()
    adopt_orphans()
    worktree = Path(intent.run.worktree)
    own = _own_prd(worktree / "prds" / "active" / intent.run.prd_id)
    template = read_template(settings.worker.prompt, paths.root)
    bench = Bench(
        brief=Briefing(settings, template, own, intent.run.branch),
        agent=name,
        root=paths.root,
        place=Workplace(Git(paths), worktree, intent.run.branch),
        caller=Caller(worktree, _STDOUT, ending.hurry),
        redactor=Redactor(),
        say=_say,
        ending=ending.wanted,
    )
    return Worker(bench, intent, ending).run()


def prompt_of(prd_json: Path) -> str:
    """The prompt of the next story, as its first attempt would get it; empty when all pass.

    Works anywhere, and changes nothing. Raises PrdTuiError.
    """
    own = _own_prd(prd_json.absolute().parent)
    story = next_story(own.prd.stories)
    if story is None:
        return ""
    settings, root, branch = config.Settings(), None, own.prd.branch_name or f"feature/{own.folder.name}"
    with contextlib.suppress(PrdTuiError):
        paths = discover(own.folder)
        root = paths.root
    if root is not None:
        settings = config.load(paths, Git(paths), refuse_unapproved=False).settings
    brief = Briefing(settings, read_template(settings.worker.prompt, root), own, branch)
    entries = story_record.read(record_path(own.worktree))
    return brief.ask(story, 1, last_failure(entries, story.id))


class Worker:
    """One run's loop. What it decides is in prd.json, progress.txt and the record when the next thing begins."""

    def __init__(self, bench: Bench, intent: Intent, ending: Ending) -> None:
        self._bench, self._ending, self._admitted = bench, ending, intent.frozen
        self._record = StoryRecord(record_path(bench.own.worktree), intent.run.run_id)

    def run(self) -> int:
        own = self._bench.own
        self._take_back_unproven()
        while (story := next_story(own.prd.stories)) is not None:
            if self._ending.wanted():
                self._bench.say(f"stopped by a signal before {story.id}")
                return 128 + self._ending.signal
            try:
                if not self._work_on(story):
                    return GAVE_UP
            except Cut:
                self._bench.say(f"[{story.id}] stopped by a signal; its changes stay in the worktree")
                return 128 + self._ending.signal
        self._bench.say(f"all {len(own.prd.stories)} stories pass")
        return 0

    def _take_back_unproven(self) -> None:
        own = self._bench.own
        granted = {story.id for story in self._admitted.stories if story.passes}
        for story_id in unproven(own.prd.stories, self._entries(), granted):
            own.set_passes(story_id, False)
            self._bench.say(f"[{story_id}] was marked as passing without proof: it is open again")

    def _work_on(self, story: Story) -> bool:
        """Attempts until one holds; False if none did. Raises Cut."""
        bench, most = self._bench, self._bench.settings.worker.max_attempts
        base = bench.place.start_of(began_at(self._entries(), story.id))
        failure = last_failure(self._entries(), story.id)
        spent = 0.0
        for number in range(1, most + 1):
            if self._ending.wanted():
                raise Cut
            attempt = Attempt(bench, story, number, base, failure)
            attempt.program()
            self._note("attempt", story, attempt=number, max_attempts=most, head=base)
            bench.say(f"[{story.id}] attempt {number} of {most}: {one_line(story.title)}")
            try:
                commit = attempt.run()
            except Refused as why:
                spent += attempt.seconds
                failure = self._refused(story, number, attempt, why)
                continue
            self._done(story, number, attempt, commit, spent + attempt.seconds)
            return True
        reason = failure.reason if failure else ""
        self._note("gave up", story, attempts=most, reason=reason)
        bench.say(f"[{story.id}] given up after {most} {'attempt' if most == 1 else 'attempts'}: {reason}")
        return False

    def _done(self, story: Story, number: int, attempt: Attempt, commit: str, seconds: float) -> None:
        bench = self._bench
        bench.own.set_passes(story.id, True)
        entry = notes.done(story, number, time.time(), commit, words=attempt.output, claim=attempt.claim)
        notes.append(bench.own.worktree, bench.own.folder, entry)
        claim = {"claim": True} if attempt.claim else {}
        self._note("done", story, attempt=number, seconds=round(seconds, 3), commit=commit, **claim)
        where = f", commit {commit[:10]}" if commit else ", nothing to commit"
        bench.say(f"[{story.id}] done after {seconds:.0f} s{where}")

    def _refused(self, story: Story, number: int, attempt: Attempt, why: Refused) -> Failure:
        bench = self._bench
        failure = Failure(
            attempt=number,
            reason=one_line(bench.redactor.text(str(why)), 500),
            output=attempt.output,
            gate=why.gate,
            gate_output=why.gate_output,
            claim=attempt.claim,
        )
        evidence = {"claim": True} if failure.claim else {}
        evidence |= {
            name: text for name in ("output", "gate", "gate_output") if (text := getattr(failure, name))
        }
        self._note("refused", story, attempt=number, reason=failure.reason, **evidence)
        entry = notes.refused(story, failure, bench.settings.worker.max_attempts, time.time())
        notes.append(bench.own.worktree, bench.own.folder, entry)
        bench.say(f"[{story.id}] attempt {number} did not hold: {failure.reason}")
        return failure

    def _entries(self) -> list[story_record.Entry]:
        return story_record.read(record_path(self._bench.own.worktree))

    def _note(self, what: str, story: Story, **more: object) -> None:
        """The record is for those who watch: a disk that refuses it keeps nobody from working."""
        try:
            self._record.write(what, story.id, time.time(), **more)
        except (StateError, OSError) as error:
            self._bench.say(f"[{story.id}] this is not on record: {error}")


def _run_of(prd_json: Path) -> tuple[Paths, Intent]:
    """The run that PRD_RUN_ID names, if `prd_json` is that of its worktree. Raises PrdTuiError."""
    folder = prd_json.absolute().parent
    outside = PrdTuiError(
        f"{prd_json} is not in the worktree of a run: prd-tui run starts the loop where it belongs, and "
        "--dry-run shows the prompt anywhere."
    )
    run_id = os.environ.get("PRD_RUN_ID", "")
    if not folder.is_dir() or not _RUN_ID.fullmatch(run_id) or prd_file.valid_prd_id(folder.name):
        raise outside
    paths = discover(folder)
    intent = read_intent(paths, paths.run_dir(folder.name, run_id))
    if intent is None or not _holds(intent.run, prd_json):
        raise outside
    return paths, intent


def _holds(run: Run, prd_json: Path) -> bool:
    theirs = Path(run.worktree, "prds", "active", run.prd_id, prd_file.NAME)
    return theirs.resolve() == prd_json.resolve()


def _own_prd(folder: Path) -> OwnPrd:
    try:
        return OwnPrd(folder)
    except PrdInvalid as error:
        raise PrdTuiError(f"{folder / prd_file.NAME}: {error}") from None


def _say(line: str) -> None:
    write_out(_STDOUT, f"{line}\n".encode(errors="replace"))
