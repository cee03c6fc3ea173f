"""A publisher whose followers do not keep up with it."""

from __future__ import annotations

import os
from pathlib import Path

import zmq

from loads.metrics.summary import RunChanges
from loads.protocol import messages as m
from loads.protocol.codec import decode
from loads.transport.sockets import Publisher
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
