"""``loads-broker``"""

from __future__ import annotations

import sys

import click

from loads.broker.core import Settings
from loads.broker.server import Server
from loads.cli.common import exits, retired, set_up_logging, version_option
from loads.cli.connection import at
from loads.cli.inquiry import purge_broker, show_broker
from loads.cli.sections import SectionedCommand, option, section
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.transport.endpoints import Endpoints, default_endpoints

EPILOG = """\b
Without options the broker listens on Unix sockets that only this user can
reach.  For agents on other machines give it tcp endpoints:

\b
  loads-broker --frontend tcp://127.0.0.1:7780 \\
               --backend tcp://127.0.0.1:7781 \\
               --publisher tcp://127.0.0.1:7782
"""


_ENDPOINTS = section(
    "Endpoints",
    option("--frontend", metavar="ENDPOINT", help="Where runners connect."),
    option("--backend", metavar="ENDPOINT", help="Where agents connect."),
    option("--publisher", metavar="ENDPOINT", help="Where consoles follow runs."),
    option("--insecure", is_flag=True,
           help="Allow endpoints that the network can reach, without any keys."),
)  # fmt: skip
_AGENTS = section(
    "Agents",
    option("--agent-timeout", default=10.0, type=click.FloatRange(0.5, 3600), metavar="SECONDS",
           show_default=True, help="How long an agent may be silent before it is lost."),
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
@_DEBUGGING
@_LOADS_1
@version_option
@exits
def main(
    frontend: str | None,
    backend: str | None,
    publisher: str | None,
    agent_timeout: float,
    insecure: bool,
    check: bool,
    purge: bool,
    debug: bool,
    logfile: str | None,
) -> ExitCode:
    """Hand runs to agents, account for their results, and publish them."""
    set_up_logging(debug, logfile)
    default = default_endpoints()
    if check:
        with at(frontend or default.frontend) as client:
            return show_broker(client)
    if purge:
        with at(frontend or default.frontend) as client:
            return purge_broker(client)
    server = Server(
        Endpoints(
            frontend or default.frontend,
            backend or default.backend,
            publisher or default.publisher,
        ),
        SystemClock(),
        Settings(heartbeat=min(1.0, agent_timeout / 5), agent_timeout=agent_timeout),
        insecure,
    )
    bound = server.endpoints

    def announce() -> None:
        click.echo(f"loads-broker is ready: {bound.frontend} {bound.backend} {bound.publisher}")
        click.echo("Join agents with:  loads-agent --broker " + bound.frontend)
        sys.stdout.flush()

    try:
        server.run(announce)
    finally:
        server.close()
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
