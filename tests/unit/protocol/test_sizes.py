"""How large messages may be, and how little is made of those that are larger."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import msgpack
import pytest

from loads.errors import PlanError, RemoteProtocolError
from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.codec import (
    PROTOCOL,
    NotEntitled,
    check_plan_size,
    decode,
    decode_all,
    encode,
    plan_size,
)
from loads.protocol.roles import Role, Who
from loads.protocol.sizes import MAX_COUNTED, MAX_STRING, SIZES
from tests.wire.examples import EXAMPLES

TAKEN = (*m.FROM_AGENT, *m.FROM_CLIENT)
MB = 1 << 20
EMPTY_MAP, NIL = b"\x80", b"\xc0"


def framed(kind: type[m.Message], body: bytes) -> list[bytes]:
    return [PROTOCOL, kind.__name__.encode(), body]


def array(items: int, content: bytes = b"") -> bytes:
    """A list that announces so many items."""
    return b"\xdd" + items.to_bytes(4, "big") + content


def with_more(kind: type[m.Message], value: bytes) -> bytes:
    """The body of a good message with a field more, as a newer peer may send it."""
    fields = msgpack.unpackb(encode(EXAMPLES[kind])[2])
    head = msgpack.packb(fields)
    assert head[0] & 0xF0 == 0x80
    return bytes([head[0] + 1]) + head[1:] + msgpack.packb("more") + value


def peak_of(act: Callable[[], object]) -> float:
    """The MB that were in use at most, beside what was before."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


def test_whatever_a_broker_is_sent_has_a_size() -> None:
    assert set(SIZES) == set(TAKEN)


@pytest.mark.parametrize("kind", TAKEN)
def test_a_newer_peer_may_say_more(kind: type[m.Message]) -> None:
    assert decode(framed(kind, with_more(kind, array(3, NIL * 3)))) == EXAMPLES[kind]


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("item", [EMPTY_MAP, b"\xa2ab", b"\xcb" + bytes(8)])
def test_what_is_far_too_large_is_not_even_read(kind: type[m.Message], item: bytes) -> None:
    size = 16 * MB // len(item)
    frames = framed(kind, with_more(kind, array(size, item * size)))

    def refused() -> None:
        with pytest.raises(RemoteProtocolError, match="too large"):
            decode(frames)

    # where there may be a bundle, as much is copied as may be beside it
    assert peak_of(refused) < (8 if SIZES[kind].bundle else 0.5)


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.parametrize("item", [EMPTY_MAP, b"\x90", b"\x91\x80"])
def test_no_more_than_so_much_is_made_of_what_is_as_large_as_it_may_be(
    kind: type[m.Message], item: bytes
) -> None:
    """Lists of empty maps, in lists that are as long as they may be, in such lists."""
    size = SIZES[kind]
    inner = array(size.items - 1, item * (size.items - 1))
    room = size.body - len(encode(EXAMPLES[kind])[2]) - 100
    number = room // len(inner)
    frames = framed(kind, with_more(kind, array(number, inner * number)))

    def decoded() -> None:
        try:
            assert decode(frames) == EXAMPLES[kind]
        except RemoteProtocolError as error:
            assert "too many items" in str(error) or "exceeds max_array_len" in str(error)

    assert peak_of(decoded) < 32


@pytest.mark.parametrize("kind", TAKEN)
def test_room_is_not_made_for_what_is_only_announced(kind: type[m.Message]) -> None:
    """Each of 500 lists in one another could hold all that there is."""
    promise = SIZES[kind].body
    frames = framed(kind, with_more(kind, array(promise) * 500 + bytes(1_000)))

    def refused() -> None:
        with pytest.raises(RemoteProtocolError):
            decode(frames)

    assert peak_of(refused) < 0.5


def test_what_goes_with_a_bundle_is_no_larger_for_it() -> None:
    bundle = bytes(32 * MB)
    good = m.Submit(1, RunPlan("a.b", agents=1), "d", bundle)
    assert decode(encode(good)) == good
    fields = msgpack.unpackb(encode(good)[2])
    for order in (["more", *fields], [*fields, "more"]):
        body = msgpack.packb({name: fields.get(name, 0) for name in order})
        key = msgpack.packb("more")
        number = 5 * MB
        body = body.replace(key + b"\0", key + array(number, EMPTY_MAP * number))
        frames = framed(m.Submit, body)

        def refused(frames: list[bytes] = frames) -> None:
            with pytest.raises(RemoteProtocolError, match="too large"):
                decode(frames)

        assert peak_of(refused) < 8


@pytest.mark.parametrize("cut", [1, 2, 5, 20, 100])
def test_a_submission_that_is_cut_off_is_garbage(cut: int) -> None:
    whole = encode(m.Submit(1, RunPlan("a.b", agents=1), "d", bytes(MB)))
    with pytest.raises(RemoteProtocolError):
        decode([*whole[:2], whole[2][:-cut]])
    with pytest.raises(RemoteProtocolError):
        decode([*whole[:2], whole[2][: cut + 70]])


