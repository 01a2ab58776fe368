"""`registry.json`: which PRDs are where. Every writer goes lock → read → change its own entries → replace."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator import registry_file
from coordinator.clock import Clock, iso
from coordinator.errors import StateError
from coordinator.faultpoints import reach
from coordinator.files import append_line, sweep_tmp, write_atomic
from coordinator.folders import make_private
from coordinator.locks import FileLock
from coordinator.paths import Paths
from coordinator.redaction import Redactor
from coordinator.registry_entries import (
    Finished,
    locate,
    one_place_each,
    place,
    remove,
    take_oldest_finished,
    with_status,
)
from coordinator.registry_text import RegistryText, complete

Document = dict[str, Any]

#: Finished entries kept in the registry itself, so that its size, and with it each update, stays bounded.
KEPT_FINISHED = 200


class Registry:
    """The registry of one repository; any number of threads and processes may hold one each.

    `rebuild` makes a document from what else is known (runs, PRD folders, git) when the file and its backup
    are lost; it runs under the registry's lock and must not use the registry. `warn` gets a sentence for each
    repair. All methods raise StateError if the file was written by a newer version or the disk refuses.
    """

    def __init__(
        self,
        paths: Paths,
        clock: Clock,
        *,
        rebuild: Callable[[], Document] | None = None,
        warn: Callable[[str], None] | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._rebuild = rebuild
        self._warn = warn or (lambda _message: None)
        self._redactor = redactor or Redactor()
        self._text = RegistryText()
        self._file = paths.registry
        self._folder = paths.coordinator
        self._lock = paths.locks / "registry.lock"
        self._backup = self._file.with_name("registry.json.bak")
        self._remembered: bytes | None = None  # what the file held after our last update
        self._created_at = ""
        self._revision = 0
        self._swept = False

    # -- the one way in ---------------------------------------------------------------------------------

    def update(self, fn: Callable[[Document], None], *, durable: bool = True) -> Document:
        """Lets `fn` change the present document, replaces the file, returns the new document.

        If `fn` raises, nothing was changed. `durable=False` saves the wait for the disk where losing the last
        change to a power cut is harmless (progress). Finished entries that leave the document, by age or
        because their PRD runs again, are in `history.jsonl` first; after a crash right there, twice.
        """
        self._make_folder()
        with FileLock(self._lock):
            document = self._present()
            before = Finished(document)
            fn(document)
            for prd_id in one_place_each(document):
                self._warn(f"{prd_id} was in several lists of the registry; its liveliest entry was kept.")
            displaced = before.missing_from(document)
            oldest = take_oldest_finished(document, KEPT_FINISHED)
            self._remember_finished(displaced + oldest, durable=durable)
            self._replace(document, durable=durable)
            return document

    def read(self) -> Document:
        """The present document, without the lock; repairs the file if it is damaged."""
        try:
            return complete(registry_file.parse(self._file.read_bytes(), str(self._file)))
        except registry_file.Newer as error:
            raise StateError(str(error)) from error
        except FileNotFoundError:
            if self._remembered is None and not self._backup.exists():
                return self._first_document()
        except ValueError:
            pass
        except OSError as error:
            raise _unreadable(self._file, error) from error
        return self.update(lambda _document: None)

    # -- one PRD ----------------------------------------------------------------------------------------

    def register(self, entry: Document, kind: str = "active") -> None:
        """Puts a PRD's entry into the list `kind` (active, queued, completed, failed), out of all others."""
        self.update(lambda document: place(document, kind, entry))

    def deregister(self, prd_id: str) -> bool:
        """Takes the PRD out of every list; False if it was in none."""
        found = []
        self.update(lambda document: found.append(remove(document, prd_id)))
        return found[0]

    def list_active(self) -> list[Document]:
        return list(self.read()["active_prds"].values())

    def get(self, prd_id: str) -> Document | None:
        """The PRD's entry, whichever list it is in."""
        located = locate(self.read(), prd_id)
        return located[1] if located else None

    def update_status(self, prd_id: str, status: str, *, durable: bool = True, **more: Any) -> None:
        """Sets a PRD's status (a word of PrdState) and further keys; moves it to the list of that state.

        Raises StateError if the PRD is in no list.
        """
        now = iso(self._clock.now())

        def change(document: Document) -> None:
            located = locate(document, prd_id)
            if located is None:
                raise StateError(f"{prd_id} is not in the registry; `prd-tui status` shows what is.")
            place(document, *with_status(*located, status, more, now))

        self.update(change, durable=durable)

    # -- reading under the lock ---------------------------------------------------------------------------

    def _present(self) -> Document:
        try:
            document = self._parsed(self._file)
        except FileNotFoundError:
            return self._missing()
        except registry_file.Newer as error:
            raise StateError(str(error)) from error
        except ValueError as error:
            return self._damaged(str(error))
        except OSError as error:
            raise _unreadable(self._file, error) from error
        if self._remembered is not None and document.get("created_at") != self._created_at:
            # Somebody without our memory made a fresh one after the folder was deleted under us.
            return self._from_memory()
        return document

    def _missing(self) -> Document:
        if self._remembered is not None:
            return self._from_memory()
        backup = self._from_backup()
        if backup is not None:
            self._warn("registry.json was missing; its backup was taken.")
            return backup
        return self._first_document()

    def _damaged(self, problem: str) -> Document:
        aside = self._set_aside()
        document = self._from_backup()
        source = "its backup was taken"
        if document is None and self._remembered is not None:
            document, source = complete(json.loads(self._remembered)), "it was written anew from memory"
        if document is None:
            document, source = self._first_document() | {"rebuilt": True}, "it was rebuilt"
        self._warn(f"registry.json was damaged ({problem}) and is kept as {aside}; {source}.")
        return document

    def _from_memory(self) -> Document:
        self._warn(
            f"{self._paths.state} was deleted or replaced while work ran; the registry was written anew."
        )
        return complete(json.loads(self._remembered or b"{}"))

    def _from_backup(self) -> Document | None:
        try:
            document = self._parsed(self._backup)
        except registry_file.Newer as error:
            raise StateError(str(error)) from error
        except (OSError, ValueError):
            return None
        document["revision"] += 1  # it is one behind what was lost, and the revision only grows
        return document

    def _first_document(self) -> Document:
        fresh = registry_file.empty() | {"created_at": iso(self._clock.now())}
        return complete(fresh | self._rebuild() if self._rebuild else fresh)

    def _parsed(self, path: Path) -> Document:
        return self._text.decode(path.read_bytes(), str(path))

    # -- writing under the lock ---------------------------------------------------------------------------

    def _replace(self, document: Document, *, durable: bool) -> None:
        document["revision"] = max(document["revision"], self._revision) + 1
        document["updated_at"] = iso(self._clock.now())
        data = self._redactor.json(self._text.encode(document))
        self._keep_backup()
        write_atomic(self._file, data, durable=durable)
        reach("registry-replaced")
        self._remembered = data
        self._created_at = document["created_at"]
        self._revision = document["revision"]

    def _keep_backup(self) -> None:
        """Gives the file that is about to be replaced, read whole a moment ago, a second name: no copying."""
        link = self._backup.with_name(f".{self._backup.name}.link")
        try:
            link.unlink(missing_ok=True)
            os.link(self._file, link)
            link.replace(self._backup)
        except FileNotFoundError:
            pass  # there is none yet
        except OSError:  # a file system without hard links; one that takes nothing refuses the file next
            with contextlib.suppress(OSError, StateError):
                write_atomic(self._backup, self._file.read_bytes(), durable=False)

    def _remember_finished(self, entries: list[Document], *, durable: bool) -> None:
        if entries:
            lines = b"\n".join(self._redactor.json(json.dumps(entry).encode("ascii")) for entry in entries)
            append_line(self._paths.history, lines, durable=durable)

    def _set_aside(self) -> str:
        stamp = iso(self._clock.now()).replace(":", "").replace(".", "")
        name = f"registry.json.corrupt-{stamp}"
        number = 1
        while (target := self._folder / name).exists():
            number += 1
            name = f"registry.json.corrupt-{stamp}-{number}"
        try:
            self._file.rename(target)
        except OSError as error:
            raise StateError(
                f"{self._file} is damaged and cannot be set aside ({error.strerror}); "
                "mend the permissions of its folder."
            ) from error
        return name

    def _make_folder(self) -> None:
        make_private(self._folder)
        if not self._swept:
            self._swept = True
            sweep_tmp(self._folder)


def _unreadable(path: Path, error: OSError) -> StateError:
    return StateError(f"{path} cannot be read ({error.strerror}); check its permissions.")
