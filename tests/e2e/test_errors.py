"""Every mistake has its exit code and its words, and none of them a traceback of ours."""

from __future__ import annotations

import json
import socket

import pytest

from tests.e2e.cluster import SITE, Cluster, Result, run, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Target

FILES = {
    "test_site.py": SITE,
    "test_syntax.py": "def test(:\n    pass\n",
    "test_raises.py": "settings = {}\n\nhome = settings['home']\n",
    "test_exits.py": "import sys\nsys.exit('no licence')\n",
    "test_needs.py": "import no_such_library\n",
    "test_nothing.py": "import unittest\n\nanswer = 42\n\nclass Helper:\n    pass\n",
}


@pytest.fixture(scope="module")
def desk(shared_stage: Stage) -> Stage:
    """Where the user works, with nothing running."""
    for name, text in FILES.items():
        shared_stage.write(name, text)
    return shared_stage


@pytest.fixture(scope="module")
def cluster(desk: Stage) -> Cluster:
    """A broker with one agent, for all tests of this module."""
    return Cluster(desk)


#: What cannot be loaded: the target, and the words that must appear.
UNLOADABLE = {
    "no such module": ("test_sight", ["test_sight"]),
    "no such package": ("nowhere.test_site.TestSite", ["nowhere"]),
    "no such class": ("test_site.TestSight", ["TestSight", "Did you mean test_site.TestSite?"]),
    "no such method": (
        "test_site.TestSite.test_hom",
        ["test_hom", "Did you mean test_site.TestSite.test_home?"],
    ),
    "no name at all": ("test site!", ["test site!", "package.module.Class.test_method"]),
    "a constant": ("test_nothing.answer", ["test_nothing.answer is no test", "an int"]),
    "a class that is no test": ("test_nothing.Helper", ["test_nothing.Helper", "no test"]),
    "a module without a test": ("test_nothing", ["There is no test in test_nothing"]),
    "a syntax error": ("test_syntax", ["invalid syntax (test_syntax.py, line 1)", "def test(:"]),
    "an exception while importing": (
        "test_raises",
        ["KeyError: 'home'", 'File "test_raises.py", line 3', "home = settings['home']"],
    ),
    "an exit while importing": ("test_exits", ["SystemExit: no licence", "test_exits.py"]),
    "a library that is missing": ("test_needs", ["No module named 'no_such_library'", "Install"]),
}


@pytest.mark.parametrize("mistake", UNLOADABLE)
def test_a_test_that_cannot_be_loaded(desk: Stage, mistake: str) -> None:
    target, words = UNLOADABLE[mistake]
    refused(run(desk, target), 2, words)


@pytest.mark.parametrize("mistake", UNLOADABLE)
def test_a_test_that_cannot_be_loaded_by_an_agent(cluster: Cluster, mistake: str) -> None:
    """The same words, from afar; and the agent is free again."""
    target, words = UNLOADABLE[mistake]
    refused(cluster.run(target), 2, words)


