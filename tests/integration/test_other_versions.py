"""A broker that is spoken to in another version of the protocol, or fails by a bug of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from loads.broker.server import Server
from loads.clock import SystemClock
from loads.errors import BrokerRefused, ExitCode
from loads.protocol import messages as m
from loads.protocol.codec import PROTOCOL, VersionMismatch, decode, encode
from loads.transport.endpoints import Endpoints
from tests.integration.test_requester import asking, frontend

TEXT = f"The versions differ: LOADS/2 was sent, and {PROTOCOL.decode()} is understood."


@pytest.fixture
def server(short: Path) -> Iterator[Server]:
    """A broker that reads when a test says so."""
    names = ("frontend", "backend", "publisher")
    server = Server(Endpoints(*(f"ipc://{short}/s/{name}" for name in names)), SystemClock())
    yield server
    server.close()


def said_to(server: Server, endpoint: str, frames: list[bytes]) -> list[bytes]:
    """The frames that are answered to some frames."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(endpoint)
        dealer.send_multipart(frames)
        for _ in range(500):
            server._read_frontend()
            server._read_backend()
            if dealer.poll(10):
                return dealer.recv_multipart()
    pytest.fail("no answer")


def other_version(message: m.Message) -> list[bytes]:
    return [b"LOADS/2", *encode(message)[1:]]


def test_a_client_of_another_version_is_answered_in_ours(server: Server) -> None:
    frames = said_to(server, server.endpoints.frontend, other_version(m.Ping(7)))
    assert frames[0] == PROTOCOL  # by which a client that reads no more of it knows enough
    refused = decode(frames, m.TO_CLIENT)
    assert isinstance(refused, m.Refused)
    assert (refused.request, refused.code, refused.message) == (0, ExitCode.BROKER, TEXT)


def test_an_agent_of_another_version_is_rejected_in_ours(server: Server) -> None:
    register = other_version(m.Register("a", "h", 1, 1, "1"))
    rejected = decode(said_to(server, server.endpoints.backend, register), m.TO_AGENT)
    assert isinstance(rejected, m.Rejected)
    assert rejected.reason == TEXT


def test_a_client_that_was_not_understood_says_so(short: Path) -> None:
    def answer(question: m.Request) -> list[list[bytes]]:
        return [encode(m.Refused(0, int(ExitCode.BROKER), TEXT, "Install the same."))]

    with (
        frontend(short, answer) as endpoint,
        asking(endpoint) as requester,
        pytest.raises(BrokerRefused) as caught,
    ):
        requester.ping()
    assert str(caught.value) == f"{TEXT}\nInstall the same."
    assert caught.value.exit_code == ExitCode.BROKER


@pytest.mark.parametrize("number", [2, 999])
def test_a_refusal_of_another_question_is_not_taken_for_an_answer(short: Path, number: int) -> None:
    def answer(question: m.Request) -> list[list[bytes]]:
        pong = m.Pong(question.request, "1", "ipc:///b", "ipc:///p", 0, 0, 0)
        return [encode(m.Refused(number, 2, "no")), encode(pong)]

    with frontend(short, answer) as endpoint, asking(endpoint) as requester:
        assert requester.ping().version == "1"


def test_what_another_version_answers_ends_the_question(short: Path) -> None:
    def answer(question: m.Request) -> list[list[bytes]]:
        return [other_version(m.Refused(0, 5, "no"))]

    with (
        frontend(short, answer) as endpoint,
        asking(endpoint) as requester,
        pytest.raises(VersionMismatch) as caught,
    ):
        requester.ping()
    assert caught.value.exit_code == ExitCode.BROKER


def test_a_bug_in_the_core_does_not_end_the_broker(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.core._book.runs["broken"] = None  # type: ignore[assignment]
    for _ in range(3):
        server._turns.tick()
    assert caplog.text.count("Traceback") == 1
    assert "It was handling: Tick" in caplog.text
    del server.core._book.runs["broken"]
    refused = decode(
        said_to(server, server.endpoints.frontend, encode(m.GetRun(3, "r1"))), m.TO_CLIENT
    )
    assert isinstance(refused, m.Refused)
    assert refused.request == 3
