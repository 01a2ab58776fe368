"""The small process that starts one job, outlives the coordinator and records how the job ended.

executor.py starts it as `python -I -S -X utf8 keeper.py JOB_DIR`, the request on stdin as a line of JSON. It
imports nothing of the package and little else, as one of it lives beside every worker. Its stdout is closed
once the start, or why there was none, is on record. In JOB_DIR it keeps:

    live.lock   locked by this process and by the job, which inherits the descriptor; says who we are
    start.json  written before the job's program is executed
    exit.json   written when the job's main process has ended
    swept.json  written when no process of the job is left
"""

# ruff: noqa: PTH110, PTH116, PTH118, PTH123, PTH208, SIM105
# because pathlib and contextlib would cost each keeper a megabyte.
from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # what typing calls so, without loading typing
if TYPE_CHECKING:
    from typing import Any, NoReturn

GRACE = 5.0  # seconds between TERM and KILL for what the main process left behind
STORM = 500  # processes; a tree that grows beyond this gets no grace: it soon takes all of the machine
UNKILLABLE = 30.0  # seconds after KILL until a process that still lives is named instead of waited for
REFUSED, UNRECORDED, BAD_REQUEST = 75, 74, 65  # exit codes of the keeper itself, as in sysexits.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LOCK_DESCRIPTOR = 20  # at least: shell scripts like to use 3 to 9 for themselves
IGNORED = ("INT", "HUP", "TERM", "QUIT", "PIPE", "ALRM", "USR1", "USR2", "TSTP", "TTIN", "TTOU")


def main(job_dir: str) -> int:
    request = read_request()
    if request is None:
        return BAD_REQUEST
    for name in IGNORED:
        signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN)
    # By descriptor: the records follow a repository that is moved while the job runs.
    folder = os.open(job_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    job_dir = f"/proc/self/fd/{folder}/."
    lock = take_lock(job_dir)
    if lock is None:
        return REFUSED
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Keeper(job_dir, request, lock).run()


def read_request() -> dict[str, Any] | None:
    """The request, or None if the coordinator died before it had said all of it."""
    data = b""
    while chunk := os.read(0, 1 << 16):
        data += chunk
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return json.loads(data) if data.endswith(b"\n") else None


def take_lock(job_dir: str) -> int | None:
    """The locked descriptor, or None if another keeper has or had this job."""
    path = f"{job_dir}/live.lock"
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    lock = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, LOCK_DESCRIPTOR)
    os.close(opened)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        replaced = not os.path.samestat(os.fstat(lock), os.stat(path))
    except OSError:
        return None
    if replaced or any(os.path.lexists(f"{job_dir}/{name}.json") for name in ("start", "exit")):
        return None
    note = json.dumps(here(job_dir) | {"keeper": identity(os.getpid())})
    os.pwrite(lock, note.encode().ljust(200), 0)
    return lock


