"""`python -m tests.support.log_app KIND FILE`: an app that shows a growing log, to be looked at from outside.

KIND: `view` is our pane, `log` the toolkit's `Log`, `none` shows nothing of it. Any key is answered on the screen,
and our pane is moved by `g`, `w` and `space`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from textual import events
from textual.app import App, ComposeResult
from textual.widgets import Log, Static

from app.widgets.log_view import LogView
from tests.support.growing_log import GrowingLog

TICK = 0.2


class LogApp(App[None]):
    CSS = "#answer { height: 1; } Log { height: 1fr; }"

    def __init__(self, kind: str, path: Path) -> None:
        super().__init__()
        self._kind = kind
        self._file = GrowingLog(path)
        self._offset = 0
        self._answers = 0

    def compose(self) -> ComposeResult:
        yield Static(id="answer")
        if self._kind == "view":
            yield LogView()
        elif self._kind == "log":
            yield Log()

    def on_mount(self) -> None:
        if self._kind == "view":
            self.query_one(LogView).show("shop", self._file.read)
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        if self._kind == "view":
            self.query_one(LogView).poll()
        elif self._kind == "log":
            chunk = self._file.read(self._offset, 1 << 20)
            whole = chunk.data[: chunk.data.rfind(b"\n") + 1]
            if whole:
                self._offset += len(whole)
                self.query_one(Log).write_lines(whole.decode("utf-8", "replace").splitlines())

    def on_key(self, event: events.Key) -> None:
        if self._kind == "view":
            view = self.query_one(LogView)
            match event.key:
                case "g":
                    view.to_start()
                case "w":
                    view.toggle_wrap()
                case "space":
                    view.scroll_pages(1)
        self._answers += 1
        self.query_one("#answer", Static).update(f"<answer {self._answers}>")


if __name__ == "__main__":
    LogApp(sys.argv[1], Path(sys.argv[2])).run()
