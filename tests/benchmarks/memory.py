"""Memory of virtual users, each with its connection open."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.machine import Cores, resident
from tests.benchmarks.runner import Runner, check
from tests.benchmarks.target import Target

_USERS = """
import os, time
from loads.case import TestCase

class TestUser(TestCase):
    def test_it(self):
        for _ in range(3):
            self.assertEqual(self.session.get(self.server_url).status_code, 200)
        while not os.path.exists("over"):
            time.sleep(1)
"""


def of_users(folder: Path, cores: Cores, users: int) -> int:
    """Bytes of memory of a worker with so many users, who have made three requests each."""
    options = ("--users", users, "--hits", 1, "--workers", 1)
    with Target(folder, cores.target) as target:
        options += ("--server-url", target.url)
        with Runner(folder, _USERS, *options, cores=cores.generator) as runner:
            runner.until(lambda: target.counts().requests == 3 * users, "all requests", 120)
            check("connections", target.counts().open, users)
            size = resident(runner.workers[0])
            (folder / "over").touch()
            summary = runner.summary(120)
        check("requests", target.counts().requests, summary["hits"]["total"])
    return size