class Keeper:
    def __init__(self, job_dir: str, request: dict[str, Any], lock: int) -> None:
        self.job_dir, self.request, self.lock = job_dir, request, lock
        self.worker = 0  # pid of the job's main process
        self.reports = -1  # the pipe on which a failed exec is reported, -1 once it was read
        self.failure = ""  # why the program was not executed
        self.ended = False
        self.timed_out = False
        self.unwritten: dict[str, dict[str, Any]] = {}  # records that a full disk refused, by name
        self.wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> int:
        try:
            log = open_log(self.request["log"], self.request["header"])
        except OSError as error:
            self.failure = f"its log cannot be opened ({error.strerror})"
            self.record_exit(126, None)
        else:
            if not self.start(log):
                return UNRECORDED
            os.close(log)
            self.supervise()
        self.write("swept.json", self.sweep())
        while self.unwritten:
            time.sleep(1.0)
            self.write_again()
        return 0

    def start(self, log: int) -> bool:
        """Forks the job and lets it go once its start is on disk; False if that could not be recorded."""
        go, release = os.pipe2(os.O_CLOEXEC)
        self.reports, report = os.pipe2(os.O_CLOEXEC)
        self.worker = os.fork()
        if self.worker == 0:
            os.close(release)
            become_job(self.request, log, self.lock, go, report)
        os.close(go)
        os.close(report)
        recorded = self.record_start()
        if recorded:  # without the word the child ends by itself, as it does when this process dies
            os.write(release, b"go")
        os.close(release)
        return recorded

    def record_start(self) -> bool:
        record = here(self.job_dir) | {
            "keeper": identity(os.getpid()),
            "worker": identity(self.worker),
            "started_at": time.time(),
            "argv0": self.request["argv"][0],
            "marker": self.request["marker"],
            "cwd": self.request["cwd"],
        }
        try:
            write_atomic(self.job_dir, "start.json", record)
        except OSError as error:
            # Nothing was executed, so nothing has to be remembered: the coordinator may simply try again.
            os.write(2, f"the start cannot be recorded ({error.strerror})\n".encode())
            return False
        return True

    def supervise(self) -> None:
        """Until the main process has ended and its exit is on record."""
        limit = self.request["time_limit"]
        deadline = None if limit is None else time.monotonic() + limit
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        poller.register(self.reports, select.POLLIN)
        self.reap()
        while not self.ended:
            left = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)
            for fd, _ in poller.poll(left):
                if fd == self.wake:
                    os.read(fd, 4096)
                    continue
                poller.unregister(fd)
                self.failure = self.read_failure()
                if not self.failure:
                    os.dup2(0, 1)  # the program runs: tell the coordinator
            self.reap()
            if deadline is not None and not self.ended and time.monotonic() >= deadline:
                deadline = time.monotonic() + self.enforce_limit()

    def read_failure(self) -> str:
        """Why the program was not executed, empty if it was; waits for the exec."""
        word = os.read(self.reports, 100)
        os.close(self.reports)
        self.reports = -1
        return explain(word.decode(), self.request)

    def enforce_limit(self) -> float:
        """TERM to the whole tree at the limit, KILL after the grace; seconds to the next look."""
        for pid, ticks in descendants().items():
            end(pid, ticks, signal.SIGKILL if self.timed_out else signal.SIGTERM)
        pause = 0.1 if self.timed_out else GRACE
        self.timed_out = True
        return pause

    def reap(self) -> None:
        """Takes in every child that has ended, and records the exit if it was the main process."""
        status = reap_all()[0].get(self.worker)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            if self.reports >= 0:
                self.failure = self.read_failure()
            self.record_exit(128 - code if code < 0 else code, -code if code < 0 else None)

    def record_exit(self, code: int, number: int | None) -> None:
        self.ended = True
        record = {"code": code, "signal": number, "ended_at": time.time(), "timed_out": self.timed_out}
        self.write("exit.json", record | {"cannot_start": self.failure})
        os.dup2(0, 1)
        if self.request["exit_code_file"]:
            try:
                write_atomic(*os.path.split(self.request["exit_code_file"]), code)
            except OSError:
                pass  # its directory may be gone; exit.json is the record, this file a convenience

    def sweep(self) -> dict[str, Any]:
        """Ends what the main process left: as their sub-reaper we are rid of them when we have no child."""
        kill_at = time.monotonic() + GRACE
        met, refused = set[int](), set[int]()
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        rounds = 0
        while reap_all()[1]:
            over = time.monotonic() - kill_at
            # A tree may fork faster than /proc is read. KILL mostly our own children: theirs become ours.
            whole = over < 0 or rounds % 8 == 0
            targets = descendants() if whole else own_children()
            newborn = [pid for pid in targets if pid not in met]
            kill_at = min(kill_at, time.monotonic()) if len(targets) > STORM else kill_at
            for pid in newborn if over < 0 else targets:
                if not end(pid, targets[pid], signal.SIGTERM if over < 0 else signal.SIGKILL):
                    refused.add(pid)
            met.update(targets)
            rounds += 1
            if over > UNKILLABLE or (over > 1.0 and whole and targets and refused.issuperset(targets)):
                break
            patience = min(1000, 1 - int(over * 1000)) if over < 0 else 0 if newborn else 50
            if poller.poll(patience):
                os.read(self.wake, 4096)
            self.write_again()
        return {"ended": len(met), "survivors": [identity(pid) for pid in descendants()]}

    def write(self, name: str, record: dict[str, Any]) -> None:
        self.unwritten[name] = record
        self.write_again()

    def write_again(self) -> None:
        for name, record in list(self.unwritten.items()):
            try:
                write_atomic(self.job_dir, name, record)
            except FileNotFoundError:
                pass  # the job directory was removed: nobody is left to read it
            except OSError:
                continue
            del self.unwritten[name]


