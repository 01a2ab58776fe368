"""Python's search for garbage, kept off what a start makes: all of that stays, and there is much to search."""

from __future__ import annotations

import gc


def hold() -> None:
    """Nothing is searched before `release`."""
    gc.disable()


def release() -> None:
    """From now on only what is new is searched. Each search through all would halt the screen for some 40 ms."""
    gc.collect()
    gc.freeze()
    gc.enable()
