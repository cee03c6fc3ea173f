"""How many different names a run may have.

A worker keeps to limits of its own; but many workers, or one that lies, could make up new names
until the broker has no room left.  What is over the cap is counted under ``(other)``, as it is in a
worker, so that sums stay what they are.  Which names get in depends on who comes first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import KINDS, OTHER, SeriesKey
from loads.metrics.tally import Tally

MAX_SERIES = 5_000  #: of one run; five times those of one worker
MAX_COUNTERS = 2_500
MAX_FAILURES = 1_000
MAX_WARNINGS = 1_000
MAX_CHARACTERS = 1 << 24  #: of all names of one sort together

OTHER_FAILURE = Failure("error", OTHER, "too many different failures to keep them apart", "")
OTHER_WARNING = "There were too many different warnings to show all."

_REMEMBERED = 64  #: lists of names that are known to be within the cap
_SHORT = 1 << 17  #: bytes of a list that is remembered


class _Room:
    """Names of one sort; those that stand for the rest are always in it."""

    def __init__(self, most: int, others: Iterable[Hashable]) -> None:
        self._names = set(others)
        self._left = most
        self._characters = MAX_CHARACTERS

    def takes(self, name: Hashable, characters: int) -> bool:
        """Whether a name is in, now that it was asked for."""
        if name in self._names:
            return True
        if not self._left or characters > self._characters:
            return False
        self._names.add(name)
        self._left -= 1
        self._characters -= characters
        return True


class Cap:
    """The names of one run."""

    def __init__(self, most_series: int = MAX_SERIES) -> None:
        self._series = _Room(most_series, (SeriesKey(kind, OTHER) for kind in KINDS))
        self._counters = _Room(MAX_COUNTERS, (OTHER,))
        self._failures = _Room(MAX_FAILURES, (OTHER_FAILURE,))
        self._tests = _Room(most_series, ())  # that failed
        self._warnings = _Room(MAX_WARNINGS, (OTHER_WARNING,))
        self._passed: set[bytes] = set()

    def admit(self, tally: Tally) -> Tally:
        """The tally with all that is over the cap as ``(other)``; it is not changed."""
        fits = [
            self._admits_series(tally),
            all(self._takes_text(self._counters, name) for name in tally.counters),
            all(self._takes_failure(failure) for failure in tally.failures),
            all(self._takes_tests(group) for group in tally.failures.values()),
            all(self._takes_text(self._warnings, text) for text in tally.warnings),
        ]
        return tally if all(fits) else self._limited(tally)

    def _admits_series(self, tally: Tally) -> bool:
        """Most reports have the names of the one before, which are not looked at again."""
        fits = True
        for written, keys in tally.names():
            if written and written in self._passed:
                continue
            if not all(self._takes_series(key) for key in keys):
                fits = False
            elif written and len(written) <= _SHORT:
                if len(self._passed) >= _REMEMBERED:
                    self._passed.clear()
                self._passed.add(written)
        return fits

    def _takes_series(self, key: SeriesKey) -> bool:
        return self._series.takes(key, len(key.name) + len(key.method))

    def _takes_text(self, room: _Room, text: str) -> bool:
        return room.takes(text, len(text))

    def _takes_failure(self, failure: Failure) -> bool:
        return self._failures.takes(failure, sum(map(len, failure)))

    def _takes_tests(self, group: FailureGroup) -> bool:
        return all(self._takes_text(self._tests, test) for test in group.tests)

    def _limited(self, tally: Tally) -> Tally:
        limited = Tally()
        for key, series in tally.copy().series.items():
            taken = key if self._takes_series(key) else SeriesKey(key.kind, OTHER)
            limited.line(taken).merge(series)
        for name, number in tally.counters.items():
            taken_name = name if self._takes_text(self._counters, name) else OTHER
            limited.counters[taken_name] = limited.counters.get(taken_name, 0) + number
        for failure, group in tally.failures.items():
            tests = frozenset(test for test in group.tests if self._takes_text(self._tests, test))
            mine = FailureGroup(group.count, group.first, group.last, tests)
            taken_failure = failure if self._takes_failure(failure) else OTHER_FAILURE
            known = limited.failures.setdefault(taken_failure, mine)
            if known is not mine:
                known.merge(mine)
        limited.warnings = {
            text if self._takes_text(self._warnings, text) else OTHER_WARNING
            for text in tally.warnings
        }
        limited.counts, limited.elapsed = dict(tally.counts), tally.elapsed
        limited.timeline.merge(tally.timeline)
        return limited
