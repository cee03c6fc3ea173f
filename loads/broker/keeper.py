"""Keeps what the broker's core wants kept, and goes on in memory while that is not possible.

What was decided together with something that is to be kept is done once that is safe.  The keeper
counts what it was given, and says up to where all is :attr:`~Keeper.kept`, or was given up: nobody
waits for a storage that has failed, or has not answered for some seconds.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from loads.broker.actions import (
    Action,
    Event,
    LookUp,
    Removed,
    StorageFailed,
    StorageWorks,
    Stored,
)
from loads.broker.archive import answer
from loads.broker.clerk import Clerk, Done, Work, clerk_for
from loads.broker.core import Core
from loads.clock import Clock
from loads.errors import ExitCode, StorageError
from loads.protocol.limits import clipped
from loads.protocol.messages import Refused, Reply
from loads.storage.base import AddDelta, DropDeltas, Record, SavePart, SaveRun, Storage, trim

PATIENCE = 3.0  #: seconds that a storage may take for anything
RETRY_PATIENCE = 60.0  #: seconds that it may take to catch up
RETRY = 5.0  #: seconds between two attempts to write to a storage that has failed
TIDY = 60.0  #: seconds between two looks at what is too old or too much
COMPACT_AT = 8 << 20  #: bytes of deltas of a run that are worth a new snapshot of its ledger
AT_ONCE = 10  #: runs that are removed before others have their turn
LATE = 1.0  #: seconds between two looks; what is more is the broker's own, and not the storage's

log = logging.getLogger("loads.broker")


class _Job(NamedTuple):
    """What to do when a job is done, or has failed; both give events for the core."""

    then: Callable[[Any], list[Event]]
    failed: Callable[[Exception], list[Event]]
    patience: float = PATIENCE


class Keeper:
    """A storage with its troubles.  Methods give events for the core."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        max_size: int | None = None,
        max_age: float | None = None,
        compact_at: int = COMPACT_AT,
        clerk: Clerk | None = None,
    ) -> None:
        """Ended runs are removed when all runs take over ``max_size`` bytes, or when they ended
        ``max_age`` seconds ago.  The deltas of a run make way for a snapshot when they have
        ``compact_at`` bytes.
        """
        self.given = 0  #: how often something was to be kept
        self.kept = 0  #: up to which of those all is safe, or was given up
        self._storage = storage
        self._clerk = clerk or clerk_for(storage)
        self._clock = clock
        self._max_size = max_size
        self._max_age = max_age
        self._compact_at = compact_at
        self._jobs: dict[int, _Job] = {}
        self._unwritten: deque[Sequence[Record]] = deque()
        self._missed: list[Record] | None = None  #: while all is written again
        self._failure = ""
        self._silence = 0.0
        self._looked_at = clock.monotonic()
        self._retry_at = 0.0
        self._tidy_at = 0.0
        self._growth: dict[str, int] = {}  #: bytes of deltas of a run, since its last snapshot
        self._enough: dict[str, int] = {}  #: how many are worth the next one

    @property
    def wakes(self) -> int | None:
        """A descriptor that is readable when it is time to :meth:`look`."""
        return self._clerk.wakes

    def restore(self, core: Core) -> list[Action]:
        """Have the core take up what is stored.  Raises :class:`StorageError`."""
        going, ended = self._storage.open_runs(), self._storage.ended_runs()
        where = self._storage.describe()
        log.info("Runs are kept in %s: %d have ended, %d go on", where, len(ended), len(going))
        for run in going:
            run_id, size = run.heading.run_id, sum(map(len, run.parts.values()))
            self._growth[run_id] = sum(map(len, run.deltas))
            self._enough[run_id] = max(self._compact_at, 2 * size)
        return core.restore(going, ended, self._clock.monotonic())

    # -- writing ---------------------------------------------------------------------------------

    def keep(self, records: Sequence[Record], core: Core) -> list[Event]:
        """Have records written, all or none: they are safe when :attr:`kept` says so."""
        if not records:
            return []
        if self._failure:
            if self._missed is not None:
                self._missed += records
            return []
        self._write(records)
        for run_id in self._full(records):
            snapshot = core.compact(run_id)
            self._write(snapshot)
            size = sum(len(part.body) for part in snapshot if isinstance(part, SavePart))
            self._growth[run_id], self._enough[run_id] = 0, max(self._compact_at, 2 * size)
        return self.look()

    def _write(self, records: Sequence[Record], *then: Event) -> None:
        self.given += 1
        self._unwritten.append(records)
        events = (*then, *_ended_in(records))
        self._give(self._write_all, self._note(self.given, events), self._fail)

    def _write_all(self, storage: Storage) -> None:
        """Write what has come together meanwhile; another job may find that nothing is left."""
        records: list[Record] = []
        while self._unwritten:
            records += self._unwritten.popleft()
        if records:
            storage.write(records)

    def _note(self, number: int, events: Sequence[Event]) -> Callable[[Any], list[Event]]:
        def then(_: Any) -> list[Event]:
            self.kept = max(self.kept, number)
            return list(events)

        return then

    def _full(self, records: Sequence[Record]) -> list[str]:
        """Runs with so many deltas that a snapshot of their ledgers is to take their place.

        At twice the size of the snapshot, so that all snapshots together cost no more than the
        deltas did.
        """
        for record in records:
            if isinstance(record, DropDeltas):  # for a snapshot that the core wanted
                self._growth.pop(record.run_id, None)
            elif isinstance(record, AddDelta):
                grown = self._growth.get(record.run_id, 0) + len(record.body)
                self._growth[record.run_id] = grown
        return [
            run_id
            for run_id, grown in self._growth.items()
            if grown >= self._enough.get(run_id, self._compact_at)
        ]

    def _give(
        self,
        work: Work,
        then: Callable[[Any], list[Event]],
        failed: Callable[[Exception], list[Event]],
        patience: float = PATIENCE,
    ) -> None:
        self._jobs[self._clerk.give(work)] = _Job(then, failed, patience)

    # -- what comes of it ------------------------------------------------------------------------

    def look(self) -> list[Event]:
        """See what has been done."""
        events: list[Event] = []
        for done in self._clerk.done():
            self._silence = 0.0
            events += self._heed(done)
        return events

    def _heed(self, done: Done) -> list[Event]:
        job = self._jobs.pop(done.number, None)
        if job is None:  # it was given up
            return []
        return job.then(done.result) if done.error is None else job.failed(done.error)

    def _fail(self, error: Exception) -> list[Event]:
        """Go on in memory; a mistake of ours in a storage ends no run either."""
        self._retry_at = self._clock.monotonic() + RETRY
        self._unwritten.clear()
        self._clerk.drop()
        jobs, self._jobs = self._jobs, {}
        self.kept = self.given
        self._silence = 0.0
        if not isinstance(error, StorageError):
            log.error("This is a bug in Loads; it goes on.", exc_info=error)
        reason = error.message if isinstance(error, StorageError) else repr(error)
        self._failure = reason
        log.warning("Runs are not stored, and go on in memory: %s", reason)
        events: list[Event] = [StorageFailed(clipped(reason))]
        for job in jobs.values():
            if job.failed != self._fail:
                events += job.failed(error)
        return events

    # -- with time -------------------------------------------------------------------------------

    def tick(self, core: Core) -> list[Event]:
        """Give up what does not answer, try again what did not work, and make room."""
        events, now = self.look(), self._clock.monotonic()
        passed, self._looked_at = now - self._looked_at, now
        if self._jobs:
            self._silence += min(passed, LATE)
            job = self._jobs[min(self._jobs)]
            if self._silence > job.patience:
                return events + self._give_up(job)
        elif self._failure and self._clerk.is_busy:
            pass  # with what it was told before
        elif self._failure and now >= self._retry_at:
            self._retry(core)
        elif now >= self._tidy_at:
            self._tidy_at = now + TIDY
            self._tidy(core)
        return events + self.look()

    def _give_up(self, job: _Job) -> list[Event]:
        where = self._storage.describe()
        error = StorageError(f"{where} has not answered for {self._silence:.0f} s.")
        if not self._failure:
            return self._fail(error)
        self._clerk.drop()
        self._jobs, self._silence = {}, 0.0
        return job.failed(error)

    def _retry(self, core: Core) -> None:
        records = core.everything()
        ended = _ended_in(records)
        self._missed = []  # from here on
        self._give(
            lambda storage: storage.write(records),
            lambda _: self._recover(ended),
            self._fail_again,
            RETRY_PATIENCE,
        )

    def _fail_again(self, error: Exception) -> list[Event]:
        log.debug("Still not stored: %s", error)
        self._missed = None
        self._retry_at = self._clock.monotonic() + RETRY
        return []

    def _recover(self, ended: list[Event]) -> list[Event]:
        missed, self._missed, self._failure = self._missed, None, ""
        self._growth = {}
        log.info("All runs are stored again in %s", self._storage.describe())
        if not missed:
            return [StorageWorks(), *ended]
        self._full(missed)
        self._write(missed, StorageWorks())
        return ended

    def _tidy(self, core: Core) -> None:
        self._growth = {run_id: n for run_id, n in self._growth.items() if run_id in core.runs}
        self._enough = {run_id: n for run_id, n in self._enough.items() if run_id in core.runs}
        oldest = None if self._max_age is None else self._clock.wall() - self._max_age
        self._give(
            lambda storage: trim(storage, oldest, self._max_size, AT_ONCE),
            self._removed,
            self._not_removed if self._failure else self._fail,
        )

    def _removed(self, run_ids: Any) -> list[Event]:
        if not run_ids:
            return []
        if len(run_ids) == AT_ONCE:
            self._tidy_at = 0.0
        log.info("Removed %s that had ended, to make room", _runs(len(run_ids)))
        self._retry_at = 0.0
        return [Removed(tuple(run_ids))]

    def _not_removed(self, error: Exception) -> list[Event]:
        """It may take room to make room; there is another attempt in a minute."""
        log.debug("Nothing was removed: %s", error)
        return []

    # -- reading ---------------------------------------------------------------------------------

    def look_up(self, asked: LookUp, reply: Callable[[Reply], None]) -> list[Event]:
        """Answer a request for a run that is not in the core's memory, now or later."""

        def then(stored: Any) -> list[Event]:
            reply(answer(asked, stored))
            return []

        def failed(error: Exception) -> list[Event]:
            log.warning("A run was not looked up: %s", error)
            reply(_unread(asked, error.message if isinstance(error, StorageError) else repr(error)))
            return []

        if self._failure:
            reply(_unread(asked, self._failure))
        else:
            self._give(lambda storage: storage.run(asked.run_id), then, failed)
        return self.look()

    def close(self) -> None:
        """Close the storage, once all is written or it does not answer."""
        self._clerk.close(PATIENCE)


def _unread(asked: LookUp, reason: str) -> Refused:
    return Refused(
        asked.request,
        int(ExitCode.BROKER),
        clipped(f"Run {asked.run_id} cannot be looked up: {reason}"),
        "Runs that go on, and those that ended last, can be; the broker goes on trying.",
    )


def _ended_in(records: Sequence[Record]) -> list[Event]:
    """What to say when all of these are written."""
    ended = [r.run_id for r in records if isinstance(r, SaveRun) and r.ended is not None]
    return [Stored(tuple(ended))] if ended else []


def _runs(number: int) -> str:
    return f"{number:,} run" if number == 1 else f"{number:,} runs"
