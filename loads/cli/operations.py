"""What ``loads-runner`` does instead of running a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import click

from loads.cli import listing
from loads.cli.attachment import attach
from loads.cli.connection import connected
from loads.cli.inquiry import purge_broker, show_broker
from loads.cli.options import chosen_instead
from loads.cli.planning import given_grace, latest_runs
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.config import Configuration
from loads.errors import ExitCode
from loads.outputs.stream import visible
from loads.runners.checkup import Checkup, exit_code_of


def operate(settings: Configuration) -> ExitCode:
    """Do what was asked for.  Raises :class:`LoadsError`."""
    with connected(settings) as client:
        return _OPERATIONS[chosen_instead(settings)](settings, client)


def _ping(settings: Configuration, client: BrokerClient) -> ExitCode:
    return show_broker(client)


def _list_runs(settings: Configuration, client: BrokerClient) -> ExitCode:
    rows = client.runs(settings.read("list-runs", latest_runs) or 0)
    data = {"runs": [asdict(row) for row in rows]}
    listing.show(settings, data, listing.run_columns(rows), "The broker has no runs.")
    return ExitCode.OK


def _list_agents(settings: Configuration, client: BrokerClient) -> ExitCode:
    rows = client.agents()
    data = {"agents": [asdict(row) for row in rows]}
    listing.show(settings, data, listing.agent_columns(rows), "The broker has no agents.")
    return ExitCode.OK


def _check(settings: Configuration, client: BrokerClient) -> ExitCode:
    checked = Checkup(client, SystemClock()).run()
    data = {"agents": [asdict(health) for health in checked]}
    listing.show(settings, data, listing.health_columns(checked), "")
    return exit_code_of(checked)


def _stop(settings: Configuration, client: BrokerClient) -> ExitCode:
    view = client.stop(settings.text("stop"), given_grace(settings)).view
    if view.state == "ended":
        click.echo(f"Run {visible(view.run_id)} has ended: {visible(view.status)}.")
    else:
        click.echo(f"Run {visible(view.run_id)} is being stopped.")
    return ExitCode.OK


def _purge(settings: Configuration, client: BrokerClient) -> ExitCode:
    return purge_broker(client, given_grace(settings) or 0.0)


_OPERATIONS: Mapping[str, Callable[[Configuration, BrokerClient], ExitCode]] = {
    "attach": attach,
    "stop": _stop,
    "list-runs": _list_runs,
    "list-agents": _list_agents,
    "ping-broker": _ping,
    "check-cluster": _check,
    "health-check": _check,
    "purge-broker": _purge,
}
