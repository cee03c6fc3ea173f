"""What a command says about a running broker, and to observers where there is none."""

from __future__ import annotations

import click

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.metrics.summary import RunView
from loads.outputs import figures
from loads.outputs.stream import visible
from loads.protocol.messages import Wish


def show_broker(client: BrokerClient) -> ExitCode:
    """Print what a broker is and has.

    Raises :class:`BrokerUnreachable` when there is none.
    """
    broker = client.ping()
    click.echo(f"Broker {visible(broker.version)} is running.")
    for name, endpoint in (
        ("frontend", client.endpoint),
        ("backend", broker.backend),
        ("publisher", broker.publisher),
    ):
        click.echo(f"  {name + ':':<12}{visible(endpoint)}")
    click.echo(f"  {'agents:':<12}{broker.agents}, {broker.idle_agents} idle")
    queued = f", {broker.queued} of them in the queue" if broker.queued else ""
    click.echo(f"  {'runs:':<12}{broker.runs}{queued}")
    return ExitCode.OK


def purge_broker(client: BrokerClient, grace: float = 0.0) -> ExitCode:
    """Stop all runs of a broker, and say how many these are.

    Raises :class:`BrokerUnreachable` when there is none.
    """
    stopped = client.purge(grace)
    names = f": {visible(', '.join(stopped))}" if stopped else ""
    click.echo(f"{figures.counted(len(stopped), 'run')} stopped{names}.")
    return ExitCode.OK


def tell(wishes: tuple[Wish, ...], view: RunView) -> None:
    """Tell observers of the end of a run that no broker knows of; one that fails is a warning."""
    from loads.observers.calls import tell_all

    for call in tell_all(wishes, view, SystemClock()):
        click.echo(
            f"warning: observer {visible(call.observer)} could not be told of the end: "
            f"{visible(call.problem)}.",
            err=True,
        )
