"""The worker's side of a recorder."""

from __future__ import annotations

import json
import time
from array import array

from loads.metrics.cap import OTHER_FAILURE
from loads.metrics.failures import Failure, clip, normalised
from loads.metrics.histogram import MAX_VALUE, SUB_BITS, bucket_of, highest_of
from loads.metrics.series import KINDS, OTHER, NoAnswer, SeriesKey
from loads.metrics.tally import COUNTS
from loads.recorder import layout
from loads.recorder.layout import (
    FIRST_OUTCOME,
    HIGH,
    LOW,
    PHASES,
    RECEIVED,
    SENT,
    TOTAL,
    TOUCHED,
)
from loads.recorder.memory import Memory

MAX_NAME = 1_000
_SENDING, _WAITING, _RECEIVING = PHASES + 1, PHASES + 2, PHASES + 3
_BUCKETS_AT = layout.BUCKETS_AT
_LOOKED_UP = 1 << 15  #: microseconds; most times are shorter
_COUNT_CELLS = {name: layout.COUNTS + i for i, name in enumerate(COUNTS)}
HITS_STARTED = _COUNT_CELLS["hits_started"]
CONNECTIONS_REUSED = _COUNT_CELLS["connections_reused"]
TESTS_STARTED = _COUNT_CELLS["tests_started"]
TOUCH_INTERVAL = 0.001  #: seconds that need not be told apart
_WRAP = 1 << 64


def _bucket_cells() -> array[int]:
    """The cell of a time's bucket in its series, by microseconds."""
    cells: array[int] = array("H")
    while len(cells) < _LOOKED_UP:
        bucket = bucket_of(len(cells))
        cells.extend([_BUCKETS_AT + bucket] * (highest_of(bucket) + 1 - len(cells)))
    return cells


_BUCKETS = _bucket_cells()


class SeriesRecord:
    """Records one series.  Kept by who records, so that a record is no look-up."""

    __slots__ = (
        "_cells", "_first", "_high", "_low", "_received", "_sending", "_slots", "_total",
        "_touched", "_waiting",
    )  # fmt: skip

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells
        # what the cells hold: writing them is half of reading and writing them
        self._total = self._received = self._sending = self._waiting = 0
        self._first = -1
        self._low = MAX_VALUE * 1_000
        self._high = 0
        self._slots: dict[int, int] = {}
        self._touched = 0

    def record(self, microseconds: int, outcome: int, sent: int = 0, received: int = 0) -> None:
        """Count one hit or test.  The order of the writes matters: see ``layout``."""
        if sent or received:
            self._cells[SENT] += sent
            self._cells[RECEIVED] = self._received = self._received + received
        self.record_time(max(1, microseconds), outcome)

    def record_time(self, microseconds: int, outcome: int) -> None:
        """Count what took some time, one microsecond at least, and has no bytes."""
        cells = self._cells
        cells[TOTAL] = self._total = self._total + microseconds
        if microseconds > self._high:
            self._high = cells[HIGH] = microseconds
        if microseconds < self._low:
            self._low = cells[LOW] = microseconds
        if outcome != self._first:
            self._count_outcome(outcome)
        # bucket_of(), in place: a call would cost a tenth of the whole record
        if microseconds < _LOOKED_UP:
            bucket = _BUCKETS[microseconds]
        else:
            bucket = bucket_of(microseconds) + _BUCKETS_AT
        count = cells[bucket]
        if not count:
            self._touch(bucket - _BUCKETS_AT)
        cells[bucket] = count + 1

    def record_answer(
        self,
        start: float,
        opening: float,
        sent_at: float,
        answered_at: float,
        end: float,
        status: int,
        sent: int,
        received: int,
    ) -> None:
        """Count one hit that was answered, with its phases: :meth:`record` and the other in one.

        Times are in seconds of one clock; ``opening`` is how many of the first went into the
        connection.
        """
        cells = self._cells
        microseconds = int((end - start) * 1e6) or 1
        cells[TOTAL] = self._total = self._total + microseconds
        if microseconds > self._high:
            self._high = cells[HIGH] = microseconds
        if microseconds < self._low:
            self._low = cells[LOW] = microseconds
        if sent:
            cells[SENT] += sent
        cells[RECEIVED] = self._received = self._received + received
        if status != self._first:
            self._count_outcome(status)
        waiting = int((answered_at - sent_at) * 1e6)
        cells[_WAITING] = self._waiting = self._waiting + waiting
        if end == answered_at and not opening:
            cells[_SENDING] = self._sending = self._sending + microseconds - waiting
        else:
            sending = int((sent_at - start - opening) * 1e6)
            cells[_SENDING] = self._sending = self._sending + sending
            cells[_RECEIVING] += int((end - answered_at) * 1e6)
        cells[PHASES] += 1
        if microseconds < _LOOKED_UP:
            bucket = _BUCKETS[microseconds]
        else:
            bucket = bucket_of(microseconds) + _BUCKETS_AT
        count = cells[bucket]
        if not count:
            self._touch(bucket - _BUCKETS_AT)
        cells[bucket] = count + 1

    def record_phases(self, sending: int, waiting: int, receiving: int) -> None:
        """Add the phases of one hit, in microseconds; what is negative was not measured."""
        cells = self._cells
        if sending > 0:
            cells[_SENDING] = self._sending = self._sending + sending
        if waiting > 0:
            cells[_WAITING] = self._waiting = self._waiting + waiting
        if receiving > 0:
            cells[_RECEIVING] += receiving
        cells[PHASES] += 1

    def _touch(self, bucket: int) -> None:
        """Have the reader look at this bucket's power of two from now on."""
        self._touched |= 1 << (bucket >> SUB_BITS)
        self._cells[TOUCHED] = self._touched

    def _count_outcome(self, outcome: int) -> None:
        if self._first < 0:
            self._first = outcome
            self._cells[FIRST_OUTCOME] = outcome
            return
        slot = self._slots.get(outcome)
        if slot is None:
            if len(self._slots) == layout.OUTCOMES - 1:  # the last slot is for all the rest
                slot = layout.OUTCOME_SLOTS + 2 * (layout.OUTCOMES - 1)
                self._cells[slot] = NoAnswer.OTHER
            else:
                slot = layout.OUTCOME_SLOTS + 2 * len(self._slots)
                self._cells[slot] = outcome
                self._slots[outcome] = slot
        self._cells[slot + 1] += 1


