"""Following a run on a cluster, leaving it, and coming back to it."""

from __future__ import annotations

import shlex
from contextlib import suppress

import click

from loads.cli.connection import connected
from loads.cli.planning import build_outputs, find_terminal
from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.config import Configuration, Source
from loads.errors import ExitCode, Interrupted, UsageError
from loads.outputs.base import Outputs
from loads.outputs.stream import visible
from loads.plan import RunPlan
from loads.protocol.rows import RunRow
from loads.runners.distributed import DistributedRunner, FindRun, known_run
from loads.runners.interrupts import interruptible


def follow(settings: Configuration, client: BrokerClient, find_run: FindRun) -> ExitCode:
    """Follow a run to its end, or until somebody detaches.  Raises :class:`LoadsError`."""
    with Outputs(build_outputs(settings)) as outputs:
        runner = DistributedRunner(
            find_run,
            client,
            SystemClock(),
            outputs,
            settings.text("zmq-publisher"),
            find_terminal(settings),
        )
        view = runner.run()
    if view is not None:
        return view.exit_code
    with suppress(OSError):  # the terminal may be what has gone
        said = f"Detached: run {visible(runner.run_id)} goes on."
        click.echo(_way_back(settings, said, runner.run_id))
    return ExitCode.OK


def submit(settings: Configuration, plan: RunPlan, find_run: FindRun) -> ExitCode:
    """Have a run of ``plan`` begin, and follow it unless ``--detach`` says to leave it.

    Then its way back is printed; when quiet, its id and nothing else.
    """

    def find(client: BrokerClient) -> str:
        try:
            return find_run(client)
        except Interrupted as error:
            if error.run:
                error.hint += f"\n{_way(settings, 'See what became of it', 'attach', error.run)}"
                error.hint += f"\n{_way(settings, 'Make sure that it stops', 'stop', error.run)}"
            raise

    with connected(settings) as client:
        if not settings.flag("detach"):
            return follow(settings, client, find)
        with interruptible(client):
            run_id = find(client)
    if settings.flag("quiet"):
        click.echo(visible(run_id))
    else:
        click.echo(_way_back(settings, f"Run {visible(run_id)}: {plan.describe()}.", run_id))
    return ExitCode.OK


def attach(settings: Configuration, client: BrokerClient) -> ExitCode:
    """Follow the run that ``--attach`` names, or else the one that goes on."""
    name = settings.text("attach") or _choose(settings, client)
    return follow(settings, client, known_run(name))


def _way_back(settings: Configuration, said: str, run_id: str) -> str:
    return f"{said}\n{_way(settings, 'Attach to it', 'attach', run_id)}"


def _way(settings: Configuration, purpose: str, option: str, run_id: str) -> str:
    """The command that does something about a run."""
    broker = settings.text("broker")
    # a variable will still be there; and a token is not for a screen
    is_needed = "://" in broker and settings.source("broker") is not Source.ENVIRONMENT
    where = f" --broker {shlex.quote(broker)}" if is_needed else ""
    if settings.text("ssh") and settings.source("ssh") is not Source.ENVIRONMENT:
        where += f" --ssh {shlex.quote(settings.text('ssh'))}"
    return f"{purpose} with:  loads-runner --{option} {visible(run_id)}{where}"


def _choose(settings: Configuration, client: BrokerClient) -> str:
    """The run that goes on; of several, the one that somebody chooses."""
    rows = client.runs(ended=0)
    if not rows:
        raise UsageError(
            "No run goes on.",
            "To see the result of one that has ended, name it; loads-runner --list-runs shows all.",
        )
    if len(rows) == 1:
        return rows[0].run_id
    if find_terminal(settings) is None:
        hint = "\n".join(["Name one with --attach RUN:", *map(_spoken, rows)])
        raise UsageError(f"{len(rows)} runs go on.", hint)
    click.echo(f"{len(rows)} runs go on:")
    for number, row in enumerate(rows, 1):
        click.echo(f"{number:>3}  {_spoken(row)}")
    try:
        number = click.prompt("Which one", type=click.IntRange(1, len(rows)), default=1)
    except click.Abort:
        raise KeyboardInterrupt from None
    return rows[number - 1].run_id


def _spoken(row: RunRow) -> str:
    return visible(f"{row.run_id}  {row.state}  {row.target}, {row.description}")
