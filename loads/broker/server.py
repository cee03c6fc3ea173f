"""The broker's shell: sockets, clock and identifiers around :mod:`loads.broker.core`.

What reads reports is imported here, before there are any.  In the middle of a run that would keep
all waiting for numpy, and fail where descriptors have been used up meanwhile.
"""

from __future__ import annotations

import logging
import math
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from loads import __version__, descriptors
from loads.broker.actions import (
    Action,
    Audit,
    Deny,
    Event,
    FromAgent,
    FromClient,
    Log,
    NotEntitled,
    Observe,
    Observed,
    Publish,
    ToAgent,
    ToClient,
    Unwelcome,
)
from loads.broker.audience import Audience
from loads.broker.core import Core, Settings
from loads.broker.keeper import Keeper
from loads.broker.locks import Locks
from loads.broker.turns import Turns
from loads.clock import Clock
from loads.errors import RemoteProtocolError
from loads.metrics import unpacking as _unpacking  # noqa: F401
from loads.observers.calls import Calls
from loads.observers.registry import Registry
from loads.protocol import codec
from loads.protocol.codec import VersionMismatch
from loads.protocol.messages import FROM_AGENT, FROM_CLIENT
from loads.storage.memory import MemoryStorage
from loads.transport.auth import KeyWithdrawn
from loads.transport.endpoints import Endpoints, SocketLock, check_bind
from loads.transport.guard import Guard
from loads.transport.publisher import Publisher
from loads.transport.reactor import Reactor
from loads.transport.sockets import REQUESTS, Received, Router

TICK = 0.1  #: seconds
REST = 0.02  #: seconds from one look at the sockets to the next
CROWD_INTERVAL = 5.0  #: seconds between two looks at how many connections there are
GARBAGE_INTERVAL = 60.0  #: seconds between two lines about garbage
BATCH = 200  #: messages of one socket before the others have their turn

log = logging.getLogger("loads.broker")


