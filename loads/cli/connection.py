"""The way from a command to the broker that its settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from loads.cli.planning import find_frontend
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.config import Configuration
from loads.transport.tokens import Access

PATIENCE = 5.0  #: seconds to wait for each answer


@contextmanager
def connected(settings: Configuration) -> Iterator[BrokerClient]:
    """A client of the broker, as long as it is needed.

    Whether the broker is there shows when something is asked.  Raises :class:`UsageError` when
    the settings name none.
    """
    with at(find_frontend(settings)) as client:
        yield client


def at(broker: Access | str) -> BrokerClient:
    """A client of a broker, as it is given with ``--broker``; to be closed."""
    return BrokerClient(broker, SystemClock(), PATIENCE)
