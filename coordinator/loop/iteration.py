"""One attempt at one story: call the agent, look at what it left, run the gates, commit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coordinator.agents.presets import Agent, find_agent
from coordinator.config import Settings
from coordinator.errors import GitError
from coordinator.lifecycle import exit_sentence
from coordinator.loop.briefing import Briefing
from coordinator.loop.calls import HEAD, TAIL, Caller, NoProgram, Outcome
from coordinator.loop.own_prd import OwnPrd
from coordinator.loop.stories import Failure
from coordinator.loop.workplace import Misplaced, Workplace, commit_message
from coordinator.model import Story
from coordinator.redaction import Redactor
from coordinator.shell_jobs import ShellResult
from coordinator.texts import last_line, one_line
from coordinator.worker_command import agent_program
from coordinator.worker_env import NoWorker


class Refused(Exception):
    """The attempt did not hold; the message is why. `gate`: the command that failed, if one did."""

    def __init__(self, reason: str, gate: str = "", gate_output: str = "") -> None:
        super().__init__(reason)
        self.gate, self.gate_output = gate, gate_output


#: Signals that ask for the end, and the seconds in which one that goes to a whole run reaches all of it.
_ASKING, _TOGETHER = frozenset({signal.SIGINT, signal.SIGTERM}), 2.0


class Cut(Exception):
    """A signal asked for the end: what the attempt did says nothing about it."""


@dataclass(frozen=True)
class Bench:
    """What all attempts of one worker share. `say`: one line into the log; `ending`: a signal came."""

    brief: Briefing
    agent: str
    root: Path
    place: Workplace
    caller: Caller
    redactor: Redactor
    say: Callable[[str], None]
    ending: Callable[[], bool]

    @property
    def settings(self) -> Settings:
        return self.brief.settings

    @property
    def own(self) -> OwnPrd:
        return self.brief.own


class Attempt:
    """`run` once; `claim`, `output` and `seconds` then hold what was seen, however it ended."""

    def __init__(self, bench: Bench, story: Story, number: int, base: str, failure: Failure | None) -> None:
        self._bench, self._story, self._number = bench, story, number
        self._base, self._failure = base, failure
        self.claim = False  # the agent had marked the story as passing
        self.output = ""  # the end of what it said
        self.seconds = 0.0  # spent in calls

    def run(self) -> str:
        """Returns the commit that holds the story, empty if there was nothing to commit.

        Raises Refused, Cut, and NoProgram where the agent cannot be started.
        """
        outcome = self._call_agent()
        if self._cut_short(outcome):
            raise Cut
        self._judge(outcome)
        try:
            self._bench.place.check(self._base)
            if not self._story.verify and not self._bench.place.changed_since(self._base):
                raise Refused(
                    "the agent marked the story as passing, but changed nothing"
                    if self.claim
                    else "the agent changed nothing"
                )
            for command in self._bench.brief.gates(self._story):
                self._gate(command)
            self._bench.place.check(self._base)
            return self._commit()
        except (Misplaced, GitError) as error:
            raise Refused(str(error)) from None

    # -- the agent ------------------------------------------------------------------------------------

    def _call_agent(self) -> Outcome:
        bench, story = self._bench, self._story
        agent = find_agent(bench.agent, bench.settings.agents)
        text = bench.brief.ask(story, self._number, self._failure).encode(errors="replace")
        env = self._environment() | dict(agent.env or {})
        argv = agent.command_line(text.decode(), self._prompt_file(agent, text))
        argv[0] = self.program()
        try:
            outcome = bench.caller.run(
                argv,
                env,
                limit=bench.settings.worker.attempt_minutes * 60,
                given=text if agent.prompt == "stdin" else None,
            )
            self.seconds += outcome.seconds
            self.output = bench.redactor.text(outcome.output)
        finally:
            self.claim, undone = bench.own.put_back(story.id)
        for what in undone:
            bench.say(f"[{story.id}] {bench.redactor.text(what)} (put back)")
        return outcome

    def program(self) -> str:
        """The path of the agent's program. Raises NoProgram; to be asked before the attempt counts."""
        bench = self._bench
        path = os.environ.get("PATH")
        try:
            return agent_program(bench.settings, bench.agent, bench.own.worktree, bench.root, path)
        except NoWorker as error:
            raise NoProgram(str(error)) from None

    def _prompt_file(self, agent: Agent, text: bytes) -> Path:
        path = self._bench.own.worktree / ".claude-loop" / "prompt.md"
        if agent.prompt == "file":
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(text)
        return path

    def _environment(self) -> dict[str, str]:
        return dict(os.environ) | {"PRD_STORY": self._story.id, "PRD_ATTEMPT": str(self._number)}

    def _judge(self, outcome: Outcome) -> None:
        if outcome.exit.timed_out:
            minutes = self._bench.settings.worker.attempt_minutes
            raise Refused(f"the agent was not done within {minutes:g} minutes and was ended")
        if not outcome.ok:
            said = last_line(self.output)
            raise Refused(exit_sentence(outcome.exit, "the agent") + (f": {said}" if said else ""))

    # -- gates and commit -----------------------------------------------------------------------------

    def _gate(self, command: str) -> None:
        bench = self._bench
        if bench.ending():
            raise Cut
        bench.say(f"[{self._story.id}] gate: {one_line(command)}")
        outcome = self._checked_call(["/bin/sh", "-c", command], self._environment())
        result = ShellResult(one_line(command), outcome.exit, bench.redactor.text(outcome.output))
        if not result.ok:
            said = last_line(result.output)
            raise Refused(result.sentence() + (f": {said}" if said else ""), command, result.output)

    def _commit(self) -> str:
        bench, place = self._bench, self._bench.place
        if place.stage():
            message = commit_message(bench.brief.prd_id, bench.own.prd, self._story)
            outcome = self._commit_call(message, sign=True)
            if not outcome.ok and place.git.signing_fails(bench.own.worktree):
                bench.say(f"[{self._story.id}] the commit cannot be signed: it is made without a signature")
                outcome = self._commit_call(message, sign=False)
            if not outcome.ok:
                output = bench.redactor.text(outcome.output)
                said = last_line(output) or exit_sentence(outcome.exit, "git commit")
                raise Refused(f"the commit was refused: {said}", "git commit", output)
        head = place.head()
        return head if head != self._base else ""

    def _commit_call(self, message: str, *, sign: bool) -> Outcome:
        return self._checked_call(
            *self._bench.place.git.commit_command(self._bench.own.worktree, message, sign=sign)
        )

    def _checked_call(self, argv: list[str], env: Mapping[str, str]) -> Outcome:
        """A call that is ours to make; one that failed while a signal asks for the end says nothing."""
        limit = self._bench.settings.coordinator.gate_minutes * 60
        outcome = self._bench.caller.run(argv, env, limit=limit, keep=(HEAD, TAIL))
        self.seconds += outcome.seconds
        if not outcome.ok and self._cut_short(outcome):
            raise Cut
        return outcome

    def _cut_short(self, outcome: Outcome) -> bool:
        """Whether a signal asks for the end. A call that one has ended may have got it a moment before us."""
        if not outcome.exit.timed_out and outcome.exit.code - 128 in _ASKING:
            deadline = time.monotonic() + _TOGETHER
            while not self._bench.ending() and time.monotonic() < deadline:
                time.sleep(0.01)
        return self._bench.ending()
