"""`python -m tests.bench [name…]`: measures side by side and prints what is within its budget and what is over."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.harness import BENCHES, Row

TITLES = ("what", "anchor", "measured", "ratio", "budget", "")


def main(names: list[str]) -> int:
    for module in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(f"tests.bench.{module.stem}")
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"no benchmark is called {unknown[0]}: there are {', '.join(BENCHES)}\n")
        return 2
    rows: list[Row] = []
    for name in names or BENCHES:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            rows += BENCHES[name](Path(folder))
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    sys.stdout.write(table(rows))
    return 0 if all(row.ok for row in rows) else 1


def table(rows: list[Row]) -> str:
    cells = [TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(TITLES))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≥" if row.at_least else "≤"
    verdict = "ok" if row.ok else "over"
    return row.what, row.anchor, row.measured, f"{row.value:.3g}", f"{sign} {row.budget:.3g}", verdict


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