def _largest_report() -> m.Report:
    """All series, failures, counters and seconds that a worker has room for."""
    tally = Tally()
    for number in range(1_000):
        line = tally.line(SeriesKey(HIT, f"http://target/{number:0200}", "GET"))
        for latency in range(1, 600):
            line.record(latency * 1_000, 200)
    for number in range(200):
        failure = Failure("error", "E", f"{number}" * 600, "é" * 5_000)
        tally.failures[failure] = FailureGroup(1, 0.0, 1.0, frozenset({"a.b"}))
    tally.counters = {f"{number:0900}": 1 for number in range(500)}
    return m.Report("r", "w", 1, tally)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(
            lambda: m.Ready("r", tuple(f"{n:04}" + "\U0001f600" * 196 for n in range(1_024))),
            id="ready with all workers there can be",
        ),
        pytest.param(
            lambda: m.Extended(
                "r", 1, tuple(f"{n:04}" + "\U0001f600" * 196 for n in range(1_024)), "é" * 20_000
            ),
            id="extended likewise",
        ),
        pytest.param(
            lambda: m.CannotRun("r", 1, *["\U0001f600" * limits.MAX_TEXT] * 2),
            id="the longest reason and hint",
        ),
        pytest.param(lambda: m.Bye("\U0001f600" * limits.MAX_TEXT), id="the longest farewell"),
        pytest.param(
            lambda: m.Submit(
                1,
                RunPlan("a.b", agents=10_000, env={str(n): "x" * 1_000 for n in range(1_000)}),
                "d",
                bytes(limits.MAX_BUNDLE),
                on=tuple(f"{n:0200}" for n in range(10_000)),
            ),
            id="a submission for all agents that there can be, by their names",
        ),
        pytest.param(_largest_report, id="the largest report"),
    ],
)
def test_what_may_be_said_has_room(build: Callable[[], m.Message]) -> None:
    message = build()
    assert decode(encode(message)) == message


def test_items_are_counted_where_there_can_be_many() -> None:
    good = EXAMPLES[m.Report]
    few = array(9_000, EMPTY_MAP * 9_000)  # each is an item, and has none
    assert decode(framed(m.Report, with_more(m.Report, array(10, few * 10)))) == good
    assert 10 * 2 * 9_000 < MAX_COUNTED < 15 * 2 * 9_000
    with pytest.raises(RemoteProtocolError, match="too many items"):
        decode(framed(m.Report, with_more(m.Report, array(15, few * 15))))


def test_a_text_is_as_long_as_the_longest_may_be() -> None:
    text = msgpack.packb("x" * (MAX_STRING + 1))
    with pytest.raises(RemoteProtocolError):
        decode(framed(m.Report, with_more(m.Report, text)))


def test_what_a_broker_sends_is_as_large_as_it_is() -> None:
    """Who has its key may send it: lists of all runs, and results of any number of series."""
    runs = tuple(f"r{number}" for number in range(100_000))
    assert decode(encode(m.Purged(1, runs))) == m.Purged(1, runs)


# -- rights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "request_number"),
    [
        (encode(EXAMPLES[m.Submit])[2], 2),
        (encode(m.Submit(1 << 40, RunPlan("a.b", agents=1), "d", b""))[2], 1 << 40),
        (b"\x82\xa7request\x07\xc1 and what is no msgpack", 7),
        (b"\x82\xa7request\xa1x", 0),
        (b"\x82\xa7request" + array(1 << 31), 0),
        (b"\x82\xa4more\x07\xa7request\x07", 0),
        (b"\x80", 0),
        (b"\x91\xa7request", 0),
        (b"\xc1", 0),
        (b"", 0),
    ],
)
def test_what_somebody_has_no_right_to_say_is_not_read(body: bytes, request_number: int) -> None:
    anne, vic = Who("anne", Role.RUNNER), Who("vic", Role.VIEWER)
    many = [encode(m.Ping(1)), framed(m.Submit, body), encode(m.Ping(2)), [b""]]
    ping, refused, pong, garbage = decode_all(many, m.FROM_CLIENT, [vic] * 4)
    assert (ping, pong) == (m.Ping(1), m.Ping(2))
    assert isinstance(refused, NotEntitled)
    assert (refused.kind, refused.request) == (m.Submit, request_number)
    assert not isinstance(garbage, NotEntitled)
    assert not isinstance(decode_all(many, m.FROM_CLIENT, [anne] * 4)[1], NotEntitled)


def test_nothing_is_made_of_what_somebody_has_no_right_to_say() -> None:
    vic = Who("vic", Role.VIEWER)
    number = 16 * MB
    frames = framed(m.Submit, b"\x81\xa4more" + array(number, EMPTY_MAP * number))
    found: list[object] = []
    assert peak_of(lambda: found.extend(decode_all([frames], m.FROM_CLIENT, [vic]))) < 0.5
    assert isinstance(found[0], NotEntitled)


# -- plans -----------------------------------------------------------------------------------------


def test_a_plan_may_take_so_many_bytes() -> None:
    env = {str(number): "x" * 1_000 for number in range(1_000)}
    check_plan_size(RunPlan("a.b", env=env))
    env["more"] = "x" * 19_000
    env["and more"] = "x" * 19_000
    env["and yet more"] = "x" * 19_000
    plan = RunPlan("a.b", env=env)
    assert plan_size(plan) > limits.MAX_PLAN
    with pytest.raises(PlanError, match=r"The plan takes 1,06\d,\d+ bytes") as caught:
        check_plan_size(plan)
    assert "1,048,576 at most" in caught.value.hint
