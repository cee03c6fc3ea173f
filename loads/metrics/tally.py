"""A tally: all that some workers measured over some time.

A delta between two readings of a worker is a tally, and so is the result of a whole run: there
is one kind of number in this project, and it merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from loads.metrics import packing
from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import HIT, TEST, Series, SeriesKey, Verdict, is_error
from loads.metrics.timeline import Second, Timeline

if TYPE_CHECKING:
    from loads.metrics.columns import Columns

MAX_HELD = 1 << 20  #: numbers in columns that are held, at 16 bytes each, before they are added up
MAX_PARTS = 1_000  #: in how many parts; each takes more than a kilobyte, however little is in it

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

    Series that came in columns stay in columns, and are added up as such when they are needed, many
    at once.  Only who looks at :attr:`series` makes objects of them.
    """

    __slots__ = (
        "_held",
        "_series",
        "_settled_size",
        "_size",
        "_totals",
        "counters",
        "counts",
        "elapsed",
        "failures",
        "timeline",
        "warnings",
    )

    def __init__(self) -> None:
        self._series: dict[SeriesKey, Series] = {}
        self._held: list[Columns] = []  # beside what is in _series
        self._size = self._settled_size = 0  # of what is held, now and when it was one part
        self._totals: dict[str, Series] = {}
        self.failures: dict[Failure, FailureGroup] = {}
        self.counters: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.timeline = Timeline()
        self.elapsed = 0.0
        self.warnings: set[str] = set()

    # -- recording ---------------------------------------------------------------------------

    @property
    def series(self) -> dict[SeriesKey, Series]:
        """What was measured, by :class:`~loads.metrics.series.SeriesKey`."""
        if self._held:
            held = self._settled()[0].series()
            self._held, self._size, self._settled_size = [], 0, 0
            self._add(held)
        return self._series

    @series.setter
    def series(self, series: dict[SeriesKey, Series]) -> None:
        self._series, self._held, self._totals = series, [], {}
        self._size = self._settled_size = 0

    def names(self) -> Iterator[tuple[bytes, Iterable[SeriesKey]]]:
        """What series there are, in parts that may overlap.

        With each is what its list of names is known again by; empty, where it has none.
        """
        if self._series:
            yield b"", self._series
        for held in self._held:
            yield held.names.written, held.names.keys()

    def line(self, key: SeriesKey) -> Series:
        """The series of ``key``, made when it is new."""
        self._totals.clear()  # who asks for a line may record in it
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
        lines = self.of_kind(kind).values()
        total = self._totals.get(kind)
        if total is None or total.count != sum(line.count for line in lines):
            total = self._totals[kind] = Series()
            for line in lines:
                total.merge(line)
        own = Series()
        own.merge(total)
        return own

    def outcomes(self, kind: str) -> dict[int, int]:
        """How often each outcome happened over all series of one kind; cheaper than a total."""
        outcomes: dict[int, int] = {}
        parts = [held.outcomes_by(kind) for held in self._held]
        parts += [series.outcomes for key, series in self._series.items() if key.kind == kind]
        for part in parts:
            for outcome, number in part.items():
                outcomes[outcome] = outcomes.get(outcome, 0) + number
        return outcomes

    @property
    def columns(self) -> Columns:
        """The series as columns, all added up."""
        from loads.metrics.columns import added
        from loads.metrics.unpacking import read

        parts = self._settled()  # for good: who is asked once is asked again, or kept for long
        if self._series or not parts:
            parts = [*parts, read(packing.write(self._series))]
        return parts[0] if len(parts) == 1 else added(parts)

    @property
    def kinds(self) -> set[str]:
        """The kinds of all series."""
        kinds = {key.kind for key in self._series}
        return kinds.union(*({kind for kind, _, _ in held.names.groups} for held in self._held))

    @property
    def hits(self) -> int:
        """How many hits, whatever their outcome."""
        mine = sum(series.count for key, series in self._series.items() if key.kind == HIT)
        return mine + sum(held.count(HIT) for held in self._held)

    @property
    def recorded(self) -> int:
        """How many hits, tests and timings, of all kinds together."""
        mine = sum(series.count for series in self._series.values())
        return mine + sum(held.recorded for held in self._held)

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
        measured = self._series or any(held.rows for held in self._held)
        return bool(measured or self.failures or self.counters or self.counts or self.warnings)

    # -- merging -----------------------------------------------------------------------------

    def merge(self, other: Tally) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        self._add(other._series)
        if other._held:
            self._held += other._settled()
            self._size += other._size
            is_much = self._size > max(MAX_HELD, 2 * self._settled_size)
            if is_much or len(self._held) > MAX_PARTS:
                self._settled()
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

    def _add(self, series: dict[SeriesKey, Series]) -> None:
        """Merge series, into the totals of their kind as well where those are known."""
        for key, line in series.items():
            mine = self._series.get(key)
            if mine is None:
                mine = self._series[key] = Series()
            mine.merge(line)
            if key.kind in self._totals:
                self._totals[key.kind].merge(line)

    def _settled(self) -> list[Columns]:
        """What is held, as a single part."""
        if len(self._held) > 1:
            from loads.metrics.columns import added

            self._held = [added(self._held)]
            self._size = self._settled_size = self._held[0].size
        return self._held

    def copy(self) -> Tally:
        """A tally of its own with the same numbers."""
        twin = Tally()
        twin.merge(self)
        return twin

    def until(self, seconds: float) -> Tally:
        """The same, as if nothing of it was later than so many seconds after the run's start."""
        timeline = self.timeline.until(int(seconds))
        if timeline is self.timeline and self.elapsed <= seconds:
            return self
        nearer = self.copy()
        nearer.timeline, nearer.elapsed = timeline, min(self.elapsed, seconds)
        return nearer

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        rows = [[*key, series.pack()] for key, series in sorted(self.series.items())]
        return [rows, *self._pack()]

    @classmethod
    def unpack(cls, data: Any) -> Tally:
        """Raises ``ValueError`` or ``TypeError`` when the data is no tally."""
        series, *rest = data
        tally = cls()
        for kind, name, method, body in series:
            tally.line(SeriesKey(str(kind), str(name), str(method))).merge(Series.unpack(body))
        tally._unpack(rest)
        return tally

    def write(self) -> list[Any]:
        """As it travels: like :meth:`pack`, with the series in columns."""
        series = self.columns.write() if self._held else packing.write(self._series)
        return [series, *self._pack()]

    @staticmethod
    def read_together(many: list[Any]) -> None:
        """Read some of what was written in many tallies, in place, which takes less at once.

        What this leaves as it is, or says nothing about, is for :meth:`read`.
        """
        from loads.metrics.unpacking import read_together

        many = [data for data in many if type(data) is list and data]
        for data, columns in zip(many, read_together([data[0] for data in many]), strict=True):
            if columns is not None:
                data[0] = columns

    @classmethod
    def read(cls, data: Any) -> Tally:
        """The inverse of :meth:`write`, also after :meth:`read_together`.

        Raises ``ValueError`` or ``TypeError`` when the data is no tally.
        """
        from loads.metrics.columns import Columns
        from loads.metrics.unpacking import read

        series, *rest = data
        tally = cls()
        tally._held = [series if type(series) is Columns else read(series)]
        tally._size = tally._held[0].size
        tally._unpack(rest)
        return tally

    def _pack(self) -> list[Any]:
        """All but the series."""
        return [
            [[*failure, group.pack()] for failure, group in sorted(self.failures.items())],
            dict(sorted(self.counters.items())),
            dict(sorted(self.counts.items())),
            self.timeline.pack(),
            self.elapsed,
            sorted(self.warnings),
        ]

    def _unpack(self, data: list[Any]) -> None:
        failures, counters, counts, timeline, elapsed, warnings, *_ = data
        for kind, type_, message, traceback, body in failures:
            failure = Failure(str(kind), str(type_), str(message), str(traceback))
            group = FailureGroup.unpack(body)
            if failure in self.failures:
                self.failures[failure].merge(group)
            else:
                self.failures[failure] = group
        self.counters = _whole(counters)
        self.counts = _whole(counts)
        self.timeline = Timeline.unpack(timeline)
        if not isinstance(elapsed, int | float) or not 0 <= elapsed < 1e12:
            raise ValueError("elapsed is seconds since the start of the run")
        self.elapsed = float(elapsed)
        if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
            raise ValueError("warnings are texts")
        self.warnings = set(warnings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


def _whole(data: Any) -> dict[str, int]:
    if not isinstance(data, dict) or not {int, bool}.issuperset(map(type, data.values())):
        raise ValueError("counters are whole numbers by name")
    return {str(name): number for name, number in data.items()}
