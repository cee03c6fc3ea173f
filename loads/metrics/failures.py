"""Failures of tests, grouped: a thousand equal tracebacks are one line with a count."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

FAILURE = "failure"  #: an assertion did not hold
ERROR = "error"  #: an exception

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 10_000

# What differs from one occurrence to the next without making it another failure: addresses of
# objects, UUIDs, long hexadecimal identifiers, and numbers too long to be a status or a count.
_ACCIDENTAL = re.compile(
    r"(?<![0-9a-zA-Z])0x[0-9a-fA-F]+"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{16,}\b"
    r"|\d{5,}"
)


class Failure(NamedTuple):
    """One failure as it happened.  ``traceback`` holds the user's frames only."""

    kind: str
    type: str
    message: str
    traceback: str


def clip(text: str, most: int) -> str:
    """``text``, cut in its middle to ``most`` characters: the ends are what people need.

    What has no UTF-8 form (lone surrogates, as in undecodable file names) is spelled out.
    """
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= most:
        return text
    half = (most - 5) // 2
    return text[:half] + " ... " + text[-half:]


def normalised(failure: Failure) -> Failure:
    """The failure that stands for its group: the key under which equal ones are counted."""
    return Failure(
        failure.kind,
        failure.type,
        clip(_ACCIDENTAL.sub("{n}", failure.message), MAX_MESSAGE),
        clip(_ACCIDENTAL.sub("{n}", failure.traceback), MAX_TRACEBACK),
    )


class FailureGroup:
    """How often a failure happened, between when and when, and in which tests.

    ``first`` and ``last`` are seconds since the start of the run, ``tests`` are test names.
    """

    __slots__ = ("count", "first", "last", "tests")

    def __init__(self, count: int, first: float, last: float, tests: frozenset[str]) -> None:
        self.count = count
        self.first = first
        self.last = last
        self.tests = tests

    def merge(self, other: FailureGroup) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        self.count += other.count
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        self.tests |= other.tests

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        return [self.count, self.first, self.last, sorted(self.tests)]

    @classmethod
    def unpack(cls, data: Any) -> FailureGroup:
        """Raises ``ValueError`` when the data is no group."""
        count, first, last, tests = data
        if not isinstance(count, int) or count < 0 or not all(isinstance(t, str) for t in tests):
            raise ValueError("a failure group is a count, two times and names")
        if not all(isinstance(t, int | float) and 0 <= t < 1e12 for t in (first, last)):
            raise ValueError("a failure's times are seconds since the start of the run")
        return cls(count, float(first), float(last), frozenset(tests))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FailureGroup) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]
