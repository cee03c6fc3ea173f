"""ZeroMQ sockets that carry messages instead of frames.

None of them ever blocks: receiving gives None when there is nothing, and a message that cannot be
sent because the peer is gone or far behind is dropped.  The protocol repeats what matters.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, cast

import zmq
from zmq.utils import z85

from loads.errors import BrokerError, BrokerRefused, RemoteProtocolError
from loads.protocol import codec
from loads.protocol.messages import MAX_BUNDLE, Message
from loads.protocol.roles import UNLOCKED, Who
from loads.protocol.sizes import largest
from loads.transport.endpoints import check_place
from loads.transport.handshake import EVENTS, Handshake, mechanism_of
from loads.transport.tokens import Access, Credentials

LINGER_MS = 1_000  #: how long a closing socket may take to deliver what was sent
HANDSHAKE_MS = 10_000  #: how long a server may take to say who it is
GUEST_MS = 5_000  #: how long a server bears a peer that does not: it takes a descriptor
MAX_MESSAGE = MAX_BUNDLE + (16 << 20)  #: bytes of what a broker sends
# Plain numbers: pyzmq's own loops over frames compute with enumerations, at some microseconds each.
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
QUEUE = 10_000  #: messages that may wait for one peer, unless less is said
UNREAD = 1_000  #: messages of a peer that may wait here: more wait with the peer, or on the way
REQUESTS = 100  #: requests of a client, or answers to it, that may wait
_MONITORED = struct.Struct("=HI")  #: an event, and the number that goes with it
#: Handshakes that fail before anybody is asked about a key, or without one.
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
LARGE = 1 << 20  #: bytes of messages after which those that were received are handled first
_monitors = count()

# A socket for both versions of IP shows an IPv4 address as one of IPv6 (RFC 4291, section 2.5.5.2).
_MAPPED = re.compile(r"^tcp://\[::ffff:([0-9.]+)\]:")


@dataclass(frozen=True)
class Lock:
    """What locks a server's socket: its secret key, its name, and who it takes a key for.

    ``identify`` raises :class:`RemoteProtocolError` for a key that is good no longer.
    """

    secret: bytes = field(repr=False)
    domain: str
    identify: Callable[[str], Who]

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Lock a socket that is not bound yet."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, self.domain.encode())
        # without it, keys of all sorts are good while nobody answers questions about them
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


class Socket:
    """Base of the four kinds of socket."""

    _guests: Monitor | None = None  #: tells of those who fail to connect to a server
    _failed = 0

    def __init__(self, kind: int, queue: int = QUEUE) -> None:
        self._socket = make(kind, queue)

    def _unlock(self, credentials: Credentials | None) -> None:
        """Have what we connect to be the broker of these credentials, and show it our key."""
        if credentials is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, credentials.server)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, credentials.secret)
            public = z85.decode(zmq.curve_public(z85.encode(credentials.secret)))
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, public)

    @property
    def raw(self) -> zmq.Socket[bytes]:
        """The ZeroMQ socket, for pollers."""
        return self._socket

    def bind(self, endpoint: str) -> str:
        """Bind, and give the endpoint that it became: port 0 takes one that is free.

        Raises :class:`BrokerError` when the endpoint is taken or impossible.
        """
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, GUEST_MS)
        try:
            self._socket.bind(endpoint)
            self._guests = Monitor(self._socket, _FAILED)
        except zmq.ZMQError as error:
            raise BrokerError(
                f"{endpoint} cannot be opened: {error.strerror}.",
                "Is another broker running? Give this one another endpoint.",
            ) from error
        bound = cast(bytes, self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        return _MAPPED.sub(r"tcp://\1:", bound)

    def connect(self, endpoint: str) -> None:
        """Connect, now or when the peer is there.

        Raises :class:`BrokerError`, also for a Unix socket that may be another user's.
        """
        check_place(endpoint)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise BrokerError(f"{endpoint} cannot be used: {error.strerror}.") from error

    def disconnect(self, endpoint: str) -> None:
        self._socket.disconnect(endpoint)

    def wait(self, seconds: float) -> bool:
        """Whether there is something to receive within ``seconds``."""
        return bool(self._socket.poll(max(0, int(seconds * 1000))))

    def count_failed(self) -> None:
        """Hear how many peers have failed to connect to what was bound."""
        if self._guests is not None:
            self._failed += sum(1 for _ in self._guests.events())

    def take_failed(self) -> int:
        """How many have since this was asked last: not those whose keys were refused."""
        self.count_failed()
        failed, self._failed = self._failed, 0
        return failed

    def _count_no_more(self) -> None:
        if self._guests is not None:
            self.count_failed()
            self._guests.close()
            self._guests = None

    def close(self, linger: bool = True) -> None:
        self._count_no_more()
        self._socket.close(None if linger else 0)

    def _receive(self) -> list[bytes] | None:
        frames = self._receive_frames()
        return None if frames is None else [frame.bytes for frame in frames]

    def _receive_frames(self) -> list[zmq.Frame] | None:
        receive = self._socket.recv
        try:
            frame = receive(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        frames = [frame]
        while frame.more:  # the others are there as well: a message arrives whole
            frame = receive(_NOBLOCK, copy=False)
            frames.append(frame)
        return frames

    def _send(self, frames: Sequence[bytes]) -> bool:
        send = self._socket.send
        try:
            for frame in frames[:-1]:
                send(frame, _MORE)
            send(frames[-1], _NOBLOCK)
            return True
        except (zmq.Again, zmq.ZMQError):
            return False


class Received(NamedTuple):
    """A message, or what was wrong with it; ``body`` is the frame that its fields were in.

    ``peer`` is the address that it is from, which says nothing about ``who`` sent it.
    """

    peer: bytes
    message: Message | RemoteProtocolError
    body: bytes = b""
    who: Who = UNLOCKED


def make(kind: int, queue: int = QUEUE) -> zmq.Socket[bytes]:
    """A ZeroMQ socket with what all of ours have in common."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.set_hwm(queue)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    return socket


