"""Web sockets: round trips of a test's messages, and the memory of sockets that only wait."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Set
from pathlib import Path

from tests.benchmarks.machine import Cores, cpu_seconds, family, resident
from tests.benchmarks.program import Program
from tests.benchmarks.runner import Runner, check

USERS = 50

_ECHO = """
from loads.case import TestCase

class TestEcho(TestCase):
    def test_it(self):
        ws = self.create_ws(self.server_url)
        for _ in range(100):
            ws.send("sixteen letters.")
            self.assertEqual(str(ws.receive()), "sixteen letters.")
"""

_IDLE = """
import os, time
from loads.case import TestCase

class TestIdle(TestCase):
    def test_it(self):
        for _ in range(100):
            self.create_ws(self.server_url)
        while not os.path.exists("over"):
            time.sleep(1)
"""


class EchoServer:
    """The server of :mod:`tests.benchmarks.echo`."""

    def __init__(self, folder: Path, cores: Set[int]) -> None:
        self._log = folder / "echo.log"
        args = [sys.executable, Path(__file__).with_name("echo.py")]
        self._program = Program(args, self._log, cores=cores, cwd=folder)

    def __enter__(self) -> EchoServer:
        try:
            self._program.until(lambda: "\n" in self._program.output, "the echo server")
        except BaseException:
            self._program.kill()
            raise
        self.pid = self._program.pid
        self.url = self._program.output.strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()

    def counts(self) -> dict[str, int]:
        """What it has counted so far."""
        url = self.url.replace("ws:", "http:") + "count"
        with urllib.request.urlopen(url, timeout=30) as answer:
            counts: dict[str, int] = json.load(answer)
            return counts


def round_trips(folder: Path, cores: Cores, seconds: float) -> dict[str, float]:
    """Echoes a second: by the clock, and by the processor time of Loads."""
    options = ("--users", USERS, "--duration", seconds + 1)
    with EchoServer(folder, cores.target) as server:
        options += ("--server-url", server.url)
        with Runner(folder, _ECHO, *options, cores=cores.generator) as runner:
            runner.until(lambda: server.counts()["messages"] >= USERS, "the first messages")
            everyone, count = family(runner.pid), server.counts()["messages"]
            at, cpu, busy = time.monotonic(), cpu_seconds(everyone), cpu_seconds([server.pid])
            time.sleep(seconds)
            now, count = time.monotonic(), server.counts()["messages"] - count
            cpu, busy = cpu_seconds(everyone) - cpu, cpu_seconds([server.pid]) - busy
            summary = runner.summary()
        counts, sockets = server.counts(), summary["websockets"]
    check("messages", counts["messages"], sockets["messages_received"])
    check("sockets", counts["opened"], sockets["opened"])
    length = now - at
    return {"rate": count / length, "per_cpu": count / cpu, "target_busy": busy / length}


def idle(folder: Path, cores: Cores, sockets: int) -> int:
    """Bytes of memory of a worker with so many open sockets on which nothing is said.

    Each user has 100 of them, so that it is sockets that are weighed, and not users.
    """
    options = ("--users", sockets // 100, "--hits", 1, "--workers", 1)
    with EchoServer(folder, cores.target) as server:
        options += ("--server-url", server.url)
        with Runner(folder, _IDLE, *options, cores=cores.generator) as runner:
            runner.until(lambda: server.counts()["open"] == sockets, "all to be open", 120)
            size = resident(runner.workers[0])
            (folder / "over").touch()
            summary = runner.summary(120)
        check("sockets", server.counts()["opened"], summary["websockets"]["opened"])
    return size
