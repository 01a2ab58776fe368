"""Where everything lives, in one place. Pure: nothing here touches the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """`root` is the main checkout, `common` the git common dir; both absolute and resolved."""

    root: Path
    common: Path

    # -- in the checkout ------------------------------------------------------------------------------
    @property
    def state(self) -> Path:
        return self.root / ".claude-loop"

    @property
    def local_config(self) -> Path:
        return self.state / "config.toml"

    @property
    def shared_config(self) -> Path:
        return self.root / "prd-tui.toml"

    @property
    def coordinator(self) -> Path:
        return self.state / "coordinator"

    @property
    def registry(self) -> Path:
        return self.coordinator / "registry.json"

    @property
    def history(self) -> Path:
        return self.coordinator / "history.jsonl"

    @property
    def metrics(self) -> Path:
        return self.coordinator / "metrics.jsonl"

    @property
    def engine_log(self) -> Path:
        return self.coordinator / "coordinator.log"

    @property
    def commands(self) -> Path:
        return self.coordinator / "commands"

    @property
    def logs(self) -> Path:
        return self.coordinator / "logs"

    @property
    def archives(self) -> Path:
        return self.state / "archives"

    @property
    def active(self) -> Path:
        return self.root / "prds" / "active"

    @property
    def completed(self) -> Path:
        return self.root / "prds" / "completed"

    @property
    def dropped(self) -> Path:
        return self.root / "prds" / "dropped"

    def worker_log(self, prd_id: str) -> Path:
        return self.logs / f"{prd_id}_worker.log"

    # -- in the git common dir: outlives `git clean -xdf` -----------------------------------------------
    @property
    def home(self) -> Path:
        return self.common / "prd-tui"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def drops(self) -> Path:
        """A folder for each PRD that is being given up."""
        return self.home / "drops"

    @property
    def approvals(self) -> Path:
        return self.home / "approved.json"

    def run_dir(self, prd_id: str, run_id: str) -> Path:
        return self.runs / prd_id / run_id
