"""How a run went, second by second."""

from __future__ import annotations

from operator import add
from typing import Any, NamedTuple


class Second(NamedTuple):
    """What ended within one second of a run."""

    hits: int = 0
    hit_errors: int = 0
    tests: int = 0
    test_problems: int = 0  #: tests that failed or errored

    def plus(self, other: Second) -> Second:
        return Second(*map(add, self, other))


class Timeline:
    """Maps the number of a second since the run's start to what ended in it."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: dict[int, Second] | None = None) -> None:
        self.seconds: dict[int, Second] = dict(seconds or {})

    def add(self, number: int, second: Second) -> None:
        """Count ``second`` in second ``number``; an empty one leaves no trace."""
        if any(second):
            self.seconds[number] = self.seconds.get(number, Second()).plus(second)

    def merge(self, other: Timeline) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        for number, second in other.seconds.items():
            self.add(number, second)

    def until(self, last: int) -> Timeline:
        """The same counts, with those of all seconds after ``last`` in that one."""
        if max(self.seconds, default=0) <= last:
            return self
        nearer = Timeline()
        for number, second in self.seconds.items():
            nearer.add(min(number, last), second)
        return nearer

    def hits_per_second(self, elapsed: float, window: int = 2) -> float:
        """The rate of hits over the last ``window`` whole seconds before ``elapsed``.

        In the first second, where there is no whole one yet, the rate so far.
        """
        last = int(elapsed)
        numbers = range(max(0, last - window), last)
        if not numbers:
            return self.seconds.get(0, Second()).hits / elapsed if elapsed > 0 else 0.0
        return sum(self.seconds.get(n, Second()).hits for n in numbers) / len(numbers)

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        return [[number, *second] for number, second in sorted(self.seconds.items())]

    @classmethod
    def unpack(cls, data: Any) -> Timeline:
        """Raises ``ValueError`` when the data is no timeline."""
        timeline = cls()
        for number, *counts in data:
            numbers = (number, *counts)
            if not {int, bool}.issuperset(map(type, numbers)) or min(numbers) < 0:
                raise ValueError("a timeline is made of natural numbers")
            timeline.add(number, Second(*counts[: len(Second._fields)]))
        return timeline

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeline) and self.seconds == other.seconds

    __hash__ = None  # type: ignore[assignment]
