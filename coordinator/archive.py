"""`archives/<ID>-<run-id>.tar.gz`: what is worth keeping of a run besides its commits."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from coordinator.model import Run
from coordinator.runs import tail

#: Bytes of the worker's log that go into the archive.
LOG_KEPT = 1024 * 1024


def archive_of(archives: Path, run: Run) -> Path:
    return archives / f"{run.prd_id}-{run.run_id}.tar.gz"


def write_archive(archives: Path, run: Run, folder: Path, now: float) -> None:
    """Keeps the worker's state, prd.json and progress.txt of `folder`, and the end of the log.

    Can be repeated. `now`: seconds since the epoch. Raises OSError.
    """
    archives.mkdir(parents=True, exist_ok=True)
    target = archive_of(archives, run)
    partial = target.with_name(f".{target.name}.tmp")
    with tarfile.open(partial, "w:gz") as archive:
        state = Path(run.worktree) / ".claude-loop"
        if state.is_dir():
            archive.add(state, "claude-loop", filter=_plain_files)
        for name in ("prd.json", "progress.txt"):
            if (folder / name).is_file():
                archive.add(folder / name, name, filter=_plain_files)
        log = tail(Path(run.log), LOG_KEPT)
        entry = tarfile.TarInfo("worker.log")
        entry.size, entry.mtime = len(log), int(now)
        archive.addfile(entry, io.BytesIO(log))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _plain_files(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files, folders and links of both kinds: a pipe or a device would block the archive."""
    return entry if entry.isreg() or entry.isdir() or entry.issym() or entry.islnk() else None
