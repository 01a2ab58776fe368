"""The arithmetic of the registry's four lists. Pure: works on documents in memory."""

from __future__ import annotations

from typing import Any

from coordinator.model import ACTIVE, COMPLETED, FAILED, QUEUED, PrdState

Document = dict[str, Any]

#: Kind of an entry → the list it lives in.
LIST_OF = {
    "active": "active_prds",
    "queued": "queued_prds",
    "completed": "completed_prds",
    "failed": "failed_prds",
}
_TIME_KEY = {
    "active": "started_at",
    "queued": "queued_at",
    "completed": "completed_at",
    "failed": "failed_at",
}
#: A PRD found in two lists is kept in the first of these.
_LIVELIEST_FIRST = ("active", "queued", "completed", "failed")
_FINISHED = ("completed", "failed")


def locate(document: Document, prd_id: str) -> tuple[str, Document] | None:
    """(kind, entry) of a PRD."""
    entry = document["active_prds"].get(prd_id)
    if entry is not None:
        return "active", entry
    for kind in ("queued", "completed", "failed"):
        for entry in document[LIST_OF[kind]]:
            if entry.get("prd_id") == prd_id:
                return kind, entry
    return None


def place(document: Document, kind: str, entry: Document) -> None:
    """Puts `entry` into the list `kind` and its PRD out of every other; in the same list it keeps its place.

    Raises ValueError for a kind that does not exist and KeyError for an entry without `prd_id`.
    """
    if kind not in LIST_OF:
        raise ValueError(f"no list is called {kind!r}")
    prd_id = entry["prd_id"]
    entries = document[LIST_OF[kind]]
    if kind == "active":
        already = prd_id in entries
        if not already:
            remove(document, prd_id)
        entries[prd_id] = entry
        return
    position = next((n for n, old in enumerate(entries) if old.get("prd_id") == prd_id), None)
    if position is not None:
        entries[position] = entry
    else:
        remove(document, prd_id)
        entries.append(entry)


def remove(document: Document, prd_id: str) -> bool:
    """Takes a PRD out of every list; False if it was in none."""
    found = document["active_prds"].pop(prd_id, None) is not None
    for kind in ("queued", "completed", "failed"):
        entries = document[LIST_OF[kind]]
        kept = [entry for entry in entries if entry.get("prd_id") != prd_id]
        if len(kept) != len(entries):
            entries[:] = kept
            found = True
    return found


def kind_of(state: PrdState) -> str | None:
    """The list that entries of a state live in; None: PRDs in it are not stored."""
    for kind, states in (
        ("active", ACTIVE),
        ("queued", QUEUED),
        ("completed", COMPLETED),
        ("failed", FAILED),
    ):
        if state in states:
            return kind
    return None


def with_status(kind: str, entry: Document, status: str, more: Document, now: str) -> tuple[str, Document]:
    """(kind, entry) after a change of status; a move to another list is dated `now` (ISO 8601)."""
    wanted = kind_of(PrdState(status))
    if wanted is None:
        raise ValueError(f"PRDs that are {status!r} are not stored")
    changed = entry | {"status": status}
    if wanted != kind or _TIME_KEY[wanted] not in changed:
        changed[_TIME_KEY[wanted]] = now
    return wanted, changed | more


class Finished:
    """The completed and failed entries of a document as they are now, to find out later which left it."""

    def __init__(self, document: Document) -> None:
        self._lists = {kind: list(document[LIST_OF[kind]]) for kind in _FINISHED}

    def missing_from(self, document: Document) -> list[Document]:
        """Entries that the document does not hold any more; another end of the same PRD is another entry."""
        gone = []
        for kind, entries in self._lists.items():
            if entries != document[LIST_OF[kind]]:
                kept = {_end(kind, entry) for entry in document[LIST_OF[kind]]}
                gone += [entry for entry in entries if _end(kind, entry) not in kept]
        return gone


def take_oldest_finished(document: Document, keep: int) -> list[Document]:
    """Takes completed and failed entries out, the oldest first, until `keep` are left; returns them."""
    surplus = len(document["completed_prds"]) + len(document["failed_prds"]) - keep
    if surplus <= 0:
        return []
    by_age = sorted((_end(kind, entry), kind) for kind in _FINISHED for entry in document[LIST_OF[kind]])
    gone = set(by_age[:surplus])
    taken = []
    for kind in _FINISHED:
        entries = document[LIST_OF[kind]]
        taken += [entry for entry in entries if (_end(kind, entry), kind) in gone]
        entries[:] = [entry for entry in entries if (_end(kind, entry), kind) not in gone]
    return taken


def _end(kind: str, entry: Document) -> tuple[str, str]:
    """(time, PRD): what tells one end of a PRD from another. Times sort as text, being ISO 8601 in UTC."""
    return str(entry.get(_TIME_KEY[kind])), str(entry.get("prd_id"))


def one_place_each(document: Document) -> list[str]:
    """Leaves each PRD in one list at most; returns those that were in several."""
    active = document["active_prds"]
    lists = [document[LIST_OF[kind]] for kind in _LIVELIEST_FIRST[1:]]
    known = {entry.get("prd_id") for entries in lists for entry in entries}
    if len(known) == sum(map(len, lists)) and known.isdisjoint(active):
        return []
    seen: set[str] = set(active)
    doubled: list[str] = []
    for entries in lists:
        newest_last = entries is not document["queued_prds"]  # ends are appended, and the newest counts
        kept = []
        for entry in reversed(entries) if newest_last else entries:
            prd_id = str(entry.get("prd_id"))
            if prd_id in seen:
                doubled.append(prd_id)
            else:
                seen.add(prd_id)
                kept.append(entry)
        entries[:] = reversed(kept) if newest_last else kept
    return doubled
