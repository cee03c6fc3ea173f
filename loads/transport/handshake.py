"""Why a connection does not come about, in words.

A broker that refuses a peer tells it nothing but a number, and closes.  What the numbers mean
depends on what the peer had in its hand.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

import zmq

from loads.errors import BrokerRefused
from loads.protocol.roles import SOCKETS, Role
from loads.transport.tokens import Access

#: What to be told of.
EVENTS = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
#: Failures in a row without a reason, after which it is no broker that is just starting or ending.
ENOUGH = 2
SLOW_S = 2.0  #: what takes longer did not fail for a key: nobody was there to look at it
GREETING_S = 1.0  #: how long a broker may take to greet

_REMEDY = "Have a new token made where the broker is, with loads-keys add."


class Handshake:
    """What became of a peer's attempts to connect."""

    def __init__(
        self,
        access: Access,
        domain: str,
        wall: Callable[[], float],
        ask: Callable[[], bytes],
    ) -> None:
        """``wall`` tells the time of day, for what has expired; ``ask`` what locks the broker."""
        self._access = access
        self._domain = domain
        self._wall = wall
        self._ask = ask
        self._failures = 0
        self._connected_at = math.inf
        self._reason: tuple[str, str] | None = None

    @property
    def refusal(self) -> BrokerRefused | None:
        """The error that no further attempt can mend; None as long as there is hope."""
        return None if self._reason is None else BrokerRefused(*self._reason)

    def note(self, event: int, value: int) -> None:
        """Something happened to the connection."""
        if event == zmq.EVENT_CONNECTED:
            self._connected_at = self._wall()
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._failures, self._reason = 0, None
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._reason = self._key_refused()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._reason = self._other_mechanism()
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._failures += 1
            if self._wall() - self._connected_at > SLOW_S:
                self._failures = 0
            if self._failures >= ENOUGH:
                self._failures = 0
                self._reason = self._unexplained()

    def _unexplained(self) -> tuple[str, str] | None:
        """Connections that are closed without a word.

        That may be a tunnel whose far end is not there yet, a broker that has the wrong key, or one
        that was faster to close than to say that it is locked; so it is asked.
        """
        mechanism = self._ask()
        if self._access.credentials is not None:
            return self._other_broker() if mechanism else None
        return self._other_mechanism() if mechanism == b"CURVE" else None

    def _key_refused(self) -> tuple[str, str]:
        own, at = self._access.credentials, self._access.endpoint
        if own is None:
            return self._other_mechanism()
        said = f"The broker at {at} refuses the key {own.name}"
        if 0 < own.expires <= self._wall():
            return f"{said}: it has expired.", _REMEDY
        allowed = SOCKETS[self._domain]
        if own.role not in allowed:
            roles = " or ".join(sorted(role.value for role in allowed if role.value != "owner"))
            return (
                f"{said}: its role is {own.role.value}, and the {self._domain} is for the role "
                f"{roles}.",
                _REMEDY,
            )
        return f"{said}: it was revoked.", _REMEDY

    def _other_mechanism(self) -> tuple[str, str]:
        at = self._access.endpoint
        if self._access.credentials is None:
            return (
                f"The broker at {at} is locked, and no key was given.",
                "Have a token made where the broker is, with loads-keys add, and give that as "
                "--broker TOKEN or LOADS_BROKER.",
            )
        return self._other_broker()

    def _other_broker(self) -> tuple[str, str]:
        """One without a lock is not told from one with another: who closes first decides."""
        own = self._access.credentials
        insecure = "give its endpoint instead"
        if own is not None and own.role is Role.OWNER:
            insecure = "if it is another user's, use it with LOADS_HOME=DIRECTORY, an empty one"
        return (
            f"What answers at {self._access.endpoint} does not have the key of the broker that the "
            "token is for: nothing was sent to it.",
            "It may be another broker, or its home may have been made anew. " + _REMEDY + "\n"
            f"Or it was started with --insecure: then {insecure}.",
        )


def mechanism_of(endpoint: str) -> bytes:
    """How a broker is locked: ``CURVE``, or ``NULL`` for not at all; empty for no broker.

    Both sides of a ZMTP connection begin with a greeting of 64 bytes, of which 20, from the 13th,
    name the mechanism (https://rfc.zeromq.org/spec/37/).  We begin ours only, so there is nothing
    in it that the other could refuse before it has said its own.
    """
    greeting = b""
    try:
        with _connection(endpoint) as connection:
            connection.sendall(b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00")
            while len(greeting) < 64 and (part := connection.recv(64 - len(greeting))):
                greeting += part
    except (OSError, ValueError):
        return b""
    return greeting[12:32].rstrip(b"\0") if len(greeting) == 64 else b""


def _connection(endpoint: str) -> socket.socket:
    scheme, _, address = endpoint.partition("://")
    if scheme == "tcp":
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), GREETING_S)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(GREETING_S)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
