"""How series travel: as columns.

A report of a worker has a row for each series that something happened in.  Written row by row, it
would be thousands of small numbers that the receiver has to look at one by one.  So each field is
one *column*: the numbers of all rows, one after the other, as unsigned integers of a common width.

A column is bytes: the first one says the width, 1, 2, 4 or 8 bytes, the numbers follow, the least
significant byte first.  Series in columns are a list of:

- the names, as JSON in bytes: ``[kind, method, [name, ...]]`` for each kind and method that there
  is.  The names in order are the rows.  As there may be many that begin alike, JSON of some length
  is compressed (zlib, RFC 1950), which takes a tenth of the bytes;
- a column for each group of :data:`FIELDS`: a number per row for the first field of the group,
  then one for the second, and so on.  The fields of a group are numbers of a like size;
- three columns of outcomes: how many each row has, which they are, in ascending order within
  a row, and how often each happened.  The first of the three is at most 4 bytes wide;
- three columns of buckets in the same way.

Writers sort their names, so that those who report the same series say so with the same bytes: a
reader that gets them once more knows what they are without looking into them.

This module writes them with what Python has, as agents do it; :mod:`~loads.metrics.columns`
reads them and adds them up.
"""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from loads.metrics.series import Series, SeriesKey

#: What each row has once; ``low`` and ``high`` are 0 where nothing was recorded.
FIELDS = (
    ("total", "low", "high", "received", "phases.waiting"),
    ("sent", "phases.hits", "phases.sending", "phases.receiving"),
)
MOST = (1 << 63) - 1  #: the highest number in a column
MAX_OUTCOME = 999  #: a status has three digits (RFC 9110, section 15)

SHORT = 256  #: bytes of names up to which they are not compressed
LONG = 4 << 20  #: bytes up to which they may be: more than a thousand of the longest names

#: The type codes of ``array`` by the width of an item in bytes.
WIDTHS = {array(code).itemsize: code for code in "BHLIQ"}


def write(series: Mapping[SeriesKey, Series]) -> list[Any]:
    """Series as plain data and bytes."""
    series = _spelled_out(series)
    rows = sorted(series.items(), key=lambda row: (row[0].kind, row[0].method, row[0].name))
    names: list[list[Any]] = []
    for key, _ in rows:
        if not names or names[-1][:2] != [key.kind, key.method]:
            names.append([key.kind, key.method, []])
        names[-1][2].append(key.name)
    lines = [line for _, line in rows]
    return [
        written_names(names),
        *(column(chain.from_iterable(zip(*rows, strict=True))) for rows in _fields(lines)),
        *_pairs([_outcomes(line) for line in lines]),
        *_pairs([_counted(line.latency.counts) for line in lines]),
    ]


def _spelled_out(series: Mapping[SeriesKey, Series]) -> Mapping[SeriesKey, Series]:
    """The series, with what has no UTF-8 form in their names as Python would escape it."""
    try:
        "".join(chain.from_iterable(series)).encode()
    except UnicodeEncodeError:
        spelled: dict[SeriesKey, Series] = {}
        for key, line in series.items():
            name = SeriesKey(*(part.encode(errors="backslashreplace").decode() for part in key))
            spelled.setdefault(name, Series()).merge(line)
        return spelled
    return series


def written_names(groups: Iterable[Sequence[Any]]) -> bytes:
    """Kinds, methods and names as JSON, compressed where it is worth it."""
    text = json.dumps(list(groups), ensure_ascii=False, separators=(",", ":")).encode()
    return _compressed(text) if SHORT < len(text) <= LONG else text


@lru_cache(maxsize=64)
def _compressed(text: bytes) -> bytes:
    """The same names are written again and again."""
    return zlib.compress(text, 1)  # more effort saves little: what names share is near


def names_in(data: bytes) -> bytes:
    """The JSON of written names.  Raises ``ValueError`` for what is none."""
    if data[:1] == b"[":
        return data
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, LONG)
    except zlib.error as error:
        raise ValueError("names are JSON, compressed or not") from error
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError("compressed names are whole, and not longer than they may be")
    return text


def _fields(lines: list[Series]) -> tuple[list[tuple[int, ...]], ...]:
    """What each row has of either group of fields."""
    large: list[tuple[int, ...]] = []
    small: list[tuple[int, ...]] = []
    for line in lines:
        latency, spent = line.latency, line.phases
        extremes = (latency.low or 0, latency.high or 0)
        large.append((latency.total, *extremes, line.received, spent.waiting))
        small.append((line.sent, spent.hits, spent.sending, spent.receiving))
    return large, small


def _outcomes(line: Series) -> list[tuple[int, int]]:
    """What no column has room for is under the highest outcome that it has."""
    if not line.outcomes or max(line.outcomes) <= MAX_OUTCOME:
        return _counted(line.outcomes)
    folded: dict[int, int] = {}
    for outcome, count in line.outcomes.items():
        known = min(outcome, MAX_OUTCOME)
        folded[known] = folded.get(known, 0) + count
    return _counted(folded)


def _counted(counts: Mapping[int, int]) -> list[tuple[int, int]]:
    return sorted((key, count) for key, count in counts.items() if count)


def _pairs(rows: list[list[tuple[int, int]]]) -> list[bytes]:
    """Lists of pairs as three columns: their lengths, the first numbers, the second ones."""
    flat = list(chain.from_iterable(rows))
    return [
        column([len(row) for row in rows]),
        column([key for key, _ in flat]),
        column([count for _, count in flat]),
    ]


def column(numbers: Iterable[int]) -> bytes:
    """Numbers as a column.  One that has no place in it becomes the nearest that has."""
    numbers = list(numbers)
    highest = max(numbers, default=0)
    if highest > MOST or min(numbers, default=0) < 0:
        numbers = [max(0, min(number, MOST)) for number in numbers]
        highest = max(numbers)
    width = width_of(highest)
    items = array(WIDTHS[width], numbers)
    if sys.byteorder == "big":
        items.byteswap()
    return bytes((width,)) + items.tobytes()


def width_of(highest: int) -> int:
    """The bytes that every number up to ``highest`` has room in."""
    return next(width for width in (1, 2, 4, 8) if highest < 1 << 8 * width)
