"""Runs one git: an argument list, a built environment, a session of its own.

Nothing of the caller's environment reaches git but what the list below names: a leaked `GIT_DIR` cannot send
a command into another repository and no API key reaches a hook, a filter or a credential helper.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import GitError, PrdTuiError
from coordinator.redaction import looks_secret

#: Names the user's own config, home and way out of the machine (a partial clone fetches while it checks out).
_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    | {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}
)

#: Switches off what would leave a program running, ask a question or say something else than is expected.
_QUIET = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.safecrlf=false",
    "core.quotePath=false",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
)
#: Switches off what would run a program of the repository's or the person's choosing.
_ALONE = ("core.hooksPath=/dev/null", "commit.gpgSign=false")

#: What a person's own git may be told by its environment; the rest of GIT_* points to some other place.
_PERSONAL = frozenset(
    {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "GIT_EDITOR"}
    | {f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
)


def _flags(*settings: str) -> tuple[str, ...]:
    return tuple(part for setting in settings for part in ("-c", setting))


_FLAGS = _flags(*_ALONE, *_QUIET)


@dataclass(frozen=True)
class Completed:
    returncode: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """The output as file names are written in Python, without the last line end."""
        return os.fsdecode(self.stdout).removesuffix("\n")

    def fields(self) -> list[str]:
        """The NUL-separated fields of a `-z` output."""
        return [os.fsdecode(part) for part in self.stdout.split(b"\0") if part]


def environment(inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment every git of ours runs with, built from `inherited` (default: this process's own)."""
    source = os.environ if inherited is None else inherited
    kept = {name: value for name, value in source.items() if name in _KEPT}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}


def as_person(
    args: Sequence[str], inherited: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a git as the person would run it: hooks run, their signing applies.

    Hooks get the whole environment (`inherited`, default: this process's own) but what looks like a secret.
    """
    source = os.environ if inherited is None else inherited
    kept = {
        name: value
        for name, value in source.items()
        if (name in _PERSONAL or not name.startswith("GIT_")) and not looks_secret(name)
    }
    return ["git", *_flags(*_QUIET), *args], kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat"}


def spawn(
    args: Sequence[str],
    cwd: Path,
    *,
    given: bytes | None = None,
    variables: Mapping[str, str] | None = None,
    timeout: float | None = None,
    keep_open: Sequence[int] = (),
) -> Completed:
    source = subprocess.DEVNULL if given is None else subprocess.PIPE
    try:
        # A session of its own: a Ctrl-C in the terminal must not end git half-way.
        child = subprocess.Popen(
            ["git", *_FLAGS, *args],
            cwd=cwd,
            env=environment() if variables is None else dict(variables),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    except FileNotFoundError:
        if not cwd.is_dir():
            raise GitError(f"the directory {cwd} is gone: git cannot run there") from None
        raise PrdTuiError("git is not installed or not on PATH: install git 2.38 or newer") from None
    except OSError as error:
        raise GitError(f"git cannot be started in {cwd}: {error.strerror}; check its permissions") from error
    with child:
        try:
            out, err = child.communicate(given, timeout)
        except BaseException as error:
            _end(child)
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitError(
                    f"git {args[0]} did not end within {timeout:g} s in {cwd}: see what holds it up and retry"
                ) from None
            raise
    return Completed(child.returncode, out, err.decode(errors="replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends git and the helpers it started: they are a group of their own, its id safe until git is reaped."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def said(stderr: str) -> str:
    """The line of git's complaint that matters, for a sentence of ours."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    for word in ("fatal:", "error:"):
        for line in lines:
            if line.startswith(word):
                return line
    return lines[-1] if lines else "it gave no reason"
