"""Tokens: all that a peer needs to join a broker, in one word.

A token is ``loads1_`` and, in URL-safe base64, the broker's public key (32 bytes), the peer's
secret key (32 bytes), a JSON object, and the first four bytes of the SHA-256 of all that, by which
a token that was cut off when it was copied is told from one that is refused.  The object holds
``at`` (the broker's frontend), ``role``, ``name`` and ``expires`` (seconds since the Unix epoch,
0 for never).  What it says about rights is for messages to people; what counts is what the broker
knows of the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from loads.errors import UsageError
from loads.protocol.roles import OWNER, Role
from loads.transport.arguments import PIPE, PREFIX
from loads.transport.endpoints import check_syntax, default_endpoints, is_loopback, port_of
from loads.transport.home import home_directory, read_private
from loads.transport.pairs import BROKER_KEY, KEY, OWNER_KEY, kept_pair

INSECURE = "insecure"  #: what a broker without locks leaves its owner in the place of a token
_CHECK = 4


@dataclass(frozen=True)
class Credentials:
    """A peer's own secret key, and the public key of the only broker that it talks to."""

    server: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    name: str = ""
    role: Role = Role.OWNER
    expires: float = 0.0


@dataclass(frozen=True)
class Access:
    """Where a broker is and what opens it; without credentials, it is not locked.

    As a text it is the endpoint alone, so that it can be shown.
    """

    endpoint: str
    credentials: Credentials | None = None

    def __str__(self) -> str:
        return self.endpoint


def make_token(access: Access) -> str:
    """The token that gives somebody this access."""
    credentials = access.credentials
    assert credentials is not None
    said = {
        "at": access.endpoint,
        "role": credentials.role.value,
        "name": credentials.name,
        "expires": credentials.expires,
    }
    body = credentials.server + credentials.secret
    body += json.dumps(said, separators=(",", ":")).encode()
    text = base64.urlsafe_b64encode(body + _checksum(body)).decode()
    return PREFIX + text.rstrip("=")


def read_token(token: str) -> Access:
    """The access that a token gives.

    Raises :class:`UsageError`, which does not repeat the token: it is as secret when it is damaged.
    """
    text = token.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        body, check = raw[:-_CHECK], raw[-_CHECK:]
        if len(raw) <= 2 * KEY + _CHECK or check != _checksum(body):
            raise ValueError("the checksum differs")
        said = json.loads(body[2 * KEY :])
        endpoint = said["at"]
        credentials = Credentials(
            body[:KEY],
            body[KEY : 2 * KEY],
            str(said["name"]),
            Role(said["role"]),
            float(said["expires"]),
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise UsageError(
            "The token is damaged.", "Copy all of it, or have another made with loads-keys."
        ) from None
    check_syntax(endpoint)
    return Access(endpoint, credentials)


def find_access(text: str, home: Path | None = None) -> Access:
    """The access that ``text`` means: a token, ``@`` and a file that holds one, or an endpoint.

    For a port on this machine, the owner's key is used if there is one, in ``home``, unless a
    broker of ours that has no locks is there.  Empty is the default broker.  Raises
    :class:`UsageError`.
    """
    if text.startswith("@"):
        text = _read_pipe(text) if text.startswith(PIPE) else _read_file(Path(text[1:]))
    if text.startswith(PREFIX):
        return read_token(text)
    endpoint = text or default_endpoints().frontend
    check_syntax(endpoint)
    return Access(endpoint, _own(endpoint, home or home_directory()))


def _own(endpoint: str, home: Path) -> Credentials | None:
    """The owner's credentials for a broker of ours on this machine.

    Also when none is there now: any user may have bound its port, and would be trusted with all.
    """
    if not is_loopback(endpoint):
        return None
    try:
        said = read_private(home / "brokers" / str(port_of(endpoint))).decode(errors="replace")
    except FileNotFoundError:
        if not (home / BROKER_KEY).exists():
            return None
        broker, owner = kept_pair(home / BROKER_KEY), kept_pair(home / OWNER_KEY)
        return Credentials(broker.public, owner.secret, OWNER.name)
    return None if said.strip() == INSECURE else read_token(said.strip()).credentials


@cache
def _read_pipe(text: str) -> str:
    """What came in a pipe, which can be read once only."""
    return _read_file(Path(text[1:]))


def _read_file(path: Path) -> str:
    try:
        text = read_private(path).decode(errors="replace").strip()
        if not text.startswith(PREFIX):
            raise UsageError(f"There is no token in {path}.", "loads-keys add makes one.")
        return text
    except FileNotFoundError:
        raise UsageError(
            f"There is no file {path}.", "After the @ comes the path of a file with a token."
        ) from None


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECK]
