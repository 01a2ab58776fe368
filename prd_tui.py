"""The console entry of prd-tui.

Its import packages are called `app` and `coordinator`, as a user's own may be. So this uniquely named module
puts its own directory first on `sys.path` before it imports anything of the project.
"""

import os
import sys


def main() -> int:
    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib costs `status` half its budget
    sys.path[:] = [here, *(entry for entry in sys.path if entry != here)]
    from app.cli import main as run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
