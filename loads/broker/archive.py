"""What the broker has kept of its runs, and how it finds them again.

After each event the head of every run is compared with the one that was saved last, so that no
change of a run can be forgotten here.  Numbers come as deltas, which are kept as they arrived.
The shell writes what is to be stored before it sends anything else that was decided at the same
time: what a peer has been told is never lost.

A broker that starts again takes up the runs that were going on.  Their agents come back by
themselves and say again what was not acknowledged; those that do not come in time are lost.
Updates go on with numbers far above all that were published before, so that consoles notice the
gap and ask for the whole picture.  The time of day may be another one than it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from loads.broker import documents as d
from loads.broker.actions import LookUp, Store
from loads.broker.book import Book
from loads.broker.records import (
    fill,
    final_parts,
    history_parts,
    part_kept,
    part_of,
    saved,
    whole,
)
from loads.broker.state import Run
from loads.broker.times import set_times
from loads.errors import ExitCode, LoadsError
from loads.ledger import LOST
from loads.metrics.summary import RunView
from loads.protocol import messages as m
from loads.protocol.codec import plan_size, unpack
from loads.storage.base import DropDeltas, Heading, Record, SavePart, SaveRun, StoredRun

_UPDATES = 10  #: bits for the number of updates that may be published in a millisecond
_MANY_UPDATES = 1 << 32  #: more than one broker publishes of a run


class Archive:
    """Says what is to be stored, and rebuilds runs from it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._listed: dict[str, int] = {}  # the bytes of the plans of ended runs
        self._listed_bytes = 0

    # -- keeping ---------------------------------------------------------------------------------

    def note(self, states_only: bool = False) -> None:
        """Have whatever has changed about runs stored; their numbers are elsewhere.

        With ``states_only``, of runs that are in another state now or must be saved.  What an agent
        says changes its own part, and to store a run for each of its agents would take the square
        of their number.
        """
        for run in self._book.runs.values():
            if run.is_sealed or run.is_check:
                continue
            if states_only and not run.must_save and run.saved and run.saved.state == run.state:
                continue
            run.must_save = False
            head = self._head(run)
            if head == run.saved:
                continue
            before, run.saved = run.saved, head
            self._store(saved(head))
            if run.state == "ended":
                self._seal(run, head)
            elif before is None or (run.started and not before.started):  # then all agents have it
                self._store(SavePart(run.run_id, d.BUNDLE, run.bundle))
            elif run.gave_up or _lost(head) != _lost(before):  # no delta tells of that
                run.gave_up = False
                for record in whole(run):
                    self._store(record)

    def _store(self, record: Record) -> None:
        self._book.do(Store(record))

    def _seal(self, run: Run, head: d.Head) -> None:
        """A run has ended: nothing about it will change."""
        run.is_sealed = True
        self._list(head)
        for part in final_parts(run):
            self._store(part)
        self._store(DropDeltas(run.run_id))

    def _list(self, head: d.Head) -> None:
        """Remember a run that has ended; of too many, or too large ones, the latest."""
        self._unlist(head.run_id)
        ended, settings = self._book.ended, self._book.settings
        ended[head.run_id] = head
        self._listed[head.run_id] = size = plan_size(head.plan)
        self._listed_bytes += size
        while len(ended) > settings.listed_runs or self._listed_bytes > settings.listed_bytes:
            self._unlist(next(iter(ended)))

    def unlist(self, run_ids: Iterable[str]) -> None:
        """Forget that there were such runs: they were removed from the storage."""
        for run_id in run_ids:
            self._unlist(run_id)

    def _unlist(self, run_id: str) -> None:
        self._book.ended.pop(run_id, None)
        self._listed_bytes -= self._listed.pop(run_id, 0)

    def _head(self, run: Run) -> d.Head:
        over = run.state == "ended"
        epoch = self._book.settings.epoch
        return d.Head(
            run_id=run.run_id,
            plan=run.plan,
            digest=run.digest,
            state=run.state,
            status=run.status,
            submitted=run.submitted,
            started=run.started,
            ended=run.ended,
            deadline=None if over or math.isinf(run.deadline) else run.deadline + epoch,
            stop_asked=run.stop_asked,
            parts=tuple(part_kept(part, epoch) for part in run.parts.values()),
            error_code=run.error_code,
            error=run.error,
            hint=run.hint,
            duration=run.ledger.total.elapsed or run.elapsed if over else 0.0,
            hits=run.ledger.total.hits if over else 0,
            number=run.number if over else run.numbered_from,
            aborted=run.aborted,
            remarks=tuple(run.remarks),
            submitted_by=run.submitted_by,
            submission=run.submission,
            patience=run.patience,
            turn=run.turn,
        )

    def compact(self, run_id: str) -> list[Record]:
        """What replaces all deltas of a run so far."""
        run = self._book.runs.get(run_id)
        return [] if run is None or run.saved is None or run.is_sealed else whole(run)

    def everything(self) -> list[Record]:
        """All that is known of all runs, for a storage that has missed some of it."""
        records: list[Record] = []
        for run in self._book.runs.values():
            if run.saved is None:
                continue
            records.append(saved(run.saved))
            if run.is_sealed:
                records += final_parts(run)
            else:
                records.append(SavePart(run.run_id, d.BUNDLE, run.bundle))
                records += whole(run)
            if not run.is_light:
                records += history_parts(run)
            records.append(DropDeltas(run.run_id))
        return records

    def warn(self, text: str) -> None:
        """Have the runs that go on say that they are not being stored."""
        for run in self._book.runs.values():
            if run.state != "ended":
                run.notes.add(text)

    def reassure(self) -> None:
        """All is stored again."""
        for run in self._book.runs.values():
            if run.state != "ended":
                run.notes.clear()

    # -- restoring -------------------------------------------------------------------------------

    def restore(self, going: Iterable[StoredRun], ended: Iterable[Heading]) -> None:
        """Take up the runs that were going on; ``ended`` begins with those that ended last."""
        for heading in reversed(list(ended)):
            try:
                self._list(unpack(d.Head, heading.head))
            except LoadsError as error:
                self._book.log("warning", f"Run {heading.run_id} cannot be read: {error.message}")
        bundles: dict[bytes, bytes] = {}  # each held once, as in the queue
        for stored in going:
            heading = stored.heading
            try:
                run = self._rebuild(stored)
            except LoadsError as error:
                self._book.log("warning", f"Run {heading.run_id} cannot go on: {error.message}")
                closed = SaveRun(heading.run_id, heading.created, self._book.wall, heading.head)
                self._store(closed)
                continue
            self._book.runs[run.run_id] = run
            run.bundle = bundles.setdefault(run.bundle, run.bundle)
            hits = run.ledger.total.hits
            self._book.log(
                "info",
                f"Run {run.run_id} goes on, {run.state}, with {hits:,} hits so far"
                + (f"; waiting for {', '.join(run.awaited)}." if run.awaited else "."),
            )

    def _rebuild(self, stored: StoredRun) -> Run:
        settings, now = self._book.settings, self._book.now
        head = unpack(d.Head, stored.heading.head)
        number = max(number_after_all(self._book.wall), head.number + _MANY_UPDATES)
        run = Run(
            head.run_id,
            head.plan,
            {part.agent_id: part_of(part, settings.epoch) for part in head.parts},
            deadline=math.inf if head.deadline is None else head.deadline - settings.epoch,
            state=head.state,
            started=head.started,
            started_at=head.started - settings.epoch if head.started else 0.0,
            stop_asked=head.stop_asked,
            number=number,
            numbered_from=number,
            error_code=head.error_code,
            error=head.error,
            hint=head.hint,
            submitted=head.submitted,
            submitted_by=head.submitted_by,
            submission=head.submission,
            patience=head.patience,
            turn=head.turn,
            digest=head.digest,
            bundle=stored.parts.get(d.BUNDLE, b""),
            saved=head,
            aborted=head.aborted,
            progressed_at=now,
            remarks=list(head.remarks),
        )
        fill(run, stored)
        set_times(run, self._book)
        run.published_at = now
        if run.started_at:
            run.elapsed = max(0.0, now - run.started_at)
            run.gathers = run.workers >= settings.gathered_from
        for part in run.parts.values():
            if not part.is_over:
                part.state = "preparing" if run.state == "preparing" else part.state
                run.awaited[part.agent_id] = now + settings.return_timeout
            part.gone_since = now
        return run


def _lost(head: d.Head) -> list[str]:
    return [part.agent_id for part in head.parts if part.state == LOST]


def number_after_all(wall: float) -> int:
    """A number for an update that is above those of all updates until now.

    It comes from the time of day, because not every update is worth a write to the storage; that
    may have been set back since one that is stored.
    """
    return int(wall * 1000) << _UPDATES


def answer(asked: LookUp, stored: StoredRun | None) -> m.Reply:
    """The reply to a request for a run that only the storage may know."""
    try:
        if stored is not None and d.RESULT in stored.parts:
            view = unpack(RunView, stored.parts[d.RESULT])
            number = max(asked.number, unpack(d.Head, stored.heading.head).number)
            return m.RunSnapshot(asked.request, number, view)
        error = LoadsError(
            f"The broker knows no run {asked.run_id}.", "It may have been forgotten."
        )
    except (LoadsError, ValueError) as damaged:
        error = LoadsError(f"The result of run {asked.run_id} cannot be read: {damaged}")
    return m.Refused(asked.request, int(ExitCode.USAGE), error.message, error.hint)
