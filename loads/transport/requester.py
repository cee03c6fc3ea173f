"""Questions to a broker's frontend, each answered or failed within a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from loads.clock import Clock
from loads.errors import (
    BrokerRefused,
    BrokerUnreachable,
    Interrupted,
    RemoteProtocolError,
    error_from,
)
from loads.protocol import messages as m
from loads.protocol.codec import VersionMismatch
from loads.transport.endpoints import reachable
from loads.transport.sockets import Dealer
from loads.transport.ssh import Tunnel
from loads.transport.tokens import Access, find_access

REQUEST_TIMEOUT = 5.0  #: seconds
LOOK = 0.1  #: seconds between two looks whether the answer is still wanted

_Reply = TypeVar("_Reply", m.Pong, m.Accepted, m.RunSnapshot, m.RunList, m.AgentList, m.Purged)


class Requester:
    """Asks a broker.

    Every question raises :class:`BrokerUnreachable` when there is no answer,
    :class:`BrokerRefused` when the broker does not let us in, :class:`Interrupted` when
    :attr:`is_unwanted` says so, and the error that it describes when it refuses the question, be it
    because it does not understand it.
    """

    def __init__(
        self,
        at: Access | str,
        clock: Clock,
        timeout: float = REQUEST_TIMEOUT,
        tunnel: Tunnel | None = None,
    ) -> None:
        """``at`` is an access, or a text that means one.

        Through a ``tunnel``, it is the broker's as the tunnel's other end knows it.
        """
        access = find_access(at) if isinstance(at, str) else at
        self.endpoint = access.endpoint
        self._tunnel = tunnel
        self._clock = clock
        self._timeout = timeout
        self._request = 0
        #: whether nobody waits any more for an answer; it may change when a signal arrives
        self.is_unwanted: Callable[[], bool] = lambda: False
        way = self.way_to(self.endpoint)
        self.access = access if tunnel is None else tunnel.unlocked(access)
        self._socket = Dealer(m.TO_CLIENT)
        self._socket.dial(self.access, "frontend", way)

    def way_to(self, endpoint: str) -> str:
        """Where to connect to for one of the broker's endpoints: itself, or our tunnel's.

        Raises :class:`LoadsError` when there cannot be a tunnel.
        """
        return endpoint if self._tunnel is None else self._tunnel.to(endpoint)

    def access_to(self, endpoint: str) -> Access:
        """The access to another endpoint of the broker, one that it has told us.

        A Unix socket has no lock: whoever can reach it may use it.  Raises :class:`BrokerRefused`
        when that is on another machine.
        """
        scheme, _, path = endpoint.partition("://")
        if scheme != "ipc":
            return replace(self.access, endpoint=endpoint)
        if self._tunnel is None and self.endpoint.startswith("tcp:") and not os.path.lexists(path):
            raise BrokerRefused(
                f"The broker at {self.endpoint} has a part that only its own machine reaches: "
                f"{endpoint}.",
                "Start it with --frontend on tcp alone, or with --backend and --publisher there.",
            )
        return Access(endpoint)

    def close(self) -> None:
        """Close the connection.  What was asked for goes on."""
        self._socket.close(linger=False)

    def ping(self) -> m.Pong:
        """Who is there?  Endpoints in the answer are such as can be reached from here."""
        pong = self.ask(m.Ping, m.Pong)
        return replace(
            pong,
            backend=reachable(pong.backend, self.endpoint),
            publisher=reachable(pong.publisher, self.endpoint),
        )

    def ask(self, question: Callable[[int], m.Request], kind: type[_Reply]) -> _Reply:
        """Send the question that ``question`` makes of a number, and wait for its answer."""
        try:
            return self._ask(question, kind)
        except BrokerRefused as refused:
            if self._tunnel is None or self.access.credentials is not None:
                raise
            raise BrokerRefused(
                f"{refused.message.removesuffix('.')}: there is no token for it in the home of "
                f"the user at {self._tunnel.destination}.",
                refused.hint,
            ) from None

    def _ask(self, question: Callable[[int], m.Request], kind: type[_Reply]) -> _Reply:
        self.post(question)
        deadline = self._clock.monotonic() + self._timeout
        while self._wait(deadline):
            try:
                reply = self._socket.receive()
            except VersionMismatch:
                raise
            except RemoteProtocolError:
                continue  # garbage is nobody's answer
            if isinstance(reply, m.Refused) and reply.request in (self._request, 0):
                raise error_from(reply.code, reply.message, reply.hint)
            if isinstance(reply, kind) and reply.request == self._request:
                return reply  # others are late: to questions that were given up
        raise self.unreachable()

    def _wait(self, deadline: float) -> bool:
        """Whether there is something to read before a deadline.  Raises :class:`Interrupted`.

        An exception out of a signal handler could leave half of a message unread.
        """
        while True:
            if self.is_unwanted():
                raise Interrupted(f"Interrupted: the broker at {self.endpoint} has not answered.")
            left = deadline - self._clock.monotonic()
            if self._socket.wait(min(LOOK, left)):
                return True
            if left <= 0:
                return False

    def unreachable(self) -> BrokerUnreachable:
        """The error that nobody answers."""
        hint = "Start one with loads-broker, or name another with --broker."
        if self._tunnel is None:
            return BrokerUnreachable(f"No broker answers at {self.endpoint}.", hint)
        said = f": {self._tunnel.complaint}" if self._tunnel.complaint else ""
        return BrokerUnreachable(
            f"No broker answers at {self.endpoint} on {self._tunnel.destination}{said}.",
            self._tunnel.hint(hint),
        )

    # -- without waiting -------------------------------------------------------------------------

    @property
    def socket(self) -> Dealer:
        """What becomes readable when an answer is there."""
        return self._socket

    def post(self, question: Callable[[int], m.Request]) -> int:
        """Send a question and go on; its number is that of an answer in :meth:`arrived`.

        Where there is no broker, the question waits for one.
        """
        self._request += 1
        if self._tunnel is not None:
            self._tunnel.mend()
        self._socket.send(question(self._request))
        return self._request

    def arrived(self) -> Iterator[m.Message]:
        """The answers that are here by now.  Raises :class:`VersionMismatch`."""
        while True:
            try:
                reply = self._socket.receive()
            except VersionMismatch:
                raise
            except RemoteProtocolError:
                continue  # garbage is nobody's answer
            if reply is None:
                return
            yield reply
