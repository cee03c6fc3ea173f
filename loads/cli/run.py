"""``loads-runner``"""

from __future__ import annotations

import os
from pathlib import Path

import click

from loads.cli import entry
from loads.cli.common import exits
from loads.cli.options import RunnerCommand, gather, is_instead, runner_options
from loads.cli.planning import (
    build_outputs,
    build_wishes,
    check_cluster_options,
    debug_level,
    files_of,
    find_test,
    make_plan,
    patience_of,
    worker_limit,
)
from loads.clock import SystemClock
from loads.errors import ExitCode
from loads.outputs.base import Outputs
from loads.transport.arguments import VARIABLE

EPILOG = """\b
TEST is package.module.Class.test_method or package.module.test_function,
a class or module for all the tests in it, or what pytest prints:
path/test_file.py::Class::test_method.  A file may name it as fqn.

\b
Every option can also be a line of a configuration file (users = 10), or
a variable (LOADS_USERS=10).  The command line counts before variables,
and those before the file.  A line that is no option is for the test,
which finds it in self.config.

\b
Examples:
  loads-runner examples.test_site.TestSite.test_home
  loads-runner examples.test_site -u 100 --hits 10
  loads-runner examples.test_site -u 10:20:30 -d 60
  loads-runner examples.test_site -u 1000 -d 5m -a 10
  loads-runner examples.test_site -u 1000 -d 5m -a 10 --detach
  loads-runner --attach
  loads-runner --config examples/loads.ini

\b
Exit codes:
  0 all tests passed      1 some test failed     2 bad usage
  4 incomplete result     5 no broker            6 not enough agents
  130 interrupted
"""


@click.command(
    cls=RunnerCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
@runner_options
@click.pass_context
@exits
def main(context: click.Context, **_: object) -> ExitCode:
    """Run a functional test as a load test, here or on a cluster."""
    environ = dict(os.environ)
    settings = gather(context, environ, Path.cwd())
    os.environ.pop(VARIABLE, None)  # it is for us, and not for the tests that we run
    if is_instead(settings):
        from loads.cli.operations import operate

        return operate(settings)
    debug = debug_level(settings)
    if debug:
        from loads.cli.logs import set_up_logging

        set_up_logging(True, None)
    target = find_test(settings)
    plan = make_plan(settings, target, environ)
    check_cluster_options(settings, plan)
    wishes = build_wishes(settings)
    if plan.agents:
        from loads.cli.attachment import submit
        from loads.runners.distributed import submission

        files = files_of(settings, target)
        find_run = submission(plan, target, files, patience_of(settings), wishes)
        return submit(settings, plan, find_run)
    clock = SystemClock()
    with Outputs(build_outputs(settings)) as outputs:
        from loads.runners.local import LocalRunner

        workers = worker_limit(settings)
        view = LocalRunner(plan, target, clock, outputs, workers, debug).run()
    if wishes:
        from loads.cli.inquiry import tell

        tell(wishes, view)
    return view.exit_code


if __name__ == "__main__":
    entry.runner()
