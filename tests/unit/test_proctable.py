"""Arithmetic over process tables."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from coordinator.proctable import Process, Table, ancestors_of, children_of, read_table, with_descendants


def process(pid: int, ppid: int) -> Process:
    return Process(pid, b"sh", b"S", ppid, pid, 0, pid)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Forests: every parent has a smaller pid, or is missing, or is 0."""
    pids = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=30)))
    return {pid: process(pid, draw(st.integers(0, pid - 1))) for pid in pids}


@given(tables(), st.integers(1, 60))
def test_a_process_is_below_exactly_its_ancestors(table: Table, root: int) -> None:
    below = with_descendants([root], children_of(table))
    assert below - {root} == {pid for pid in table if pid != root and root in ancestors_of(pid, table)}


@given(tables(), st.sets(st.integers(1, 60), max_size=3))
def test_several_roots_give_the_union(table: Table, roots: set[int]) -> None:
    children = children_of(table)
    each = [with_descendants([root], children) for root in roots]
    assert with_descendants(roots, children) == set().union(*each)


@given(tables())
def test_nothing_below_the_stop_is_reached(table: Table) -> None:
    root, stop = min(table), max(table)
    found = with_descendants([root], children_of(table), stop_at=stop)
    assert found == {pid for pid in found if stop not in ancestors_of(table[pid].ppid, table)} | {root}


def test_cycles_end() -> None:
    """A table is no snapshot: pids may be reused while it is read."""
    table = {2: process(2, 3), 3: process(3, 2)}
    assert ancestors_of(2, table) == {2, 3}
    assert with_descendants([2], children_of(table)) == {2, 3}


def test_the_real_table_holds_us_below_our_parent() -> None:
    table = read_table()
    assert table[os.getpid()].ppid == os.getppid()
    assert os.getppid() in ancestors_of(os.getpid(), table)
