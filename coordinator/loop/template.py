"""The text a prompt is made from: the person's own, or the one that comes with the loop."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from coordinator.errors import ConfigError

_LARGEST = 256 << 10  # bytes


def read_template(named: str, root: Path | None) -> str:
    """`named`: the setting worker.prompt, a path from the repository's root; empty: the built-in template.

    Raises ConfigError.
    """
    if not named or root is None:
        return (resources.files("coordinator.loop") / "prompt.md").read_text(encoding="utf-8")
    path = root / named
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            raise ConfigError(
                f"worker.prompt names {named}, which is no file of at most {_LARGEST >> 10} KiB; correct it."
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"worker.prompt names {named}, which cannot be read ({error.strerror}); mend it."
        ) from error
    except UnicodeDecodeError:
        raise ConfigError(f"worker.prompt names {named}, which is not UTF-8; save it as UTF-8.") from None
