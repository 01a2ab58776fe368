"""A storm of writers that are killed: run by a process of its own, which forks them, so that hundreds cost seconds."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from coordinator import registry_file
from coordinator.clock import SystemClock
from coordinator.paths import Paths
from coordinator.registry import Registry


def storm(root: Path, kills: int, seed: int) -> None:
    """Asserts after each kill that both files are whole, that nothing reported is lost, that the revision grew."""
    paths = Paths(root, root / ".git")
    dice = random.Random(seed)
    before = 2  # from then on there is a backup too
    for _ in range(before):
        Registry(paths, SystemClock()).update(lambda document: None)
    for kill in range(kills):
        heard, tell = os.pipe()
        writer = os.fork()
        if writer == 0:
            _write(paths, f"K{kill}", tell)
        os.close(tell)
        said = os.read(heard, 1 << 16)
        assert said, "the writer's first update"
        time.sleep(dice.random() * 0.01)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        while more := os.read(heard, 1 << 16):
            said += more
        os.close(heard)
        document = registry_file.parse(paths.registry.read_bytes())
        registry_file.parse(paths.registry.with_name("registry.json.bak").read_bytes())
        reported = {f"K{kill}-{line}" for line in said.decode().splitlines()}
        written = {key for key in document["active_prds"] if key.startswith(f"K{kill}-")}
        assert written >= reported, f"lost: {reported - written}"
        assert len(written) <= len(reported) + 1
        assert document["revision"] > before
        before = document["revision"]
        if kill % 10 == 9:  # keep the file small: the storm is about moments, not about size
            Registry(paths, SystemClock()).update(lambda document: document["active_prds"].clear())
            before += 1


def _write(paths: Paths, name: str, tell: int) -> None:
    """Until it is killed: an entry, then the word that it is written."""
    registry = Registry(paths, SystemClock(), rebuild=_never)
    number = 0
    while True:
        number += 1
        registry.register({"prd_id": f"{name}-{number}", "status": "running"}, "active")
        os.write(tell, f"{number}\n".encode())


def _never() -> dict[str, object]:
    os._exit(1)  # nothing may be so damaged that it has to be rebuilt


if __name__ == "__main__":
    storm(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
