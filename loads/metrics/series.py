"""A series: one measured line of a run, such as the hits of ``GET http://host/users/{n}``."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loads.metrics.histogram import Histogram

HIT = "hit"  #: the kind of a series of HTTP requests
TEST = "test"  #: the kind of a series of test calls
TIMING = "timing"  #: the kind of a series of timings that a test takes itself
WEBSOCKET = "websocket"  #: the kind of a series of web socket events, told apart by the method
WS_CONNECT = "connect"  #: the method of connection times, handshake included
WS_ROUND_TRIP = "round trip"  #: of times from a message sent to the next that arrives
CONNECTION = "connection"  #: the kind of a series of connections, by peer; the method is the phase
KINDS = (HIT, TEST, TIMING, WEBSOCKET, CONNECTION)
OTHER = "(other)"  #: the name of the series that takes what is over the cap


class Verdict(IntEnum):
    """The outcomes of a series of tests."""

    SUCCESS = 1
    FAILURE = 2  #: an assertion did not hold
    ERROR = 3  #: an exception
    SKIPPED = 4


class NoAnswer(IntEnum):
    """The outcomes of hits that got no complete answer; all others are the HTTP status."""

    OTHER = 1
    REFUSED = 2
    RESET = 3
    TIMED_OUT = 4
    TLS = 5
    DNS = 6
    CUT = 7  #: the run ended while the request was under way


FIRST_STATUS = 100
FIRST_BAD_STATUS = 400


def is_error(outcome: int) -> bool:
    """Whether a hit counts as an error: no complete answer, or a status of 400 and above."""
    return outcome < FIRST_STATUS or outcome >= FIRST_BAD_STATUS


def outcome_name(outcome: int) -> str:
    """A hit's outcome as people and the summary see it: ``200``, ``refused``, ``timed out``."""
    if outcome >= FIRST_STATUS:
        return str(outcome)
    try:
        return NoAnswer(outcome).name.lower().replace("_", " ")
    except ValueError:
        return NoAnswer.OTHER.name.lower()


class SeriesKey(NamedTuple):
    """What a series is known by."""

    kind: str
    name: str
    method: str = ""


class Phases(NamedTuple):
    """How many microseconds answered hits spent in their phases, all together.

    ``hits`` is how many hits these are; opening a connection is not in it.
    """

    hits: int = 0
    sending: int = 0
    waiting: int = 0  #: until the headers of the answer were there
    receiving: int = 0

    def plus(self, other: Phases) -> Phases:
        """The sum of both."""
        return Phases(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Series:
    """The latencies, outcomes, bytes and phases of one series.

    ``outcomes`` maps a :class:`Verdict` (tests) or an HTTP status or :class:`NoAnswer` (hits) to
    how often it happened; their sum is the number of latencies.
    """

    __slots__ = ("latency", "outcomes", "phases", "received", "sent")

    def __init__(
        self,
        latency: Histogram | None = None,
        outcomes: dict[int, int] | None = None,
        sent: int = 0,
        received: int = 0,
        phases: Phases | None = None,
    ) -> None:
        self.latency = latency if latency is not None else Histogram()
        self.outcomes: dict[int, int] = dict(outcomes or {})
        self.sent = sent
        self.received = received
        self.phases = phases or Phases()

    @property
    def count(self) -> int:
        """How many hits or tests."""
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """How many of a hit series' hits were errors."""
        return sum(n for outcome, n in self.outcomes.items() if is_error(outcome))

    def record(self, microseconds: int, outcome: int, sent: int = 0, received: int = 0) -> None:
        """Count one hit or test."""
        self.latency.record(microseconds)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.sent += sent
        self.received += received

    def merge(self, other: Series) -> None:
        """Add all that ``other`` counted.  ``other`` is not changed."""
        self.latency.merge(other.latency)
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.sent += other.sent
        self.received += other.received
        self.phases = self.phases.plus(other.phases)

    def pack(self) -> list[Any]:
        """As plain data, the inverse of :meth:`unpack`."""
        flat = [number for pair in sorted(self.outcomes.items()) for number in pair]
        return [self.latency.pack(), flat, self.sent, self.received, list(self.phases)]

    @classmethod
    def unpack(cls, data: Any) -> Series:
        """Raises ``ValueError`` when the data is no series."""
        latency, flat, sent, received, phases, *_ = data
        if not isinstance(flat, list | tuple):
            raise ValueError("outcomes and their counts are a list")
        numbers = (*flat, sent, received, *phases)
        if len(flat) % 2 or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ValueError("a series is made of natural numbers")
        outcomes = dict(zip(flat[::2], flat[1::2], strict=True))
        if len(outcomes) != len(flat) // 2:
            raise ValueError("a series has each outcome once")
        histogram, spent = Histogram.unpack(latency), Phases(*phases[: len(Phases._fields)])
        series = cls(histogram, outcomes, sent, received, spent)
        if series.count != series.latency.count:
            raise ValueError("a series has one outcome for each latency")
        return series

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Series) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]


_VARIABLE_SEGMENT = re.compile(
    r"\d+"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}"
)


def url_template(url: str) -> str:
    """The name of a URL's series: query and fragment dropped, changing segments as ``{n}``.

    A segment changes when it is a number, a UUID or at least eight hexadecimal digits with a
    decimal one among them (so that words such as ``facade`` or ``deadbeef`` stay as they are).
    """
    parts = urlsplit(url)
    path = "/".join(
        "{n}" if _VARIABLE_SEGMENT.fullmatch(segment) else segment
        for segment in (parts.path or "/").split("/")
    )
    host = parts.netloc.rpartition("@")[2]  # credentials are nobody's business
    return f"{parts.scheme}://{host}{path}"
