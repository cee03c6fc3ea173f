"""Where external runners report: a socket that many push to, read by greenlets.  Workers only.

Nobody says goodbye on such a socket.  ZeroMQ tells of each connection that opens and closes, and a
connection closes after all that was sent on it has arrived: so when a program has ended and no
connection is open, nothing of it can be missing.
"""

from __future__ import annotations

import struct
from typing import Any

import zmq.green as zmq

QUEUE = 100_000  #: messages that may wait for us before programs have to

_EVENT = struct.Struct("=HI")
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


class Inlet:
    """A PULL socket at a path, which is removed with it."""

    def __init__(self, path: str, max_message: int) -> None:
        self.endpoint = f"ipc://{path}"
        context: Any = zmq.Context.instance()
        self._socket: Any = context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.set_hwm(QUEUE)
        # a message that is longer than what makes sense costs its sender the connection
        self._socket.setsockopt(zmq.MAXMSGSIZE, 16 * max_message)
        self._monitor: Any = self._socket.get_monitor_socket(_EVENTS)
        self._connections = 0
        self._socket.bind(self.endpoint)

    def receive(self, seconds: float) -> list[bytes] | None:
        """The frames of the next message; None if none came in so many seconds."""
        if not self._socket.poll(int(seconds * 1000)):
            return None
        frames: list[bytes] = self._socket.recv_multipart(zmq.NOBLOCK)
        return frames

    @property
    def is_closed(self) -> bool:
        """Whether nobody is connected; what they sent may still be there to be received."""
        while self._monitor.poll(0):
            event, _ = _EVENT.unpack(self._monitor.recv_multipart(zmq.NOBLOCK)[0])
            self._connections += 1 if event == zmq.EVENT_ACCEPTED else -1
        return self._connections <= 0

    def close(self) -> None:
        """Remove the socket."""
        self._socket.disable_monitor()
        self._socket.close(0)