class Server:
    """A broker with its sockets.  ``endpoints`` holds them as they were bound."""

    def __init__(
        self,
        endpoints: Endpoints,
        clock: Clock,
        settings: Settings | None = None,
        insecure: bool = False,
        open_keeper: Callable[[], Keeper] | None = None,
        home: Path | None = None,
    ) -> None:
        """Open the sockets, and then the storage with ``open_keeper``; without, in memory.

        With a ``home``, those on tcp are locked with the keys in there, unless all is to be
        ``insecure``, and what is done is written down there.
        Raises :class:`UsageError` when that would be unsafe, :class:`BrokerError` when another
        broker is there, :class:`StorageError` when the storage cannot be opened.
        """
        wanted = (endpoints.frontend, endpoints.backend, endpoints.publisher)
        for endpoint in wanted:
            check_bind(endpoint, is_safe=insecure or home is not None)
        self._clock = clock
        self._keeper: Keeper | None = None
        self._garbage = 0
        self._crowd_told = -math.inf
        self._calls = Calls(clock)
        self._locks: list[SocketLock] = []
        self._access = Locks(endpoints, insecure, home, clock, log)
        self._frontend = Router(FROM_CLIENT, self._access.lock("frontend"), REQUESTS)
        self._backend = Router(FROM_AGENT, self._access.lock("backend"))
        self._publisher = Publisher(self._access.lock("publisher"))
        sockets = (self._frontend, self._backend, self._publisher)
        try:
            for endpoint in wanted:
                self._locks.append(SocketLock(endpoint))
            bound = [s.bind(endpoint) for s, endpoint in zip(sockets, wanted, strict=True)]
            self._keeper = open_keeper() if open_keeper else Keeper(MemoryStorage(), clock)
        except BaseException:
            self.close()
            raise
        self.endpoints = Endpoints(*bound)
        self._access.opened(self.endpoints)
        self.core = Core(
            replace(
                settings or Settings(),
                version=__version__,
                backend=self.endpoints.backend,
                publisher=self.endpoints.publisher,
                epoch=clock.wall() - clock.monotonic(),
                observers=frozenset(Registry().names),
            )
        )
        self._turns = Turns(self.core, self._keeper, clock, Guard(log), self._do)

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT; ``started`` is called when that begins."""
        descriptors.raise_limit()  # one for each agent and each console
        with Reactor(self._clock, REST) as reactor:
            reactor.on_readable(self._frontend, self._read_frontend)
            reactor.on_readable(self._backend, self._read_backend)
            reactor.every(TICK, self._tick)
            reactor.every(GARBAGE_INTERVAL, self._report_garbage)
            reactor.every(CROWD_INTERVAL, self._look_at_crowd)
            audience = Audience(self._publisher, self.endpoints.publisher, log)
            audience.attach(reactor, self._access.hold)
            self._access.attach(reactor, self._handle_now, audience.dismiss)
            if self._keeper is not None and self._keeper.wakes is not None:
                reactor.on_readable(self._keeper.wakes, self._turns.look)
            for number in (signal.SIGTERM, signal.SIGINT):
                reactor.on_signal(number, reactor.stop)
            self._turns.flush()
            started()
            reactor.run()

    def close(self) -> None:
        """Close the sockets and remove their files."""
        for call in self._calls.close():
            log.warning("Run %s: observer %s was not told of the end", call.run_id, call.observer)
        for socket in (self._frontend, self._backend, self._publisher):
            socket.close()
        self._access.close()
        if self._keeper is not None:
            self._keeper.close()
        for lock in self._locks:
            lock.release()
        self._locks = []

    # Each of these is a turn: what it decides is stored together, and then carried out.

    def _tick(self) -> None:
        for server in (self._frontend, self._backend, self._publisher):
            server.count_failed()
        self._turns.tick()
        for call in self._calls.poll():
            self._turns.handle(Observed(call.run_id, call.observer, call.problem))
        self._turns.flush()

    def _read_frontend(self) -> None:
        for peer, message, _body, who in _batch_of(self._frontend):
            if isinstance(message, VersionMismatch | KeyWithdrawn):
                self._turns.handle(Unwelcome(peer, message.message, message.hint, is_client=True))
            elif isinstance(message, codec.NotEntitled):
                self._turns.handle(NotEntitled(peer, who, message.kind, message.request))
            elif isinstance(message, RemoteProtocolError):
                self._garbage += 1
            else:
                self._turns.handle(FromClient(peer, message, uuid.uuid4().hex[:12], who))
        self._turns.flush()

    def _read_backend(self) -> None:
        for peer, message, body, who in _batch_of(self._backend):
            if isinstance(message, VersionMismatch | KeyWithdrawn):
                self._turns.handle(Unwelcome(peer, message.message, message.hint))
            elif isinstance(message, codec.NotEntitled):
                self._turns.handle(NotEntitled(peer, who, message.kind))
            elif isinstance(message, RemoteProtocolError):
                self._garbage += 1
            else:
                self._turns.handle(FromAgent(peer, message, body, who))
        self._turns.flush()

    def _report_garbage(self) -> None:
        if self._garbage:
            log.warning("Dropped %d messages that made no sense in the last minute", self._garbage)
            self._garbage = 0
        servers = (self._frontend, self._backend, self._publisher)
        self._access.report(sum(server.take_failed() for server in servers))

    def _look_at_crowd(self) -> None:
        """Say so at once when descriptors run out, and then once a minute."""
        crowding = descriptors.crowding(descriptors.in_use(), descriptors.current_limit())
        now = self._clock.monotonic()
        if crowding and now >= self._crowd_told + GARBAGE_INTERVAL:
            self._crowd_told = now
            log.warning("%s", crowding)

    def _handle_now(self, event: Event) -> None:
        self._turns.handle(event)
        self._turns.flush()

    def _do(self, action: Action) -> None:
        if isinstance(action, ToAgent):
            self._backend.send(action.peer, action.message)
        elif isinstance(action, ToClient):
            self._frontend.send(action.peer, action.message)
        elif isinstance(action, Publish):
            self._publisher.publish(action.run_id, action.message)
        elif isinstance(action, Observe):
            self._calls.start(action.wish, action.view)
        elif isinstance(action, Deny | Audit):
            self._access.note(action)
        elif isinstance(action, Log):
            log.log(logging.WARNING if action.level == "warning" else logging.INFO, action.text)


def _batch_of(router: Router) -> Iterator[Received]:
    """What there is to read, so much at a time as is decoded together."""
    left = BATCH
    while left > 0 and (received := router.receive(left)):
        left -= len(received)
        yield from received
