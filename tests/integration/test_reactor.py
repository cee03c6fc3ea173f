"""The loop around sockets, descriptors, timers and signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from loads.clock import FakeClock, SystemClock
from loads.protocol import messages as m
from loads.transport.reactor import Reactor
from loads.transport.sockets import Dealer, Router


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_descriptor_with_something_to_read_calls_back(pipe: tuple[int, int]) -> None:
    got: list[bytes] = []
    with Reactor(SystemClock()) as reactor:

        def read() -> None:
            got.append(os.read(pipe[0], 1))
            if len(got) == 3:
                reactor.stop()

        reactor.on_readable(pipe[0], read)
        os.write(pipe[1], b"abc")
        reactor.run()
    assert got == [b"a", b"b", b"c"]


def test_a_socket_with_a_message_calls_back(short: Path) -> None:
    router, dealer = Router((m.Ping,)), Dealer(())
    try:
        dealer.connect(router.bind(f"ipc://{short}/s"))
        dealer.send(m.Ping(7))
        with Reactor(SystemClock()) as reactor:
            reactor.on_readable(router, reactor.stop)
            reactor.run()
        assert [received.message for received in router.receive()] == [m.Ping(7)]
        assert not router.receive()
    finally:
        router.close()
        dealer.close()


def test_what_is_forgotten_calls_back_no_longer(pipe: tuple[int, int]) -> None:
    """Also when it is forgotten by the callback of another, of the same round."""
    other = os.pipe()
    called: list[int] = []
    with Reactor(SystemClock()) as reactor:

        def first(mine: int, others: int) -> None:
            called.append(mine)
            reactor.forget(others)
            reactor.stop()

        reactor.on_readable(pipe[0], lambda: first(pipe[0], other[0]))
        reactor.on_readable(other[0], lambda: first(other[0], pipe[0]))
        os.write(pipe[1], b"x")
        os.write(other[1], b"x")
        reactor.run()
        reactor.forget(pipe[0])
        reactor.forget(pipe[0])  # twice is once
    assert len(called) == 1
    for end in other:
        os.close(end)


def test_timers_call_back_when_their_time_has_come(pipe: tuple[int, int]) -> None:
    """On a clock that moves by 1 s for each round, which a pipe that is always readable makes."""
    clock, calls = FakeClock(), []
    os.write(pipe[1], b"x")
    with Reactor(clock) as reactor:

        def round_() -> None:
            if clock.advance(1) >= 12:
                reactor.stop()

        reactor.on_readable(pipe[0], round_)
        reactor.every(2, lambda: calls.append(("two", clock.monotonic())))
        reactor.every(5, lambda: calls.append(("five", clock.monotonic())))
        reactor.run()
    assert [at for name, at in calls if name == "two"] == [2, 4, 6, 8, 10]
    assert [at for name, at in calls if name == "five"] == [5, 10]


def test_a_timer_that_was_missed_is_not_made_up_for(pipe: tuple[int, int]) -> None:
    """After the machine slept for an hour there are two calls, and not thousands."""
    clock, calls, rounds = FakeClock(), [], iter([3_600.0, 0.5, 0.25, 0.25])
    os.write(pipe[1], b"x")
    with Reactor(clock) as reactor:

        def round_() -> None:
            step = next(rounds, None)
            reactor.stop() if step is None else clock.advance(step)

        reactor.on_readable(pipe[0], round_)
        reactor.every(1, lambda: calls.append(clock.monotonic()))
        reactor.run()
    assert calls == [3_600.0, 3_600.5, 3_601.0]


def test_a_timer_ends_the_wait_on_a_real_clock() -> None:
    with Reactor(SystemClock()) as reactor:
        reactor.every(0.01, reactor.stop)
        reactor.run()


def test_a_signal_is_called_back_from_the_loop() -> None:
    """Never inside of the handler: a callback may do what it likes."""
    got: list[str] = []
    with Reactor(SystemClock()) as reactor:

        def send() -> None:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
            got.append("sent")

        reactor.on_signal(signal.SIGUSR1, lambda: got.append("one"))
        reactor.on_signal(signal.SIGUSR2, lambda: (got.append("two"), reactor.stop()))
        reactor.every(0.01, lambda: got or send())
        reactor.run()
    assert got[0] == "sent"
    assert sorted(got[1:]) == ["one", "two"]


def test_a_signal_that_came_before_the_loop_is_not_lost() -> None:
    with Reactor(SystemClock()) as reactor:
        reactor.on_signal(signal.SIGUSR1, reactor.stop)
        os.kill(os.getpid(), signal.SIGUSR1)
        reactor.run()


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    with Reactor(SystemClock()) as reactor:
        reactor.on_signal(signal.SIGUSR1, reactor.stop)
        reactor.on_signal(signal.SIGUSR1, reactor.stop)  # the last one counts
        assert signal.getsignal(signal.SIGUSR1) != before
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == wakeup


def test_a_loop_that_rests_misses_nothing_and_ends_on_a_signal(pipe: tuple[int, int]) -> None:
    got: list[bytes] = []
    with Reactor(SystemClock(), rest=0.01) as reactor:

        def read() -> None:
            got.append(os.read(pipe[0], 1))
            if len(got) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        reactor.on_readable(pipe[0], read)
        reactor.on_signal(signal.SIGTERM, reactor.stop)
        os.write(pipe[1], b"abc")
        reactor.run()
    assert got == [b"a", b"b", b"c"]
