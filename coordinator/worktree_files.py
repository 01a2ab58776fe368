"""Bringing files into a worktree that git does not bring: the PRD's folder, and what the settings name."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from coordinator.errors import PrdTuiError
from coordinator.git import Git

#: Far above any real PRD folder; a copy beyond it is a mistake and would fill the disk once per run.
MOST_BYTES = 256 * 1024 * 1024
MOST_ENTRIES = 20_000


def copy_prd(folder: Path, worktree: Path, prd_id: str, *, overwrite: bool = False) -> list[str]:
    """Copies the person's PRD folder to `<worktree>/prds/active/<ID>/`.

    Files already there stay unless `overwrite`. Links are kept only where they point inside the folder;
    sockets, pipes, devices and repositories are not copied. Returns a warning for each thing left out.
    Raises PrdTuiError where the folder is too large.
    """
    found = list(islice(_walk(folder), MOST_ENTRIES + 1))
    size = sum(status.st_size for _, status in found if stat.S_ISREG(status.st_mode))
    if len(found) > MOST_ENTRIES or size > MOST_BYTES:
        raise PrdTuiError(
            f"{folder} is too large to copy into a worktree (over {MOST_BYTES // 2**20} MiB or "
            f"{MOST_ENTRIES} files): keep large files elsewhere in the repository"
        )
    target = worktree / "prds" / "active" / prd_id
    make_real_folders(worktree, target)
    return _copy_tree(folder, found, target, overwrite=overwrite)


def copy_files(git: Git, patterns: Iterable[str], worktree: Path) -> list[str]:
    """Copies files and folders of the main checkout that git ignores, as `[worktree] copy` names them.

    What is there already stays. Nothing is read or written outside checkout and worktree. Returns a warning
    for each pattern or path that could not be served.
    """
    root = git.paths.root
    warnings = []
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        if not parts or parts[0] == "/" or ".." in parts:
            warnings.append(f"copy {pattern!r} was skipped: name paths inside the repository")
            continue
        try:
            found = sorted(root.glob(pattern))
        except ValueError as error:
            warnings.append(f"copy {pattern!r} was skipped: {error}")
            continue
        matches = [path for path in found if not _is_internal(path.relative_to(root))]
        if not matches:
            warnings.append(f"copy {pattern!r} matches no file in the repository")
        ignored = _ignored(git, matches)
        for path in matches:
            relative = path.relative_to(root)
            if path not in ignored:
                warnings.append(f"{relative} was not copied: git does not ignore it, so commit it instead")
            else:
                warnings += _copy_ignored(path, root, worktree)
    return warnings


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below `folder`, parents first, no link followed, repositories' own folders left out."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name == ".git":
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # an editor's temporary file
                yield Path(entry.path), status
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(Path(entry.path))


def _copy_tree(
    folder: Path, found: Iterable[tuple[Path, os.stat_result]], target: Path, *, overwrite: bool
) -> list[str]:
    warnings = []
    for source, status in found:
        relative = source.relative_to(folder)
        place = target / relative
        if stat.S_ISLNK(status.st_mode):
            if _points_inside(source, folder):
                _copy_link(source, place, overwrite=overwrite)
            else:
                warnings.append(
                    f"{relative} in {folder.name} was not copied: the link leads out of the folder"
                )
        elif stat.S_ISDIR(status.st_mode):
            make_real_folders(target, place)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(source, place, status.st_mode, overwrite=overwrite)
        else:
            warnings.append(f"{relative} in {folder.name} was not copied: it is neither a file nor a folder")
    return warnings


def make_real_folders(worktree: Path, folder: Path) -> None:
    """Makes `folder`; a link or file on the way, which might lead out of the worktree, gives way to one."""
    place = worktree
    for part in folder.relative_to(worktree).parts:
        place /= part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)


def _points_inside(link: Path, folder: Path) -> bool:
    """Whether a link, copied along with `folder`, would lead to the copy of what it leads to here."""
    if link.readlink().is_absolute():
        return False
    target = Path(os.path.normpath(link.parent / link.readlink()))
    real = Path(os.path.realpath(link))
    return target.is_relative_to(folder) and real.is_relative_to(os.path.realpath(folder))


def _copy_link(source: Path, place: Path, *, overwrite: bool) -> None:
    if os.path.lexists(place):
        if not overwrite or (place.is_dir() and not place.is_symlink()):
            return
        place.unlink()
    place.symlink_to(source.readlink())


def _copy_file(source: Path, place: Path, mode: int, *, overwrite: bool) -> None:
    if os.path.lexists(place):
        if not overwrite or (place.is_dir() and not place.is_symlink()):
            return
        place.unlink()  # written anew, never through a link or into a hard link
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(reading, "rb") as data, place.open("xb") as copy:
        shutil.copyfileobj(data, copy, 1024 * 1024)
    place.chmod(stat.S_IMODE(mode) & 0o777 | stat.S_IWUSR)


def _is_internal(relative: Path) -> bool:
    return not relative.parts or relative.parts[0] in {".git", ".claude-loop", "prds"}


def _ignored(git: Git, paths: list[Path]) -> set[Path]:
    """Those that git ignores; tracked ones are not, whatever the patterns say."""
    root = git.paths.root
    names = b"".join(os.fsencode(path.relative_to(root)) + b"\0" for path in paths)
    done = git.run("check-ignore", "-z", "--stdin", input=names, check=False)
    return {root / name for name in done.fields()}


def _copy_ignored(path: Path, root: Path, worktree: Path) -> list[str]:
    """Copies one match: what a link leads to if that is in the repository, a folder with all below it."""
    relative = path.relative_to(root)
    real, place = Path(os.path.realpath(path)), worktree / relative
    if not real.is_relative_to(root) or not real.exists():
        return [f"{relative} was not copied: the link leads out of the repository, or nowhere"]
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(worktree)):
        return [f"{relative} was not copied: a link in the worktree leads out of it"]
    if real.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(real, place, real.stat().st_mode, overwrite=False)
        return []
    if not real.is_dir():
        return [f"{relative} was not copied: it is neither a file nor a folder"]
    place.mkdir(parents=True, exist_ok=True)
    return _copy_tree(real, _walk(real), place, overwrite=False)
