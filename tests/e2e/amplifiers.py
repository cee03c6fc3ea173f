"""Messages that are small or legal, and would become large in who reads them."""

from __future__ import annotations

from collections.abc import Iterator

import msgpack

from loads.metrics.series import HIT, SeriesKey
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.codec import PROTOCOL, encode
from loads.protocol.sizes import SIZES
from tests.wire.examples import EXAMPLES

_EMPTY_MAP, _NIL = b"\x80", b"\xc0"


def amplifying(kinds: tuple[type[m.Message], ...]) -> Iterator[list[bytes]]:
    """What these kinds of messages can be made to be, none of it larger than a broker takes.

    Purges are not among them, which a runner has the right to.
    """
    largest = max(SIZES[kind].body for kind in kinds)
    for kind in kinds:
        if kind is m.Purge:
            continue
        size = SIZES[kind]
        yield _framed(kind, _many(largest, _EMPTY_MAP))
        inner = _many(size.items - 1, _EMPTY_MAP)
        yield _framed(kind, _many((size.body - 1_000) // len(inner), inner))
        yield _framed(kind, _announced(size.body) * 500 + _NIL * 500)
        yield _framed(kind, _announced(0xFFFFFFFF) * 500 + _NIL * 500)
    if m.Submit in kinds:
        yield _submission(test_runner="x " * (1 << 18))
        yield _submission(test_dir="/" * (4 << 20))
        yield _submission(env={str(number): "x" * 20_000 for number in range(150)})
        yield encode(m.Submit(1, RunPlan("a.b", agents=9_999), "d", bytes(48 << 20)))
        yield encode(m.StopRun(1, "no such run", 0.0))
    if m.Report in kinds:
        yield encode(m.Report("no such run", "w", 1, _large_tally()))
        yield _framed(m.Register, msgpack.packb("x" * 20_000))


def _framed(kind: type[m.Message], more: bytes) -> list[bytes]:
    """A good message with a field that is not known."""
    body = msgpack.packb(msgpack.unpackb(encode(EXAMPLES[kind])[2]))
    return [PROTOCOL, kind.__name__.encode(), bytes([body[0] + 1]) + body[1:] + b"\xa4more" + more]


def _announced(items: int) -> bytes:
    return b"\xdd" + items.to_bytes(4, "big")


def _many(items: int, item: bytes) -> bytes:
    return _announced(items) + item * items


def _submission(**said: object) -> list[bytes]:
    """A submission that no runner of ours would make."""
    plan = {**RunPlan("a.b", agents=9_999).pack(), **said}
    fields = {"request": 1, "plan": plan, "digest": "d", "bundle": b"", "patience": 0.0}
    return [PROTOCOL, b"Submit", msgpack.packb(fields)]


def _large_tally() -> Tally:
    tally = Tally()
    for number in range(1_000):
        line = tally.line(SeriesKey(HIT, f"http://target/{number}", "GET"))
        for latency in range(1, 200):
            line.record(latency * 1_000, 200)
    return tally
