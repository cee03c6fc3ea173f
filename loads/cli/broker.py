"""``loads-broker``"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from loads.broker.core import Settings
from loads.broker.keeper import Keeper
from loads.broker.server import Server
from loads.cli import entry
from loads.cli.amounts import age, size
from loads.cli.common import exits, retired, version_option
from loads.cli.connection import at
from loads.cli.inquiry import purge_broker, show_broker
from loads.cli.logs import set_up_logging
from loads.cli.sections import SectionedCommand, option, section
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.storage.registry import open_storage
from loads.transport.endpoints import Endpoints, endpoints_of, is_loopback
from loads.transport.home import home_directory, make_home
from loads.transport.sockets import deliver_and_end

DATABASE = "broker.db"  #: in the broker's home

EPILOG = """\b
Without options the broker listens on Unix sockets that only this user can
reach.  For agents on other machines give it tcp endpoints, which are
encrypted and locked; loads-keys makes the tokens that open them:

\b
  loads-broker --frontend tcp://0.0.0.0:7780
  loads-keys add --role agent box1
"""


_ENDPOINTS = section(
    "Endpoints",
    option("--frontend", metavar="ENDPOINT", help="Where runners connect."),
    option("--backend", metavar="ENDPOINT", help="Where agents connect.  "
           "[default: beside the frontend]"),
    option("--publisher", metavar="ENDPOINT", help="Where consoles follow runs.  "
           "[default: beside the frontend]"),
    option("--insecure", is_flag=True,
           help="Open tcp endpoints to everybody: without keys, in clear text."),
)  # fmt: skip
_AGENTS = section(
    "Agents",
    option("--agent-timeout", default=10.0, type=click.FloatRange(0.5, 3600), metavar="SECONDS",
           show_default=True, help="How long an agent may be silent before it is lost."),
    option("--return-timeout", default=40.0, type=click.FloatRange(0.5, 86400),
           metavar="SECONDS", show_default=True,
           help="How long agents may take to come back after the broker was restarted."),
)  # fmt: skip
_STORAGE = section(
    "Storage",
    option("--db", metavar="URL",
           help="Where runs are kept: a path, postgresql://..., redis://..., or memory: for "
                "nowhere.  By default broker.db in the broker's home."),
    option("--db-max-size", type=size, default="1GB", metavar="SIZE", show_default=True,
           help="When runs take more, forget those that ended first."),
    option("--db-max-age", type=age, metavar="AGE",
           help="Forget runs that ended so long ago, as in 90d.  By default, none."),
)  # fmt: skip
_DEBUGGING = section(
    "Debugging",
    option("--check", is_flag=True,
           help="Show what the broker that runs is and has, and exit: with 5 if there is none."),
    option("--purge", is_flag=True, help="Stop all runs of the broker that runs, and exit."),
    option("--debug", is_flag=True, help="Log everything."),
    option("--logfile", metavar="PATH", help="Log to a file instead of standard error."),
)  # fmt: skip
_LOADS_1 = section(
    "Accepted for Loads 1, without effect",
    *(
        option(
            name, metavar="VALUE", expose_value=False, callback=retired, help="No longer needed."
        )
        for name in ("--register", "--receiver", "--heartbeat", "--io-threads")
    ),
)


@click.command(
    cls=SectionedCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@_ENDPOINTS
@_AGENTS
@_STORAGE
@_DEBUGGING
@_LOADS_1
@version_option
@exits
def main(
    frontend: str | None,
    backend: str | None,
    publisher: str | None,
    agent_timeout: float,
    return_timeout: float,
    insecure: bool,
    db: str | None,
    db_max_size: int,
    db_max_age: float | None,
    check: bool,
    purge: bool,
    debug: bool,
    logfile: str | None,
) -> ExitCode:
    """Hand runs to agents, account for their results, and publish them."""
    set_up_logging(debug, logfile)
    if check:
        with at(frontend or "") as client:
            return show_broker(client)
    if purge:
        with at(frontend or "") as client:
            return purge_broker(client)
    clock, home = SystemClock(), home_directory()
    is_first = not (home / "broker.key").exists()

    def open_keeper() -> Keeper:
        url = db or str(make_home(home) / DATABASE)
        return Keeper(open_storage(url), clock, db_max_size, db_max_age)

    server = Server(
        endpoints_of(frontend or "", backend or "", publisher or ""),
        clock,
        Settings(
            heartbeat=min(1.0, agent_timeout / 5),
            agent_timeout=agent_timeout,
            return_timeout=return_timeout,
        ),
        insecure,
        open_keeper,
        home,
    )
    bound = server.endpoints

    def announce() -> None:
        for line in introduction(bound, insecure, home, is_first):
            click.echo(line, err=line.startswith("WARNING"))
        sys.stdout.flush()

    try:
        server.run(announce)
    finally:
        server.close()
        deliver_and_end()
    return ExitCode.OK


def introduction(at: Endpoints, insecure: bool, home: Path, is_first: bool) -> list[str]:
    """What a broker says of itself when it is ready."""
    lines = [f"loads-broker is ready: {at.frontend} {at.backend} {at.publisher}"]
    open_ones = [e for e in (at.frontend, at.backend, at.publisher) if e.startswith("tcp://")]
    if open_ones and insecure:
        lines.append(
            "WARNING: --insecure: whoever reaches these ports can run code on all agents, and "
            "read all that is sent."
        )
    elif open_ones and is_first:
        lines.append(f"Its keys were made, and are in {home}.")
    if open_ones and not insecure and not is_loopback(at.frontend):
        lines.append(
            "Join agents with the tokens that this makes:  loads-keys add --role agent NAME"
        )
    else:
        lines.append("Join agents with:  loads-agent --broker " + at.frontend)
    return lines


if __name__ == "__main__":
    entry.broker()
