"""A tally: all that some workers measured over some time.

A delta between two readings of a worker is a tally, and so is the result of a whole run: there
is one kind of number in this project, and it merges.
"""

from __future__ import annotations

from typing import Any

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import HIT, TEST, Series, SeriesKey, Verdict
from loads.metrics.timeline import Second, Timeline

#: Counts of our own, in the order in which a recorder keeps them.
COUNTS = (
    "tests_started",
    "tests_cut",
    "hits_started",
    "ws_opened",
    "ws_closed",
    "ws_messages_sent",
    "ws_messages_received",
    "ws_bytes_sent",
    "ws_bytes_received",
)


class Tally:
    """Mergeable totals.

    ``series``    what was measured, by :class:`~loads.metrics.series.SeriesKey`
    ``failures``  failures of tests, grouped, by their normalised form
    ``counters``  the test's own counters, by name
    ``counts``    ours, by a name out of :data:`COUNTS`
    ``timeline``  what ended in which second
    ``elapsed``   seconds from the run's start to the last thing recorded
    """

    __slots__ = ("counters", "counts", "elapsed", "failures", "series", "timeline")

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Series] = {}
        self.failures: dict[Failure, FailureGroup] = {}
        self.counters: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.timeline = Timeline()
        self.elapsed = 0.0

    # -- recording ---------------------------------------------------------------------------

    def line(self, key: SeriesKey) -> Series:
        """The series of ``key``, made when it is new."""
        return self.series.setdefault(key, Series())

    def count(self, name: str, by: int = 1) -> None:
        """Count one of ours."""
        self.counts[name] = self.counts.get(name, 0) + by

    # -- reading -----------------------------------------------------------------------------

    def of_kind(self, kind: str) -> dict[SeriesKey, Series]:
        """The series of one kind."""
        return {key: series for key, series in self.series.items() if key.kind == kind}

    def total(self, kind: str) -> Series:
        """All series of one kind as one."""
        total = Series()
        for series in self.of_kind(kind).values():
            total.merge(series)
        return total

    @property
    def hits(self) -> int:
        """How many hits, whatever their outcome."""
        return sum(series.count for series in self.of_kind(HIT).values())

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many tests ended in each way."""
        outcomes = self.total(TEST).outcomes
        return {verdict: outcomes.get(verdict, 0) for verdict in Verdict}

    def second(self) -> Second:
        """The whole tally as what ended in one second: how a delta enters the timeline."""
        hits, tests = self.total(HIT), self.total(TEST)
        bad = tests.outcomes.get(Verdict.FAILURE, 0) + tests.outcomes.get(Verdict.ERROR, 0)
        return Second(hits.count, hits.errors, tests.count, bad)

    def __bool__(self) -> bool:
        return bool(self.series or self.failures or self.counters or self.counts)

    # -- merging -----------------------------------------------------------------------------

    def merge(self, other: Tally) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        for key, series in other.series.items():
            self.line(key).merge(series)
        for failure, group in other.failures.items():
            mine = self.failures.get(failure)
            if mine is None:
                self.failures[failure] = FailureGroup.unpack(group.pack())
            else:
                mine.merge(group)
        for name, number in other.counters.items():
            self.counters[name] = self.counters.get(name, 0) + number
        for name, number in other.counts.items():
            self.count(name, number)
        self.timeline.merge(other.timeline)
        self.elapsed = max(self.elapsed, other.elapsed)

    def copy(self) -> Tally:
        """A tally of its own with the same numbers."""
        twin = Tally()
        twin.merge(self)
        return twin

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        return [
            [[*key, series.pack()] for key, series in sorted(self.series.items())],
            [[*failure, group.pack()] for failure, group in sorted(self.failures.items())],
            dict(sorted(self.counters.items())),
            dict(sorted(self.counts.items())),
            self.timeline.pack(),
            self.elapsed,
        ]

    @classmethod
    def unpack(cls, data: Any) -> Tally:
        """Raises ``ValueError`` or ``TypeError`` when the data is no tally."""
        series, failures, counters, counts, timeline, elapsed, *_ = data
        tally = cls()
        for kind, name, method, body in series:
            tally.line(SeriesKey(str(kind), str(name), str(method))).merge(Series.unpack(body))
        for kind, type_, message, traceback, body in failures:
            failure = Failure(str(kind), str(type_), str(message), str(traceback))
            tally.failures[failure] = FailureGroup.unpack(body)
        tally.counters = {str(name): int(number) for name, number in counters.items()}
        tally.counts = {str(name): int(number) for name, number in counts.items()}
        tally.timeline = Timeline.unpack(timeline)
        tally.elapsed = float(elapsed)
        return tally

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]
