"""The console entry of prd-tui.

Its import packages are called `app` and `coordinator`, as a user's own may be. So this uniquely named module
puts its own directory first on `sys.path` before it imports anything of the project, and what PYTHONPATH names
last: a `json.py` or `git/` of the user's is none of ours.
"""

import os
import sys


def main() -> int:
    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib costs `status` half its budget
    try:
        theirs = {os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)}  # noqa: PTH100
    except FileNotFoundError:  # the current directory is gone, and with it whatever a relative entry named
        theirs = set()
    others = (entry for entry in sys.path if entry != here)
    sys.path[:] = [here, *sorted(others, key=lambda entry: entry in theirs)]
    from app.cli import main as run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
