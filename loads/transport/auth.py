"""The door of a broker: which keys get in, where, and until when.

ZeroMQ asks whether a key may connect (ZAP, https://rfc.zeromq.org/spec/27/): one request in eight
frames for each connection, with the socket's domain and the peer's public key.  The answer is 200
with the key's name, which ZeroMQ then attaches to every message of that connection, or 400.

A connection outlives the right to it: ZeroMQ has no way to end one of a socket's connections.  So
the name on each message is looked up again, and what comes under one that is good no longer is not
even decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import zmq

from loads.errors import BrokerError, RemoteProtocolError
from loads.protocol.roles import OWNER, SOCKETS, Role, Who
from loads.transport.keys import Key, KeyRing
from loads.transport.sockets import Lock, Socket

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_REMEDY = "Have a new token made, with loads-keys add."
SETTLED = 2_000_000_000  #: nanoseconds after which a folder's time of change tells all changes


class KeyWithdrawn(RemoteProtocolError):
    """A message under a key that is good no longer; not decoded."""


@dataclass(frozen=True)
class Withdrawn:
    """A key that was good until now: its name, and what to tell whoever uses it."""

    who: Who
    reason: str
    hint: str = ""


class Doorkeeper(Socket):
    """Answers ZeroMQ's questions about keys, from the files of a key ring."""

    def __init__(self, ring: KeyRing, wall: Callable[[], float]) -> None:
        """``wall`` tells the time of day.

        Raises :class:`BrokerError` if the process has one, or if the keys cannot be read.
        """
        self._ring = ring
        self._wall = wall
        self._broker = ring.broker()
        self._owner = ring.owner().public
        self._keys: dict[str, Key] = {}
        self._by_public: dict[bytes, Key] = {}
        self._valid: dict[str, Who] = {}
        self._version = 0
        self._used: set[str] = set()
        self._refused = 0
        self._held_until: dict[str, float] = {}
        self._complaints: list[str] = []
        self._complained: set[str] = set()
        self.trouble = ""
        self._look()
        if self.trouble:
            raise BrokerError(self.trouble)
        super().__init__(zmq.REP)
        try:
            self._socket.bind(_ENDPOINT)
        except zmq.ZMQError as error:
            self._socket.close(0)
            raise BrokerError("A process has one locked broker at most.") from error

    def lock(self, domain: str) -> Lock:
        """What locks the broker's socket of that name."""
        return Lock(self._broker.secret, domain, self.identify)

    def serve(self) -> None:
        """Answer what ZeroMQ asks."""
        while (question := self._receive()) is not None:
            self._send(self._answer(question))

    def _answer(self, question: list[bytes]) -> list[bytes]:
        number = question[1] if len(question) > 1 else b""
        who, domain = None, ""
        if len(question) == 7 and question[0] == _VERSION and question[5] == b"CURVE":
            self._look()  # one that was made a moment ago is good, one just revoked is not
            domain = question[2].decode(errors="replace")
            who = self._admitted(domain, question[6])
        held = who is not None and domain == "publisher" and self._is_held(who)
        if who is None or held:
            self._refused += not held
            return [_VERSION, number, b"400", b"The key is not good for this.", b"", b""]
        self._used.add(who.name)
        return [_VERSION, number, b"200", b"", who.name.encode(), b""]

    def _admitted(self, domain: str, public: bytes) -> Who | None:
        """Who a key belongs to, if it opens a socket."""
        if public == self._owner:
            return OWNER
        key = self._by_public.get(public)
        who = self._valid.get(key.name) if key and key.state(self._wall()) == "valid" else None
        return who if who and who.role in SOCKETS.get(domain, ()) else None

    def hold(self, name: str, seconds: float) -> None:
        """Have a key, which is good, not open the publisher for a while; that is no refusal."""
        self._held_until[name] = self._wall() + seconds

    def _is_held(self, who: Who) -> bool:
        return self._wall() < self._held_until.get(who.name, 0.0)

    def identify(self, name: str) -> Who:
        """Who speaks under a name.  Raises :class:`KeyWithdrawn` when it is good no longer."""
        if name == OWNER.name:
            return OWNER
        who = self._valid.get(name)
        if who is None:
            raise KeyWithdrawn(*_words(self._keys.get(name), self._wall()))
        self._used.add(name)
        return who

    def refresh(self) -> list[Withdrawn]:
        """Look whether keys were added, revoked or have expired; gives those withdrawn.

        When the keys cannot be read, ``trouble`` says why, and those that are known hold.
        """
        self._look()
        now, gone = self._wall(), []
        for name, who in list(self._valid.items()):
            key = self._keys.get(name)
            if key is None or key.state(now) != "valid":
                del self._valid[name]
                gone.append(Withdrawn(who, *_words(key, now)))
        return gone

    @property
    def withdrawn(self) -> list[Withdrawn]:
        """All keys that are good no longer, also those that were so before we were here."""
        now = self._wall()
        keys = [key for key in self._keys.values() if key.state(now) != "valid"]
        return [Withdrawn(key.who, *_words(key, now)) for key in keys]

    def _look(self) -> None:
        """Know the keys as they are now, or else as they were: nobody is sent away for a fault."""
        try:
            self._reread()
            self.trouble = ""
        except OSError as error:  # no descriptor is left, for one, or the folder is not there
            self.trouble = f"Keys cannot be read: {error.strerror}. Those known before hold."

    def _reread(self) -> None:
        """Read the keys again, if their folder has changed, or did so just now."""
        version = self._ring.version
        if version == self._version and self._wall() * 1e9 - version > SETTLED:
            return
        keys, complaints = self._ring.keys()
        self._complaints += [text for text in complaints if text not in self._complained]
        self._complained.update(complaints)
        self._version, now = version, self._wall()
        self._keys = {key.name: key for key in keys}
        self._by_public = {bytes.fromhex(key.public): key for key in keys}
        for key in keys:
            if key.state(now) == "valid":
                self._valid.setdefault(key.name, key.who)

    def take_refused(self) -> int:
        """How many connections were refused since this was asked last."""
        refused, self._refused = self._refused, 0
        return refused

    def take_complaints(self) -> list[str]:
        """What is wrong with files of keys, each thing once."""
        complaints, self._complaints = self._complaints, []
        return complaints

    def note_use(self) -> None:
        """Keep when keys were used."""
        names, self._used = self._used - {OWNER.name}, set()
        if names:
            self._ring.note_use(names, self._wall())

    def close(self, linger: bool = False) -> None:
        self.note_use()
        self._socket.unbind(_ENDPOINT)  # at once, which closing alone is not
        super().close(linger)


def is_reader(who: Who) -> bool:
    """Whether somebody may have opened the publisher, which cannot tell its readers apart."""
    return who.role in SOCKETS["publisher"] and who.role is not Role.OWNER


def _words(key: Key | None, now: float) -> tuple[str, str]:
    if key is None:
        return "The key was removed.", _REMEDY
    state = "has expired" if key.state(now) == "expired" else "was revoked"
    return f"The key {key.name} {state}.", _REMEDY