class Recorder:
    """Counts everything that happens in a worker."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        #: the memory itself, for who counts without a call; see the constants of this module
        self.cells = self._cells = memory.cells
        self.touch_at = 0.0  #: until then there is no need to say that something was recorded
        self._series: dict[SeriesKey, SeriesRecord] = {}
        self._defined_series = 0
        self._failures: dict[Failure, int] = {}
        self._failure_tests: set[tuple[int, str]] = set()
        self._counters: dict[str, int] = {}
        self._origin = time.monotonic()

    def start_clock(self, origin: float) -> None:
        """Say when the run starts, on the machine's monotonic clock."""
        self._origin = origin

    # -- what happens ------------------------------------------------------------------------

    def series(self, key: SeriesKey) -> SeriesRecord:
        """The record of a series; over the cap, that of ``(other)`` of its kind."""
        record = self._series.get(key)
        return self._find_series(key) if record is None else record

    def count(self, name: str, by: int = 1) -> None:
        """Count one of our own counts, named in ``metrics.tally.COUNTS``."""
        self._cells[_COUNT_CELLS[name]] += by

    def users(self, change: int) -> None:
        """``change`` users more are active."""
        self._cells[layout.USERS] += change

    def touch(self, now: float) -> None:
        """Something was recorded at ``now``: the run lasted at least until then."""
        self._cells[layout.ELAPSED] = max(0, int((now - self._origin) * 1e6))
        self.touch_at = now + TOUCH_INTERVAL

    def incr_counter(self, name: str, by: int = 1) -> None:
        """Add to a counter of the test's own."""
        index = self._counters.get(name)
        if index is None:
            index = self._open_counter(clip(name, MAX_NAME))
        cell = layout.COUNTERS + index
        self._cells[cell] = (self._cells[cell] + by) % _WRAP

    def failure(self, failure: Failure, test: str, now: float) -> None:
        """Count a failure of ``test``, in the group of those that are equal to it."""
        index, test = self._failure_index(normalised(failure)), clip(test, MAX_NAME)
        if (index, test) not in self._failure_tests and self._write(["test", index, test]):
            self._failure_tests.add((index, test))
        at = layout.FAILURES + index * layout.FAILURE_CELLS
        since_start = max(0, int((now - self._origin) * 1e6))
        if not self._cells[at + layout.FAILURE_COUNT]:
            self._cells[at + layout.FAILURE_FIRST] = since_start
        self._cells[at + layout.FAILURE_LAST] = since_start
        self._cells[at + layout.FAILURE_COUNT] += 1

    # -- definitions -------------------------------------------------------------------------

    def _write(self, line: list[object], reserve: int = layout.STRINGS_RESERVE) -> bool:
        """Append a definition; False when there is no room for it."""
        data = json.dumps(line).encode() + b"\n"
        used = self._cells[layout.STRINGS_USED]
        if used + len(data) > layout.STRINGS_SIZE - reserve:
            return False
        start = layout.STRINGS_AT + used
        self._memory.bytes[start : start + len(data)] = data
        self._cells[layout.STRINGS_USED] = used + len(data)
        return True

    def _find_series(self, key: SeriesKey) -> SeriesRecord:
        """The record of a key as it is written: cut, and alone under ``(other)``.

        What is over the cap is not remembered, so that endless names take no memory.
        """
        name, method = clip(key.name, MAX_NAME), clip(key.method, MAX_NAME)
        key = SeriesKey(key.kind, name, "" if name == OTHER else method)
        if key in self._series:
            return self._series[key]
        if name == OTHER:
            self._write(["series", *key], reserve=0)
        elif (
            # a place is kept for the overflow of each kind
            self._defined_series >= layout.MAX_SERIES - len(KINDS)
            or not self._write(["series", *key])
        ):
            return self._find_series(SeriesKey(key.kind, OTHER))
        start = layout.SERIES + self._defined_series * layout.SERIES_CELLS
        self._defined_series += 1
        self._series[key] = SeriesRecord(self._cells[start : start + layout.SERIES_CELLS])
        return self._series[key]

    def _open_counter(self, name: str) -> int:
        if name in self._counters:
            return self._counters[name]
        index = len(self._counters)
        if name == OTHER:
            self._write(["counter", name], reserve=0)
        elif index >= layout.MAX_COUNTERS - 1 or not self._write(["counter", name]):
            return self._open_counter(OTHER)
        self._counters[name] = index
        return index

    def _failure_index(self, failure: Failure) -> int:
        index = self._failures.get(failure)
        if index is None:
            index = len(self._failures)
            if failure is OTHER_FAILURE:
                self._write(["failure", *failure], reserve=0)
            elif index >= layout.MAX_FAILURES - 1 or not self._write(["failure", *failure]):
                return self._failure_index(OTHER_FAILURE)
            self._failures[failure] = index
        return index
