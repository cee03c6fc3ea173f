"""The runs that have ended: how much of them is in memory, and for how long.

Those that ended last are here in full, so that their consoles are answered at once.  The others are
in the storage only, as soon as that says so.  While it fails, they are held as they are to be
stored, which takes much less than a run does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from loads.broker import documents as d
from loads.broker.book import Book
from loads.broker.records import final_parts, heading_of, history_parts
from loads.broker.state import Run
from loads.metrics.history import History
from loads.storage.base import DropDeltas, Record, SavePart, SaveRun, StoredRun


class Shelf:
    """Forgets runs that have ended, but none that is nowhere else."""

    def __init__(self, book: Book) -> None:
        self.is_failing = False  #: the storage
        self._book = book
        self._histories = 0  # bytes of those that are held

    def stored(self, run_ids: Iterable[str]) -> None:
        """Runs are in the storage, with all that belongs to them."""
        for run_id in run_ids:
            self._drop(run_id)
            run = self._book.runs.get(run_id)
            if run is not None:
                run.is_stored = run.is_sealed

    def removed(self, run_ids: Iterable[str]) -> None:
        """Runs were removed from the storage, to make room."""
        for run_id in run_ids:
            self._drop(run_id)
            run = self._book.runs.get(run_id)
            if run is not None and run.is_sealed:
                del self._book.runs[run_id]

    def clear(self) -> None:
        """Have no more in memory than has to be there.

        Of too many runs, checks go first, then those that ended first.  The history of any may be
        larger than all else that is known of it, and is wanted by nobody here.
        """
        runs = self._book.runs
        ended = [run for run in runs.values() if run.state == "ended"]
        surplus = len(ended) - self._book.settings.kept_runs
        if surplus > 0:
            ended.sort(key=lambda run: not run.is_check)
            for run in ended[:surplus]:
                self._let_go(run)
        if not self.is_failing:
            for run in ended:
                if run.is_stored and not run.is_light:
                    run.history, run.is_light = History(), True

    def _let_go(self, run: Run) -> None:
        if not (run.is_check or run.is_stored):
            if not self.is_failing or run.saved is None:
                return  # it is being stored
            self._hold(run)
        del self._book.runs[run.run_id]

    def _hold(self, run: Run) -> None:
        parts = final_parts(run)
        history = history_parts(run)
        size = _size_of_history({part.name: part.body for part in history})
        if self._histories + size <= self._book.settings.held_histories:
            self._histories += size
            parts += history
        elif size:
            self._book.log("warning", f"Run {run.run_id}: its history will not be stored.")
        assert run.saved is not None
        bodies = {part.name: part.body for part in parts}
        self._book.held[run.run_id] = StoredRun(heading_of(run.saved), bodies)

    def _drop(self, run_id: str) -> None:
        held = self._book.held.pop(run_id, None)
        if held is not None:
            self._histories -= _size_of_history(held.parts)

    def everything(self) -> list[Record]:
        """What a storage is to have of the runs that are held."""
        records: list[Record] = []
        for run_id, held in self._book.held.items():
            heading = held.heading
            records.append(SaveRun(run_id, heading.created, heading.ended, heading.head))
            records += [SavePart(run_id, name, body) for name, body in held.parts.items()]
            records.append(DropDeltas(run_id))
        return records


def _size_of_history(parts: Mapping[str, bytes]) -> int:
    return sum(len(body) for name, body in parts.items() if name.startswith(d.HISTORY))