def deliver_and_end() -> None:
    """Close all sockets, and wait until what they have sent is on its way.

    For the end of a process: one that just ends takes with it what ZeroMQ's thread has not got
    round to send, whatever ``LINGER`` says.  That is how long it takes at most.
    """
    zmq.Context.instance().destroy()


class Monitor(Socket):
    """Tells what becomes of another socket's connections."""

    def __init__(self, watched: zmq.Socket[bytes], events: int) -> None:
        self._watched = watched
        at = f"inproc://loads-monitor-{next(_monitors)}"
        watched.monitor(at, events)
        self._socket = zmq.Context.instance().socket(zmq.PAIR)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # a thread of ZeroMQ would wait for us to read
        self._socket.connect(at)

    def events(self) -> Iterator[tuple[int, int]]:
        """What has happened, and the number that goes with it."""
        while self._socket.poll(0):
            # https://libzmq.readthedocs.io/en/latest/zmq_socket_monitor.html; pyzmq's own
            # function for it imports asyncio, which takes longer than connecting
            event, value = _MONITORED.unpack(self._socket.recv_multipart(zmq.NOBLOCK)[0])
            yield event, value

    def close(self, linger: bool = False) -> None:
        self._watched.monitor(None, 0)
        self._socket.close(0)


class Router(Socket):
    """A server's socket: many peers, each with an address."""

    def __init__(
        self, allowed: tuple[type[Message], ...], lock: Lock | None = None, queue: int = QUEUE
    ) -> None:
        super().__init__(zmq.ROUTER, queue)
        self._socket.setsockopt(zmq.RCVHWM, min(queue, UNREAD))
        self._socket.setsockopt(zmq.MAXMSGSIZE, largest(allowed))
        self._allowed = allowed
        self._lock = lock
        if lock is not None:
            lock.apply(self._socket)

    def receive(self, most: int = 1) -> list[Received]:
        """The next messages that are there, or what was wrong with them; no more than ``most``.

        They are fewer, too, when they are large: what is received is decoded, all of it, at once.
        """
        heard: list[tuple[bytes, list[bytes], Who | RemoteProtocolError]] = []
        size = 0
        while len(heard) < most and size < LARGE:
            frames = self._receive_frames()
            if frames is None:
                break
            peer, *parts = [frame.bytes for frame in frames]
            heard.append((peer, parts, self._sender(frames[-1])))
            size += sum(map(len, parts))
        welcome = [parts for _, parts, who in heard if isinstance(who, Who)]
        senders = [who for _, _, who in heard if isinstance(who, Who)]
        messages = iter(codec.decode_all(welcome, self._allowed, senders))
        return [
            Received(peer, next(messages), parts[-1] if parts else b"", who)
            if isinstance(who, Who)
            else Received(peer, who)
            for peer, parts, who in heard
        ]

    def _sender(self, frame: zmq.Frame) -> Who | RemoteProtocolError:
        """Who sent a frame, or why that is nobody any more."""
        if self._lock is None:
            return UNLOCKED
        try:  # an address may be another's a moment later: the message is asked
            return self._lock.identify(cast(str, frame.get("User-Id")))
        except RemoteProtocolError as error:
            return error

    def send(self, peer: bytes, message: Message) -> bool:
        """Send to one peer; False when it is gone."""
        return self._send([peer, *codec.encode(message)])


