"""Series as columns, read and added up.

A broker gets thousands of reports per second with hundreds of rows each, so nothing here costs per
row what Python costs: columns are checked and summed as arrays.  See :mod:`~loads.metrics.packing`
for what they hold.

numpy is imported by this module, and this module where columns are read: in brokers and by those
who follow their runs.  Agents and local runs do without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loads.metrics.histogram import BUCKETS, Histogram
from loads.metrics.packing import FIELDS, MAX_OUTCOME, MOST, names_in, width_of, written_names
from loads.metrics.series import Phases, Series, SeriesKey

Array = NDArray[np.int64]

DENSE = 1 << 22  #: cells that sums may have room for; above, what is there is sorted instead
OUTCOMES = MAX_OUTCOME + 1
# The same functions as methods of arrays take several times as long to get started.
_sums, _highest, _lowest = np.add.accumulate, np.maximum.reduce, np.minimum.reduce

NOTHING = MOST  #: the lowest latency where there is none
FIELD_NAMES = [field for group in FIELDS for field in group]
LOW, HIGH = FIELD_NAMES.index("low"), FIELD_NAMES.index("high")
_GROUPS = ((0, len(FIELDS[0])), (len(FIELDS[0]), len(FIELD_NAMES)))
TYPES = {width: np.dtype(f"<u{width}") for width in (1, 2, 4, 8)}
_REMEMBERED = 256  #: lists of names; those that were learned first go first
_CACHED = 1 << 17  #: bytes of one that is remembered; of longer ones there may not be many
_known: dict[bytes, Names] = {}


class Names:
    """What the rows are: groups of kind, method and names.  ``written`` is their wire form."""

    __slots__ = ("groups", "rows", "written")

    def __init__(self, groups: Iterable[tuple[str, str, Iterable[str]]]) -> None:
        """The caller knows that none is there twice.  Raises ``ValueError`` for what is no text."""
        self.groups = tuple((kind, method, tuple(names)) for kind, method, names in groups)
        self.rows = sum(len(names) for _, _, names in self.groups)
        self.written = written_names(self.groups)

    @classmethod
    def read(cls, data: Any) -> Names:
        """Raises ``ValueError`` or ``TypeError`` when the data is no names."""
        if type(data) is not bytes:
            raise TypeError("names are JSON in bytes")
        return _known.get(data) or _learned(data)

    def keys(self) -> Iterator[SeriesKey]:
        """What the rows are, one by one."""
        for kind, method, names in self.groups:
            for name in names:
                yield SeriesKey(kind, name, method)


def _learned(data: bytes) -> Names:
    text = names_in(data)
    found = _parsed_names(text)
    if len(text) <= _CACHED:
        while len(_known) >= _REMEMBERED:
            del _known[next(iter(_known))]
        _known[data] = found
    return found


def _parsed_names(text: bytes) -> Names:
    groups = [(kind, method, names) for kind, method, names in json.loads(text)]
    for kind, method, names in groups:
        if type(names) is not list or {type(kind), type(method), *map(type, names)} != {str}:
            raise ValueError("kinds, methods and lists of names are texts")
        if len(set(names)) != len(names):
            raise ValueError("a name is there once")
    if len({(kind, method) for kind, method, _ in groups}) != len(groups):
        raise ValueError("a kind and method is there once")
    return Names(groups)


class Columns:
    """Series that were read, or added up.  Never changed.

    ``names`` are what the rows are.  ``fields`` is an array with a line for each of
    :data:`~loads.metrics.packing.FIELDS`; the lowest of nothing is higher than all, so that it is
    the lowest of nothing else.  ``outcomes`` and ``buckets`` are ``row * N + number``, ascending,
    and their counts how often each happened.
    """

    __slots__ = (
        "_counts",
        "bucket_counts",
        "buckets",
        "fields",
        "names",
        "outcome_counts",
        "outcomes",
        "rows",
    )

    def __init__(
        self,
        names: Names,
        fields: Array,
        outcomes: tuple[Array, Array],
        buckets: tuple[Array, Array],
        counts: dict[str, int] | None = None,
    ) -> None:
        self.names = names
        self.rows = names.rows
        self.fields = fields
        self.outcomes, self.outcome_counts = outcomes
        self.buckets, self.bucket_counts = buckets
        self._counts = counts

    def write(self) -> list[Any]:
        """As plain data and bytes: what :func:`~loads.metrics.packing.write` makes of series."""
        fields = self.fields.copy()
        fields[LOW][fields[LOW] == NOTHING] = 0
        return [
            self.names.written,
            *(_column(fields[first:last].reshape(-1)) for first, last in _GROUPS),
            *_pairs(self.outcomes, self.outcome_counts, self.rows, OUTCOMES),
            *_pairs(self.buckets, self.bucket_counts, self.rows, BUCKETS),
        ]

    # -- reading -----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many numbers these are, the most numerous of them: what adding them up costs."""
        return len(self.buckets) + len(self.outcomes) + self.names.rows

    @property
    def recorded(self) -> int:
        """How many hits, tests and timings."""
        return sum(self._counted().values())

    def count(self, kind: str) -> int:
        """How many hits or tests, over all series of a kind."""
        return self._counted().get(kind, 0)

    def _counted(self) -> dict[str, int]:
        if self._counts is None:
            ends = np.arange(1, self.names.rows + 1) * OUTCOMES
            counted = np.zeros(len(self.outcomes) + 1, np.int64)
            self.outcome_counts.cumsum(out=counted[1:])
            up_to = counted[np.searchsorted(self.outcomes, ends)]
            self._counts = by_kind(self.names, up_to)
        return self._counts

    def outcomes_by(self, kind: str) -> dict[int, int]:
        """How often each outcome happened over all series of a kind."""
        sums = np.zeros(OUTCOMES, np.int64)
        for part in self._outcomes_of(kind):
            np.add.at(sums, self.outcomes[part] % OUTCOMES, self.outcome_counts[part])
        return {code: int(sums[code]) for code in np.flatnonzero(sums).tolist()}

    def _outcomes_of(self, kind: str) -> Iterator[slice]:
        """Where the outcomes of a kind are."""
        start = 0
        for group_kind, _, names in self.names.groups:
            end = start + len(names)
            if group_kind == kind:
                yield slice(*np.searchsorted(self.outcomes, (start * OUTCOMES, end * OUTCOMES)))
            start = end

    def series(self) -> dict[SeriesKey, Series]:
        """The series as objects, which are the caller's own."""
        rows = zip(
            self.names.keys(),
            self.fields.T.tolist(),
            _dicts(self.outcomes, self.outcome_counts, self.rows, OUTCOMES),
            _dicts(self.buckets, self.bucket_counts, self.rows, BUCKETS),
            strict=True,
        )
        return {key: _series(*row) for key, *row in rows}


