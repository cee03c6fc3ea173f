"""The part of the broker's shell that has to do with those who follow runs.

They say nothing to a broker but what they want to hear; yet it has to remember that, and so a
single one could fill its memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from loads.errors import BrokerError
from loads.transport.publisher import Publisher
from loads.transport.reactor import Reactor

HOLD = 60.0  #: seconds for which a key does not open the publisher after it has asked too much


class Audience:
    """The connections of a publisher, which can only be broken all at once."""

    def __init__(self, publisher: Publisher, endpoint: str, log: logging.Logger) -> None:
        """``endpoint`` is as it was bound."""
        self._publisher = publisher
        self._endpoint = endpoint
        self._log = log
        self._reactor: Reactor | None = None

    def attach(self, reactor: Reactor, hold: Callable[[str, float], None]) -> None:
        """Hear what is wanted; ``hold`` is to keep a key out for so many seconds."""
        self._reactor = reactor
        self._hold = hold
        reactor.on_readable(self._publisher, self._listen)

    def _listen(self) -> None:
        if self._publisher.has_room():
            return
        name = self._publisher.busiest
        whose = f", most of them of the key {name}, which is refused for a minute" if name else ""
        self._log.warning(
            "There were too many subscriptions%s. All were dropped; consoles come back.", whose
        )
        if name:
            self._hold(name, HOLD)
        self.dismiss()

    def dismiss(self) -> None:
        """Break all connections.  Those who may come back do so, and notice what they missed."""
        assert self._reactor is not None
        self._reactor.forget(self._publisher)
        try:
            self._publisher.reopen(self._endpoint)
        except BrokerError as error:
            self._log.error("%s Consoles see no updates any more.", error.message)
        self._reactor.on_readable(self._publisher, self._listen)
