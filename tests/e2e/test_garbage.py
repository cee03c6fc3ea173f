"""Bytes that make no sense, on every socket of a broker that is at work."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import msgpack
import pytest
import zmq

from loads.protocol import messages as m
from loads.protocol.codec import PROTOCOL, encode
from tests.e2e.cluster import Cluster, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until


def malformed(seed: int) -> Iterator[list[bytes]]:
    """Multipart messages that are wrong in every way that a frame can be."""
    chance = random.Random(seed)
    yield [b""]
    yield [b""] * 50
    yield [PROTOCOL]
    yield [PROTOCOL, b"Ping"]
    yield [PROTOCOL, b"Ping", b""]
    yield [PROTOCOL, b"Ping", b"\xc1"]
    yield [PROTOCOL, b"Ping", msgpack.packb([1, 2])]
    yield [PROTOCOL, b"Ping", msgpack.packb({"request": "one"})]
    yield [PROTOCOL, b"Ping", msgpack.packb({"request": -1})]
    yield [PROTOCOL, b"Ping", msgpack.packb({b"request": 2**63})]
    yield [PROTOCOL, b"Ping", b"\x91" * 5_000]
    yield [PROTOCOL, b"__class__", msgpack.packb({})]
    yield [PROTOCOL, b"Submit", msgpack.packb({"request": 1, "plan": {"target": ["x"]}})]
    yield [PROTOCOL, b"GetRun", msgpack.packb({"request": 1, "run_id": "no such run"})]
    yield [PROTOCOL, b"StopRun", msgpack.packb({"request": 1, "run_id": "", "grace": -1.0})]
    yield [PROTOCOL, b"Register", msgpack.packb({"agent_id": "", "host": "", "pid": 0})]
    yield [PROTOCOL, b"Report", msgpack.packb({"run_id": "x", "worker": "y", "sequence": 1})]
    yield [b"LOADS/999999999", b"Register", b""]
    yield [PROTOCOL, b"Ping", os.urandom(1 << 20)]
    for _ in range(200):
        yield [chance.randbytes(chance.randrange(40)) for _ in range(chance.randrange(1, 6))]
        good = encode(m.Ping(chance.randrange(100)))
        good[chance.randrange(3)] = chance.randbytes(chance.randrange(1, 20))
        yield good


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_broker_shrugs_off_garbage_and_the_run_beside_it_is_exact(
    stage: Stage, target: Target, transport: str
) -> None:
    """Dealers that speak nonsense, and clients that do not even speak ZeroMQ."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, agents=2, tcp=transport == "tcp")
    options = ("-u", 5, "--hits", 40, "--server-url", target.url)
    runner = cluster.start("test_gate", *options)
    until(lambda: target.hits == 10, "all users at the gate")
    for endpoint in (cluster.frontend, cluster.backend, cluster.publisher):
        send_noise(endpoint)
    for endpoint in (cluster.frontend, cluster.backend):
        send_garbage(endpoint)
    target.open_gate()
    for endpoint in (cluster.frontend, cluster.backend):
        send_garbage(endpoint)
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 400
    assert "Traceback" not in cluster.broker.err
    assert result.summary["warnings"] == []
    again = cluster.run("test_gate", *options)
    assert again.code == 0
    assert again.hits == target.hits - 400 == 400


def send_garbage(endpoint: str) -> None:
    """As a peer that speaks ZeroMQ; a dealer's queue is emptied before it closes."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 2_000)
        dealer.connect(endpoint)
        for frames in malformed(seed=7):
            dealer.send_multipart(frames, zmq.NOBLOCK)


def send_noise(endpoint: str) -> None:
    """As one who has dialled the wrong number."""
    address = endpoint.partition("://")[2]
    for noise in (b"GET / HTTP/1.1\r\nHost: loads\r\n\r\n", os.urandom(10_000), b"\xff" * 64, b""):
        if endpoint.startswith("ipc:"):
            wrong = socket.socket(socket.AF_UNIX)
            wrong.connect(address)
        else:
            host, _, port = address.rpartition(":")
            wrong = socket.create_connection((host, int(port)))
        with wrong:
            wrong.sendall(noise)


def test_a_peer_that_lies_about_a_run_changes_nothing(stage: Stage, target: Target) -> None:
    """Reports of an agent that is none, about a run that is another's."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage)
    runner = cluster.start("test_gate", "-u", 2, "--hits", 5, "--server-url", target.url)
    until(lambda: target.hits == 2, "all users at the gate")
    run_id = cluster.broker.says(" started on ").split("Run ")[1].split()[0]
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 2_000)
        dealer.connect(cluster.backend)
        dealer.send_multipart(encode(m.Finished(run_id)))
        dealer.send_multipart(encode(m.Bye("I am the agent")))
        dealer.send_multipart(encode(m.Register("liar", "nowhere", 1, 1, "", run_id)))
        dealer.send_multipart(encode(m.Finished(run_id)))
        dealer.send_multipart(encode(m.Ready(run_id, ("liar/0",))))
        dealer.send_multipart(encode(m.CannotRun(run_id, 2, "a lie")))
        dealer.send_multipart(encode(m.Bye()))
    cluster.broker.says("Agent liar left")
    target.open_gate()
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 10
    assert [agent["hits"] for agent in result.summary["agents"]] == [10]