class Dealer(Socket):
    """A peer's socket to a server."""

    def __init__(self, allowed: tuple[type[Message], ...]) -> None:
        super().__init__(zmq.DEALER)
        self._allowed = allowed
        self._monitor: Monitor | None = None

    def dial(self, access: Access, domain: str, way: str = "") -> None:
        """Connect to the broker's socket of that name, and notice when it refuses us.

        ``way`` is where to connect to, if that is not the endpoint itself but a tunnel to it.
        """
        way = way or access.endpoint
        check_place(way)
        self._unlock(access.credentials)
        self._handshake = Handshake(access, domain, time.time, lambda: mechanism_of(way))
        self._monitor = Monitor(self._socket, EVENTS)
        self.connect(way)

    @property
    def monitor(self) -> Monitor:
        """What is readable when something has become of a :meth:`dial`."""
        assert self._monitor is not None
        return self._monitor

    def refusal(self) -> BrokerRefused | None:
        """Why the broker will never answer; None as long as it may."""
        if self._monitor is None:
            return None
        for event, value in self._monitor.events():
            self._handshake.note(event, value)
        return self._handshake.refusal

    def wait(self, seconds: float) -> bool:
        """Whether there is something to receive within ``seconds``.

        Raises :class:`BrokerRefused` when there never will be.
        """
        if self._monitor is None:
            return super().wait(seconds)
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor.raw, zmq.POLLIN)
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            readable = dict(poller.poll(max(0, int(left * 1000))))
            if self._socket in readable:
                return True
            refusal = self.refusal()
            if refusal is not None:
                raise refusal
            if left <= 0:
                return False

    def close(self, linger: bool = True) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        super().close(linger)

    def receive(self) -> Message | None:
        """The next message.  Raises :class:`RemoteProtocolError`."""
        frames = self._receive()
        return None if frames is None else codec.decode(frames, self._allowed)

    def send(self, message: Message) -> bool:
        """Send, or queue until the server is there; False when the queue is full."""
        return self._send(codec.encode(message))


class Subscriber(Socket):
    """Follows runs."""

    def __init__(
        self, allowed: tuple[type[Message], ...], credentials: Credentials | None = None
    ) -> None:
        super().__init__(zmq.SUB)
        self._allowed = allowed
        self._unlock(credentials)

    def follow(self, run_id: str) -> None:
        """Receive the updates of a run from now on."""
        self._socket.setsockopt(zmq.SUBSCRIBE, run_id.encode())

    def receive(self) -> Message | None:
        """The next update.  Raises :class:`RemoteProtocolError`."""
        frames = self._receive()
        return None if frames is None else codec.decode(frames[1:], self._allowed)