def by_kind(names: Names, up_to: Array, before: int = 0) -> dict[str, int]:
    """What the rows of each kind counted, given what each row and those ``before`` it did."""
    counts: dict[str, int] = {}
    row = 0
    for kind, _, group in names.groups:
        row += len(group)
        if group:
            counted = int(up_to[row - 1])
            counts[kind] = counts.get(kind, 0) + counted - before
            before = counted
    return counts


def _series(fields: list[int], outcomes: dict[int, int], buckets: dict[int, int]) -> Series:
    total, low, high, received, waiting, sent, hits, sending, receiving = fields
    extremes = (low, high) if buckets else (None, None)
    histogram = Histogram(buckets, total, *extremes)
    return Series(histogram, outcomes, sent, received, Phases(hits, sending, waiting, receiving))


# -- adding up -------------------------------------------------------------------------------------


def added(parts: Sequence[Columns]) -> Columns:
    """All parts as one.

    What would be over :data:`~loads.metrics.packing.MOST` in it is that.
    """
    if len(parts) == 1:
        return parts[0]
    names = parts[0].names
    if all(part.names is names for part in parts):
        sums = _summed_fields(parts)
    else:
        names, parts, sums = _brought_together(parts)
    outcomes = _counted(
        [part.outcomes for part in parts],
        [part.outcome_counts for part in parts],
        names.rows * OUTCOMES,
    )
    buckets = _counted(
        [part.buckets for part in parts],
        [part.bucket_counts for part in parts],
        names.rows * BUCKETS,
    )
    return Columns(names, _capped(sums), outcomes, buckets)


