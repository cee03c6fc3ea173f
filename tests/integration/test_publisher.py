"""A publisher whose followers do not keep up with it, or want more than they can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq

from loads.metrics.summary import RunChanges
from loads.protocol import messages as m
from loads.protocol.codec import decode
from loads.transport.publisher import MAX_SUBSCRIPTION, ROOM, SUBSCRIPTION, Publisher
from loads.transport.sockets import Subscriber
from tests.e2e.waiting import until

SIZE = 10_000  # bytes of an update, roughly: as of a run with many series
NUMBER = 20_000


def resident() -> int:
    """The bytes of memory that this process takes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def update(number: int) -> m.Update:
    return m.Update(number, RunChanges("r1", "running", warnings=("x" * SIZE,)))


def test_a_follower_that_does_not_read_costs_a_bounded_amount_of_memory(short: Path) -> None:
    """Of 200 MB for it, what its queue has no room for is dropped, which it sees by the numbers."""
    publisher = Publisher()
    with zmq.Context() as context, context.socket(zmq.SUB) as follower:
        follower.rcvhwm = 1  # or else it would keep them all itself, in this process
        follower.linger = 0
        follower.connect(publisher.bind(f"ipc://{short}/publisher"))
        follower.subscribe("r1")

        def is_known() -> bool:
            publisher.publish("r1", update(1))
            return bool(follower.poll(10))

        until(is_known, "the follower to be known")
        before = resident()
        for number in range(2, NUMBER):
            publisher.publish("r1", update(number))
        grown = resident() - before
        numbers = []

        def goes_on() -> bool:
            """It reads at last: what is left of the queue, and then what is published now."""
            publisher.publish("r1", update(NUMBER))
            while follower.poll(10):
                said = decode(follower.recv_multipart()[1:], m.PUBLISHED)
                assert isinstance(said, m.Update)
                numbers.append(said.number)
            return NUMBER in numbers

        until(goes_on, "the latest update")
    publisher.close(linger=False)
    assert grown < NUMBER * SIZE / 4
    assert numbers == sorted(numbers)
    assert len(numbers) < NUMBER / 4, "there is a gap"


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_subscriptions_have_so_much_room_and_then_all_connections_end(
    short: Path, transport: str
) -> None:
    """Those who come back are heard again, and who wants too much is noticed again."""
    publisher = Publisher()
    at = publisher.bind(f"ipc://{short}/publisher" if transport == "ipc" else "tcp://127.0.0.1:0")
    most = ROOM // (len(b"\1r") + 8 + SUBSCRIPTION)
    follower = Subscriber((m.Update,))
    with zmq.Context() as context, context.socket(zmq.XSUB) as greedy:
        greedy.linger, greedy.sndhwm = 0, 0
        follower.connect(at)
        follower.follow("r1")
        until(lambda: heard(publisher, follower), "the follower to be known")
        greedy.connect(at)
        for number in range(most - 2):
            greedy.send(b"\1r%08d" % number)
        greedy.send(b"\1last")
        until(lambda: hears(publisher, greedy, b"last"), "the last of them")
        assert publisher.has_room()
        for number in range(3):
            greedy.send(b"\1s%08d" % number)
        until(lambda: not publisher.has_room(), "too many of them")
        publisher.reopen(at)
        assert publisher.has_room()
        until(lambda: greedy.poll(0) or not publisher.has_room(), "all of them, once more")
        publisher.reopen(at)
    until(lambda: heard(publisher, follower), "the follower to be known again")
    follower.close(linger=False)
    publisher.close(linger=False)


def heard(publisher: Publisher, follower: Subscriber) -> bool:
    """Whether a follower of r1 receives what is published."""
    assert publisher.has_room()
    publisher.publish("r1", update(1))
    return follower.wait(0.01) and bool(follower.receive())


def hears(publisher: Publisher, peer: zmq.Socket[bytes], topic: bytes) -> bool:
    """Whether a peer has subscribed to something by now."""
    assert publisher.has_room()
    publisher.publish(topic.decode(), update(1))
    return bool(peer.poll(10))


def test_a_connection_that_ends_makes_room_and_what_a_peer_takes_back_does_not(
    short: Path,
) -> None:
    """It may take back what is another's: to be on the safe side, nothing is."""
    publisher = Publisher()
    at = publisher.bind(f"ipc://{short}/publisher")
    with zmq.Context() as context:
        for _ in range(20):  # a tenth of the room each
            with context.socket(zmq.XSUB) as peer:
                peer.linger, peer.sndhwm = 0, 0
                peer.connect(at)
                for number in range(ROOM // 10 // 300):
                    peer.send(b"\1%0235d" % number)
                peer.send(b"\1last")
                until(lambda peer=peer: hears(publisher, peer, b"last"), "the last of them")
            until(lambda: is_empty(publisher), "the end of the connection")
        with context.socket(zmq.XSUB) as peer:
            peer.linger = 0
            peer.connect(at)
            while publisher.has_room():
                peer.send(b"\1the same")
                peer.send(b"\0the same")
    publisher.close(linger=False)


def is_empty(publisher: Publisher) -> bool:
    assert publisher.has_room()
    return publisher._wanted == 0


def test_a_subscription_that_is_too_long_ends_the_connection(short: Path) -> None:
    publisher = Publisher()
    at = publisher.bind(f"ipc://{short}/publisher")
    with (
        zmq.Context() as context,
        context.socket(zmq.XSUB) as peer,
        peer.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor,
    ):
        peer.linger = 0
        peer.connect(at)
        peer.send(b"\1" + bytes(MAX_SUBSCRIPTION - 1))
        until(
            lambda: not publisher.has_room() or publisher._wanted, "the longest that there may be"
        )
        peer.send(b"\1" + bytes(MAX_SUBSCRIPTION))
        assert monitor.poll(20_000)
        peer.disable_monitor()
    publisher.close(linger=False)
