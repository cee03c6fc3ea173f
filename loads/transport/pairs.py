"""CURVE key pairs, and the files that hold a broker's own and its owner's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import zmq
from zmq.utils import z85

from loads.errors import UsageError
from loads.transport.home import read_private, write_private

KEY = 32  #: bytes of a key
BROKER_KEY = "broker.key"  #: in a home: the broker's own pair
OWNER_KEY = "owner.key"  #: likewise that of the user that the broker runs as


@dataclass(frozen=True)
class Pair:
    """A CURVE key pair, 32 bytes each."""

    public: bytes
    secret: bytes


def make_pair() -> Pair:
    """A new key pair, from the random numbers of the system."""
    public, secret = zmq.curve_keypair()
    return Pair(z85.decode(public), z85.decode(secret))


def public_of(secret: bytes) -> bytes:
    """The public half of a key pair."""
    return bytes(z85.decode(zmq.curve_public(z85.encode(secret))))


def kept_pair(path: Path) -> Pair:
    """The pair in a file, which is made if there is none.  Raises :class:`UsageError`."""
    with suppress(FileExistsError):  # two brokers may start at the same time
        if not path.exists():
            write_private(path, make_pair().secret.hex().encode() + b"\n", replace=False)
    try:
        secret = bytes.fromhex(read_private(path).decode().strip())
        if len(secret) != KEY:
            raise ValueError("a key has 32 bytes")
        return Pair(public_of(secret), secret)
    except ValueError:
        raise UsageError(
            f"{path} holds no key.", "If you remove it, all tokens must be made anew."
        ) from None
