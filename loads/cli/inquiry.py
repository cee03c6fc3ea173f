"""What a command says about a running broker."""

from __future__ import annotations

import click

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import ExitCode

PATIENCE = 5.0  #: seconds to wait for the answer


def show_broker(frontend: str) -> ExitCode:
    """Print what the broker at ``frontend`` is and has.

    Raises :class:`BrokerUnreachable` when there is none.
    """
    with BrokerClient(frontend, SystemClock(), PATIENCE) as client:
        broker = client.ping()
    click.echo(f"Broker {broker.version} is running.")
    for name, endpoint in (
        ("frontend", frontend),
        ("backend", broker.backend),
        ("publisher", broker.publisher),
    ):
        click.echo(f"  {name + ':':<12}{endpoint}")
    click.echo(f"  {'agents:':<12}{broker.agents}, {broker.idle_agents} idle")
    queued = f", {broker.queued} of them in the queue" if broker.queued else ""
    click.echo(f"  {'runs:':<12}{broker.runs}{queued}")
    return ExitCode.OK
