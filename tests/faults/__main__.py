"""`python -m tests.faults --seeds N`: as many random deaths of the coordinator as one likes."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.faults.random_kills import Outcome, play_seed

MODES = {"headless": (False,), "dashboard": (True,), "both": (False, True)}


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds")
    parser.add_argument("--first", type=int, default=1, metavar="K", help="the first of them")
    parser.add_argument("--mode", choices=MODES, default="both", help="how the coordinator runs")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="seeds at a time")
    asked = parser.parse_args(words)
    seeds = range(asked.first, asked.first + asked.seeds)
    plays = [(seed, screen) for screen in MODES[asked.mode] for seed in seeds]
    violations, deaths, seconds = [], 0, 0.0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for outcome in pool.map(lambda play: play_seed(play[0], screen=play[1]), plays):
            _tell(outcome)
            deaths += len(outcome.died)
            seconds = max(seconds, outcome.seconds)
            if outcome.problem:
                violations.append(outcome)
    kept = "".join(f"\n  kept: {outcome.repo}" for outcome in violations)
    say(f"{len(plays)} seeds, {deaths} deaths, {len(violations)} violations, longest {seconds:.1f} s{kept}")
    return 1 if violations else 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _tell(outcome: Outcome) -> None:
    mode = "dashboard" if outcome.plan.screen else "headless"
    word = "VIOLATION" if outcome.problem else "ok"
    line = f"{mode} seed {outcome.plan.seed}: {word} in {outcome.seconds:.1f} s ({outcome.plan})"
    say(line)
    if outcome.problem:
        say(outcome.problem)


if __name__ == "__main__":
    sys.exit(main())
