"""What is left of a worker whose agent is dead: its memory, and a program that reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loads.agent.last_words import PATIENCE, Errand, say, words
from loads.clock import Clock, FakeClock, SystemClock
from loads.metrics.series import HIT, TEST, SeriesKey, Verdict
from loads.protocol import messages as m
from loads.protocol.roles import Role
from loads.recorder.memory import Memory
from loads.recorder.writer import Recorder
from loads.transport.sockets import Router
from loads.transport.tokens import Access, Credentials

SAID = m.LastWords("r1", "a", "a/0", 7, 5, 1)


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(Access("ipc:///run/loads/backend.sock"), id="open"),
        pytest.param(
            Access(
                "tcp://broker.example:7781",
                Credentials(b"s" * 32, b"k" * 32, "box1", Role.AGENT, 12.5),
            ),
            id="locked",
        ),
    ],
)
def test_an_errand_arrives_as_it_was_given(backend: Access) -> None:
    errand = Errand("r1", "a", "a/0", backend, "/tmp/loads-run-1-x")
    assert Errand.unpack(errand.pack()) == errand


def test_the_words_are_the_totals_of_all_that_was_recorded() -> None:
    memory = Memory.create()
    recorder = Recorder(memory)
    recorder.count("hits_started", 9)
    for name, number in (("/", 4), ("/cart", 3)):
        for _ in range(number):
            recorder.series(SeriesKey(HIT, name, "GET")).record(1000, 200)
    recorder.count("tests_started", 6)
    for verdict in (Verdict.SUCCESS, Verdict.FAILURE, Verdict.ERROR, Verdict.SUCCESS):
        recorder.series(SeriesKey(TEST, "test_cart")).record(2000, verdict)
    errand = Errand("r1", "a", "a/0", Access("ipc://nowhere"), "")
    assert words(errand, memory) == m.LastWords("r1", "a", "a/0", 7, 4, 2)


class Listener:
    """A broker's backend that answers what it hears as it is told to."""

    def __init__(self, endpoint: str, answer: Callable[[int], m.Message | None]) -> None:
        self.heard: list[m.Message] = []
        self._answer = answer
        self._router = Router(m.FROM_AGENT)
        self.access = Access(self._router.bind(endpoint))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            self._router.wait(0.05)
            for received in self._router.receive(10):
                assert isinstance(received.message, m.Message)
                self.heard.append(received.message)
                answer = self._answer(len(self.heard))
                if answer is not None:
                    self._router.send(received.peer, answer)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._router.close()


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def make(answer: Callable[[int], m.Message | None]) -> Listener:
        listeners.append(Listener(f"ipc://{tmp_path}/backend.sock", answer))
        return listeners[-1]

    yield make
    for listener in listeners:
        listener.close()


def test_they_are_said_until_the_broker_is_done_with_them(listen: Callable[..., Listener]) -> None:
    listener = listen(lambda times: m.Release("r1") if times == 2 else None)
    assert say(SAID, listener.access, SystemClock())
    assert listener.heard == [SAID, SAID]


def test_they_are_not_said_again_to_who_does_not_let_us_in(
    listen: Callable[..., Listener],
) -> None:
    listener = listen(lambda times: m.Rejected("The key is revoked."))
    assert not say(SAID, listener.access, SystemClock())
    assert listener.heard == [SAID]


class Hasty(FakeClock):
    """A clock on which each look takes a second."""

    def monotonic(self) -> float:
        return self.advance(1.0)


@pytest.mark.parametrize("answer", [None, m.WhoAreYou()], ids=["silent", "an older broker"])
def test_they_are_given_up_after_some_time(
    listen: Callable[..., Listener], answer: m.Message | None
) -> None:
    listener = listen(lambda times: answer)
    clock: Clock = Hasty()
    assert not say(SAID, listener.access, clock)
    assert PATIENCE < clock.monotonic() < PATIENCE + 5
