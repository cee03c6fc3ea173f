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
from loads.protocol.codec import PROTOCOL, decode, encode
from tests.e2e.cluster import Cluster, site
from tests.e2e.frames import mutated
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
    is_tcp = transport == "tcp"
    open_to_all = ("--insecure",) if is_tcp else ()
    cluster = Cluster(stage, agents=2, tcp=is_tcp, broker_options=open_to_all)
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
    assert result.warnings == []
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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutations_of_every_message_from_many_peers_disturb_no_run(
    stage: Stage, target: Target, seed: int
) -> None:
    """All kinds on all sockets, in any order, from peers that come and go."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage, agents=2)
    options = ("-u", 5, "--hits", 40, "--server-url", target.url)
    runner = cluster.start("test_gate", *options)
    until(lambda: target.hits == 10, "all users at the gate")
    mutate(cluster, seed)
    target.open_gate()
    mutate(cluster, seed + 100)
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 400
    assert result.warnings == []
    for daemon in (cluster.broker, *cluster.agents):
        assert daemon.code is None
        assert "Traceback" not in daemon.err
        assert "This is a bug in Loads" not in daemon.err


def mutate(cluster: Cluster, seed: int) -> None:
    """Thirty peers on either socket, and each says some things."""
    with zmq.Context() as context:
        for number in range(30):
            for endpoint in (cluster.frontend, cluster.backend):
                with context.socket(zmq.DEALER) as dealer:
                    dealer.setsockopt(zmq.LINGER, 2_000)
                    dealer.connect(endpoint)
                    for frames in mutated(1_000 * seed + number, 20, huge=not number):
                        dealer.send_multipart(frames, zmq.NOBLOCK)


def test_an_agent_shrugs_off_what_a_mad_broker_says(stage: Stage) -> None:
    """A frontend that answers, and then a backend that says whatever comes to its mind."""
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as front,
        context.socket(zmq.ROUTER) as back,
    ):
        front_at = f"tcp://127.0.0.1:{front.bind_to_random_port('tcp://127.0.0.1')}"
        back_at = f"tcp://127.0.0.1:{back.bind_to_random_port('tcp://127.0.0.1')}"
        agent = stage.start("agent", "loads-agent", "--workers", 1, "--broker", front_at)
        peer, *frames = front.recv_multipart()
        ping = decode(frames)
        assert isinstance(ping, m.Ping)
        pong = m.Pong(ping.request, "1", back_at, "tcp://127.0.0.1:1", 0, 0, 0)
        front.send_multipart([peer, *encode(pong)])
        peer, *frames = back.recv_multipart()
        register = decode(frames)
        assert isinstance(register, m.Register)
        back.send_multipart([peer, *encode(m.Welcome(0.2, 60.0, register.attempt))])
        for frames in mutated(7, 500):
            back.send_multipart([peer, *frames])
        # it may have been told of some run; it is still there, and hears the broker
        until(lambda: agent.code is None and says_something(back), "a sign of life")
        assert "Traceback" not in agent.err
        assert "This is a bug in Loads" not in agent.err
        assert agent.terminate() == 0


def says_something(socket: zmq.Socket[bytes]) -> bool:
    """Whether a valid message is there now."""
    while socket.poll(0):
        decode(socket.recv_multipart()[1:])
    return bool(socket.poll(500))


def test_a_console_shrugs_off_what_comes_on_the_publisher(stage: Stage, target: Target) -> None:
    """Mutated updates under the run's own name; the numbers are those of the broker in the end."""
    stage.write("test_gate.py", site("/gate"))
    cluster = Cluster(stage)
    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        at = f"tcp://127.0.0.1:{publisher.bind_to_random_port('tcp://127.0.0.1')}"
        options = ("-u", 2, "--hits", 5, "--server-url", target.url, "--zmq-publisher", at)
        runner = cluster.start("test_gate", *options)
        topic = publisher.recv()[1:]
        until(lambda: target.hits == 2, "all users at the gate")
        for frames in mutated(11, 300):
            publisher.send_multipart([topic, *frames])
        target.open_gate()
        result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 10
    assert "Traceback" not in result.err
