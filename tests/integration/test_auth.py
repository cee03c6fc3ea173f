"""The door, with real sockets on both of its sides."""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from loads.broker.locks import Locks
from loads.clock import SystemClock
from loads.errors import BrokerError, BrokerRefused, RemoteProtocolError
from loads.protocol import messages as m
from loads.protocol.codec import NotEntitled
from loads.protocol.roles import OWNER, SOCKETS, UNLOCKED, Role, Who
from loads.protocol.sizes import SIZES
from loads.transport.auth import Doorkeeper, KeyWithdrawn
from loads.transport.endpoints import Endpoints
from loads.transport.handshake import ENOUGH, Handshake, mechanism_of
from loads.transport.keys import KeyRing
from loads.transport.pairs import make_pair
from loads.transport.publisher import Publisher
from loads.transport.sockets import GUEST_MS, Dealer, Monitor, Router, Subscriber
from loads.transport.tokens import Access, Credentials, read_token
from tests.e2e.waiting import until

PATIENCE = 20.0  #: seconds; only a test that fails ever waits so long
#: What a peer says first that has no key (https://rfc.zeromq.org/spec/37/).
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


class Door:
    """A locked frontend, backend and publisher, which are attended to while a test waits."""

    def __init__(self, home: Path) -> None:
        self.now = time.time()
        self.ring = KeyRing(home)
        self.keeper = Doorkeeper(self.ring, lambda: self.now)
        self.frontend = Router(m.FROM_CLIENT, self.keeper.lock("frontend"))
        self.backend = Router(m.FROM_CLIENT, self.keeper.lock("backend"))
        self.publisher = Publisher(self.keeper.lock("publisher"))
        sockets = (self.frontend, self.backend, self.publisher)
        self.at = dict(zip(SOCKETS, (s.bind("tcp://127.0.0.1:0") for s in sockets), strict=True))
        self.dealers: list[Dealer] = []

    def access(self, name: str, role: Role, expires: float = 0.0) -> Access:
        token = self.ring.add(name, role, self.at["frontend"], self.now, expires)
        return read_token(token)

    def dial(self, access: Access, domain: str = "frontend") -> Dealer:
        """A peer that connects and asks a question."""
        dealer = Dealer(m.TO_CLIENT)
        self.dealers.append(dealer)
        dealer.dial(replace(access, endpoint=self.at[domain]), domain)
        dealer.send(m.Ping(1))
        return dealer

    def hear(self, dealer: Dealer, domain: str = "frontend") -> tuple[object, Who]:
        """What arrives of that peer.  Raises the error that it is refused with."""
        router = self.frontend if domain == "frontend" else self.backend
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.keeper.serve()
            for received in router.receive():
                return received.message, received.who
            dealer.wait(0.005)
        pytest.fail("neither heard nor refused")

    def close(self) -> None:
        for one in (*self.dealers, self.frontend, self.backend, self.publisher, self.keeper):
            one.close(linger=False)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path / "home")
    yield door
    door.close()


@pytest.mark.parametrize("domain", ["frontend", "backend"])
@pytest.mark.parametrize("role", [Role.RUNNER, Role.AGENT, Role.VIEWER])
def test_a_key_opens_the_sockets_of_its_role(door: Door, role: Role, domain: str) -> None:
    dealer = door.dial(door.access("eve", role), domain)
    if role in SOCKETS[domain]:
        assert door.hear(dealer, domain) == (m.Ping(1), Who("eve", role))
        return
    with pytest.raises(BrokerRefused) as caught:
        door.hear(dealer, domain)
    assert f"its role is {role.value}, and the backend is for the role agent" in str(caught.value)
    assert door.keeper.take_refused() == 1
    assert door.keeper.take_refused() == 0


def test_the_owner_is_known(door: Door) -> None:
    own = Credentials(door.ring.broker().public, door.ring.owner().secret)
    for domain in ("frontend", "backend"):
        dealer = door.dial(Access("", own), domain)
        assert door.hear(dealer, domain) == (m.Ping(1), OWNER)


def test_a_stranger_is_refused(door: Door) -> None:
    known = door.access("eve", Role.RUNNER).credentials
    assert known is not None
    stranger = replace(known, secret=make_pair().secret)
    with pytest.raises(BrokerRefused, match="refuses the key eve"):
        door.hear(door.dial(Access("", stranger)))


