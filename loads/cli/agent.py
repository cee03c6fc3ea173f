"""``loads-agent``"""

from __future__ import annotations

import os
import signal
import sys

import click

from loads.agent.server import Server, find_broker
from loads.cli import entry
from loads.cli.common import exits, retired, version_option
from loads.cli.logs import set_up_logging
from loads.cli.sections import SectionedCommand, option, section
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.supervisor import usable_cores
from loads.transport.arguments import VARIABLE
from loads.transport.sockets import deliver_and_end
from loads.transport.tokens import find_access

EPILOG = """\b
An agent runs the code of whoever may submit runs to its broker.
Run it as a user that owns nothing else.
"""


_CLUSTER = section(
    "Cluster",
    option("-b", "--broker", metavar="TOKEN", envvar=VARIABLE,
           help="A token, @FILE that holds one, or the broker's frontend.  "
           "[default: this user's own, on this machine]"),
    option("--orphan-timeout", default=30.0, type=click.FloatRange(1, 86400), metavar="SECONDS",
           show_default=True, help="How long to keep up the load without a broker; workers, "
           "without their agent."),
)  # fmt: skip
_LOAD = section(
    "Load",
    option("--workers", type=click.IntRange(1, 1024), metavar="N",
           help="Worker processes.  [default: one per core]"),
)  # fmt: skip
_DEBUGGING = section(
    "Debugging",
    option("--debug", is_flag=True, help="Log everything."),
    option("--logfile", metavar="PATH", help="Log to a file instead of standard error."),
)
_LOADS_1 = section(
    "Accepted for Loads 1, without effect",
    *(
        option(
            name, metavar="VALUE", expose_value=False, callback=retired, help="No longer needed."
        )
        for name in ("--params", "--timeout", "--max-age", "--max-age-delta")
    ),
)


@click.command(
    cls=SectionedCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@_CLUSTER
@_LOAD
@_DEBUGGING
@_LOADS_1
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
    for number in (signal.SIGTERM, signal.SIGINT):  # the server, once it runs, has its own
        signal.signal(number, lambda *_: sys.exit(ExitCode.OK))
    access = find_access(broker or "")
    os.environ.pop(VARIABLE, None)  # it is for us, and not for the tests that we run
    backend = find_broker(access, clock)
    server = Server(backend, workers or usable_cores(), clock, orphan_timeout)
    try:
        server.run()
    finally:
        server.close()
        deliver_and_end()
    return ExitCode.OK


if __name__ == "__main__":
    entry.agent()
