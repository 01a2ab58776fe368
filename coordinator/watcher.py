"""Looks at `prds/active` whenever there may be something new.

Events of the file system are hints: they make a look happen sooner. What is decided rests on the look alone,
and one happens every ten seconds without any event.
"""

from __future__ import annotations

import atexit
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from coordinator.admission import Admission, Sighting
from coordinator.clock import Clock, SystemClock

#: Seconds between looks without an event: normally; while something is not there yet; without events at all.
LOOK_EVERY: Final = 10.0
LOOK_FOR_MISSING: Final = 1.0
LOOK_WHEN_DEAF: Final = 1.5
#: Seconds between attempts to hear events again.
HEAR_AGAIN: Final = 60.0
#: Seconds that are always left between two looks, and the share of the time that looking may take.
LOOK_PAUSE: Final = 0.02
LOOK_SHARE: Final = 0.25
#: Folders that are listened to; edits in any further ones are found by looking. Each costs one inotify watch.
MAX_FOLDERS: Final = 500
#: Milliseconds: how long events are gathered, and how long one wait for them lasts.
DEBOUNCE: Final = 50
STEP: Final = 10
LISTEN: Final = 250

#: A directory and its inode: made anew, it has to be listened to anew.
_Heard = tuple[str, int]


class Watcher:
    """Two daemon threads: one waits for events, the other looks and tells.

    `emit` gets what changed, in order and once; if it raises, it gets the same again at the next look. It
    must not wait for a look. `hint` gets each of `directories` in which something may have happened, `warn` a
    sentence. All are called from the threads of the watcher, `emit` also from `look_now`.
    """

    def __init__(
        self,
        admission: Admission,
        directories: Iterable[Path],
        *,
        emit: Callable[[list[Sighting]], None],
        hint: Callable[[Path], None],
        warn: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._admission = admission
        self._directories = tuple(directories)
        self._emit = emit
        self._hint = hint
        self._warn = warn
        self._clock = clock or SystemClock()
        self.looking = threading.Lock()  # held while the admission looks, and until all it saw is told
        self._untold: list[Sighting] = []
        self._faults: set[str] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deaf_until = 0.0  # monotonic seconds; 0: events are heard
        self._heard: frozenset[_Heard] = frozenset()
        self._missing = False  # one of the directories is not there
        self._listen_anew = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begins with a look at once. May be called once."""
        import watchfiles  # noqa: F401 - imported here, so that no thread is in the middle of an import at exit

        # a daemon thread inside the extension aborts the process when the interpreter goes down around it
        atexit.register(self.stop)
        self._heard = self._audible()
        for name, work in (("look", self._look_on), ("listen", self._listen_on)):
            thread = threading.Thread(target=work, name=f"prd-tui-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Ends within half a second; nothing is told afterwards."""
        self._stopping.set()
        self._listen_anew.set()
        self._wake.set()
        deadline = self._clock.monotonic() + 0.5
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - self._clock.monotonic()))
        atexit.unregister(self.stop)

    def wake(self) -> None:
        """Has a look taken soon, by the watcher's own thread."""
        self._wake.set()

    def look_now(self) -> None:
        """One full look in the caller's thread; what it found has been told when this returns."""
        with self.looking:
            try:
                self._untold += self._admission.look(self._clock.now(), self._clock.monotonic())
                self._faults.discard("look")
            except OSError as error:
                where = self._admission.active
                self._fault("look", f"{where} cannot be read ({error.strerror}): make it readable.")
            if self._untold and not self._stopping.is_set():
                try:
                    self._emit(self._untold)
                    self._untold = []
                    self._faults.discard("emit")
                except Exception as error:  # noqa: BLE001 - whatever it is, the next look has to happen
                    self._fault(
                        "emit",
                        f"A change in prds/active could not be taken in ({error!r}): it is tried again.",
                    )

    # -- looking --------------------------------------------------------------------------------------------

    def _look_on(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            began = self._clock.monotonic()
            self.look_now()
            if self._deaf_until:
                self._hint_all()
            self._listen_if_changed()
            took = self._clock.monotonic() - began
            self._stopping.wait(max(LOOK_PAUSE, took * (1 / LOOK_SHARE - 1)))
            self._wake.wait(self._pause())

    def _pause(self) -> float:
        """Seconds until the next look is due without an event."""
        with self.looking:
            due = self._admission.due_in(self._clock.now(), self._clock.monotonic())
            untold = bool(self._untold)
        pause = LOOK_WHEN_DEAF if self._deaf_until else LOOK_EVERY
        if untold or self._missing:
            pause = min(pause, LOOK_FOR_MISSING)
        return pause if due is None else min(pause, max(0.0, due) + 0.001)

    def _hint_all(self) -> None:
        for directory in self._directories:
            self._tell_hint(directory)

    def _tell_hint(self, directory: Path) -> None:
        try:
            self._hint(directory)
            self._faults.discard("hint")
        except Exception as error:  # noqa: BLE001 - the next hint has to come
            self._fault("hint", f"{directory} could not be looked at ({error!r}): it is tried again.")

    def _fault(self, kind: str, sentence: str) -> None:
        """Says it once, until it went well again."""
        if kind not in self._faults:
            self._faults.add(kind)
            self._warn(sentence)

    # -- listening ------------------------------------------------------------------------------------------

    def _audible(self) -> frozenset[_Heard]:
        """What there is to listen to now. Never recursive: that would follow symlinks to anywhere."""
        with self.looking:
            folders = self._admission.settled()[:MAX_FOLDERS]
        always = {self._admission.active, *self._directories}
        found = {path: inode for path in (*always, *folders) if (inode := _inode(path))}
        self._missing = not always <= found.keys()
        return frozenset((str(path), inode) for path, inode in found.items())

    def _listen_if_changed(self) -> None:
        audible = self._audible()
        now = self._clock.monotonic()
        again = 0 < self._deaf_until <= now
        if again:
            self._deaf_until = now + HEAR_AGAIN
        if again or audible != self._heard:
            self._heard = audible
            self._listen_anew.set()

    def _listen_on(self) -> None:
        while not self._stopping.is_set():
            self._listen_anew.clear()
            heard = sorted(path for path, _ in self._heard)
            try:
                if heard:
                    self._listen(heard)
            except Exception as error:  # noqa: BLE001 - looking goes on without events
                self._deafened(error)
            self._listen_anew.wait()

    def _listen(self, heard: list[str]) -> None:
        """Passes events on until there is something else to listen to."""
        from watchfiles import watch

        # The extension aborts the whole process where the machine has no thread to give; this only raises.
        threading.Thread(target=str, daemon=True).start()
        fresh = True
        for changes in watch(
            *heard,
            watch_filter=None,
            debounce=DEBOUNCE,
            step=STEP,
            stop_event=self._listen_anew,
            rust_timeout=LISTEN,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
            ignore_permission_denied=True,
        ):
            places = {Path(path).parent for _, path in changes}
            if fresh:
                self._deaf_until = 0.0
                self._faults.discard("listen")
            # what happened before the watches stood made no event: everything may have changed
            for directory in self._directories:
                if fresh or directory in places:
                    self._tell_hint(directory)
            if fresh or not places <= {*self._directories}:
                self._wake.set()
            fresh = False

    def _deafened(self, error: Exception) -> None:
        """Without events, looks come more often. That a directory has just gone is nothing to tell anyone."""
        gone = isinstance(error, FileNotFoundError)
        self._deaf_until = self._clock.monotonic() + (LOOK_FOR_MISSING if gone else HEAR_AGAIN)
        if not gone:
            sentence = (
                f"Changes on disk are not announced ({error}): prds/active is looked at every"
                f" {LOOK_WHEN_DEAF:g} s instead; raise fs.inotify.max_user_watches and max_user_instances."
            )
            self._fault("listen", sentence)
        self._wake.set()


def _inode(path: Path) -> int:
    """The inode of a directory; 0: there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return found.st_ino if stat.S_ISDIR(found.st_mode) else 0
