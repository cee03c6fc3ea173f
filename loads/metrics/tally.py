"""A tally: all that some workers measured over some time.

A delta between two readings of a worker is a tally, and so is the result of a whole run: there
is one kind of number in this project, and it merges.
"""

from __future__ import annotations

from typing import Any

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import HIT, TEST, Series, SeriesKey, Verdict, is_error
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
    "connections_reused",
)


class Tally:
    """Mergeable totals.

    ``series``    what was measured, by :class:`~loads.metrics.series.SeriesKey`
    ``failures``  failures of tests, grouped, by their normalised form
    ``counters``  the test's own counters, by name
    ``counts``    ours, by a name out of :data:`COUNTS`
    ``timeline``  what ended in which second
    ``elapsed``   seconds from the run's start to the last thing recorded
    ``warnings``  what else whoever reads the result should know
    """

    __slots__ = ("counters", "counts", "elapsed", "failures", "series", "timeline", "warnings")

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Series] = {}
        self.failures: dict[Failure, FailureGroup] = {}
        self.counters: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.timeline = Timeline()
        self.elapsed = 0.0
        self.warnings: set[str] = set()

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

    def outcomes(self, kind: str) -> dict[int, int]:
        """How often each outcome happened over all series of one kind; cheaper than a total."""
        outcomes: dict[int, int] = {}
        for series in self.of_kind(kind).values():
            for outcome, number in series.outcomes.items():
                outcomes[outcome] = outcomes.get(outcome, 0) + number
        return outcomes

    @property
    def hits(self) -> int:
        """How many hits, whatever their outcome."""
        return sum(self.outcomes(HIT).values())

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many tests ended in each way."""
        outcomes = self.outcomes(TEST)
        return {verdict: outcomes.get(verdict, 0) for verdict in Verdict}

    def second(self) -> Second:
        """The whole tally as what ended in one second: how a delta enters the timeline."""
        hits, tests = self.outcomes(HIT), self.outcomes(TEST)
        return Second(
            hits=sum(hits.values()),
            hit_errors=sum(n for outcome, n in hits.items() if is_error(outcome)),
            tests=sum(tests.values()),
            test_problems=tests.get(Verdict.FAILURE, 0) + tests.get(Verdict.ERROR, 0),
        )

    def __bool__(self) -> bool:
        return bool(self.series or self.failures or self.counters or self.counts or self.warnings)

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
        self.warnings |= other.warnings

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
            sorted(self.warnings),
        ]

    @classmethod
    def unpack(cls, data: Any) -> Tally:
        """Raises ``ValueError`` or ``TypeError`` when the data is no tally."""
        series, failures, counters, counts, timeline, elapsed, warnings, *_ = data
        tally = cls()
        for kind, name, method, body in series:
            tally.line(SeriesKey(str(kind), str(name), str(method))).merge(Series.unpack(body))
        for kind, type_, message, traceback, body in failures:
            failure = Failure(str(kind), str(type_), str(message), str(traceback))
            group = FailureGroup.unpack(body)
            if failure in tally.failures:
                tally.failures[failure].merge(group)
            else:
                tally.failures[failure] = group
        tally.counters = _whole(counters)
        tally.counts = _whole(counts)
        tally.timeline = Timeline.unpack(timeline)
        if not isinstance(elapsed, int | float) or not 0 <= elapsed < 1e12:
            raise ValueError("elapsed is seconds since the start of the run")
        tally.elapsed = float(elapsed)
        if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
            raise ValueError("warnings are texts")
        tally.warnings = set(warnings)
        return tally

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


def _whole(data: Any) -> dict[str, int]:
    if not isinstance(data, dict) or not all(isinstance(n, int) for n in data.values()):
        raise ValueError("counters are whole numbers by name")
    return {str(name): number for name, number in data.items()}
