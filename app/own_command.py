"""How this very program was called from the person's shell."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def own_command() -> str:
    """How this very program is called from the person's shell."""
    program = Path(sys.argv[0])
    if (found := shutil.which(program.name)) and Path(found).resolve() == program.resolve():
        return program.name
    if os.access(program, os.X_OK):
        return shlex.quote(str(program))
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}"


def on_a_terminal() -> bool:
    """Whether a dashboard can be drawn; the toolkit draws on stderr."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
