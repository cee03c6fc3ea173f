"""What a server's socket gives of the messages that have come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loads.errors import RemoteProtocolError
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.transport.sockets import LARGE, Dealer, Received, Router

PATIENCE = 20.0  #: seconds; only a test that fails ever waits so long


@pytest.fixture
def ends(short: Path) -> Iterator[tuple[Router, Dealer]]:
    router, dealer = Router((m.Ping, m.Submit)), Dealer(())
    dealer.connect(router.bind(f"ipc://{short}/s"))
    yield router, dealer
    dealer.close(linger=False)
    router.close()


def batches(router: Router, messages: int) -> list[list[Received]]:
    """What is received, until that many messages were."""
    found: list[list[Received]] = []
    while sum(map(len, found)) < messages:
        assert router.wait(PATIENCE)
        found.append(router.receive(100))
    return found


def test_no_more_is_received_than_is_asked_for(ends: tuple[Router, Dealer]) -> None:
    router, dealer = ends
    for number in range(10):
        dealer.send(m.Ping(number))
    received = []
    while len(received) < 10:
        assert router.wait(PATIENCE)
        some = router.receive(3)
        assert len(some) <= 3
        received += some
    assert [one.message for one in received] == [m.Ping(number) for number in range(10)]
    assert not router.receive(3)


def test_what_is_large_is_received_a_few_at_a_time(ends: tuple[Router, Dealer]) -> None:
    """What was received is decoded, all of it, before any of it is handled."""
    router, dealer = ends
    plan, bundle = RunPlan("a.b", duration=1.0, agents=1), bytes(LARGE // 2)
    for number in range(9):
        dealer.send(m.Submit(number, plan, "digest", bundle))
    found = batches(router, 9)
    assert max(map(len, found)) <= 2
    numbers = [one.message.request for batch in found for one in batch]  # type: ignore[union-attr]
    assert numbers == list(range(9))


def test_garbage_spoils_nothing_that_comes_with_it(ends: tuple[Router, Dealer]) -> None:
    router, dealer = ends
    dealer.send(m.Ping(1))
    dealer.raw.send_multipart([b"LOADS/1", b"Ping", b"no msgpack"])
    dealer.raw.send_multipart([b""])
    dealer.send(m.Ping(2))
    messages = [one.message for batch in batches(router, 4) for one in batch]
    assert messages[::3] == [m.Ping(1), m.Ping(2)]
    assert all(isinstance(message, RemoteProtocolError) for message in messages[1:3])
