"""Every example does what it says, as load and as a functional test."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, run
from tests.e2e.stage import COMMANDS, Stage

REPOSITORY = Path(__file__).parents[2]


def serve(stage: Stage, server: str) -> str:
    """Start one of the example servers; gives its URL."""
    process = stage.start("site", "python", "-m", server, "--port", 0, cwd=REPOSITORY)
    return process.says("http://").split()[-1].rstrip("/")


def served(url: str) -> int:
    """How many requests a server has counted."""
    with urllib.request.urlopen(f"{url}/count") as answer:
        counted = json.load(answer)
    return counted if isinstance(counted, int) else counted["hits"]


@pytest.mark.parametrize(
    ("target", "server", "tests", "hits"),
    [
        pytest.param("examples.test_site", "examples.server", 24, 24, id="two tests in a class"),
        # three users run whole rounds of eight calls, so each test as often as it weighs
        pytest.param("examples.test_mix", "examples.server", 24, 24, id="weights"),
        pytest.param("examples.test_plain", "examples.server", 24, 36, id="nothing of Loads in it"),
        pytest.param("examples/test_plain.py::test_home", "examples.server", 24, 24, id="node id"),
    ],
)
def test_an_example_as_load(stage: Stage, target: str, server: str, tests: int, hits: int) -> None:
    url = serve(stage, server)
    options = ("-u", 3, "--hits", 8, "--server-url", url, "--env", f"SITE={url}")
    result = run(stage, target, *options, cwd=REPOSITORY)
    assert result.code == 0
    assert result.tests["success"] == tests
    assert result.hits == served(url) == hits


@pytest.mark.parametrize(
    "runner", [("-m", "unittest"), ("-m", "pytest", "-q", "-p", "no:cacheprovider")]
)
def test_an_example_as_a_functional_test(stage: Stage, runner: tuple[str, ...]) -> None:
    """The very same file, which needs nothing but its server."""
    url = serve(stage, "examples.server")
    name = "examples.test_plain" if runner[1] == "unittest" else "examples/test_plain.py"
    process = stage.start("python", "python", *runner, name, cwd=REPOSITORY, env={"SITE": url})
    assert process.wait() == 0
    assert served(url) == (2 if runner[1] == "unittest" else 3)


@pytest.mark.parametrize("config", ["examples/loads.ini", "examples/loads.toml"])
def test_an_example_of_a_configuration(stage: Stage, config: str) -> None:
    url = serve(stage, "examples.server")
    result = run(stage, "--config", config, "--server-url", url, "--hits", 2, cwd=REPOSITORY)
    assert result.code == 0
    assert result.hits == served(url) == result.tests["success"]


def test_an_example_of_a_run_that_is_left_and_found_again(stage: Stage) -> None:
    url = serve(stage, "examples.server")
    Cluster(stage)
    path = f"{COMMANDS}:{stage.environment['PATH']}"
    script = stage.start(
        "script", "sh", "examples/overnight.sh", url, cwd=REPOSITORY, env={"PATH": path}
    )
    assert script.wait() == 0
    first, _titles, row, *summary = script.out.splitlines()
    run_id = first.removeprefix("run ")
    assert row.startswith(run_id)
    assert row.endswith("nightly")
    result = json.loads("\n".join(summary))
    assert result["run_id"] == run_id
    assert result["hits"]["total"] == served(url) == 50


@pytest.mark.parametrize("server", ["server", "ws_server", "wsgi_shop"])
def test_a_port_that_is_taken_is_told_in_a_line(stage: Stage, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        name = f"examples.{server}"
        process = stage.start("site", "python", "-m", name, "--port", port, cwd=REPOSITORY)
        assert process.wait() == 1
    assert process.err.startswith("Address already in use")
    assert process.err.endswith(". Name another port with --port.\n")
    assert process.err.count("\n") == 1


def test_the_demo_ends_well_and_leaves_nothing(stage: Stage) -> None:
    demo = stage.start("demo", "python", "-m", "examples.demo", "--seconds", 1, cwd=REPOSITORY)
    assert demo.wait(60) == 0
    reported, counted = (
        word.replace(",", "").rstrip(".")
        for word in demo.out.splitlines()[-1].split()
        if word[0].isdigit()
    )
    assert reported == counted != "0"
