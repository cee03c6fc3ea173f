"""The commands from outside: help, version, notes, and a broker that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from loads import __version__, client
from loads.cli import agent, broker, connection, run
from loads.cli.sections import SectionedCommand, option, section
from loads.protocol.messages import Pong

COMMANDS = {"loads-runner": run.main, "loads-broker": broker.main, "loads-agent": agent.main}


def invoke(name: str, *args: str, width: int = 80) -> Result:
    return CliRunner().invoke(
        COMMANDS[name], args, prog_name=name, terminal_width=width, max_content_width=width
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_version(name: str) -> None:
    result = invoke(name, "--version")
    assert (result.exit_code, result.stdout) == (0, f"{name} {__version__}\n")


@pytest.mark.parametrize("width", [50, 80])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_the_terminal(name: str, width: int) -> None:
    result = invoke(name, "--help", width=width)
    assert result.exit_code == 0
    options = result.stdout[: result.stdout.index("  -h, --help")]
    assert max(map(len, options.splitlines())) <= width
    assert not re.search(r"[ ]$", options, re.MULTILINE)


def test_the_help_has_sections_and_explains_every_option() -> None:
    text = invoke("loads-runner", "--help").stdout
    titles = re.findall(r"^([A-Z][\w ,]+):$", text, re.MULTILINE)
    assert titles == [
        "What to run",
        "Load",
        "Cluster",
        "Instead of running a test",
        "Files that agents need",
        "Output",
        "Tell people of the end",
        "Debugging",
        "Accepted for Loads 1, without effect",
        "Help",
    ]
    for param in run.main.params:
        if isinstance(param, click.Option):
            assert param.help or param.hidden, param.name
            is_there = bool(re.search(rf"{param.opts[-1]}\b", text))
            assert is_there, param.name


def test_explanations_begin_at_one_column() -> None:
    @click.command(cls=SectionedCommand)
    @section("One", option("--a", help="First."))
    @section("Two", option("--much-longer", help="Second."), option("--none", hidden=True))
    def command() -> None:
        pass

    assert CliRunner().invoke(command, ["--help"]).stdout.split("\n\n", 1)[1] == (
        "One:\n"
        "  --a TEXT            First.\n\n"
        "Two:\n"
        "  --much-longer TEXT  Second.\n\n"
        "Help:\n"
        "  --help              Show this message and exit.\n"
    )


def test_the_start_of_the_runner_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['loads-runner', '--version']\n"
        "from loads.cli.run import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'rich', 'zmq', 'requests', 'gevent', 'msgpack', 'tomllib'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == [f"loads-runner {__version__}", "[]"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("loads-broker", ["--register", "--receiver", "--heartbeat", "--io-threads"]),
        ("loads-agent", ["--params", "--timeout", "--max-age", "--max-age-delta"]),
    ],
)
def test_what_has_no_meaning_any_more_is_noted(name: str, options: list[str]) -> None:
    args = [part for word in options for part in (word, "1")]
    # An option that is wrong in itself ends the command before it would start to serve.
    result = invoke(name, *args, "--logfile", "/nowhere/at/all.log")
    assert result.stderr.splitlines()[: len(options)] == [
        f"note: {word} is no longer needed and has no effect." for word in options
    ]
    assert "The log file cannot be written" in result.stderr
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("loads-runner", ["--ping-broker", "--broker"]),
        ("loads-runner", ["--list-runs", "--broker"]),
        ("loads-runner", ["--list-agents", "--broker"]),
        ("loads-runner", ["--check-cluster", "--broker"]),
        ("loads-runner", ["--purge-broker", "--broker"]),
        ("loads-runner", ["--stop", "3f2a", "--broker"]),
        ("loads-broker", ["--check", "--frontend"]),
        ("loads-broker", ["--purge", "--frontend"]),
    ],
)
def test_a_broker_that_is_not_there(
    name: str, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    endpoint = f"ipc://{tmp_path}/none.sock"
    result = invoke(name, *args, endpoint)
    assert result.exit_code == 5
    assert f"No broker answers at {endpoint}." in result.stderr


def test_a_broker_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pong = Pong(1, "9.9", "ipc:///b", "ipc:///p", agents=3, idle_agents=2, runs=1)
    monkeypatch.setattr(client.BrokerClient, "ping", lambda self: pong)
    result = invoke("loads-runner", "--ping-broker", "--broker", "tcp://127.0.0.1:1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Broker 9.9 is running.",
        "  frontend:   tcp://127.0.0.1:1",
        "  backend:    ipc:///b",
        "  publisher:  ipc:///p",
        "  agents:     3, 2 idle",
        "  runs:       1",
    ]


def test_a_broker_with_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    pong = Pong(1, "9.9", "ipc:///b", "ipc:///p", agents=3, idle_agents=2, runs=5, queued=4)
    monkeypatch.setattr(client.BrokerClient, "ping", lambda self: pong)
    result = invoke("loads-broker", "--check", "--frontend", "tcp://127.0.0.1:1")
    assert result.stdout.splitlines()[-1] == "  runs:       5, 4 of them in the queue"


def test_every_option_of_loads_1_is_known() -> None:
    """Those of observers and outputs, which are made from what is installed, are tested there."""
    known = {name for param in run.main.params for name in param.opts}
    assert known >= {
        *("--version", "--broker", "--users", "--hits", "--duration", "--agents", "--detach"),
        *("--attach", "--test-dir", "--python-dep", "--include-file", "--ssh", "--config"),
        *("--observer", "--output", "--test-runner", "--server-url", "--zmq-endpoint"),
        *("--zmq-receiver", "--zmq-publisher", "--no-patching", "--no-dns-resolve"),
        *("--project-name", "--quiet", "--ping-broker", "--purge-broker", "--check-cluster"),
        *("--health-check", "--user-id", "--batched", "-u", "-d", "-a", "-b"),
    }
