"""`prd-tui config`: shows every setting with its source, changes one, approves the shared commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from app.status_text import clean, pad, width
from coordinator.api import PrdTuiError

if TYPE_CHECKING:
    from coordinator.api import SettingsDesk

USAGE = """usage: prd-tui config                   every setting, its value and where it comes from
       prd-tui config get KEY           one value
       prd-tui config set KEY VALUE     changes it in .claude-loop/config.toml
       prd-tui config set KEY           takes that change back
       prd-tui config approve           lets the commands of the tracked prd-tui.toml run
"""


def main(argv: list[str], desk: SettingsDesk) -> int:
    """`argv`: what follows the word `config`. Raises PrdTuiError, whose message is the whole answer."""
    match argv:
        case []:
            _print(_table(desk))
        case ["-h" | "--help"]:
            _print(USAGE)
        case ["get", key]:
            _print(clean(desk.row(key).value) + "\n")
        case ["set", key, value]:
            _print_change(desk, key, value)
        case ["set", key]:
            _print_change(desk, key, None)
        case ["approve"]:
            _print(_approve(desk))
        case _:
            raise PrdTuiError(
                "config takes get KEY, set KEY [VALUE] or approve; alone it lists every setting."
            )
    return 0


def _table(desk: SettingsDesk) -> str:
    rows = [(row.key, clean(row.value), row.source, row.help) for row in desk.rows()]
    columns = [max(width(row[n]) for row in rows) for n in range(3)]
    columns[1] = min(columns[1], 40)
    lines = ["  ".join([*(pad(row[n], columns[n]) for n in range(3)), row[3]]) for row in rows]
    waiting = [
        f"{asked.file} waits for `prd-tui config approve`: " + ", ".join(asked.commands)
        for asked in desk.waiting()
    ]
    return "\n".join([*lines, *waiting]) + "\n"


def _print_change(desk: SettingsDesk, key: str, value: str | None) -> None:
    row = desk.change(key, value)
    _print(f"{row.key} = {clean(row.value)}  ({row.source})\n")


def _approve(desk: SettingsDesk) -> str:
    approved = desk.approve()
    if not approved:
        return "Nothing waits for approval.\n"
    lines = []
    for asked in approved:
        lines.append(f"Approved in {asked.file}:")
        lines += [f"  {key} = {clean(value)}" for key, value in asked.commands.items()]
    return "\n".join(lines) + "\n"


def _print(text: str) -> None:
    sys.stdout.write(text)
