"""``loads-runner``"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from loads.cli.common import exits, version_option
from loads.clock import SystemClock
from loads.errors import ExitCode, UsageError
from loads.outputs.base import Output, Outputs
from loads.outputs.registry import Registry
from loads.plan import RunPlan, parse_cycle, parse_duration
from loads.transport.endpoints import default_endpoints

_registry = Registry()

EPILOG = """\b
TEST is package.module.Class.test_method, package.module.test_function,
or a class or module for all the tests in it.

\b
Examples:
  loads-runner examples.test_site.TestSite.test_home
  loads-runner examples.test_site -u 100 --hits 10
  loads-runner examples.test_site -u 10:20:30 -d 60
  loads-runner examples.test_site -u 1000 -d 5m -a 10 --broker tcp://10.0.0.5:7780

\b
Exit codes:
  0 all tests passed      1 some test failed     2 bad usage
  4 incomplete result     5 no broker            6 not enough agents
  130 interrupted
"""


def _output_options(command: Any) -> Any:
    """Add ``--output-NAME-OPTION`` for each option that an output of ours declares."""
    for name in reversed(_registry.own):
        for option in reversed(_registry.options(name)):
            command = click.option(
                f"--output-{name}-{option.name}",
                f"output_{name}_{option.keyword}",
                metavar="VALUE",
                help=f"{option.help}  [default: {option.default}]",
            )(command)
    return command


@click.command(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("test", metavar="TEST")
@click.option(
    "-u",
    "--users",
    default="1",
    metavar="N[:N...]",
    show_default=True,
    help="Virtual users; several numbers are groups, run one after the other.",
)
@click.option("--hits", metavar="N[:N...]", help="How often each user runs the test.  [default: 1]")
@click.option(
    "-d",
    "--duration",
    metavar="TIME",
    help="How long each group runs, instead of --hits: 90, 90s, 5m, 1h.",
)
@click.option(
    "-a",
    "--agents",
    type=int,
    metavar="N",
    help="Run on N agents of the broker; each runs all users.",
)
@click.option(
    "-b",
    "--broker",
    metavar="ENDPOINT",
    help="The broker's frontend.  [default: this user's own, on this machine]",
)
@click.option(
    "--test-dir",
    default=".",
    type=click.Path(file_okay=False),
    show_default=True,
    help="The directory that the test is imported from.",
)
@click.option(
    "--server-url", default="", metavar="URL", help="What self.server_url is in the test."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Worker processes of a local run.  [default: one per core]",
)
@click.option(
    "--grace",
    default="30",
    metavar="TIME",
    show_default=True,
    help="How long running tests may take to finish once the run is to end.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="NAME",
    help=f"What to do with results: {', '.join(_registry.names)}.  "
    "[default: console; may be repeated]",
)
@_output_options
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@version_option
@exits
def main(
    test: str, outputs: tuple[str, ...], quiet: bool, test_dir: str, **options: Any
) -> ExitCode:
    """Run a functional test as a load test, here or on a cluster."""
    plan = _plan(test, options)
    root = Path(test_dir).absolute()
    if not root.is_dir():
        raise UsageError(f"There is no directory {root}.", "Name another with --test-dir.")
    with Outputs(_build_outputs(outputs, quiet, options)) as fan_out:
        if plan.agents:
            from loads.runners.distributed import DistributedRunner

            endpoint = options["broker"] or os.environ.get("LOADS_BROKER")
            endpoint = endpoint or default_endpoints().frontend
            return DistributedRunner(plan, root, SystemClock(), fan_out, endpoint).run().exit_code
        from loads.runners.local import LocalRunner

        runner = LocalRunner(plan, root, SystemClock(), fan_out, options["workers"])
        return runner.run().exit_code


def _plan(test: str, options: dict[str, Any]) -> RunPlan:
    duration = options["duration"]
    if duration and options["hits"]:
        raise UsageError(
            "--hits and --duration exclude each other.",
            "Give --hits to run a number of tests, or --duration to run for some time.",
        )
    agents = options["agents"]
    if agents is not None and agents < 1:
        raise UsageError(f"--agents {agents} cannot be run.", "Give 1 or more.")
    if agents is None and options["broker"]:
        raise UsageError(
            "--broker is given, but not how many of its agents to run on.", "Add -a N."
        )
    return RunPlan(
        target=test,
        users=parse_cycle("users", options["users"]),
        hits=() if duration else parse_cycle("hits", options["hits"] or "1"),
        duration=parse_duration(duration) if duration else None,
        agents=agents or 0,
        server_url=options["server_url"],
        grace=parse_duration(options["grace"]),
    )


def _build_outputs(
    names: tuple[str, ...], quiet: bool, options: dict[str, Any]
) -> list[tuple[str, Output]]:
    """The outputs asked for, each with its options; ``--quiet`` takes the console away."""
    chosen = list(dict.fromkeys(names or ("console",)))
    if quiet:
        chosen = [name for name in chosen if name != "console"]
    built = []
    for name in chosen:
        prefix = f"output_{name}_"
        values = {
            option.name: options[prefix + option.keyword]
            for option in _registry.options(name)
            if options.get(prefix + option.keyword) is not None
        }
        built.append((name, _registry.build(name, values)))
    return built


if __name__ == "__main__":
    sys.exit(main())