def test_who_has_no_key_is_refused(door: Door) -> None:
    with pytest.raises(BrokerRefused, match="is locked, and no key was given") as caught:
        door.hear(door.dial(Access("")))
    assert "loads-keys add" in caught.value.hint


def test_who_has_no_key_to_look_at_is_counted(door: Door) -> None:
    """No key, another broker's, another protocol: none of these gets as far as the keys."""
    known = door.access("eve", Role.RUNNER).credentials
    assert known is not None
    strangers = [Access(""), Access("", replace(known, server=make_pair().public))]
    for domain, server in (("frontend", door.frontend), ("backend", door.backend)):
        assert server.take_failed() == 0
        for stranger in strangers:
            dealer = door.dial(stranger, domain)
            failed: list[int] = []
            until(lambda s=server, f=failed: f.append(s.take_failed()) or any(f), "a failure")
            dealer.close(linger=False)
        _greet(door.at[domain])
        until(lambda s=server: s.take_failed() > 0, "a greeting is counted")
    reader = Subscriber((m.Ping,))
    reader.connect(door.at["publisher"])
    until(lambda: door.publisher.take_failed() > 0, "a reader without a key")
    reader.close(linger=False)
    door.publisher.reopen(door.at["publisher"])
    door.publisher.take_failed()
    _greet(door.at["publisher"])
    until(lambda: door.publisher.take_failed() > 0, "also after all connections were broken")
    assert door.keeper.take_refused() == 0


def _greet(endpoint: str) -> None:
    host, _, port = endpoint.partition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as wrong:
        wrong.sendall(GREETING)
        with suppress(ConnectionError):
            while wrong.recv(1_000):
                continue


def test_a_key_that_is_refused_is_not_counted_twice(door: Door) -> None:
    with pytest.raises(BrokerRefused):
        door.hear(door.dial(door.access("eve", Role.RUNNER), "backend"), "backend")
    assert door.keeper.take_refused() == 1
    assert door.backend.take_failed() == 0


def test_who_fails_to_connect_keeps_nobody_waiting_for_us_to_look(door: Door) -> None:
    """ZeroMQ's thread would wait for who reads its events, and all connections with it."""
    host, _, port = door.at["frontend"].partition("://")[2].rpartition(":")
    for _ in range(3_000):
        with socket.create_connection((host, int(port)), PATIENCE) as wrong:
            wrong.sendall(GREETING)
    assert door.hear(door.dial(door.access("eve", Role.RUNNER)))[0] == m.Ping(1)
    found: list[int] = []
    until(lambda: found.append(door.frontend.take_failed()) or sum(found) >= 3_000, "all counted")


@pytest.mark.parametrize(
    ("endpoint", "line"),
    [
        ("tcp://127.0.0.1:0", "Refused 3 connections without a good key in the last minute"),
        ("ipc:///nowhere", "Ended 3 connections that failed to open in the last minute"),
    ],
)
def test_who_failed_to_connect_is_said_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, endpoint: str, line: str
) -> None:
    log = logging.getLogger("loads.broker")
    locks = Locks(Endpoints(*[endpoint] * 3), False, tmp_path / "home", SystemClock(), log)
    try:
        locks.report(0)
        locks.report(3)
    finally:
        locks.close()
    assert caplog.messages == [line]


def test_nobody_gets_in_while_nobody_looks_at_keys(door: Door) -> None:
    access = door.access("eve", Role.RUNNER)
    door.keeper.close()
    dealer = door.dial(access)
    failed: list[int] = []
    until(lambda: failed.append(door.frontend.take_failed()) or any(failed), "a refusal")
    assert not door.frontend.receive()
    dealer.close(linger=False)
    door.keeper = Doorkeeper(door.ring, lambda: door.now)


def test_what_a_key_gives_no_right_to_is_not_read(door: Door) -> None:
    dealer = door.dial(door.access("vic", Role.VIEWER))
    assert door.hear(dealer)[0] == m.Ping(1)
    dealer.raw.send_multipart([b"LOADS/1", b"Purge", b"\x82\xa7request\x07 no msgpack"])
    refused, who = door.hear(dealer)
    assert isinstance(refused, NotEntitled)
    assert (refused.kind, refused.request, who.name) == (m.Purge, 7, "vic")


