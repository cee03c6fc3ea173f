"""What generators are compared in: the HTTP cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

BODY = '{"name": "apples", "count": 3, "tags": ["green", "fresh"]}'


class Call(NamedTuple):
    """One request; a ``POST`` carries :data:`BODY` as JSON."""

    method: str
    path: str


GET, POST, LARGE = Call("GET", "/"), Call("POST", "/"), Call("GET", "/10k")


@dataclass(frozen=True)
class Case:
    """What each of ``users`` does again and again: ``calls``, one after the other.

    ``server`` is which of the target's servers they talk to.  With ``checked``, the status of each
    answer is asserted by all who can.
    """

    name: str
    title: str
    calls: tuple[Call, ...] = (GET,)
    users: int = 50
    server: Literal["plain", "closing", "tls"] = "plain"
    checked: bool = False


CASES = (
    Case("get", "GET, 12 bytes"),
    Case("post", "POST, JSON body", (POST,)),
    Case("close", "GET, 12 bytes, a connection for each request", server="closing"),
    Case("tls", "GET, 12 bytes, TLS", server="tls"),
    Case("large", "GET, 10 KB", (LARGE,)),
    Case("users", "GET, 12 bytes, 1,000 users", users=1_000),
    Case("flow", "three requests, each with an assertion", (GET, POST, LARGE), checked=True),
)
