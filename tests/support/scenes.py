"""The states that the dashboard can be in, each as an engine that stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from coordinator.model import (
    BASE,
    DISK,
    FIRST,
    PERSON,
    RESUME,
    EngineSnapshot,
    PrdState,
    PrdView,
    Progress,
    QueueView,
    StoryState,
    StoryView,
)
from tests.support.fake_engine import FakeEngine

#: The moment at which every scene stands still: seconds since the epoch.
NOW = 1_800_000_000.0


@dataclass
class Scene:
    engine: FakeEngine
    now: float = NOW
    monotonic: float = 0.0


def stories(done: int, total: int, *, running: bool = False, seconds: float = 280.0) -> tuple[StoryView, ...]:
    titles = ["Document store", "Tokenizer", "Inverted index", "Index writer", "Query parser", "Ranking"]
    made = []
    for number in range(1, total + 1):
        story = StoryView(f"US-{number:03}", titles[(number - 1) % len(titles)])
        if number <= done:
            story = replace(
                story,
                state=StoryState.DONE,
                attempt=1,
                max_attempts=3,
                seconds=seconds + 7 * number,
                commit=f"{number * 0x1F0C2AA:07x}",
            )
        elif running and number == done + 1:
            story = replace(story, state=StoryState.RUNNING, attempt=1, max_attempts=3, started_at=NOW - 91)
        made.append(story)
    return tuple(made)


def prd(name: str, state: PrdState, done: int = 0, total: int = 8, **more: object) -> PrdView:
    running = state in (PrdState.RUNNING, PrdState.PAUSED)
    view = PrdView(
        prd_id=name,
        state=state,
        title=f"The {name}",
        priority=float("inf"),
        progress=Progress(done, total),
        stories=stories(done, total, running=running),
        current_story=f"US-{done + 1:03}" if running else "",
        branch=f"feature/{name}",
        run_id="20270115T080000000-abcd" if done or running else "",
    )
    return replace(view, **more)  # type: ignore[arg-type]


def _snapshot(*views: PrdView, used: int = 0, holds: tuple[tuple[str, str], ...] = ()) -> EngineSnapshot:
    queued = [view for view in views if view.state in (PrdState.QUEUED, PrdState.BLOCKED)]
    places = {view.prd_id: place for place, view in enumerate(queued, 1)}
    return EngineSnapshot(
        version=1,
        prds=tuple(replace(view, position=places.get(view.prd_id, 0)) for view in views),
        queue=QueueView(
            order=tuple(places),
            holds=tuple(why for _kind, why in holds),
            hold_kinds=tuple(kind for kind, _why in holds),
            slots_used=used,
            slots=5,
        ),
        owner_pid=4711,
        repository="shop",
        branch="main",
    )


def _at_work() -> list[PrdView]:
    """What runs, and what needs a person."""
    return [
        prd("login-flow", PrdState.RUNNING, 2, started_at=NOW - 2460),
        prd("search-index", PrdState.RUNNING, 5, started_at=NOW - 4320, title="Full text search"),
        prd(
            "billing-webhooks",
            PrdState.RUNNING,
            3,
            started_at=NOW - 3480,
            marks=frozenset({"hung"}),
            reason="no progress for 15m",
        ),
        prd("export-csv", PrdState.VERIFYING, 6, 6, started_at=NOW - 720, reason="the worker exited with 0"),
        prd(
            "audit-log",
            PrdState.PAUSED,
            1,
            started_at=NOW - 600,
            paused_at=NOW - 60,
            reason="paused by you",
        ),
        prd(
            "rate-limit",
            PrdState.FAILED,
            5,
            started_at=NOW - 9000,
            ended_at=NOW - 2100,
            reason="US-006 failed 3×: gate `pytest -q` failed with exit 1: 2 failed, 14 passed",
            stories=(
                *stories(5, 5),
                StoryView("US-006", "Token bucket", StoryState.FAILED, 3, 3, note="gate `pytest -q` failed"),
                StoryView("US-007", "Headers"),
                StoryView("US-008", "Docs"),
            ),
        ),
        prd("broken-one", PrdState.INVALID, 0, 0, reason="prd.json:12: userStories is missing — add it"),
        prd("just-dropped", PrdState.ARRIVING, 0, 0, reason="still being copied"),
    ]


def _waiting() -> list[PrdView]:
    """The queue."""
    return [
        prd("item-images", PrdState.QUEUED, 0, 6, priority=1.0),
        prd(
            "item-stock",
            PrdState.QUEUED,
            0,
            9,
            priority=1.0,
            reason="after search-index",
            waiting_for=("search-index",),
        ),
        prd("order-email", PrdState.QUEUED, 0, 4, priority=2.0),
        prd("admin-audit", PrdState.QUEUED, 0, 7, priority=3.0),
        prd("reports-weekly", PrdState.QUEUED, 0, 3, priority=5.0),
        prd(
            "order-refunds",
            PrdState.BLOCKED,
            0,
            5,
            reason="waits for rate-limit, which is failed",
            waiting_for=("rate-limit",),
        ),
    ]


def _over() -> list[PrdView]:
    """What is done."""
    return [
        prd("signup-captcha", PrdState.COMPLETED, 6, 6, started_at=NOW - 20000, ended_at=NOW - 14540),
        prd(
            "profile-page",
            PrdState.COMPLETED,
            5,
            5,
            started_at=NOW - 20000,
            ended_at=NOW - 17180,
            marks=frozenset({"ungated"}),
        ),
        prd(
            "healthcheck",
            PrdState.MERGED,
            3,
            3,
            started_at=NOW - 30000,
            ended_at=NOW - 28680,
            reason="merged 06:12",
        ),
    ]


def busy() -> Scene:
    """Everything at once."""
    snapshot = _snapshot(*_at_work(), *_waiting(), *_over(), used=5)
    engine = FakeEngine(snapshot)
    engine.logs["login-flow"] = LOG.encode()
    engine.logs["search-index"] = LOG.encode()
    engine.happens("worker 4242 on feature/search-index", "search-index", PrdState.RUNNING)
    engine.happens("5 of 8 stories pass", "search-index", PrdState.RUNNING)
    engine.happens("US-006 failed 3×: gate `pytest -q` failed with exit 1", "rate-limit", PrdState.FAILED)
    return Scene(engine)


def empty() -> Scene:
    return Scene(FakeEngine(_snapshot()))


def first_run() -> Scene:
    names = ("login-flow", "search-index", "billing-webhooks", "mailer")
    views = (prd(name, PrdState.QUEUED, 0, 3 + place) for place, name in enumerate(names))
    held = (FIRST, "first start in this repository: nothing runs before you say so")
    return Scene(FakeEngine(_snapshot(*views, holds=(held,))))


def held() -> Scene:
    scene = busy()
    snapshot = scene.engine.snapshot()
    queue = replace(
        snapshot.queue, holds=("held by a person: release starts it again",), hold_kinds=(PERSON,)
    )
    return Scene(FakeEngine(replace(snapshot, queue=queue)))


def protected() -> Scene:
    """Gates that are red on the base, and a disk that is nearly full."""
    red = (
        "gate `pytest -q` failed with exit 1 on the base main: 3 failed, 41 passed in 7.31s; mend it there, "
    )
    red += "see .claude-loop/coordinator/logs/base.log"
    full = "390 MB free on /home, 2 GB needed: running PRDs pause, nothing starts; make room, or lower min_free_disk"
    paused = prd("login-flow", PrdState.PAUSED, 2, started_at=NOW - 900, paused_at=NOW - 60)
    waits = prd("search-index", PrdState.VERIFYING, 8, started_at=NOW - 900, ended_at=NOW - 60)
    views = (
        replace(paused, reason="paused: disk is low"),
        replace(waits, reason="waits: a gate lies outside its worktree"),
        *(prd(f"item-{n}", PrdState.QUEUED) for n in range(1, 4)),
    )
    holds = ((PERSON, "held by a person: release starts it again"), (BASE, red), (DISK, full))
    return Scene(FakeEngine(_snapshot(*views, used=2, holds=holds)))


def checking() -> Scene:
    snapshot = _snapshot(*(prd(f"item-{n}", PrdState.QUEUED) for n in range(1, 4)))
    queue = replace(snapshot.queue, checking="checking the gates on the base: pytest -q")
    return Scene(FakeEngine(replace(snapshot, queue=queue)))


def fault() -> Scene:
    scene = busy()
    sentence = "registry.json cannot be written (No space left on device): free space, it is tried again."
    scene.engine.becomes(replace(scene.engine.snapshot(), faults=(sentence,)))
    return scene


def left_over() -> Scene:
    """The last session ended in the middle of it."""
    views = (
        prd("login-flow", PrdState.RUNNING, 2, started_at=NOW - 100),
        prd("search-index", PrdState.QUEUED, 5, run_id="r1"),
        *(prd(f"item-{n}", PrdState.QUEUED) for n in range(1, 7)),
    )
    return Scene(FakeEngine(_snapshot(*views, used=1, holds=((RESUME, "the last session left work"),))))


def invalid() -> Scene:
    return Scene(
        FakeEngine(
            _snapshot(
                prd(
                    "broken-one",
                    PrdState.INVALID,
                    0,
                    0,
                    reason="prd.json:12: userStories is missing — add a list of stories",
                ),
                prd("no-json", PrdState.INVALID, 0, 0, reason="prd.json is missing — put it into the folder"),
            )
        )
    )


def hostile() -> Scene:
    """Text from outside at its worst."""
    bad = (
        "[/x] \x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u202c 日本語 e\u0301 👩\u200d👩\u200d👧 "
        + "long " * 400
    )
    view = replace(
        prd("hostile", PrdState.RUNNING, 1, 3, started_at=NOW - 100),
        title=bad,
        reason=bad,
        stories=tuple(StoryView(f"{bad[:9]}{number}", bad) for number in range(3)),
        current_story=f"{bad[:9]}0",
    )
    engine = FakeEngine(_snapshot(view, prd("plain", PrdState.FAILED, 0, 2, reason=bad), used=1))
    engine.logs["hostile"] = (bad + "\n").encode("utf-8", "replace") * 20 + b"\xff\xfe\x1b[31mred\x1b[0m\n"
    engine.happens(bad, "hostile", PrdState.RUNNING)
    return Scene(engine)


LOG = """=== search-index: run 20270115T080000000-abcd on feature/search-index ===
[US-006] attempt 1 of 3: Ranking
  Ranking: BM25 with field boost
  edit   search/rank.py  +48 −3
  run    pytest tests/test_rank.py -q
         14 passed in 1.22s
  Adding tie-break by recency
  edit   search/rank.py  +9 −1
  run    ruff check . && mypy search
         All checks passed!
"""

SCENES: dict[str, Callable[[], Scene]] = {
    "busy": busy,
    "empty": empty,
    "first-run": first_run,
    "held": held,
    "protected": protected,
    "fault": fault,
    "invalid": invalid,
    "hostile": hostile,
}
