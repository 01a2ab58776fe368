"""The terminal's driver as the toolkit has it, without the two ways in which a byte could spoil a night."""

from __future__ import annotations

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver


class Driver(LinuxDriver):
    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        # An unbuffered stderr, which PYTHONUNBUFFERED asks for, loses the rest of a write that a signal cuts short.
        if (stderr := self._file) is not None:
            number, words, odd = stderr.fileno(), stderr.encoding, stderr.errors
            self._file = open(number, "w", encoding=words, errors=odd, closefd=False)  # noqa: SIM115

    def run_input_thread(self) -> None:
        """Bytes that are no text are passed over: the toolkit would end the screen for them."""
        while True:
            try:
                super().run_input_thread()
            except UnicodeDecodeError:
                continue
            return
