"""Questions to a frontend that answers well, badly, late, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loads.clock import SystemClock
from loads.errors import BrokerRefused, BrokerUnreachable, NotEnoughAgents, UsageError
from loads.protocol import messages as m
from loads.protocol.codec import VersionMismatch, encode
from loads.transport.requester import Requester
from tests.e2e.cluster import Cluster
from tests.e2e.stage import Stage
from tests.e2e.waiting import until
from tests.integration.frontends import frontend


@contextmanager
def asking(endpoint: str, timeout: float = 20.0) -> Iterator[Requester]:
    requester = Requester(endpoint, SystemClock(), timeout)
    try:
        yield requester
    finally:
        requester.close()


def pong(question: m.Request, backend: str = "ipc:///b") -> list[bytes]:
    return encode(m.Pong(question.request, "1", backend, "ipc:///p", 0, 0, 0))


def test_a_broker_says_who_it_is(stage: Stage) -> None:
    cluster = Cluster(stage, agents=1)
    with asking(cluster.frontend) as requester:
        answer = requester.ping()
    assert (answer.agents, answer.idle_agents, answer.runs) == (1, 1, 0)
    assert (answer.backend, answer.publisher) == (cluster.backend, cluster.publisher)


def test_garbage_and_late_answers_are_nobodys(short: Path) -> None:
    """Only the answer to the question that was asked counts."""

    def answer(question: m.Request) -> list[list[bytes]]:
        other = m.Ping(question.request + 1)
        return [[b"garbage"], [b""] * 7, pong(other, "ipc:///wrong"), pong(question)]

    with frontend(short, answer) as endpoint, asking(endpoint) as requester:
        for _ in range(3):
            assert requester.ping().backend == "ipc:///b"


def test_silence_is_a_broker_that_cannot_be_reached(short: Path) -> None:
    with frontend(short, lambda question: []) as endpoint, asking(endpoint, 0.05) as requester:
        with pytest.raises(BrokerUnreachable, match=f"No broker answers at {endpoint}") as caught:
            requester.ping()
        assert "loads-broker" in caught.value.hint


def test_a_broker_that_was_slow_once_is_understood_afterwards(short: Path) -> None:
    """The late answer to the first question is not taken for that to the second."""
    asked: list[m.Request] = []

    def answer(question: m.Request) -> list[list[bytes]]:
        asked.append(question)
        return [] if len(asked) == 1 else [pong(asked[0], "ipc:///late"), pong(question)]

    with frontend(short, answer) as endpoint, asking(endpoint, 0.3) as requester:
        with pytest.raises(BrokerUnreachable):
            requester.ping()
        requester._timeout = 20.0
        assert requester.ping().backend == "ipc:///b"


@pytest.mark.parametrize(
    ("code", "error"), [(6, NotEnoughAgents), (2, UsageError), (99, BrokerRefused)]
)
def test_a_refusal_is_raised_as_what_it_is(short: Path, code: int, error: type[Exception]) -> None:
    def answer(question: m.Request) -> list[list[bytes]]:
        return [encode(m.Refused(question.request, code, "no", "because"))]

    with (
        frontend(short, answer) as endpoint,
        asking(endpoint) as requester,
        pytest.raises(error) as caught,
    ):
        requester.ping()
    assert str(caught.value) == "no\nbecause"


def test_another_version_is_named_instead_of_waited_for(short: Path) -> None:
    def answer(question: m.Request) -> list[list[bytes]]:
        return [[b"LOADS/2", *pong(question)[1:]]]

    with (
        frontend(short, answer) as endpoint,
        asking(endpoint) as requester,
        pytest.raises(VersionMismatch, match="LOADS/2"),
    ):
        requester.ping()


def test_a_question_that_nobody_waits_for_has_its_answer_later(short: Path) -> None:
    """In between, another one is asked and waited for."""

    def answer(question: m.Request) -> list[list[bytes]]:
        return [[b"garbage"], pong(question)]

    with frontend(short, answer) as endpoint, asking(endpoint) as requester:
        numbers = [requester.post(m.Ping), requester.post(m.Ping)]
        answers: list[m.Message] = []
        until(lambda: answers.extend(requester.arrived()) or len(answers) == 2, "the answers")
        assert [reply.request for reply in answers] == numbers  # type: ignore[attr-defined]
        assert requester.ping().request == numbers[1] + 1
        assert list(requester.arrived()) == []


def test_what_is_no_endpoint_is_not_connected_to() -> None:
    with pytest.raises(UsageError):
        Requester("nowhere", SystemClock())
