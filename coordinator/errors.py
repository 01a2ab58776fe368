"""Errors that reach a person. Each message is one sentence that says what happened and what to do."""


class PrdTuiError(Exception):
    """Something a person can mend; `exit_code` is what the command ends with (2: refused input)."""

    exit_code = 2


class OwnedElsewhere(PrdTuiError):
    """Another coordinator owns the repository."""

    exit_code = 3


class ConfigError(PrdTuiError):
    """A setting is unknown or of the wrong type, or a file of settings cannot be read."""


class NotApproved(ConfigError):
    """The tracked settings run commands and nobody approved their present content."""


class GitError(PrdTuiError):
    """git refused; `stderr` is what it said."""

    exit_code = 1

    def __init__(self, message: str, *, returncode: int = 1, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


class StateError(PrdTuiError):
    """A file of prd-tui's own cannot be used as it is (newer version, unreadable, disk full)."""

    exit_code = 1
