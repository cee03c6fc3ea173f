"""``loads-runner`` as the benchmarks of Loads itself start it."""

from __future__ import annotations

import json
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import command, family
from tests.benchmarks.peers import COMMANDS
from tests.benchmarks.program import BenchmarkError, Program


class Runner(Program):
    """A run of the test in ``text``; to be used in a ``with`` statement."""

    def __init__(self, folder: Path, text: str, *options: object, cores: Set[int]) -> None:
        (folder / "test_bench.py").write_text(text)
        self._summary = folder / "summary.json"
        outputs = ("--output", "console", "--output", "json")
        file = ("--output-json-filename", self._summary)
        args = [COMMANDS / "loads-runner", "test_bench", *options, *outputs, *file]
        super().__init__(args, folder / "runner.log", cores=cores, cwd=folder)

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return [pid for pid in family(self.pid) if "-m loads.worker" in command(pid)]

    def summary(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for its end; what it has to say then."""
        self.wait(seconds)
        summary: dict[str, Any] = json.loads(self._summary.read_text())
        for warning in summary["warnings"]:
            print(f"  Loads warns: {warning}", file=sys.stderr, flush=True)
        return summary


def check(what: str, served: int, reported: int) -> None:
    """Raises :class:`BenchmarkError` where Loads does not report what its target has counted."""
    if served != reported:
        raise BenchmarkError(f"{served:,} {what} were served, and {reported:,} reported.")
