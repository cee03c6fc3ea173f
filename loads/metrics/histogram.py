"""A latency histogram: log-linear, constant relative error, exact count, sum, minimum, maximum.

Values are whole microseconds.  Up to 255 each has its own bucket; above, every power of two is
cut into 128 buckets, so that a bucket is never wider than 1/128 (0.78 %) of its values.  This is
HdrHistogram's arrangement for two significant digits, which makes that library our test oracle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

SUB_BITS = 7
SUB_BUCKETS = 1 << SUB_BITS
MAX_VALUE = 3_600_000_000  # one hour in microseconds; what is longer counts in the last bucket


def bucket_of(value: int) -> int:
    """The index of the bucket that holds ``value`` microseconds."""
    if value < 2 * SUB_BUCKETS:
        return max(value, 0)
    value = min(value, MAX_VALUE)
    shift = value.bit_length() - SUB_BITS - 1
    return (shift << SUB_BITS) + (value >> shift)


BUCKETS = bucket_of(MAX_VALUE) + 1


def highest_of(bucket: int) -> int:
    """The highest value in microseconds that a bucket holds."""
    if bucket < 2 * SUB_BUCKETS:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return (((bucket & (SUB_BUCKETS - 1)) + SUB_BUCKETS + 1) << shift) - 1


class Histogram:
    """Counts of values, mergeable without any loss.

    ``counts`` maps a bucket's index to the number of values in it; ``total`` is the exact sum and
    ``low``, ``high`` the exact extremes, all in microseconds.
    """

    __slots__ = ("counts", "high", "low", "total")

    def __init__(
        self,
        counts: Mapping[int, int] | None = None,
        total: int = 0,
        low: int | None = None,
        high: int | None = None,
    ) -> None:
        self.counts: dict[int, int] = dict(counts or {})
        self.total = total
        self.low = low
        self.high = high

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        """The histogram of some values in microseconds."""
        histogram = cls()
        for value in values:
            histogram.record(value)
        return histogram

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts.values())

    def record(self, value: int) -> None:
        """Count one value of ``value`` microseconds."""
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total += value
        self.low = value if self.low is None else min(self.low, value)
        self.high = value if self.high is None else max(self.high, value)

    def merge(self, other: Histogram) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total
        if other.low is not None:
            self.low = other.low if self.low is None else min(self.low, other.low)
        if other.high is not None:
            self.high = other.high if self.high is None else max(self.high, other.high)

    def percentile(self, percent: float) -> int | None:
        """The smallest value that at least ``percent`` of all values do not exceed (nearest rank).

        Microseconds; at most 0.78 % above the true value, never above the exact maximum.
        None when nothing was recorded.
        """
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: tuple[float, ...]) -> list[int | None]:
        """Several percentiles, which must ascend, in one pass over the buckets."""
        count = self.count
        if not count:
            return [None] * len(percents)
        found: list[int | None] = []
        ranks = [max(1, math.ceil(percent * count / 100 - 1e-9)) for percent in percents]
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            while len(found) < len(ranks) and seen >= ranks[len(found)]:
                found.append(self._clamp(highest_of(bucket)))
        return found

    def _clamp(self, value: int) -> int:
        low = value if self.low is None else self.low
        high = value if self.high is None else self.high
        return max(low, min(value, high))

    @property
    def mean(self) -> float | None:
        """The exact mean in microseconds, or None when nothing was recorded."""
        count = self.count
        return self.total / count if count else None

    def pack(self) -> list[Any]:
        """As plain data: ``[total, low, high, [bucket, count, bucket, count, ...]]``."""
        flat = [number for pair in sorted(self.counts.items()) for number in pair]
        return [self.total, self.low, self.high, flat]

    @classmethod
    def unpack(cls, data: Any) -> Histogram:
        """The inverse of :meth:`pack`.  Raises ``ValueError`` when the data is no histogram."""
        total, low, high, flat = data
        if not isinstance(flat, list | tuple):
            raise ValueError("buckets and their counts are a list")
        whole = [total, *flat, *(edge for edge in (low, high) if edge is not None)]
        if len(flat) % 2 or not all(isinstance(n, int) and 0 <= n < 1 << 63 for n in whole):
            raise ValueError("a histogram is made of natural numbers")
        buckets, counts = flat[::2], flat[1::2]
        if buckets and max(buckets) >= BUCKETS:
            raise ValueError("a histogram has no such bucket")
        if len(set(buckets)) != len(buckets):
            raise ValueError("a histogram has each bucket once")
        if {low is None, high is None} != {not buckets} or (buckets and low > high):
            raise ValueError("a histogram has extremes if it has counts")
        return cls(dict(zip(buckets, counts, strict=True)), total, low, high)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram of {self.count}: {self.low}..{self.high} us>"