def test_a_message_that_is_larger_than_any_ends_the_connection(door: Door) -> None:
    """What no agent has to say is not taken in, whoever says it."""
    other = Router(m.FROM_AGENT)
    dealers = [Dealer(m.TO_AGENT) for _ in range(2)]
    try:
        at = other.bind("tcp://127.0.0.1:0")
        for dealer in dealers:
            dealer.connect(at)
        largest_one = bytes(SIZES[m.Report].most)
        dealers[0].raw.send_multipart([b"LOADS/1", b"Report", largest_one])
        assert other.wait(PATIENCE)
        assert isinstance(other.receive()[0].message, RemoteProtocolError)
        monitor = Monitor(dealers[1].raw, zmq.EVENT_DISCONNECTED)
        dealers[1].raw.send_multipart([b"LOADS/1", b"Report", largest_one + bytes(2_000)])
        assert monitor.wait(PATIENCE)
        assert not other.receive()
        monitor.close()
    finally:
        for one in (*dealers, other):
            one.close(linger=False)


def test_a_broker_with_another_key_is_told_nothing(door: Door) -> None:
    known = door.access("eve", Role.RUNNER).credentials
    assert known is not None
    elsewhere = replace(known, server=make_pair().public)
    with pytest.raises(BrokerRefused, match="does not have the key of the broker"):
        door.hear(door.dial(Access("", elsewhere)))


def test_a_broker_without_a_lock_is_told_nothing(door: Door) -> None:
    """Somebody may have taken the port of a broker that has ended."""
    known = door.access("eve", Role.RUNNER)
    thief = Router(m.FROM_CLIENT)
    try:
        door.at["frontend"] = thief.bind("tcp://127.0.0.1:0")
        with pytest.raises(BrokerRefused, match="does not have the key of the broker"):
            door.hear(door.dial(known))
        assert not thief.receive()
    finally:
        thief.close()


def test_a_key_that_is_revoked_is_good_for_nothing_at_once(door: Door) -> None:
    access = door.access("eve", Role.RUNNER)
    dealer = door.dial(access)
    assert door.hear(dealer) == (m.Ping(1), Who("eve", Role.RUNNER))
    door.ring.revoke("eve", door.now)
    (gone,) = door.keeper.refresh()
    assert door.keeper.withdrawn == [gone]
    assert (gone.who, gone.reason) == (Who("eve", Role.RUNNER), "The key eve was revoked.")
    assert door.keeper.refresh() == []
    dealer.send(m.Ping(2))
    error, who = door.hear(dealer)  # over the connection that is still there
    assert isinstance(error, KeyWithdrawn)
    assert who == UNLOCKED
    with pytest.raises(BrokerRefused, match="refuses the key eve: it was revoked"):
        door.hear(door.dial(access))


def test_a_key_that_was_revoked_a_moment_ago_lets_nobody_in(door: Door) -> None:
    """Also before the broker looks at its keys the next time."""
    access = door.access("eve", Role.RUNNER)
    door.ring.revoke("eve", door.now)
    with pytest.raises(BrokerRefused, match="it was revoked"):
        door.hear(door.dial(access))


def test_a_key_expires_whoever_is_connected(door: Door) -> None:
    access = door.access("eve", Role.AGENT, door.now + 60)
    dealer = door.dial(access)
    door.hear(dealer)
    assert door.keeper.refresh() == []
    door.now += 60
    (gone,) = door.keeper.refresh()
    assert gone.reason == "The key eve has expired."
    dealer.send(m.Ping(2))
    assert isinstance(door.hear(dealer)[0], KeyWithdrawn)
    with pytest.raises(BrokerRefused, match=r"refuses the key eve"):
        door.hear(door.dial(access))


def test_a_key_that_has_expired_is_called_that(door: Door) -> None:
    access = door.access("eve", Role.RUNNER, door.now - 1)
    with pytest.raises(BrokerRefused, match="it has expired"):
        door.hear(door.dial(access))


def test_keys_that_are_used_are_noted(door: Door) -> None:
    door.access("adam", Role.RUNNER)
    door.hear(door.dial(door.access("eve", Role.RUNNER)))
    door.now += 100
    door.keeper.note_use()
    used = {key.name: key.used for key in door.ring.keys()[0]}
    assert used["adam"] == 0
    assert used["eve"] == pytest.approx(door.now, abs=1)


def test_a_reader_whose_key_is_revoked_reads_no_more_and_others_do(door: Door) -> None:
    readers = {}
    for name in ("eve", "adam"):
        readers[name] = Subscriber((m.Ping,), door.access(name, Role.VIEWER).credentials)
        readers[name].connect(door.at["publisher"])
        readers[name].follow("r1")
    try:
        heard_by(door, *readers.values())
        door.ring.revoke("eve", door.now)
        door.keeper.refresh()
        door.publisher.reopen(door.at["publisher"])
        while readers["eve"].receive() is not None:
            pass
        heard_by(door, readers["adam"])
        heard_by(door, readers["adam"])
        assert readers["eve"].receive() is None
    finally:
        for reader in readers.values():
            reader.close(linger=False)


