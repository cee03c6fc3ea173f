"""What ``loads-runner`` does instead of running a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

import click

from loads.cli import listing
from loads.cli.attachment import attach
from loads.cli.inquiry import PATIENCE, show_broker
from loads.cli.options import chosen_instead
from loads.cli.planning import find_frontend, given_grace
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.config import Configuration
from loads.errors import ExitCode
from loads.outputs import figures
from loads.runners.checkup import Checkup, exit_code_of


def operate(settings: Configuration) -> ExitCode:
    """Do what was asked for.  Raises :class:`LoadsError`."""
    return _OPERATIONS[chosen_instead(settings)](settings)


def _client(settings: Configuration) -> BrokerClient:
    return BrokerClient(find_frontend(settings), SystemClock(), PATIENCE)


def _ping(settings: Configuration) -> ExitCode:
    return show_broker(find_frontend(settings))


def _list_runs(settings: Configuration) -> ExitCode:
    with _client(settings) as client:
        rows = client.runs()
    data = {"runs": [asdict(row) for row in rows]}
    listing.show(settings, data, listing.run_columns(rows), "The broker has no runs.")
    return ExitCode.OK


def _list_agents(settings: Configuration) -> ExitCode:
    with _client(settings) as client:
        rows = client.agents()
    data = {"agents": [asdict(row) for row in rows]}
    listing.show(settings, data, listing.agent_columns(rows), "The broker has no agents.")
    return ExitCode.OK


def _check(settings: Configuration) -> ExitCode:
    with _client(settings) as client:
        checked = Checkup(client, SystemClock()).run()
    data = {"agents": [asdict(health) for health in checked]}
    listing.show(settings, data, listing.health_columns(checked), "")
    return exit_code_of(checked)


def _stop(settings: Configuration) -> ExitCode:
    with _client(settings) as client:
        view = client.stop(settings.text("stop"), given_grace(settings)).view
    if view.state == "ended":
        click.echo(f"Run {view.run_id} has ended: {view.status}.")
    else:
        click.echo(f"Run {view.run_id} is being stopped.")
    return ExitCode.OK


def _purge(settings: Configuration) -> ExitCode:
    return purge(find_frontend(settings), given_grace(settings) or 0.0)


def purge(frontend: str, grace: float = 0.0) -> ExitCode:
    """Stop all runs of the broker at ``frontend``, and say how many these are."""
    with BrokerClient(frontend, SystemClock(), PATIENCE) as client:
        stopped = client.purge(grace)
    names = f": {', '.join(stopped)}" if stopped else ""
    click.echo(f"{figures.counted(len(stopped), 'run')} stopped{names}.")
    return ExitCode.OK


_OPERATIONS: Mapping[str, Callable[[Configuration], ExitCode]] = {
    "attach": attach,
    "stop": _stop,
    "list-runs": _list_runs,
    "list-agents": _list_agents,
    "ping-broker": _ping,
    "check-cluster": _check,
    "health-check": _check,
    "purge-broker": _purge,
}
