"""The way from a command to the broker that its settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from loads.cli.planning import find_frontend
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.config import Configuration
from loads.transport.ssh import Tunnel, parse_destination
from loads.transport.tokens import Access

PATIENCE = 5.0  #: seconds to wait for each answer


@contextmanager
def connected(settings: Configuration) -> Iterator[BrokerClient]:
    """A client of the broker, as long as it is needed; through a tunnel, if ``--ssh`` says so.

    Whether the broker is there shows when something is asked, whether the tunnel's other end is,
    at once.  Raises :class:`UsageError` when the settings name none.
    """
    destination = settings.read("ssh", parse_destination)
    with (
        Tunnel(destination) if destination else nullcontext() as tunnel,
        at(find_frontend(settings), tunnel) as client,
    ):
        yield client


def at(broker: Access | str, tunnel: Tunnel | None = None) -> BrokerClient:
    """A client of a broker, as it is given with ``--broker``; to be closed.

    Through a ``tunnel``, that is meant as the tunnel's other end knows it.
    """
    return BrokerClient(broker, SystemClock(), PATIENCE, tunnel)
