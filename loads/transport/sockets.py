"""ZeroMQ sockets that carry messages instead of frames.

None of them ever blocks: receiving gives None when there is nothing, and a message that cannot be
sent because the peer is gone or far behind is dropped.  The protocol repeats what matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import zmq

from loads.errors import BrokerError, RemoteProtocolError
from loads.protocol import codec
from loads.protocol.messages import MAX_BUNDLE, Message

LINGER_MS = 1_000  #: how long a closing socket may take to deliver what was sent
MAX_MESSAGE = MAX_BUNDLE + (16 << 20)
# Plain numbers: pyzmq's own loops over frames compute with enumerations, at some microseconds each.
_NOBLOCK, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
QUEUE = 10_000  #: messages that may wait for one peer

# A socket for both versions of IP shows an IPv4 address as one of IPv6 (RFC 4291, section 2.5.5.2).
_MAPPED = re.compile(r"^tcp://\[::ffff:([0-9.]+)\]:")


class Socket:
    """Base of the four kinds of socket."""

    def __init__(self, kind: int) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
        self._socket.setsockopt(zmq.LINGER, LINGER_MS)
        self._socket.set_hwm(QUEUE)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        self._socket.setsockopt(zmq.IPV6, 1)

    @property
    def raw(self) -> zmq.Socket[bytes]:
        """The ZeroMQ socket, for pollers."""
        return self._socket

    def bind(self, endpoint: str) -> str:
        """Bind, and give the endpoint that it became: port 0 takes one that is free.

        Raises :class:`BrokerError` when the endpoint is taken or impossible.
        """
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise BrokerError(
                f"{endpoint} cannot be opened: {error.strerror}.",
                "Is another broker running? Give this one another endpoint.",
            ) from error
        bound = cast(bytes, self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        return _MAPPED.sub(r"tcp://\1:", bound)

    def connect(self, endpoint: str) -> None:
        """Connect, now or when the peer is there.  Raises :class:`BrokerError`."""
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise BrokerError(f"{endpoint} cannot be used: {error.strerror}.") from error

    def disconnect(self, endpoint: str) -> None:
        self._socket.disconnect(endpoint)

    def wait(self, seconds: float) -> bool:
        """Whether there is something to receive within ``seconds``."""
        return bool(self._socket.poll(max(0, int(seconds * 1000))))

    def close(self, linger: bool = True) -> None:
        self._socket.close(None if linger else 0)

    def _receive(self) -> list[bytes] | None:
        receive = self._socket.recv
        try:
            frame = receive(_NOBLOCK, copy=False)
        except zmq.Again:
            return None
        frames = [frame.bytes]
        while frame.more:  # the others are there as well: a message arrives whole
            frame = receive(_NOBLOCK, copy=False)
            frames.append(frame.bytes)
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
    """A message, or what was wrong with it; ``body`` is the frame that its fields were in."""

    peer: bytes
    message: Message | RemoteProtocolError
    body: bytes = b""


class Router(Socket):
    """A server's socket: many peers, each with an address."""

    def __init__(self, allowed: tuple[type[Message], ...]) -> None:
        super().__init__(zmq.ROUTER)
        self._allowed = allowed

    def receive(self) -> Received | None:
        """The next message, or what was wrong with it, and who sent it."""
        frames = self._receive()
        if frames is None:
            return None
        try:
            return Received(frames[0], codec.decode(frames[1:], self._allowed), frames[-1])
        except RemoteProtocolError as error:
            return Received(frames[0], error)

    def send(self, peer: bytes, message: Message) -> bool:
        """Send to one peer; False when it is gone."""
        return self._send([peer, *codec.encode(message)])


class Dealer(Socket):
    """A peer's socket to a server."""

    def __init__(self, allowed: tuple[type[Message], ...]) -> None:
        super().__init__(zmq.DEALER)
        self._allowed = allowed

    def receive(self) -> Message | None:
        """The next message.  Raises :class:`RemoteProtocolError`."""
        frames = self._receive()
        return None if frames is None else codec.decode(frames, self._allowed)

    def send(self, message: Message) -> bool:
        """Send, or queue until the server is there; False when the queue is full."""
        return self._send(codec.encode(message))


class Publisher(Socket):
    """Sends updates of runs to whoever follows them."""

    def __init__(self) -> None:
        super().__init__(zmq.PUB)

    def publish(self, run_id: str, message: Message) -> None:
        """Send to all that follow the run."""
        self._send([run_id.encode(), *codec.encode(message)])


class Subscriber(Socket):
    """Follows runs."""

    def __init__(self, allowed: tuple[type[Message], ...]) -> None:
        super().__init__(zmq.SUB)
        self._allowed = allowed

    def follow(self, run_id: str) -> None:
        """Receive the updates of a run from now on."""
        self._socket.setsockopt(zmq.SUBSCRIBE, run_id.encode())

    def receive(self) -> Message | None:
        """The next update.  Raises :class:`RemoteProtocolError`."""
        frames = self._receive()
        return None if frames is None else codec.decode(frames[1:], self._allowed)


def raw(source: Socket | int) -> Any:
    """What a poller takes for a source."""
    return cast(Any, source.raw if isinstance(source, Socket) else source)
