"""Series that arrive as columns, read and checked.

The inverse of :mod:`~loads.metrics.packing`, with arrays: some forty operations, whatever the size
of what is read.  That is little for one report, and too much for each of the thousands that a
broker gets in a second; so those that are alike are read together, with as many operations as one.

What has no form of its own that could be wrong, such as a number in a column, needs no check.
Everything else is checked, before anybody sees any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from loads.metrics.columns import (
    FIELD_NAMES,
    HIGH,
    LOW,
    NOTHING,
    OUTCOMES,
    TYPES,
    Array,
    Columns,
    Names,
    by_kind,
)
from loads.metrics.histogram import BUCKETS
from loads.metrics.packing import FIELDS, MOST

SMALL = 1 << 16  #: bytes of what is read together with others; a message may have many megabytes
_COLUMNS = len(FIELDS) + 6
# The same functions as methods of arrays take several times as long to get started.
_sums, _highest, _lowest = np.add.accumulate, np.maximum.reduce, np.minimum.reduce


class _Document(NamedTuple):
    """What was written of one tally's series."""

    names: Names
    columns: list[bytes]

    @classmethod
    def of(cls, data: Any) -> _Document:
        names, *columns = data
        del columns[_COLUMNS:]  # what a later version may add
        if len(columns) < _COLUMNS or set(map(type, columns)) != {bytes} or not all(columns):
            raise ValueError("a column is bytes and begins with the width of its numbers")
        return cls(Names.read(names), columns)

    @property
    def kind(self) -> tuple[int, bytes]:
        """What is equal in documents that can be read together."""
        return self.names.rows, bytes([column[0] for column in self.columns])


def read(data: Any) -> Columns:
    """What :func:`~loads.metrics.packing.write` wrote.

    Raises ``ValueError`` or ``TypeError`` when the data is no series.
    """
    return _read_alike([_Document.of(data)])[0]


def read_together(many: Sequence[Any]) -> list[Columns | None]:
    """What was written many times.

    None in the place of what has to be read by itself: because there is nothing like it, because
    it is large, or because it or something like it is no series, and :func:`read` says why.
    """
    alike: dict[tuple[int, bytes], list[tuple[int, _Document]]] = {}
    for place, data in enumerate(many):
        try:
            document = _Document.of(data)
        except (ValueError, TypeError, RecursionError):
            continue
        if sum(map(len, document.columns)) <= SMALL:
            alike.setdefault(document.kind, []).append((place, document))
    found: list[Columns | None] = [None] * len(many)
    for group in alike.values():
        if len(group) > 1:
            try:
                together = _read_alike([document for _, document in group])
            except ValueError:
                continue
            for (place, _), columns in zip(group, together, strict=True):
                found[place] = columns
    return found


def _read_alike(documents: Sequence[_Document]) -> list[Columns]:
    """Documents of one kind; the arrays of each are parts of larger ones."""
    rows, many = documents[0].names.rows, len(documents)
    groups = [_Column(documents, place) for place in range(len(FIELDS))]
    for group, column in zip(FIELDS, groups, strict=True):
        if column.sizes != [len(group) * rows] * many:
            raise ValueError("a column has a number for each row and field")
    outcomes = _Pairs(documents, len(FIELDS), OUTCOMES)
    buckets = _Pairs(documents, len(FIELDS) + 3, BUCKETS)
    if np.count_nonzero(outcomes.up_to != buckets.up_to):
        raise ValueError("a series has one outcome for each latency")
    parts = [column.numbers.reshape(many, -1, rows or 1) for column in groups]
    fields = np.concatenate(parts, axis=1).reshape(many, len(FIELD_NAMES), rows)
    low, high = fields[:, LOW], fields[:, HIGH]
    silent = (buckets.lengths == 0).reshape(many, rows)
    if np.count_nonzero(low > high) or np.count_nonzero(high[silent]):
        raise ValueError("a series has extremes if it has counts")
    low[silent] = NOTHING
    counted = outcomes.up_to.reshape(many, rows)
    before = [0, *counted[:, -1].tolist()] if rows else [0] * many
    return [
        Columns(
            document.names,
            fields[n],
            outcomes.of(n),
            buckets.of(n),
            by_kind(document.names, counted[n], before[n]),
        )
        for n, document in enumerate(documents)
    ]


class _Column:
    """The same column of all documents: its ``numbers``, and how many each document has."""

    __slots__ = ("numbers", "sizes", "width")

    def __init__(self, documents: Sequence[_Document], place: int) -> None:
        columns = [document.columns[place] for document in documents]
        width = self.width = columns[0][0]
        if width not in TYPES or any((len(column) - 1) % width for column in columns):
            raise ValueError("a column begins with the width of its numbers, which are whole")
        self.sizes = [(len(column) - 1) // width for column in columns]
        joined = b"".join([column[1:] for column in columns])
        self.numbers: Array = np.frombuffer(joined, TYPES[width]).astype(np.int64)
        if width == 8 and len(self.numbers) and int(_lowest(self.numbers)) < 0:
            raise ValueError("a number has at most 63 bits")


class _Pairs:
    """Outcomes or buckets of all documents: ``row * N + number``, in each from its first row on.

    ``lengths`` are how many each row has, ``up_to`` the sum of the counts up to each row's end,
    from the first document on.
    """

    __slots__ = ("_counts", "_keys", "_starts", "lengths", "up_to")

    def __init__(self, documents: Sequence[_Document], place: int, most: int) -> None:
        rows, many = documents[0].names.rows, len(documents)
        lengths, numbers, counts = (_Column(documents, place + n) for n in range(3))
        if lengths.sizes != [rows] * many or counts.sizes != numbers.sizes or lengths.width > 4:
            raise ValueError("a column has a number for each row, or for each of another column")
        ends = _sums(lengths.numbers)
        self._starts = [0, *accumulate(numbers.sizes)]
        if (ends[rows - 1 :: rows].tolist() if rows else [0] * many) != self._starts[1:]:
            raise ValueError("a column has all numbers of all rows")
        if len(numbers.numbers) and int(_highest(numbers.numbers)) >= most:
            raise ValueError("there is no such outcome or bucket")
        if np.count_nonzero(counts.numbers) != len(counts.numbers):
            raise ValueError("what did not happen is not there")
        if counts.width == 8 and float(counts.numbers.sum(dtype=np.float64)) >= MOST:
            raise ValueError("counts add up to 63 bits")
        # as if all were rows of one document, so that what follows what is seen at once
        keys = np.arange(0, many * rows * most, most).repeat(lengths.numbers)
        keys += numbers.numbers
        if np.count_nonzero(keys[1:] <= keys[:-1]):
            raise ValueError("outcomes and buckets ascend")
        if many > 1:
            keys -= (np.arange(many) * (rows * most)).repeat(numbers.sizes)
        up_to = np.zeros(len(keys) + 1, np.int64)
        _sums(counts.numbers, out=up_to[1:])
        self._keys, self._counts = keys, counts.numbers
        self.lengths, self.up_to = lengths.numbers, up_to[ends]

    def of(self, number: int) -> tuple[Array, Array]:
        """Those of one document, and their counts."""
        own = slice(self._starts[number], self._starts[number + 1])
        return self._keys[own], self._counts[own]
