"""The terminal's driver as the toolkit has it, with a keyboard that may write anything."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


class Driver(LinuxDriver):
    def run_input_thread(self) -> None:
        """Bytes that are no text are passed over: the toolkit would end the screen for them."""
        while True:
            try:
                super().run_input_thread()
            except UnicodeDecodeError:
                continue
            return
