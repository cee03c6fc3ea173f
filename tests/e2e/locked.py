"""A cluster behind keys, and the tokens that open it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from loads.protocol.roles import SOCKETS, Role
from loads.transport.home import write_private
from loads.transport.keys import KeyRing
from loads.transport.tokens import Access, read_token
from tests.e2e.cluster import Runner
from tests.e2e.stage import Process, Stage


class Locked:
    """A broker on all interfaces, started with nothing but that, and whoever has a token."""

    def __init__(self, stage: Stage, *options: object, host: str = "0.0.0.0") -> None:
        self.stage = stage
        self._options = options
        self._endpoints = [f"tcp://{host}:0"] * 3
        self.start_broker()

    @classmethod
    def with_frontend(cls, stage: Stage, port: int, *options: object) -> Locked:
        """One that is told where its frontend is, on loopback, and no more than ``options``."""
        made = cls.__new__(cls)
        made.stage = stage
        made._options, made._endpoints = options, [f"tcp://127.0.0.1:{port}"]
        made.start_broker()
        return made

    def start_broker(self) -> None:
        """Start the broker, or another on the same ports when the one before has ended."""
        named = chain.from_iterable(
            (f"--{name}", at) for name, at in zip(SOCKETS, self._endpoints, strict=False)
        )
        self.broker = self.stage.start("broker", "loads-broker", *named, *self._options)
        self._endpoints = self.broker.says("loads-broker is ready: ").split()[-3:]
        self.frontend, self.backend, self.publisher = map(_here, self._endpoints)

    @property
    def elsewhere(self) -> dict[str, str]:
        """The environment of another user, or on another machine."""
        return {"LOADS_HOME": str(self.stage.root / "elsewhere")}

    def token(self, name: str, role: str, expires: float | None = None) -> str:
        """Make a token as a user does; with ``expires``, one that is good until then."""
        if expires is not None:
            ring = KeyRing(self.stage.home)
            return ring.add(name, Role(role), self.frontend, expires - 60, expires)
        process = self.keys("add", name, "--role", role, "--at", self.frontend)
        return process.out.strip()

    def expire(self, name: str, at: float) -> None:
        """Have the broker hold that a key is good until then, whatever its token says."""
        path = self.stage.home / "keys" / name
        known = json.loads(path.read_text())
        write_private(path, json.dumps({**known, "expires": at}).encode())

    def access(self, name: str, role: str, domain: str = "frontend") -> Access:
        """What a new token of that role gives to one of the sockets."""
        access = read_token(self.token(name, role))
        return replace(access, endpoint=getattr(self, domain))

    def keys(self, *args: object) -> Process:
        """Run ``loads-keys`` to its end."""
        process = self.stage.start("keys", "loads-keys", *args)
        assert process.wait() == 0, process.err
        return process

    def agent(self, token: str, env: Mapping[str, str] | None = None) -> Process:
        """Start an agent of another user, which knows the token only."""
        env = {**self.elsewhere, **(env or {})}
        options = ("--broker", token) if token else ()
        return self.stage.start("agent", "loads-agent", *options, "--workers", 1, env=env)

    def start(self, token: str, *options: object, env: Mapping[str, str] | None = None) -> Runner:
        """Start a run of another user, who knows the token only."""
        env = {**self.elsewhere, **(env or {})}
        return Runner(self.stage, *options, "--broker", token, env=env)


def _here(endpoint: str) -> str:
    return endpoint.replace("0.0.0.0", "127.0.0.1")