def test_a_key_that_wants_too_much_is_known_and_held_off(door: Door) -> None:
    eve, adam = (door.access(name, Role.VIEWER) for name in ("eve", "adam"))
    readers = []

    def reader(access: Access, subscriptions: int = 1) -> Subscriber:
        readers.append(Subscriber((m.Ping,), access.credentials))
        readers[-1].connect(door.at["publisher"])
        readers[-1].follow("r1")
        for number in range(1, subscriptions):
            readers[-1].follow(f"r1-{number:0400}")
        return readers[-1]

    def is_too_much() -> bool:
        door.keeper.serve()
        return not door.publisher.has_room()

    try:
        one = reader(adam)
        heard_by(door, one)
        reader(eve, 5_000)
        until(is_too_much, "too many subscriptions")
        assert door.publisher.busiest == "eve"
        door.keeper.hold("eve", 60)
        door.publisher.reopen(door.at["publisher"])
        heard_by(door, one)
        assert not is_too_much()
        assert door.publisher.busiest == "adam"
        another = reader(eve)
        assert door.keeper.wait(PATIENCE)
        heard_by(door, one)
        assert another.receive() is None
        assert door.keeper.take_refused() == 0, "the key is good"
        assert door.hear(door.dial(eve))[1] == Who("eve", Role.VIEWER), "on the frontend as well"
        door.now += 60
        reader(eve, 5_000)
        until(is_too_much, "her to be let in again")
    finally:
        for one in readers:
            one.close(linger=False)


def heard_by(door: Door, *readers: Subscriber) -> None:
    """Publish until all of these have read something."""
    waiting, deadline = set(readers), time.monotonic() + PATIENCE
    while waiting:
        assert time.monotonic() < deadline, "a reader hears nothing"
        door.keeper.serve()
        door.publisher.publish("r1", m.Ping(1))
        waiting = {reader for reader in waiting if not reader.wait(0.005)}
    for reader in readers:
        assert reader.receive() == m.Ping(1)


def test_there_is_one_door_in_a_process(door: Door) -> None:
    with pytest.raises(BrokerError, match="one locked broker"):
        Doorkeeper(door.ring, time.time)


@pytest.mark.parametrize(
    "question",
    [
        [],
        [b"1.0"],
        [b"1.0", b"7", b"frontend", b"127.0.0.1", b"", b"NULL"],
        [b"1.0", b"7", b"frontend", b"127.0.0.1", b"", b"PLAIN", b"user", b"password"],
        [b"1.0", b"7", b"frontend", b"127.0.0.1", b"", b"CURVE", b""],
        [b"2.0", b"7", b"frontend", b"127.0.0.1", b"", b"CURVE", b"k" * 32],
        [b"1.0", b"7", b"\xff", b"127.0.0.1", b"", b"CURVE", b"k" * 32],
    ],
)
def test_what_is_no_question_about_a_key_is_answered_with_no(
    door: Door, question: list[bytes]
) -> None:
    answer = door.keeper._answer(question)
    assert answer[2] == b"400"
    assert len(answer) == 6


# -- keys that cannot be read ----------------------------------------------------------------------


def asked(door: Door, name: str) -> bytes:
    """The answer to a connection with a key that is known by its name."""
    (public,) = (bytes.fromhex(k.public) for k in door.keeper._keys.values() if k.name == name)
    question = [b"1.0", b"7", b"frontend", b"127.0.0.1", b"", b"CURVE", public]
    return door.keeper._answer(question)[2]


def no_folder(door: Door) -> Callable[[], object]:
    """Its user has moved it away."""
    folder = door.ring.home / "keys"
    folder.rename(door.ring.home / "moved")
    return lambda: (door.ring.home / "moved").rename(folder)


def no_descriptors(door: Door) -> Callable[[], object]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def bad_disk(door: Door) -> Callable[[], object]:
    """A file that is there and cannot be read: the first bytes of our memory are such."""
    path = door.ring.home / "keys" / "eve"
    path.rename(door.ring.home / "moved")
    path.symlink_to("/proc/self/mem")
    return lambda: (door.ring.home / "moved").rename(path)


