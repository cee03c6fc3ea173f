"""Runs in the broker's own memory: gone with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from loads.storage.base import (
    AddDelta,
    DropDeltas,
    ForgetRun,
    Heading,
    Record,
    SavePart,
    SaveRun,
    StoredRun,
)


@dataclass
class _Run:
    heading: Heading
    parts: dict[str, bytes] = field(default_factory=dict)
    deltas: list[bytes] = field(default_factory=list)


class MemoryStorage:
    """Keeps nothing for good.  Every storage behaves as this one does while it is open."""

    is_remote = False

    def __init__(self, url: str = "memory:") -> None:
        self._runs: dict[str, _Run] = {}

    def describe(self) -> str:
        return "memory"

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            self._keep(record)

    def _keep(self, record: Record) -> None:
        run = self._runs.get(record.run_id)
        if isinstance(record, SaveRun):
            heading = Heading(record.run_id, record.created, record.ended, record.head)
            self._runs.setdefault(record.run_id, _Run(heading)).heading = heading
        elif run is None:
            return
        elif isinstance(record, SavePart):
            run.parts.pop(record.name, None)
            if record.body:
                run.parts[record.name] = record.body
        elif isinstance(record, AddDelta):
            run.deltas.append(record.body)
        elif isinstance(record, DropDeltas):
            run.deltas.clear()
        elif isinstance(record, ForgetRun):
            del self._runs[record.run_id]

    def open_runs(self) -> list[StoredRun]:
        going = [run for run in self._runs.values() if run.heading.ended is None]
        going.sort(key=lambda run: (run.heading.created, run.heading.run_id))
        return [_copy(run) for run in going]

    def run(self, run_id: str) -> StoredRun | None:
        run = self._runs.get(run_id)
        return None if run is None else _copy(run)

    def ended_runs(self) -> list[Heading]:
        ended = [run.heading for run in self._runs.values() if run.heading.ended is not None]
        return sorted(ended, key=lambda heading: (heading.ended, heading.run_id), reverse=True)

    def size(self) -> int:
        return sum(
            len(run.heading.head)
            + sum(len(body) for body in run.parts.values())
            + sum(len(body) for body in run.deltas)
            for run in self._runs.values()
        )

    def shrink(self) -> None:
        """Python gives it back."""

    def interrupt(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self._runs.clear()


def _copy(run: _Run) -> StoredRun:
    return StoredRun(run.heading, dict(run.parts), tuple(run.deltas))
