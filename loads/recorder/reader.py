"""The supervisor's side of a recorder."""

from __future__ import annotations

import json

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.histogram import BUCKETS, SUB_BUCKETS, Histogram
from loads.metrics.series import TEST, Phases, Series, SeriesKey
from loads.metrics.tally import COUNTS, Tally
from loads.recorder import layout
from loads.recorder.memory import Memory

_CHUNKS = range(0, BUCKETS, SUB_BUCKETS)  # a power of two each: most never change at all
_ZEROS = bytes(SUB_BUCKETS * layout.CELL)
_SUMS = (layout.TOTAL, layout.SENT, layout.RECEIVED, *range(layout.PHASES, layout.PHASES + 4))
_HALF, _WRAP = 1 << 63, 1 << 64


def _cells(data: bytes) -> memoryview:
    return memoryview(data).cast("Q")


class _SeriesReader:
    """Reads one series: what is new in it since the last reading."""

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells
        self._chunks: dict[int, bytes] = {}
        self._sums = [0] * len(_SUMS)
        self._others: dict[int, int] = {}

    def read(self) -> Series | None:
        """What is new, or None.  Buckets are read first: see ``layout`` for why that is exact."""
        counts = self._new_buckets()
        count = sum(counts.values())
        if not count:
            return None
        outcomes = self._new_outcomes(count)
        low, high = self._cells[layout.LOW], self._cells[layout.HIGH]
        now = [self._cells[at] for at in _SUMS]
        total, sent, received, *phases = (n - old for n, old in zip(now, self._sums, strict=True))
        self._sums = now
        histogram = Histogram(counts, total, low, high)
        return Series(histogram, outcomes, sent, received, Phases(*phases))

    def _new_buckets(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        touched = self._cells[layout.TOUCHED]
        for number, chunk in enumerate(_CHUNKS):
            if not touched >> number & 1:
                continue
            start = layout.BUCKETS_AT + chunk
            end = min(start + SUB_BUCKETS, layout.SERIES_CELLS)
            now = self._cells[start:end].tobytes()
            before = self._chunks.get(chunk, _ZEROS[: len(now)])
            if now != before:
                self._chunks[chunk] = now
                for offset, (new, old) in enumerate(zip(_cells(now), _cells(before), strict=True)):
                    if new != old:
                        counts[chunk + offset] = new - old
        return counts

    def _new_outcomes(self, count: int) -> dict[int, int]:
        """Give ``count`` new hits their outcomes: what no other outcome claims is the first's.

        A worker counts another outcome before the bucket, so a reading may find more of them
        than new hits; those over are left for the next reading.
        """
        outcomes: dict[int, int] = {}
        left = count
        end = layout.OUTCOME_SLOTS + 2 * layout.OUTCOMES
        for slot in range(layout.OUTCOME_SLOTS, end, 2):
            outcome, total = self._cells[slot], self._cells[slot + 1]
            new = min(total - self._others.get(slot, 0), left)
            if new:
                self._others[slot] = self._others.get(slot, 0) + new
                outcomes[outcome] = outcomes.get(outcome, 0) + new
                left -= new
        if left:
            first = self._cells[layout.FIRST_OUTCOME]
            outcomes[first] = outcomes.get(first, 0) + left
        return outcomes


class RecorderReader:
    """Reads a worker's memory; each reading gives what came since the one before it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._cells = memory.cells
        self._strings_read = 0
        self._series: list[tuple[SeriesKey, _SeriesReader]] = []
        self._failures: list[tuple[Failure, set[str]]] = []
        self._failure_counts: list[int] = []
        self._counters: list[str] = []
        self._counter_values: list[int] = []
        self._counts = [0] * len(COUNTS)
        self._hits = 0

    @property
    def users(self) -> int:
        """The virtual users active now."""
        return int(self._cells[layout.USERS])

    def read(self) -> Tally:
        """What was recorded since the last reading.  Never raises on a worker that was killed."""
        tally = Tally()
        self._read_definitions()
        tally.series = self._read_series()
        self._read_failures(tally)
        self._read_counters(tally)
        for index, name in enumerate(COUNTS):
            value = self._cells[layout.COUNTS + index]
            if value != self._counts[index]:
                tally.counts[name] = value - self._counts[index]
                self._counts[index] = value
        tally.elapsed = self._cells[layout.ELAPSED] / 1e6
        tally.timeline.add(int(tally.elapsed), tally.second())
        self._hits += tally.hits
        return tally

    def _read_series(self) -> dict[SeriesKey, Series]:
        """What is new.  Where that is most series, the others are there as well, empty.

        The names of a report are then the same again and again, and who has read them once need
        not do so again (see ``metrics.packing``).
        """
        # A test ends after its hits: who is read while it runs has counted the hits of all tests
        # that have been counted.
        tests_first = sorted(self._series, key=lambda series: series[0].kind != TEST)
        read = [(key, reader.read()) for key, reader in tests_first]
        new = {key: series for key, series in read if series is not None}
        if len(new) < len(read) <= 2 * len(new):
            return {key: Series() if series is None else series for key, series in read}
        return new

    @property
    def under_way(self) -> int:
        """How many hits had been started but not ended at the last reading."""
        return max(0, self._counts[COUNTS.index("hits_started")] - self._hits)

    def _read_definitions(self) -> None:
        used = self._cells[layout.STRINGS_USED]
        start = layout.STRINGS_AT + self._strings_read
        lines = bytes(self._memory.bytes[start : layout.STRINGS_AT + used])
        self._strings_read = used
        for line in lines.split(b"\n")[:-1]:
            kind, *rest = json.loads(line)
            if kind == "series":
                at = layout.SERIES + len(self._series) * layout.SERIES_CELLS
                cells = self._cells[at : at + layout.SERIES_CELLS]
                self._series.append((SeriesKey(*rest), _SeriesReader(cells)))
            elif kind == "failure":
                self._failures.append((Failure(*rest), set()))
                self._failure_counts.append(0)
            elif kind == "test":
                self._failures[rest[0]][1].add(rest[1])
            elif kind == "counter":
                self._counters.append(rest[0])
                self._counter_values.append(0)

    def _read_failures(self, tally: Tally) -> None:
        for index, (failure, tests) in enumerate(self._failures):
            at = layout.FAILURES + index * layout.FAILURE_CELLS
            count = self._cells[at + layout.FAILURE_COUNT]
            new = count - self._failure_counts[index]
            if new:
                self._failure_counts[index] = count
                first = self._cells[at + layout.FAILURE_FIRST] / 1e6
                last = self._cells[at + layout.FAILURE_LAST] / 1e6
                tally.failures[failure] = FailureGroup(new, first, last, frozenset(tests))

    def _read_counters(self, tally: Tally) -> None:
        for index, name in enumerate(self._counters):
            value = self._cells[layout.COUNTERS + index]
            value = value - _WRAP if value >= _HALF else value
            if value != self._counter_values[index]:
                tally.counters[name] = value - self._counter_values[index]
                self._counter_values[index] = value

    def close(self) -> None:
        """Let go of the memory."""
        self._series.clear()
        self._memory.close()
