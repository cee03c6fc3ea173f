"""Programs as test runners: started, heard, counted and ended, here and on a cluster."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Result, Runner, run
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

REPOSITORY = Path(__file__).parents[2]

#: What v1's own runners sent, with everything that a test may want of a program.
PROGRAM = """\
    #!{python}
    import json, os, signal, sys, time, urllib.request
    import zmq
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    hits, users, user = (int(os.environ.get("LOADS_" + name, 0))
                         for name in ("TOTAL_HITS", "TOTAL_USERS", "CURRENT_USER"))
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.connect(os.environ["LOADS_ZMQ_RECEIVER"])

    def send(data_type, hit=1, **data):
        # as loads.js does: the status is a text
        status = ",".join(map(str, (hits, users, hit, user)))
        socket.send_json({{"data_type": data_type, "loads_status": status, **data}})

    def get(path="/fast/program"):
        url, start = os.environ["LOADS_SERVER_URL"] + path, time.time()
        with urllib.request.urlopen(url) as answer:
            answer.read()
        send("add_hit", url=url, method="GET", status=answer.status, elapsed=time.time() - start)

    if mode == "garbage":
        for data in (b"", b"{{", b"[]", b"{{}}", b'{{"data_type": "add_hit"}}', bytes(70000)):
            socket.send(data)
        socket.send_multipart([b"{{}}", b"{{}}"])
    if mode == "data":
        print(open("data/greeting.txt").read(), file=sys.stderr)
    end = time.monotonic() + float(os.environ.get("LOADS_DURATION", 0))
    hit = 0
    while hit < hits or time.monotonic() < end or mode == "forever":
        hit += 1
        send("startTest", hit, test=sys.argv[1])
        get("/slow/0.05" if mode in ("slow", "forever") else "/fast/program")
        if mode == "failing" and hit % 2:
            send("addFailure", hit, test=sys.argv[1],
                 exc_info=["it is wrong", "<class 'AssertionError'>", "line 3"])
        else:
            send("addSuccess", hit, test=sys.argv[1])
        send("stopTest", hit, test=sys.argv[1])
        if mode == "unfinished":
            send("startTest", hit, test="another")
    send("socket_open"); send("socket_message", size=11); send("socket_close")
    send("greeted", test=sys.argv[1])
    if mode == "broken":
        print("I have had enough", file=sys.stderr)
        sys.exit(3)
