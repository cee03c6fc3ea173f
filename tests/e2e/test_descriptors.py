"""Runs under limits of descriptors that are too low, and low at first."""

from __future__ import annotations

import select
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.protocol.roles import SOCKETS
from loads.transport.tokens import find_access
from tests.e2e.cluster import Cluster, Result, Runner, site
from tests.e2e.stage import COMMANDS, Process, Stage
from tests.e2e.targets import Target
from tests.e2e.test_faults import open_descriptors
from tests.e2e.waiting import until

USERS = 200


def start_limited(stage: Stage, soft: int, hard: int, command: str, *options: object) -> Process:
    """Start one of our commands from a shell that has set these limits."""
    limits = f"ulimit -Sn {soft} && ulimit -Hn {hard}"
    words = " ".join(map(str, (COMMANDS / command, *options)))
    return stage.start(command, "/bin/sh", "-c", f"{limits} && exec {words}")


def soft_limit(process: Process) -> int:
    """How many descriptors a process may have."""
    lines = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("Max open files"))
    return int(line.split()[3])


def run_limited(stage: Stage, target: Target, soft: int, hard: int) -> Result:
    """A run of 200 users, all connected at once, from a shell that has set these limits."""
    stage.write("test_site.py", site("/slow/2"))
    summary = stage.root / "summary.json"
    plan = ("test_site", "-u", USERS, "--hits", 1, "--workers", 1, "--server-url", target.url)
    outputs = ("--output", "console", "--output", "json", "--output-json-filename", summary)
    process = start_limited(stage, soft, hard, "loads-runner", *plan, *outputs)
    return Result(process.wait(), process.out, process.err, summary)


def test_the_soft_limit_is_raised_to_the_hard_one(stage: Stage, target: Target) -> None:
    result = run_limited(stage, target, 100, 1_000)
    assert result.code == 0
    assert result.hits == target.hits == target.connections == USERS
    assert result.warnings == []


def test_a_hard_limit_that_is_too_low_is_told_with_its_remedy(stage: Stage, target: Target) -> None:
    """What fails for want of a descriptor is an error, and counted; the target never saw it."""
    result = run_limited(stage, target, 100, 100)
    (warning,) = result.warnings
    assert "may have 100 files and connections open, and its 200 users need 264" in warning
    assert "ulimit -n 264" in warning
    assert warning in " ".join(result.out.split())
    assert result.code == 1
    answered = sum(url["status"].get("200", 0) for url in result.summary["urls"])
    assert 0 < answered == target.hits < USERS
    assert result.hits == result.summary["hits"]["errors"] + answered == USERS


def test_an_agents_low_limit_is_told_to_who_started_the_run(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", site("/slow/2"))
    cluster = Cluster(stage, agents=0)
    agent = start_limited(stage, 100, 100, "loads-agent", "--workers", 1)
    agent.says("Registered with the broker")
    result = cluster.run("test_site", "-u", USERS, "-a", 1, "--server-url", target.url)
    (warning,) = result.warnings
    assert "its 200 users need 264" in warning
    assert result.code == 1


def test_daemons_raise_their_limits(stage: Stage) -> None:
    broker = start_limited(stage, 100, 1_000, "loads-broker")
    broker.says("loads-broker is ready")
    agent = start_limited(stage, 100, 1_000, "loads-agent", "--workers", 1)
    agent.says("Registered with the broker")
    for daemon in (broker, agent):
        until(lambda daemon=daemon: soft_limit(daemon) == 1_000, "the limit to be raised")


class Loiterers:
    """Connections that never say a word; those that are closed are opened again."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._at = host, int(port)
        self._there: list[socket.socket] = []
        self._ended = threading.Event()
        self._wanted = self.shed = 0
        self._thread = threading.Thread(target=self._loiter)
        self._thread.start()

    def come(self, number: int) -> None:
        """Have so many more."""
        self._wanted += number

    def _loiter(self) -> None:
        while not self._ended.is_set():
            while len(self._there) < self._wanted:
                self._there.append(socket.create_connection(self._at))
            for one in select.select(self._there, [], [], 0.05)[0]:
                if not one.recv(100):
                    self.shed += 1
                    self._there.remove(one)
                    one.close()

    def leave(self) -> None:
        self._ended.set()
        self._thread.join()
        for one in self._there:
            one.close()


@pytest.mark.parametrize("domain", ["frontend", "backend", "publisher"])
def test_a_broker_full_of_connections_that_say_nothing_still_works(
    stage: Stage, target: Target, domain: str
) -> None:
    """They hold nine tenths of its descriptors; it says so, sheds them, and stores as ever."""
    stage.write("test_site.py", site("/"))
    anywhere = [o for name in SOCKETS for o in (f"--{name}", "tcp://127.0.0.1:0")]
    broker = start_limited(stage, 400, 400, "loads-broker", *anywhere)
    endpoints = dict(zip(SOCKETS, broker.says("loads-broker is ready: ").split()[-3:], strict=True))
    loiterers = Loiterers(endpoints[domain])
    try:
        loiterers.come(360 - open_descriptors(broker.pid))
        until(lambda: open_descriptors(broker.pid) >= 350, "the crowd")
        said = broker.says("files and connections are open, of 400 that there can be")
        assert "ulimit -n" in said
        at = ("--broker", endpoints["frontend"])
        stage.start("agent", "loads-agent", "--workers", 1, *at).says("Registered")
        for number in (1, 2):
            options = ("-a", 1, "-u", 5, "--hits", 20, "--server-url", target.url)
            result = Runner(stage, "test_site", *options, *at).wait()
            assert result.code == 0
            assert result.hits * number == target.hits == 100 * number
            run_id = result.summary["run_id"]
        until(lambda: loiterers.shed > 300, "the first ones to be shed")
    finally:
        loiterers.leave()
    assert broker.terminate() == 0
    assert "Traceback" not in broker.err
    broker = stage.start("broker", "loads-broker", *anywhere)
    frontend = broker.says("loads-broker is ready: ").split()[-3]
    with BrokerClient(find_access(frontend, stage.home), SystemClock()) as client:
        assert client.get(run_id).view.tally.hits == 100


def crowd(path: str, broker: Process) -> None:
    """Connect to a Unix socket, and say nothing, until its broker has ended."""
    there: list[socket.socket] = []
    try:
        while broker.code is None:
            one = socket.socket(socket.AF_UNIX)
            there.append(one)
            one.settimeout(0.1)  # of a queue that is full
            with suppress(OSError):
                one.connect(path)
    finally:
        for one in there:
            one.close()


def test_a_broker_that_its_own_user_has_crowded_out_goes_on_when_it_is_restarted(
    stage: Stage, target: Target
) -> None:
    """On ipc, where nobody else comes, ZeroMQ ends a process that has no descriptor left."""
    stage.write("test_slow.py", site("/slow/0.05"))
    broker = start_limited(stage, 100, 100, "loads-broker")
    frontend = broker.says("loads-broker is ready: ").split()[-3]
    stage.start("agent", "loads-agent", "--workers", 1).says("Registered")
    runner = Runner(stage, "test_slow", "-a", 1, "-u", 10, "--hits", 60, "--server-url", target.url)
    until(lambda: target.hits >= 50, "a run under load")
    crowd(frontend.removeprefix("ipc://"), broker)
    assert broker.code == -signal.SIGABRT
    stage.start("broker", "loads-broker").says(" is back in run ")
    result = runner.wait()
    assert result.code == 0
    assert result.is_exact(target)
    assert result.tests["success"] == 600