def become_job(request: dict[str, Any], log: int, lock: int, go: int, report: int) -> NoReturn:
    """In the child: a session of its own, then the program, or a word on the pipe about what failed."""
    stage = "setup"
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.set_inheritable(lock, True)
        if os.read(go, 2) != b"go":
            os._exit(1)
        stage = "cwd"
        os.chdir(request["cwd"])
        stage = "exec"
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - this is its purpose
    except BaseException as error:  # noqa: BLE001 - whatever it is, never return into the keeper's code
        os.write(report, f"{stage} {getattr(error, 'errno', errno.EINVAL)}".encode())
    os._exit(127)


def explain(word: str, request: dict[str, Any]) -> str:
    """One sentence for what `become_job` reported; empty if the program was executed."""
    if not word:
        return ""
    stage, number = word.split()
    code, reason = int(number), os.strerror(int(number))
    program, cwd = request["argv"][0], request["cwd"]
    if stage != "exec":
        return f"{f'its directory {cwd} cannot be entered' if stage == 'cwd' else 'no process'} ({reason})"
    if code == errno.ENOEXEC:
        return f"{program} is not a program: give it a first line such as #!/bin/sh"
    if code == errno.ENOENT and "/" in program and os.path.exists(os.path.join(cwd, program)):
        return f"the interpreter in the first line of {program} does not exist: mend that line"
    if code in (errno.ENOENT, errno.ENOTDIR):
        return f"{program} was not found: install it or correct the command"
    if code == errno.EACCES:
        return f"{program} may not be executed: chmod +x it or correct the command"
    return f"{program} cannot be executed ({reason})"


def open_log(path: str, header: str) -> int:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    gap = "\n" if os.fstat(log).st_size else ""
    if header:
        os.write(log, f"{gap}{header}\n".encode("utf-8", "surrogateescape"))
    return log


def write_atomic(directory: str, name: str, record: dict[str, Any] | int) -> None:
    """Replaces the file in one step and waits for the disk. Raises OSError, the old file intact.

    A job can put links where its own files are: neither the directory nor the file is followed through one.
    """
    data = json.dumps(record).encode() + b"\n"
    tmp = f".{name}.tmp-{os.getpid()}-{identity(os.getpid())['ticks']}-0"
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        file = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            if os.write(file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file)
            os.rename(tmp, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(tmp, dir_fd=folder)
            raise
        finally:
            os.close(file)
        os.fsync(folder)
    finally:
        os.close(folder)


def here(job_dir: str) -> dict[str, Any]:
    """This boot, and this directory: a move leaves its device and inode, a copy has others."""
    there = os.stat(job_dir)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return {"boot_id": file.read().strip(), "place": [there.st_dev, there.st_ino]}


def stat_fields(pid: int | str) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the state on; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
    except OSError:
        return None
    return text[text.rfind(b")") + 2 :].split() or None


def identity(pid: int) -> dict[str, int]:
    fields = stat_fields(pid)
    return {"pid": pid, "ticks": int(fields[19]) if fields else 0}


def descendants() -> dict[int, int]:
    """Start ticks by pid of all living descendants, parents first."""
    children: dict[int, list[tuple[int, int, bytes]]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(entry)):
            children.setdefault(int(fields[1]), []).append((int(entry), int(fields[19]), fields[0]))
    family = [(os.getpid(), 0, b"Z")]
    for pid, _, _ in family:
        family += children.get(pid, ())
    return {pid: ticks for pid, ticks, state in family if state not in (b"Z", b"X")}


def own_children() -> dict[int, int]:
    """Start ticks by pid of the direct children, from one small file that is read in microseconds."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return {int(pid): 0 for pid in file.read().split()}
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return descendants()


def end(pid: int, ticks: int, number: int) -> bool:
    """Signals this very process (`ticks` 0: an unreaped child) and wakes it; False if not permitted."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        if not ticks or identity(pid)["ticks"] == ticks:
            signal.pidfd_send_signal(fd, number)
            signal.pidfd_send_signal(fd, signal.SIGCONT)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    finally:
        os.close(fd)
    return True


def reap_all() -> tuple[dict[int, int], bool]:
    """Wait statuses of the children that ended; False beside them if none, hence no descendant, is left."""
    ended: dict[int, int] = {}
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    except ChildProcessError:
        return ended, False
    return ended, True


if __name__ == "__main__":
    # Without the interpreter's own farewell: nothing is to be flushed, and somebody waits for the end.
    os._exit(main(sys.argv[1]))
