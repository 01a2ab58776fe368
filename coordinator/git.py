"""The only door to git: questions with plain answers, and `run` for the modules that change things."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from coordinator.errors import GitError, PrdTuiError, git_error
from coordinator.git_process import Completed, as_person, environment, said, spawn
from coordinator.paths import Paths
from coordinator.worktree_entries import entry_of, mend_entries, pointer

#: The oldest git whose `merge-tree --write-tree` and `worktree list -z` this program relies on.
OLDEST = (2, 38)

#: Seconds; waits for a worktree half made by another git double up to this, 1.3 s in all.
_LONGEST_PAUSE = 0.64
#: Pauses in which whoever adds a worktree just then is through.
_FIRST_PAUSES = 0.05


class Git:
    """Runs git for one repository. `paths` may be None only while the repository is still looked for."""

    def __init__(self, paths: Paths | None = None) -> None:
        self._paths = paths
        self._identity: dict[str, str] | None = None
        self._local_env_vars: frozenset[str] | None = None
        self._ignores_case: bool | None = None

    @property
    def paths(self) -> Paths:
        assert self._paths is not None, "this Git was made before the repository was known"  # noqa: S101
        return self._paths

    def run(
        self,
        *args: str,
        cwd: Path | None = None,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float | None = None,
        keep_open: Sequence[int] = (),
    ) -> Completed:
        """Runs `git *args` at the top of a worktree (`cwd`, default the main checkout).

        `env` is added to the built environment. `keep_open` are descriptors git inherits: a lock held through
        one of them outlives this process as long as that git does. `timeout` is in seconds. Raises GitError
        where git fails (unless `check` is off), is missing, or does not end in time.
        """
        where = cwd or self.paths.root
        # git must not climb out of a worktree whose .git is gone: further up lies the user's own checkout.
        variables = environment() | {"GIT_CEILING_DIRECTORIES": str(where.parent)} | dict(env or {})
        done = spawn(args, where, given=input, variables=variables, timeout=timeout, keep_open=keep_open)
        if check and done.returncode != 0:
            raise git_error(
                f"git {args[0]} failed in {where}: {said(done.stderr)}", done.stderr, done.returncode
            )
        return done

    # -- questions ------------------------------------------------------------------------------------
    def is_tracked(self, path: Path) -> bool:
        """Whether the main checkout's index holds `path` (absolute, or relative to the root)."""
        relative = os.path.relpath(self.paths.root / path, self.paths.root)
        return self.run("ls-files", "-z", "--", f":(top,literal){relative}").stdout != b""

    def current_branch(self, cwd: Path | None = None) -> str | None:
        """The branch checked out in the main checkout (or at `cwd`); None where HEAD is detached."""
        ref = self.run("symbolic-ref", "-q", "HEAD", cwd=cwd, check=False).text
        return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None

    def head_commit(self, ref: str = "HEAD", cwd: Path | None = None) -> str | None:
        """The full id of the commit `ref` names; None if it names none."""
        done = self.run(
            "rev-parse", "--verify", "-q", "--end-of-options", f"{ref}^{{commit}}", cwd=cwd, check=False
        )
        return done.text if done.returncode == 0 else None

    def branch_commit(self, branch: str) -> str | None:
        """The tip of a local branch; None if there is no such branch."""
        return self.head_commit(f"refs/heads/{branch}")

    def tree_of(self, commit: str) -> str:
        return self.run("rev-parse", "--verify", "-q", "--end-of-options", f"{commit}^{{tree}}").text

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` contains `ancestor` (a commit contains itself)."""
        done = self.run("merge-base", "--is-ancestor", ancestor, descendant, check=False)
        if done.returncode not in {0, 1}:
            raise GitError(f"git cannot compare {ancestor} and {descendant}: {said(done.stderr)}")
        return done.returncode == 0

    def rev_count(self, base: str, tip: str) -> int:
        """Commits on `tip` that are not on `base`."""
        return int(self.run("rev-list", "--count", f"{base}..{tip}", "--").text)

    def changed_paths(self, old: str, new: str) -> list[str]:
        """Paths that differ between two commits; bytes that are no UTF-8 come as surrogate escapes."""
        return self.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).fields()

    def refs(self, *patterns: str) -> dict[str, str]:
        """Full ref name → object id for all refs under the patterns, asked in one call."""
        lines = self.run("for-each-ref", "--format=%(refname) %(objectname)", "--", *patterns).text
        pairs = (line.rpartition(" ") for line in lines.split("\n") if line)
        return {name: oid for name, _, oid in pairs}

    def worktree_list(self) -> bytes:
        """`worktree list --porcelain -z`, tried again where it meets a worktree that comes or goes just then.

        What a `git worktree add` left that was killed is made whole meanwhile, should that be what git dies of.
        """
        pause = 0.01
        while True:
            done = self.run("worktree", "list", "--porcelain", "-z", check=pause > _LONGEST_PAUSE)
            if done.returncode == 0:
                return done.stdout
            time.sleep(pause)
            pause *= 2
            if pause > _FIRST_PAUSES:
                mend_entries(self.paths.common)

    def local_env_vars(self) -> frozenset[str]:
        """Environment variables that point git to one repository; a worker must not inherit them."""
        if self._local_env_vars is None:
            self._local_env_vars = frozenset(self.run("rev-parse", "--local-env-vars").text.split())
        return self._local_env_vars

    def ignores_case(self) -> bool:
        """Whether the file system takes two names for one that differ only by case; asked once."""
        if self._ignores_case is None:
            said = self.run("config", "--type=bool", "--get", "core.ignorecase", check=False).text
            self._ignores_case = said == "true"
        return self._ignores_case

    def own_directory(self, worktree: Path) -> Path:
        """The git directory of `worktree`, once it is proved to be a linked worktree of this repository.

        A worker may delete its `.git`, or make a repository of its own there; either raises GitError. Read
        from the files that link the two, as git's repository layout documents them: it is asked before every
        other question, and a process each time would cost more than all the answers.
        """
        link = worktree / ".git"
        try:
            own = entry_of(worktree)
            back = own / pointer(own / "gitdir")
            common = (own / pointer(own / "commondir")).resolve()
            proved = (
                common == self.paths.common and back.resolve() == link.resolve() and (own / "HEAD").is_file()
            )
        except (OSError, RuntimeError):  # a link that leads to itself is the latter
            proved = False
        if not proved:
            raise GitError(
                f"{worktree} is no longer a worktree of this repository; `git worktree repair` may mend it, "
                "else retry with --fresh"
            )
        return own.resolve()

    # -- for those who write --------------------------------------------------------------------------
    def identity(self) -> dict[str, str]:
        """What a commit of ours needs in its environment: nothing where the user has name and address."""
        if self._identity is None:
            keys = ("user.name", "user.email")
            has = all(self.run("config", "--get", key, check=False).text.strip() for key in keys)
            ours = {"NAME": "prd-tui", "EMAIL": "prd-tui@localhost"}
            roles = ("AUTHOR", "COMMITTER")
            fallback = {f"GIT_{role}_{part}": value for role in roles for part, value in ours.items()}
            self._identity = {} if has else fallback
        return self._identity

    def commit_command(self, worktree: Path, message: str, *, sign: bool) -> tuple[list[str], dict[str, str]]:
        """How the person's own git commits what is staged in `worktree`: command line and environment.

        Their hooks run, and their signing applies unless `sign` is off. Where they have no identity, ours.
        """
        words = ("commit", "--quiet", "--cleanup=whitespace", f"--message={message}")
        argv, env = as_person(words if sign else (*words, "--no-gpg-sign"))
        return argv, self.identity() | {"GIT_CEILING_DIRECTORIES": str(worktree.parent)} | env

    def signing_fails(self, worktree: Path) -> bool:
        """Whether the person signs commits, and cannot just now: no agent, no key, nobody to ask."""
        asked = self.run(
            "config", "--type=bool", "--get-all", "commit.gpgSign", cwd=worktree, check=False
        ).text
        if asked.split("\n")[:-1][-1:] != ["true"]:  # the last value is the one that every git of ours gets
            return False
        probe = ("commit-tree", "-S", "HEAD^{tree}", "-m", "can this be signed?")
        try:
            return (
                self.run(*probe, cwd=worktree, env=self.identity(), check=False, timeout=60).returncode != 0
            )
        except GitError:
            return True

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for temporary indexes, beside the objects; removed at the end."""
        home = self.paths.home / "tmp"
        home.mkdir(parents=True, exist_ok=True)
        # Not a TemporaryDirectory: at the end of the process it would be removed under a thread that uses it.
        place = Path(tempfile.mkdtemp(dir=home, prefix=f"{os.getpid()}-"))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def sweep_scratch(self) -> None:
        """Removes what `scratch` left behind in processes that died."""
        for place in self.left_over_scratch():
            shutil.rmtree(place, ignore_errors=True)

    def left_over_scratch(self) -> list[Path]:
        """Of processes that died, by the pid that each begins with."""
        found = ((place, place.name.partition("-")[0]) for place in (self.paths.home / "tmp").glob("*-*"))
        return [place for place, pid in found if pid.isdigit() and not Path("/proc", pid).exists()]

    @contextmanager
    def locked(self, timeout: float = 120.0) -> Iterator[tuple[int, ...]]:
        """Holds git.lock, under which worktrees come and go; yields what to pass as `keep_open`.

        A git that outlives this process keeps the lock till it ends. Raises GitError after `timeout` seconds.
        """
        with held(self.paths.locks / "git.lock", timeout) as descriptors:
            yield descriptors

    def ensure_excluded(self, pattern: str = "/.claude-loop/") -> None:
        """Lists `pattern` in info/exclude, which all worktrees share, unless it is there already."""
        from coordinator.files import append_line

        exclude = self.paths.common / "info" / "exclude"
        exclude.parent.mkdir(parents=True, exist_ok=True)
        with self.locked():
            present = exclude.read_bytes() if exclude.exists() else b""
            line = os.fsencode(pattern)
            if line in present.splitlines():
                return
            # Appended in one write: whatever else is in the file stays as it is.
            append_line(exclude, line, durable=True)


@contextmanager
def held(path: Path, timeout: float) -> Iterator[tuple[int, ...]]:
    """Holds the lock file `path`; yields its descriptor for a git that must keep the lock if we die."""
    from coordinator.locks import FileLock

    lock = FileLock(path)
    if not lock.acquire(timeout):
        raise GitError(
            f"{path} was not free within {timeout:g} s: see which git is still running, then retry"
        )
    try:
        yield (lock.fileno(),)
    finally:
        lock.release()


def version() -> tuple[int, int]:
    """The installed git's version. Raises PrdTuiError where git is missing."""
    said = spawn(("version",), Path("/"), timeout=10.0).text
    match = re.search(r"(\d+)\.(\d+)", said)
    if match is None:
        raise PrdTuiError(f"git does not tell its version ({said!r}): check which git comes first on PATH")
    return int(match[1]), int(match[2])


def discover(start: Path) -> Paths:
    """The repository that contains `start`: a subdirectory of its main checkout or of any of its worktrees.

    Raises PrdTuiError where there is none, or none that can be worked on.
    """
    if not start.is_dir():
        raise PrdTuiError(f"{start} is not a directory: name one inside a git repository")
    found = version()
    if found < OLDEST:
        raise PrdTuiError(
            f"git {found[0]}.{found[1]} is too old: prd-tui needs git {OLDEST[0]}.{OLDEST[1]} or newer"
        )
    common = _common_dir(start.resolve())
    git = Git()
    bare = _ask(git, common, "rev-parse", "--is-bare-repository")
    if bare == "true":
        raise PrdTuiError(f"{common} is a bare repository: start prd-tui in a clone that has a checkout")
    root = _main_checkout(git, start.resolve(), common)
    here = git.run("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=root, check=False)
    if here.returncode != 0 or Path(here.text).resolve() != common:
        raise PrdTuiError(
            f"the main checkout of {common} is not at {root}: mend core.worktree in its config, or start "
            "prd-tui in the main checkout itself"
        )
    paths = Paths(root=root, common=common)
    if Git(paths).head_commit() is None:
        raise PrdTuiError(f"{root} has no commit yet: make a first commit, then start prd-tui again")
    return paths


def _common_dir(start: Path) -> Path:
    done = spawn(("rev-parse", "--path-format=absolute", "--git-common-dir"), start, timeout=60.0)
    if done.returncode == 0:
        return Path(done.text).resolve()
    if "dubious ownership" in done.stderr:
        raise PrdTuiError(
            f"git does not trust {start} because another user owns it: run `git config --global --add "
            f"safe.directory DIR` with the repository's directory"
        )
    if "not a git repository" in done.stderr:
        raise PrdTuiError(f"{start} is not in a git repository: start prd-tui inside one, or name it with -C")
    raise PrdTuiError(f"git cannot read the repository at {start}: {said(done.stderr)}")


def _main_checkout(git: Git, start: Path, common: Path) -> Path:
    """The checkout that `common` belongs to, also when asked from a linked worktree."""
    elsewhere = _ask(git, common, "config", "--get", "core.worktree")
    if elsewhere:  # a submodule's repository says so, for one
        return (common / elsewhere).resolve()
    if common.name == ".git":
        return common.parent
    own, _, top = _ask(
        git, None, "rev-parse", "--path-format=absolute", "--git-dir", "--show-toplevel", cwd=start
    ).partition("\n")
    if top and Path(own).resolve() == common:
        return Path(top).resolve()
    raise PrdTuiError(
        f"the main checkout of {common} cannot be told from here: start prd-tui in the main checkout itself"
    )


def _ask(git: Git, git_dir: Path | None, *args: str, cwd: Path | None = None) -> str:
    prefix = () if git_dir is None else (f"--git-dir={git_dir}",)
    env = {} if cwd is None else {"GIT_CEILING_DIRECTORIES": ""}
    return git.run(*prefix, *args, cwd=cwd or git_dir, env=env, check=False).text