"""


def write(stage: Stage) -> None:
    """The user's project: a program that can be executed, and what it is to run."""
    program = stage.write("tools/run.py", PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    stage.write("js_tests.js", "what only the program understands")
    stage.write("data/greeting.txt", "hello")


def runner(mode: str = "") -> tuple[str, ...]:
    return ("js_tests.js", "--test-runner", f"./tools/run.py {{test}} {mode}".strip())


def done(stage: Stage, target: Target, agents: int, mode: str, *options: object) -> Result:
    """A run of it."""
    write(stage)
    line = (*runner(mode), "--server-url", target.url, *options)
    return Cluster(stage, agents, workers=2).run(*line) if agents else run(stage, *line)


@pytest.mark.parametrize("agents", [0, 2], ids=["here", "on a cluster"])
def test_what_a_program_reports_is_what_is_counted(
    stage: Stage, target: Target, agents: int
) -> None:
    """Each of so many users is a process, of each group; the program travels, with its mode."""
    result = done(stage, target, agents, "", "-u", "2:3", "--hits", 7)
    assert result.code == 0, result.err
    many = max(agents, 1)
    assert result.hits == target.hits == many * 5 * 7
    assert result.tests == {
        "success": many * 35,
        "failures": 0,
        "errors": 0,
        "skipped": 0,
        "cut": 0,
    }
    sockets = result.summary["websockets"]
    assert (sockets["opened"], sockets["closed"]) == (many * 5, many * 5)
    assert (sockets["messages_received"], sockets["bytes_received"]) == (many * 5, many * 55)
    assert result.summary["counters"] == {"greeted": many * 5}
    assert result.warnings == []
    assert result.summary["plan"]["test_runner"] == "./tools/run.py {test}"


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_failures_and_bad_ends_are_failures(stage: Stage, target: Target, agents: int) -> None:
    result = done(stage, target, agents, "failing", "-u", 2, "--hits", 4)
    assert result.code == 1
    assert result.tests["success"] == result.tests["failures"] == 4
    (failure,) = result.summary["failures"]
    assert failure["type"] == "AssertionError"
    assert (failure["message"], failure["traceback"]) == ("it is wrong", "line 3")
    assert failure["tests"] == ["js_tests.js"]


def test_a_program_that_fails_is_an_error_with_its_words(stage: Stage, target: Target) -> None:
    result = done(stage, target, 0, "broken", "-u", 3, "--hits", 2)
    assert result.code == 1
    assert result.hits == target.hits == 6
    assert result.tests["success"] == 6 and result.tests["errors"] == 3
    (failure,) = result.summary["failures"]
    assert failure["message"] == "The test runner exited with status 3."
    assert failure["traceback"] == "I have had enough"


def test_garbage_is_left_out_and_told(stage: Stage, target: Target) -> None:
    result = done(stage, target, 0, "garbage", "-u", 1, "--hits", 5)
    assert result.code == 0, result.err
    assert result.hits == target.hits == 5
    (warning,) = result.warnings
    assert "sent what is no report, at least 7 times" in warning


def test_a_test_without_a_verdict_was_cut(stage: Stage, target: Target) -> None:
    result = done(stage, target, 0, "unfinished", "-u", 2, "--hits", 1)
    assert result.tests["success"] == result.tests["cut"] == 2


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_a_duration_is_the_programs_to_keep(stage: Stage, target: Target, agents: int) -> None:
    result = done(stage, target, agents, "slow", "-u", 3, "-d", 1)
    assert result.code == 0, result.err
    assert result.hits == target.hits == result.tests["success"] > 0


def test_a_program_that_does_not_end_is_ended(stage: Stage, target: Target) -> None:
    """By a signal that it may heed, after the grace period."""
    options = ("-u", 2, "-d", 1, "--external-process-timeout", 1)
    result = done(stage, target, 0, "forever", *options)
    assert result.code == 0, result.err
    assert result.tests["errors"] == 0
    assert 0 < result.hits <= target.hits <= result.hits + 2


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_ctrl_c_ends_the_programs(stage: Stage, target: Target, agents: int) -> None:
    write(stage)
    line = (*runner("forever"), "-u", 3, "--hits", 1, "--server-url", target.url)
    started = Cluster(stage).start(*line) if agents else Runner(stage, *line)
    until(lambda: target.hits > 10, "some load")
    started.process.signal(signal.SIGINT)
    result = started.wait()
    assert result.code == 130
    assert 0 < result.hits <= target.hits <= result.hits + 3
    until(lambda: not programs(stage), "the end of the programs")


@pytest.mark.parametrize("victim", ["runner", "worker"])
def test_programs_end_with_their_worker_and_that_with_the_runner(
    stage: Stage, target: Target, victim: str
) -> None:
    write(stage)
    line = (*runner("forever"), "-u", 2, "--hits", 1, "--server-url", target.url, "--workers", 1)
    started = Runner(stage, *line)
    until(lambda: target.hits > 10, "some load")
    assert programs(stage)
    pid = started.process.pid if victim == "runner" else started.process.workers[0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not programs(stage), "the end of the programs")
    assert started.process.wait() in (4, -signal.SIGKILL)


def programs(stage: Stage) -> list[int]:
    return [pid for pid, command in stage.survivors().items()
            if "tools/run.py" in command and "loads-runner" not in command]  # fmt: skip


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_a_program_that_is_not_there(stage: Stage, target: Target, agents: int) -> None:
    write(stage)
    line = ("js_tests.js", "--test-runner", "./no_such_program {test}")
    started = Cluster(stage).start(*line) if agents else Runner(stage, *line)
    assert started.process.wait() == 2
    assert "There is no program './no_such_program'" in started.process.err


def test_the_example(stage: Stage) -> None:
    """Against the server of the documentation, with a duration as well."""
    server = stage.start("site", "python", "-m", "examples.server", "--port", 0, cwd=REPOSITORY)
    url = server.says("The site is at ").split()[-1].rstrip("/")
    command = f"{sys.executable} examples/external_runner.py {{test}}"
    line = ("greetings", "--test-runner", command, "--server-url", url, "-u", 3)
    result = run(stage, *line, "--hits", 4, cwd=REPOSITORY)
    assert result.code == 0, result.err
    assert result.hits == result.tests["success"] == 12
    assert result.summary["counters"] == {"greeted": 12}
    assert run(stage, *line, "-d", 1, cwd=REPOSITORY).code == 0
