"""The socket that sends updates of runs to whoever follows them."""

from __future__ import annotations

from collections import deque
from typing import cast

import zmq

from loads.protocol import codec
from loads.protocol.messages import Message
from loads.transport.sockets import Lock, Monitor, Socket, make

UPDATES = 1_000  #: that may wait for a console: it asks for the whole when it misses some
ROOM = 1 << 19  #: bytes of all subscriptions of all peers together
SUBSCRIPTION = 64  #: bytes that one counts for besides its own: 6,800 consoles have room
MAX_SUBSCRIPTION = 512  #: bytes of what a peer may say to a publisher; a handshake takes half of it
#: Subscriptions of a peer that may wait.  ZeroMQ takes all that wait, and what has come meanwhile,
#: before it says so: with 100, that was 27,000 at once.  With a key, there is room for one less.
UNHEARD = 2
ASKERS = 1_000  #: subscriptions of which it is known who asked for them: those that came last
REOPEN_MS = 1_000  #: how long a port may take to be free again


class Publisher(Socket):
    """Sends updates of runs to whoever follows them.

    ZeroMQ keeps what peers subscribe to, however much that is, and says what they do.  It is added
    up here so that it never counts as less than it is: what a peer takes back may not have been its
    own, and is taken off only when its connection ends.
    """

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock
        self._open()

    def _open(self) -> None:
        self._socket = make(zmq.XPUB, UPDATES)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION)
        self._socket.setsockopt(zmq.RCVHWM, UNHEARD)
        if self._lock is not None:
            self._lock.apply(self._socket)
        self._wanted = 0
        self._askers: deque[str] = deque(maxlen=ASKERS)

    def has_room(self) -> bool:
        """Hear who wants what; False when that is more than there is room for."""
        while self._wanted <= ROOM:
            frames = self._receive_frames()
            if frames is None:
                return True
            said, size = frames[0].bytes, len(frames[0]) + SUBSCRIPTION
            if said.startswith(b"\1"):
                self._wanted += size
                self._askers.append(_of_peer(frames[0], "User-Id"))
            elif said.startswith(b"\0") and not _of_peer(frames[0], "Socket-Type"):
                self._wanted -= size  # said by ZeroMQ itself
        return False

    @property
    def busiest(self) -> str:
        """The name of the key that has asked for most of what came last; empty without keys."""
        return max(self._askers, key=self._askers.count, default="")

    def publish(self, run_id: str, message: Message) -> None:
        """Send to all that follow the run."""
        self._send([run_id.encode(), *codec.encode(message)])

    def reopen(self, endpoint: str) -> None:
        """Break all connections, as the only way to end one of them; the others come back.

        ``endpoint`` is as it was bound.  Raises :class:`BrokerError` when another has taken it.
        """
        self._count_no_more()  # a socket has one monitor
        monitor = Monitor(self._socket, zmq.EVENT_CLOSED)
        self._socket.unbind(endpoint)
        monitor.raw.poll(REOPEN_MS)  # until its port is free
        monitor.close()
        self._socket.close(0)
        self._open()
        self.bind(endpoint)


def _of_peer(frame: zmq.Frame, name: str) -> str:
    """What is known of the connection that a frame came over; empty if nothing is, or of none."""
    try:
        return cast(str, frame.get(name))
    except zmq.ZMQError:
        return ""
