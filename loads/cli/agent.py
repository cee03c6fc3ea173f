"""``loads-agent``"""

from __future__ import annotations

import sys

import click

from loads.agent.server import Server, find_broker
from loads.cli.common import exits, set_up_logging, version_option
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.supervisor import usable_cores
from loads.transport.endpoints import default_endpoints

EPILOG = """\b
An agent runs the code of whoever may submit runs to its broker.
Run it as a user that owns nothing else.
"""


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-b",
    "--broker",
    metavar="ENDPOINT",
    envvar="LOADS_BROKER",
    help="The broker's frontend.  [default: this user's own, on this machine]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Worker processes.  [default: one per core]",
)
@click.option(
    "--orphan-timeout",
    default=30.0,
    type=click.FloatRange(1, 86400),
    metavar="SECONDS",
    show_default=True,
    help="How long to keep up the load without a broker.",
)
@click.option("--debug", is_flag=True, help="Log everything.")
@click.option("--logfile", metavar="PATH", help="Log to a file instead of standard error.")
@version_option
@exits
def main(
    broker: str | None,
    workers: int | None,
    orphan_timeout: float,
    debug: bool,
    logfile: str | None,
) -> ExitCode:
    """Offer this machine to a broker, and run what it sends."""
    set_up_logging(debug, logfile)
    clock = SystemClock()
    backend = find_broker(broker or default_endpoints().frontend, clock)
    server = Server(backend, workers or usable_cores(), clock, orphan_timeout)
    try:
        server.run()
    finally:
        server.close()
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
