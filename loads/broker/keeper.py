"""Keeps what the broker's core wants kept, and goes on in memory while that is not possible."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from loads.broker.actions import Action, Event, LookUp, Removed, StorageFailed, StorageWorks
from loads.broker.archive import answer
from loads.broker.core import Core
from loads.clock import Clock
from loads.errors import StorageError
from loads.protocol.limits import clipped
from loads.protocol.messages import Reply
from loads.storage.base import AddDelta, DropDeltas, Record, SavePart, Storage, trim

RETRY = 5.0  #: seconds between two attempts to write to a storage that has failed
TIDY = 60.0  #: seconds between two looks at what is too old or too much
COMPACT_AT = 8 << 20  #: bytes of deltas of a run that are worth a new snapshot of its ledger

log = logging.getLogger("loads.broker")


class Keeper:
    """A storage with its troubles.  Methods give events for the core."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        max_size: int | None = None,
        max_age: float | None = None,
    ) -> None:
        """Ended runs are removed when all runs take over ``max_size`` bytes, or when they ended
        ``max_age`` seconds ago.
        """
        self._storage = storage
        self._clock = clock
        self._max_size = max_size
        self._max_age = max_age
        self._is_failing = False
        self._retry_at = 0.0
        self._tidy_at = 0.0
        self._growth: dict[str, int] = {}  #: bytes of deltas of a run, since its last snapshot
        self._enough: dict[str, int] = {}  #: how many are worth the next one

    def restore(self, core: Core) -> list[Action]:
        """Have the core take up what is stored.  Raises :class:`StorageError`."""
        going, ended = self._storage.open_runs(), self._storage.ended_runs()
        where = self._storage.describe()
        log.info("Runs are kept in %s: %d have ended, %d go on", where, len(ended), len(going))
        for run in going:
            run_id, size = run.heading.run_id, sum(map(len, run.parts.values()))
            self._growth[run_id] = sum(map(len, run.deltas))
            self._enough[run_id] = max(COMPACT_AT, 2 * size)
        return core.restore(going, ended, self._clock.monotonic())

    def keep(self, records: Sequence[Record], core: Core) -> list[Event]:
        """Write records, all or none; when this returns without complaint they are safe."""
        if self._is_failing or not records:
            return []
        try:
            self._storage.write(records)
            self._compact(records, core)
        except Exception as error:
            return self._fail(error)
        return []

    def _compact(self, records: Sequence[Record], core: Core) -> None:
        """Put a snapshot of a ledger in place of its deltas when those have become many.

        At twice the size of the snapshot, so that all snapshots together cost no more than the
        deltas did.
        """
        for record in records:
            if isinstance(record, DropDeltas):  # for a snapshot that the core wanted
                self._growth.pop(record.run_id, None)
            elif isinstance(record, AddDelta):
                grown = self._growth.get(record.run_id, 0) + len(record.body)
                self._growth[record.run_id] = grown
        full = [
            run_id
            for run_id, grown in self._growth.items()
            if grown >= self._enough.get(run_id, COMPACT_AT)
        ]
        for run_id in full:
            snapshot = core.compact(run_id)
            self._storage.write(snapshot)
            size = sum(len(part.body) for part in snapshot if isinstance(part, SavePart))
            self._growth[run_id], self._enough[run_id] = 0, max(COMPACT_AT, 2 * size)

    def _fail(self, error: Exception) -> list[Event]:
        """Go on in memory; a mistake of ours in a storage ends no run either."""
        self._is_failing, self._retry_at = True, self._clock.monotonic() + RETRY
        if not isinstance(error, StorageError):
            log.error("This is a bug in Loads; it goes on.", exc_info=error)
        reason = error.message if isinstance(error, StorageError) else repr(error)
        log.warning("Runs are not stored, and go on in memory: %s", reason)
        return [StorageFailed(clipped(reason))]

    def tick(self, core: Core) -> list[Event]:
        """Try again what did not work, and make room."""
        now = self._clock.monotonic()
        if self._is_failing and now >= self._retry_at:
            return self._retry(core)
        if not self._is_failing and now >= self._tidy_at:
            self._tidy_at = now + TIDY
            self._growth = {run_id: n for run_id, n in self._growth.items() if run_id in core.runs}
            self._enough = {run_id: n for run_id, n in self._enough.items() if run_id in core.runs}
            return self._tidy()
        return []

    def _retry(self, core: Core) -> list[Event]:
        try:
            self._storage.write(core.everything())
        except Exception as error:
            log.debug("Still not stored: %s", error)
            self._retry_at = self._clock.monotonic() + RETRY
            return []
        self._is_failing = False
        self._growth = {}
        log.info("All runs are stored again in %s", self._storage.describe())
        return [StorageWorks()]

    def _tidy(self) -> list[Event]:
        oldest = None if self._max_age is None else self._clock.wall() - self._max_age
        try:
            removed = trim(self._storage, oldest, self._max_size)
        except Exception as error:
            return self._fail(error)
        if not removed:
            return []
        log.info("Removed %s that had ended, to make room", _runs(len(removed)))
        return [Removed(tuple(removed))]

    def look_up(self, asked: LookUp) -> Reply:
        """The answer to a request for a run that is not in the core's memory."""
        stored = None
        try:
            stored = self._storage.run(asked.run_id)
        except Exception as error:
            log.warning("A run was not looked up: %s", error)
        return answer(asked, stored)

    def close(self) -> None:
        """Close the storage."""
        self._storage.close()


def _runs(number: int) -> str:
    return f"{number:,} run" if number == 1 else f"{number:,} runs"
