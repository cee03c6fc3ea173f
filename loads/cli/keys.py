"""``loads-keys``"""

from __future__ import annotations

import getpass
import re
from contextlib import closing, nullcontext
from datetime import datetime
from pathlib import Path

import click

from loads.cli import entry
from loads.cli.common import exits, version_option
from loads.clock import SystemClock
from loads.errors import ExitCode, UsageError
from loads.outputs.stream import visible
from loads.protocol.roles import GIVEN, Role
from loads.transport.audit import AuditLog
from loads.transport.endpoints import check_syntax, own_name
from loads.transport.home import drafted, home_directory
from loads.transport.keys import KeyRing

EPILOG = """\b
A token is all that a peer needs to join the broker of this user:

\b
  loads-keys add box1 --role agent
  loads-agent --broker TOKEN           on box1, or in LOADS_BROKER there

\b
Roles:
  agent    offers a machine to run tests on
  runner   submits runs and stops them; its tests run on all agents
  viewer   watches

The broker need not run.  What is added or revoked counts at once.
"""

_EXPIRY = re.compile(r"(\d{1,6})([mhdw])")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Make, list and revoke the tokens that open this user's broker."""


@main.command()
@click.argument("name")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in GIVEN]),
    help="What it is for.",
)
@click.option(
    "--expires",
    metavar="TIME",
    help="How long it is good: 90m, 12h, 30d, 8w.  [default: until it is revoked]",
)
@click.option(
    "--at",
    metavar="ENDPOINT",
    help="The broker's frontend, as the peer reaches it.  "
    "[default: that of the last broker, on this machine]",
)
@click.option("--output", "-o", metavar="PATH", help="Write it to a file that only you can read.")
@exits
def add(name: str, role: str, expires: str | None, at: str | None, output: str | None) -> ExitCode:
    """Make a token, and print it: it is kept nowhere."""
    clock, ring = SystemClock(), KeyRing(home_directory())
    now = clock.wall()
    if at:
        check_syntax(at)
    frontend = at or ring.frontend(own_name())
    until, token = _until(expires, now), ""
    with closing(AuditLog(ring.home)) as log:  # what cannot be noted is not done
        try:
            with drafted(Path(output)) if output else nullcontext() as file:
                token = ring.add(name, Role(role), frontend, now, until)
                click.echo(f"{name} may be {_article(role)} of the broker at {frontend}.", err=True)
                if file is None:
                    click.echo(token)
                else:
                    file.write(token.encode() + b"\n")
        except BaseException:
            if token:  # which nobody has now
                ring.take_back(name)
            raise
        if output:
            click.echo(f"The token is in {output}; give it as --broker @{output}.", err=True)
        _note(log, now, "add key", key=name, role=role)
    return ExitCode.OK


@main.command("list")
@exits
def show() -> ExitCode:
    """List the keys that there are and were, and when each was last used."""
    try:
        keys, complaints = KeyRing(home_directory()).keys()
    except OSError as error:
        raise UsageError(f"Keys cannot be read: {error.strerror}.") from error
    now = SystemClock().wall()
    rows: list[tuple[str, ...]] = [("NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED")]
    rows += [
        (key.name, key.role, key.state(now), *map(_day, (key.created, key.expires, key.used)))
        for key in keys
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        click.echo(visible("  ".join(f"{cell:<{width}}" for cell, width in cells).rstrip()))
    for complaint in complaints:
        click.echo(f"warning: {visible(complaint)}", err=True)
    return ExitCode.OK


@main.command()
@click.argument("name")
@exits
def revoke(name: str) -> ExitCode:
    """Make a token worthless; whoever uses it is sent away."""
    ring, now = KeyRing(home_directory()), SystemClock().wall()
    key = ring.revoke(name, now)
    with closing(AuditLog(ring.home)) as log:
        _note(log, now, "revoke key", key=name, role=key.role)
    click.echo(f"{name} is revoked.")
    return ExitCode.OK


def _note(log: AuditLog, now: float, what: str, **about: str) -> None:
    try:
        log.write(now, what, by=getpass.getuser(), **about)
    except OSError as error:
        raise UsageError(f"{log.path} cannot be written: {error.strerror}.") from error


def _until(text: str | None, now: float) -> float:
    if text is None:
        return 0.0
    match = _EXPIRY.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise UsageError(f"--expires {text} is not a time.", "As in 90m, 12h, 30d or 8w.")
    return now + int(match[1]) * _UNITS[match[2]]


def _article(role: str) -> str:
    return f"an {role}" if role == "agent" else f"a {role}"


def _day(when: float) -> str:
    return datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") if when else "-"


if __name__ == "__main__":
    entry.keys()
