"""Commands from other processes: a folder of small files, each answered in a file beside it.

`<id>.json` is a command; the owner takes it by renaming it to `<id>.taken.json`, so that it cannot be withdrawn
any more, and answers in `<id>.answer.json`. What was taken and not answered is done by the next owner.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from coordinator.commands import Accepted, Answer, Command, CommandId, Rejected, from_dict, to_dict
from coordinator.errors import StateError
from coordinator.files import read_json, sweep_tmp, write_json

#: Seconds after which an answer nobody fetched is removed.
ANSWER_KEPT = 3600.0


class DropBox:
    """Both ends. All paths are inside `folder`, which is made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    # -- the sender -----------------------------------------------------------------------------------

    def send(self, command: Command) -> CommandId:
        """Puts a command in; it is whole for whoever sees it. Raises StateError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command_id = CommandId(f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(3)}")
        write_json(self._folder / f"{command_id}.json", to_dict(command))
        return command_id

    def withdraw(self, command_id: CommandId, *, taken: bool = False) -> bool:
        """Takes a command back; False if it is not there any more.

        `taken`: also from an owner that has it and died; else such a command is none of ours any more.
        """
        for name in (f"{command_id}.json", f"{command_id}.taken.json")[: 1 + taken]:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).unlink()
                return True
        return False

    def answer_of(self, command_id: CommandId) -> Answer | None:
        """The owner's newest answer, if there is one."""
        try:
            document = read_json(self._folder / f"{command_id}.answer.json")
        except StateError:
            return None
        return _answer(command_id, document)

    def forget(self, command_id: CommandId) -> None:
        """The sender has read the final answer. What an owner that died left half-written goes with it."""
        with contextlib.suppress(OSError):
            (self._folder / f"{command_id}.answer.json").unlink()
        sweep_tmp(self._folder)

    # -- the owner ------------------------------------------------------------------------------------

    def take(self) -> list[tuple[CommandId, Command]]:
        """Every command that waits, oldest first. What is no command is answered and removed."""
        taken: list[tuple[CommandId, Command]] = []
        for path in self._waiting():
            command_id = CommandId(path.name.removesuffix(".json").removesuffix(".taken"))
            claimed = self._folder / f"{command_id}.taken.json"
            try:
                if path != claimed:
                    path.rename(claimed)
                taken.append((command_id, from_dict(read_json(claimed))))
            except FileNotFoundError:
                continue  # withdrawn
            except (ValueError, StateError) as error:
                self.answer(Rejected(command_id, f"not understood: {error}"))
        return taken

    def _waiting(self) -> list[Path]:
        try:
            names = sorted(entry.name for entry in self._folder.iterdir())
        except FileNotFoundError:
            return []
        return [
            self._folder / name
            for name in names
            if name.endswith(".json") and not name.endswith(".answer.json") and not name.startswith(".")
        ]

    def answer(self, answer: Answer) -> None:
        """Writes the answer; the command itself is gone once its answer is final."""
        command_id = answer.command_id
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(self._folder / f"{command_id}.answer.json", _document(answer))
        if isinstance(answer, Rejected) or answer.done:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / f"{command_id}.taken.json").unlink()

    def answer_alike(self, command: Command, answer: Answer) -> None:
        """Gives the same answer to every command of the same content that an owner left undone when it died.

        It has been carried out: the next owner must not do it again, to something that came since.
        """
        for path in self._waiting():
            command_id = CommandId(path.name.removesuffix(".json").removesuffix(".taken"))
            try:
                alike = from_dict(read_json(path)) == command
            except (ValueError, StateError):
                continue
            if alike:
                self.answer(replace(answer, command_id=command_id))
                path.unlink(missing_ok=True)

    def tidy(self, now: float) -> None:
        """Removes answers that nobody came for, and what dead processes left half-written."""
        sweep_tmp(self._folder)
        with contextlib.suppress(FileNotFoundError):
            for entry in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    if entry.name.endswith(".answer.json") and entry.stat().st_mtime < now - ANSWER_KEPT:
                        entry.unlink()


def _document(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Rejected):
        return {"rejected": answer.reason}
    return {"accepted": answer.message, "done": answer.done}


def _answer(command_id: CommandId, document: object) -> Answer | None:
    if not isinstance(document, dict):
        return None
    if "rejected" in document:
        return Rejected(command_id, str(document["rejected"]))
    return Accepted(command_id, str(document.get("accepted", "")), document.get("done") is True)