#: Command lines that make no sense: the options, and the words that must appear.
USAGE = {
    "no hits": (["--hits", 0], ["0 hits cannot be run"]),
    "hits that are no number": (["--hits", "ten"], ["--hits ten is not a number"]),
    "users that are no number": (["-u", "abc"], ["--users abc is not a number"]),
    "no users": (["-u", 0], ["0 users cannot be run"]),
    "a hole in a cycle of users": (["-u", "10::30"], ["--users 10::30 is not a number"]),
    "too many users": (["-u", 10**9], ["cannot be run", "1,000,000"]),
    "no time": (["-d", 0], ["duration of 0.0 seconds cannot be run"]),
    "a duration that is no time": (["-d", "abc"], ["abc is not a duration", "5m"]),
    "a negative duration": (["-d", "-5"], ["-5 is not a duration"]),
    "hits and a duration": (["--hits", 5, "-d", 5], ["exclude each other"]),
    "no agents": (["-a", 0], ["--agents 0 cannot be run"]),
    "a broker without agents": (["-b", "tcp://127.0.0.1:1"], ["Add -a N"]),
    "an option that is unknown": (["--frobnicate"], ["No such option", "--frobnicate"]),
    "an output that is unknown": (["--output", "jsn"], ["jsn", "json"]),
    "a file in no directory": (
        ["--output", "json", "--output-json-filename", "/nowhere/result.json"],
        ["/nowhere/result.json", "No such file or directory"],
    ),
    "a grace that is no time": (["--grace", "-1"], ["-1 is not a duration"]),
    "no such directory": (["--test-dir", "elsewhere"], ["There is no directory", "elsewhere"]),
    "an endpoint without a scheme": (["-a", 1, "-b", "127.0.0.1:1"], ["is no endpoint", "tcp://"]),
    "an endpoint without a port": (["-a", 1, "-b", "tcp://127.0.0.1"], ["names no host and port"]),
    "a port that is none": (["-a", 1, "-b", "tcp://127.0.0.1:http"], ["names no host and port"]),
    "an endpoint that is empty": (["-a", 1, "-b", "ipc://"], ["is no endpoint"]),
    "a socket whose path is too long": (["-a", 1, "-b", "ipc:///" + 110 * "x"], ["too long"]),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_command_line_that_makes_no_sense(desk: Stage, mistake: str) -> None:
    options, words = USAGE[mistake]
    process = desk.start("runner", "loads-runner", "test_site", *options)
    code = process.wait()
    refused(Result(code, process.out, process.err, desk.root), 2, words)


def refused(result: Result, code: int, words: list[str]) -> None:
    """Check that a command has ended with ``code`` and complained in these words, and no others."""
    assert result.code == code
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert "Result:" not in result.out


def test_no_broker_is_there(stage: Stage) -> None:
    stage.write("test_site.py", SITE)
    result = run(stage, "test_site", "-a", 1)
    refused(result, 5, ["No broker answers at ipc://", "Start one with loads-broker"])


def test_the_cluster_is_too_small(cluster: Cluster) -> None:
    result = cluster.run("test_site", "-a", 3)
    refused(result, 6, ["asks for 3 agents, and the broker has 1 idle", "loads-agent"])


def test_a_target_that_refuses_connections(desk: Stage) -> None:
    """That is data, not a mistake: hits without an answer, and a message that says why."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so that nobody else gets it, and not listening
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        result = run(desk, "test_site", "-u", 2, "--hits", 5, "--server-url", url)
    assert result.code == 1
    assert result.hits == result.summary["hits"]["errors"] == 10
    assert result.summary["urls"][0]["status"] == {"refused": 10}
    assert result.tests["errors"] == 10
    (failure,) = result.summary["failures"]
    assert failure["type"] == "ConnectionError"
    assert "Connection refused" in failure["message"]
    assert failure["count"] == 10


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "tcp://127.0.0.1", "udp://127.0.0.1:1"])
def test_a_broker_at_what_is_no_endpoint(stage: Stage, endpoint: str) -> None:
    broker = stage.start("broker", "loads-broker", "--frontend", endpoint)
    assert broker.wait() == 2
    assert "Traceback" not in broker.err


def test_a_second_broker_leaves_the_first_one_alone(stage: Stage, target: Target) -> None:
    """On one machine there is one broker at each endpoint; the second is told so."""
    stage.write("test_slow.py", site("/slow/0.05"))
    cluster = Cluster(stage)
    runner = cluster.start("test_slow", "-u", 2, "--hits", 20, "--server-url", target.url)
    second = stage.start("broker", "loads-broker")
    assert second.wait() == 5
    assert "Another broker is running at ipc://" in second.err
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 40


def test_a_second_broker_on_the_same_port_is_told_so(stage: Stage) -> None:
    cluster = Cluster(stage, agents=0, tcp=True)
    second = stage.start("broker", "loads-broker", "--frontend", cluster.frontend)
    assert second.wait() == 5
    assert f"{cluster.frontend} cannot be opened: Address already in use" in second.err


def test_a_log_that_cannot_be_written(stage: Stage) -> None:
    for name in ("broker", "agent"):
        process = stage.start(name, f"loads-{name}", "--logfile", "/nowhere/log")
        assert process.wait() == 2
        assert "The log file cannot be written" in process.err


def test_the_summary_of_a_run_that_failed_is_not_written(desk: Stage) -> None:
    """What could not be run has no result; an older one is left as it was."""
    before = desk.write("result.json", json.dumps({"older": True}))
    output = ("--output", "json", "--output-json-filename", before)
    process = desk.start("runner", "loads-runner", "test_syntax", *output)
    assert process.wait() == 2
    assert json.loads(before.read_text()) == {"older": True}