@pytest.mark.parametrize("fault", [no_folder, no_descriptors, bad_disk])
def test_keys_that_cannot_be_read_are_good_as_before(
    door: Door, fault: Callable[[Door], Callable[[], object]]
) -> None:
    """Nobody is sent away, and who has a key gets in; the doorkeeper goes on, and says so."""
    door.access("eve", Role.RUNNER)
    assert not door.keeper.refresh()
    mend = fault(door)
    try:
        answer, gone = asked(door, "eve"), door.keeper.refresh()
        door.keeper.note_use()
        trouble = door.keeper.trouble
    finally:
        mend()
    assert answer == b"200"
    assert not gone
    assert trouble.startswith("Keys cannot be read: ")
    assert not door.keeper.take_complaints()
    assert not door.keeper.refresh()
    assert door.keeper.trouble == ""
    door.ring.revoke("eve", door.now)
    assert [one.who.name for one in door.keeper.refresh()] == ["eve"]


def test_a_note_that_cannot_be_made_keeps_nobody_out(door: Door) -> None:
    door.access("eve", Role.RUNNER)
    door.keeper.refresh()
    door.ring.home.joinpath("used").write_text("in the way")
    assert asked(door, "eve") == b"200"
    door.keeper.note_use()


def test_there_is_no_door_where_keys_cannot_be_read(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "home")
    ring.home.joinpath("keys").rmdir()
    with pytest.raises(BrokerError, match="Keys cannot be read: No such file"):
        Doorkeeper(ring, time.time)
    Doorkeeper(KeyRing(ring.home), time.time).close()


# -- what a peer makes of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mechanism", "is_refused"), [(b"CURVE", True), (b"NULL", False), (b"", False)]
)
def test_connections_that_are_closed_without_a_word(mechanism: bytes, is_refused: bool) -> None:
    """A locked broker may close before it says what it is; a tunnel's far end may yet come."""
    asked = 0

    def ask() -> bytes:
        nonlocal asked
        asked += 1
        return mechanism

    handshake = Handshake(Access("tcp://a:1"), "frontend", time.time, ask)
    for _ in range(ENOUGH * 2 - 1):
        assert handshake.refusal is None or is_refused
        handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    assert (handshake.refusal is not None) is is_refused
    assert asked == 1


def test_a_broker_is_asked_how_it_is_locked(door: Door) -> None:
    assert mechanism_of(door.at["frontend"]) == b"CURVE"
    thief = Router(m.FROM_CLIENT)
    try:
        endpoint = thief.bind("tcp://127.0.0.1:0")
        assert mechanism_of(endpoint) == b"NULL"
    finally:
        thief.close()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert mechanism_of(f"tcp://127.0.0.1:{silent.getsockname()[1]}") == b""
        silent.listen()
        assert mechanism_of(f"tcp://127.0.0.1:{silent.getsockname()[1]}") == b""


OTHER = Access("tcp://a:1", Credentials(b"", b""))


def test_a_broker_that_was_just_starting_is_forgiven() -> None:
    handshake = Handshake(OTHER, "frontend", time.time, lambda: b"CURVE")
    for _ in range(ENOUGH - 1):
        handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    handshake.note(zmq.EVENT_HANDSHAKE_SUCCEEDED, 0)
    for _ in range(ENOUGH - 1):
        handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    assert handshake.refusal is None
    handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    assert handshake.refusal is not None


@pytest.mark.parametrize(
    ("mechanism", "is_refused"), [(b"CURVE", True), (b"NULL", True), (b"", False)]
)
def test_what_closes_and_is_no_broker_may_be_a_tunnel(mechanism: bytes, is_refused: bool) -> None:
    """Whose far end may yet come, also for who has a key."""
    handshake = Handshake(OTHER, "frontend", time.time, lambda: mechanism)
    for _ in range(ENOUGH * 3):
        handshake.note(zmq.EVENT_CONNECTED, 7)
        handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    assert (handshake.refusal is not None) is is_refused


def test_a_broker_that_is_too_busy_to_answer_refuses_nobody() -> None:
    now = 1_000.0
    handshake = Handshake(OTHER, "frontend", lambda: now, lambda: b"CURVE")
    for _ in range(ENOUGH * 3):
        handshake.note(zmq.EVENT_CONNECTED, 7)
        now += GUEST_MS / 1000
        handshake.note(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32)
    assert handshake.refusal is None
