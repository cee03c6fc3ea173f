"""How each series of a run went over time: coarse enough to be kept for good.

A run of any length has at most :data:`MAX_SLOTS` slots.  A slot is a second wide until the run
is longer than that, and then twice as wide, again and again.  The width follows from the latest
slot alone, so that histories merge in any order to the same.

Sixteen neighbouring buckets of a latency histogram count as one here, which leaves eight for each
power of two: a percentile of a slot is at most 12.5 % above the true one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from loads.metrics.histogram import BUCKETS, highest_of
from loads.metrics.series import HIT, TEST, Series, SeriesKey, Verdict
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second, Timeline

MAX_SLOTS = 900
CHUNK = 60  #: slots that are packed together: those that are full need not be packed again
CHUNKS = MAX_SLOTS // CHUNK
COARSE_BITS = 4
IN_TIME = 5  #: seconds that an update may be about: 10,000 workers report only that often
MAX_STEPS = 60  #: over which what came late is spread
MAX_CELLS = 50_000  #: of a bucket and a step each, which takes 0.05 s
_LAST_SECOND = 1 << 40


class Slot:
    """What ended of one series within one slot; ``total`` and ``high`` are microseconds."""

    __slots__ = ("buckets", "errors", "high", "total")

    def __init__(
        self, errors: int = 0, total: int = 0, high: int = 0, buckets: dict[int, int] | None = None
    ) -> None:
        self.errors = errors
        self.total = total
        self.high = high
        self.buckets: dict[int, int] = buckets if buckets is not None else {}

    @classmethod
    def of(cls, kind: str, series: Series) -> Slot:
        """A whole series as what ended within one slot."""
        buckets: dict[int, int] = {}
        for bucket, number in series.latency.counts.items():
            coarse = bucket >> COARSE_BITS
            buckets[coarse] = buckets.get(coarse, 0) + number
        errors = 0
        if kind == HIT:
            errors = series.errors
        elif kind == TEST:
            errors = sum(series.outcomes.get(bad, 0) for bad in (Verdict.FAILURE, Verdict.ERROR))
        return cls(errors, series.latency.total, series.latency.high or 0, buckets)

    @property
    def count(self) -> int:
        """How many hits or tests."""
        return sum(self.buckets.values())

    @property
    def mean(self) -> float | None:
        """Microseconds; None when there was nothing."""
        return self.total / self.count if self.count else None

    def percentile(self, percent: float) -> int | None:
        """The nearest-rank percentile in microseconds, at most 12.5 % too high.

        What took over an hour counts as an hour.
        """
        rank, seen = max(1.0, percent * self.count / 100 - 1e-9), 0
        for coarse in sorted(self.buckets):
            seen += self.buckets[coarse]
            if seen >= rank:
                return min(self.high, _highest_in(coarse))
        return None

    def split(self, weights: Sequence[int]) -> list[Slot]:
        """One slot for each weight, with its share of all, and alike of what was slow and fast.

        Merged, they are the whole.
        """
        room = shares(self.count, weights)
        parts = [Slot(errors) for errors in shares(self.errors, room)]
        took = [0] * len(parts)  # microseconds, if each had taken the most for its bucket
        last = max(self.buckets, default=0)
        for coarse in sorted(self.buckets):
            high = self.high if coarse == last else _highest_in(coarse)
            for place, number in enumerate(shares(self.buckets[coarse], room)):
                if number:
                    room[place] -= number
                    took[place] += number * high
                    parts[place].buckets[coarse] = number
                    parts[place].high = high
        for part, total in zip(parts, shares(self.total, took), strict=True):
            part.total = total
        return parts

    def merge(self, other: Slot) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        self.errors += other.errors
        self.total += other.total
        self.high = max(self.high, other.high)
        for coarse, number in other.buckets.items():
            self.buckets[coarse] = self.buckets.get(coarse, 0) + number

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        flat = [number for pair in sorted(self.buckets.items()) for number in pair]
        return [self.errors, self.total, self.high, flat]

    @classmethod
    def unpack(cls, data: Any) -> Slot:
        """Raises ``ValueError`` or ``TypeError`` when the data is no slot."""
        errors, total, high, flat, *_ = data
        numbers = (errors, total, high, *flat)
        if len(flat) % 2 or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ValueError("a slot is made of natural numbers")
        if flat and max(flat[::2]) > BUCKETS >> COARSE_BITS:
            raise ValueError("a slot has no such bucket")
        return cls(errors, total, high, dict(zip(flat[::2], flat[1::2], strict=True)))


class History:
    """Maps each series to its slots, and those by their number: ``second // width``.

    What is added to one slot is gathered in a tally, whose columns are cheap to merge, until
    something is added to another.
    """

    __slots__ = ("_changed", "_gathered", "_gathered_at", "_lines", "width")

    def __init__(self) -> None:
        self.width = 1
        self._lines: dict[SeriesKey, dict[int, Slot]] = {}
        self._gathered = Tally()
        self._gathered_at = 0
        self._changed: set[int] = set()

    def add(self, second: float, tally: Tally) -> None:
        """Enter what was measured up to ``second`` of a run, and not entered before.

        What its timeline says to be older than an update would be is entered where it belongs.
        """
        second = max(0, min(int(second), _LAST_SECOND))
        self._widen(_width_for(second))
        if second - min(tally.timeline.seconds, default=second) >= IN_TIME:
            self._spread(second, tally.copy())
            return
        number = second // self.width
        if number != self._gathered_at:
            self._settle()
            self._gathered_at = number
        self._gathered.merge(tally)

    def _spread(self, second: int, late: Tally) -> None:
        """Enter what came late by the seconds in which it ended, as its timeline has them.

        That has all hits together, so each series has its share of each second.
        """
        slots = [(key, Slot.of(key.kind, series)) for key, series in late.series.items()]
        buckets = sum(len(slot.buckets) for _, slot in slots)
        steps = _steps(late.timeline, second, max(1, min(MAX_STEPS, MAX_CELLS // max(1, buckets))))
        hits, tests = [s.hits for s in steps.values()], [s.tests for s in steps.values()]
        for key, slot in slots:
            weights = tests if any(tests) and (key.kind == TEST or not any(hits)) else hits
            for number, part in zip(steps, slot.split(weights), strict=True):
                self._enter(key, number // self.width, part)

    def _settle(self) -> None:
        gathered, self._gathered = self._gathered, Tally()
        for key, series in gathered.series.items():
            self._enter(key, self._gathered_at, Slot.of(key.kind, series))

    @property
    def lines(self) -> dict[SeriesKey, dict[int, Slot]]:
        """The slots of each series by their number."""
        self._settle()
        return self._lines

    def merge(self, other: History) -> None:
        """Add all that ``other`` holds.  ``other`` is not changed."""
        self._widen(other.width)
        ratio = self.width // other.width
        for key, slots in other.lines.items():
            for number, slot in slots.items():
                self._enter(key, number // ratio, slot)

    def _enter(self, key: SeriesKey, number: int, slot: Slot) -> None:
        if slot.buckets:
            self._changed.add(number // CHUNK)
            self._lines.setdefault(key, {}).setdefault(number, Slot()).merge(slot)

    def _widen(self, width: int) -> None:
        if width <= self.width:
            return
        narrow, ratio = self.lines, width // self.width
        self.width, self._lines = width, {}
        self._changed = set(range(CHUNKS))
        for key, slots in narrow.items():
            for number, slot in slots.items():
                self._enter(key, number // ratio, slot)

    def rows(self) -> Iterator[tuple[SeriesKey, int, Slot]]:
        """Each series, a second that a slot begins with, and the slot; in order."""
        for key, slots in sorted(self.lines.items()):
            for number, slot in sorted(slots.items()):
                yield key, number * self.width, slot

    def __bool__(self) -> bool:
        return bool(self.lines)

    def take_changed(self) -> list[int]:
        """The numbers of the chunks that changed since this was last called."""
        self._settle()
        changed, self._changed = sorted(self._changed), set()
        return changed

    def chunk(self, number: int) -> History:
        """A part of it: all chunks, merged in any order, are the whole."""
        part = History()
        part.width = self.width
        for key, slots in self.lines.items():
            for place in range(number * CHUNK, (number + 1) * CHUNK):
                if place in slots:
                    part._enter(key, place, slots[place])
        return part

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        lines = [
            [*key, [[number, *slot.pack()] for number, slot in sorted(slots.items())]]
            for key, slots in sorted(self.lines.items())
        ]
        return [self.width, lines]

    @classmethod
    def unpack(cls, data: Any) -> History:
        """Raises ``ValueError`` or ``TypeError`` when the data is no history."""
        width, lines, *_ = data
        if not isinstance(width, int) or width < 1 or width & (width - 1):
            raise ValueError("a slot's width is a power of two")
        history = cls()
        history.width = width
        for kind, name, method, slots in lines:
            for number, *slot in slots:
                if not isinstance(number, int) or not 0 <= number < MAX_SLOTS:
                    raise ValueError("a history has no such slot")
                key = SeriesKey(str(kind), str(name), str(method))
                history._enter(key, number, Slot.unpack(slot))
        return history

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


def _highest_in(coarse: int) -> int:
    """The most microseconds that are in a bucket."""
    return highest_of(((coarse + 1) << COARSE_BITS) - 1)


def shares(number: int, weights: Sequence[int]) -> list[int]:
    """A number of things in parts by their weights, by the method of the largest remainders.

    No part is one or more away from its quota.  Without any weight, the last has all.
    """
    total = sum(weights)
    if not total:
        return [0] * (len(weights) - 1) + [number]
    parts = [number * weight // total for weight in weights]
    left = number - sum(parts)
    if left:
        by_remainder = sorted(range(len(weights)), key=lambda i: -(number * weights[i] % total))
        for place in by_remainder[:left]:
            parts[place] += 1
    return parts


def _steps(timeline: Timeline, last: int, most: int) -> dict[int, Second]:
    """A timeline up to a second, in at most so many steps; each is named by its last second."""
    seconds = timeline.until(last).seconds
    first = min(seconds)
    width = -(-(last + 1 - first) // most)
    steps: dict[int, Second] = {}
    for number in sorted(seconds):
        end = min(last, first + (number - first) // width * width + width - 1)
        steps[end] = steps.get(end, Second()).plus(seconds[number])
    return steps


def _width_for(second: int) -> int:
    """The narrowest slots of which there are few enough up to a second."""
    width = 1
    while second // width >= MAX_SLOTS:
        width *= 2
    return width