def _summed_fields(parts: Sequence[Columns]) -> Array:
    """The fields of parts with the same names: one by one, which stays in the processor's cache."""
    sums: Array = parts[0].fields.copy()
    low, high = sums[LOW].copy(), sums[HIGH].copy()
    for part in parts[1:]:
        sums += part.fields
        np.minimum(low, part.fields[LOW], out=low)
        np.maximum(high, part.fields[HIGH], out=high)
    sums[LOW], sums[HIGH] = low, high
    return sums


def _brought_together(parts: Sequence[Columns]) -> tuple[Names, list[Columns], Array]:
    """The names of parts that differ in them, the parts with those rows, and their fields' sums.

    The fields of the parts stay as they were: a thousand parts with a thousand names each of their
    own have room in memory, but not a thousand times all of these names.
    """
    different = {part.names.written: part.names for part in parts}
    names, all_places = _places(list(different.values()))
    places = dict(zip(different, all_places, strict=True))
    sums = np.zeros((len(FIELD_NAMES), names.rows), np.int64)
    low, high = np.full(names.rows, NOTHING), np.zeros(names.rows, np.int64)
    moved = []
    for part in parts:
        place = places[part.names.written]
        sums[:, place] += part.fields
        low[place] = np.minimum(low[place], part.fields[LOW])
        high[place] = np.maximum(high[place], part.fields[HIGH])
        outcomes = _moved(part.outcomes, place, OUTCOMES)
        buckets = _moved(part.buckets, place, BUCKETS)
        counts = part.outcome_counts, part.bucket_counts
        moved.append(Columns(names, part.fields, (outcomes, counts[0]), (buckets, counts[1])))
    sums[LOW], sums[HIGH] = low, high
    return names, moved, sums


def _counted(keys: list[Array], counts: list[Array], cells: int) -> tuple[Array, Array]:
    """How often each key is there, below ``cells``."""
    key, count = np.concatenate(keys), np.concatenate(counts)
    if cells <= DENSE:
        sums = np.zeros(cells, np.int64)
        np.add.at(sums, key, count)
        key = np.flatnonzero(sums)
        return key, _capped(sums[key])
    key, inverse = np.unique(key, return_inverse=True)
    sums = np.zeros(len(key), np.int64)
    np.add.at(sums, inverse, count)
    return key, _capped(sums)


def _places(parts: Sequence[Names]) -> tuple[Names, list[Array]]:
    """The names of all parts, each once, and which of them the rows of each part are."""
    index: dict[tuple[str, str], dict[str, int]] = {}
    for part in parts:
        for kind, method, names in part.groups:
            known = index.setdefault((kind, method), {})
            for name in names:
                known.setdefault(name, 0)
    all_names = Names((*key, sorted(index[key])) for key in sorted(index))
    row = 0
    for kind, method, ordered in all_names.groups:
        index[kind, method] = dict(zip(ordered, range(row, row + len(ordered)), strict=True))
        row += len(ordered)
    places = [
        [index[kind, method][name] for kind, method, names in part.groups for name in names]
        for part in parts
    ]
    return all_names, [np.array(place, np.int64) for place in places]


def _moved(keys: Array, places: Array, width: int) -> Array:
    row, number = np.divmod(keys, width)
    moved: Array = places[row] * width + number
    return moved


def _capped(sums: Array) -> Array:
    """Sums that ran over, as only lies do: a number of 63 bits is 300,000 years in microseconds."""
    sums[sums < 0] = MOST
    return sums


# -- columns ---------------------------------------------------------------------------------------


def _column(numbers: Array) -> bytes:
    width = width_of(int(numbers.max())) if len(numbers) else 1
    return bytes((width,)) + numbers.astype(TYPES[width]).tobytes()


def _pairs(keys: Array, counts: Array, rows: int, width: int) -> list[bytes]:
    row, number = np.divmod(keys, width)
    return [_column(np.bincount(row, minlength=rows)), _column(number), _column(counts)]


def _dicts(keys: Array, counts: Array, rows: int, width: int) -> list[dict[int, int]]:
    row, number = np.divmod(keys, width)
    ends = np.cumsum(np.bincount(row, minlength=rows)).tolist()
    numbers, times = number.tolist(), counts.tolist()
    starts = [0, *ends][:rows]
    return [
        dict(zip(numbers[start:end], times[start:end], strict=True))
        for start, end in zip(starts, ends, strict=True)
    ]
