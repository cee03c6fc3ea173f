"""Whether two workers do twice what one does.

That takes a machine with a core for each worker and one for the target.  On a smaller one they take
time from each other, so what is compared is requests per second of processor time of the workers:
what two cost more than one is what they cost each other.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.benchmarks.machine import cpu_seconds
from tests.benchmarks.program import BenchmarkError
from tests.benchmarks.runner import Runner, check
from tests.benchmarks.target import Target

USERS = 100

_TEST = """
from loads.case import TestCase

class TestAll(TestCase):
    def test_it(self):
        self.assertEqual(self.session.get(self.server_url).status_code, 200)
"""


def has_enough() -> bool:
    """Whether target and two workers can have a core each."""
    return len(os.sched_getaffinity(0)) >= 3


def with_workers(folder: Path, workers: int, seconds: float) -> dict[str, float]:
    """Requests per second, by the clock and by the processor time of the workers."""
    usable = sorted(os.sched_getaffinity(0))
    target_cores, worker_cores = {usable[0]}, set(usable[1:] if has_enough() else usable)
    with Target(folder, target_cores) as target:
        options = ("--users", USERS, "--workers", workers, "--server-url", target.url)
        length = ("--duration", seconds + 1)
        with Runner(folder, _TEST, *options, *length, cores=worker_cores) as runner:
            runner.until(lambda: target.counts().requests >= USERS, "the first answers")
            pids = runner.workers
            at, cpu, count = time.monotonic(), cpu_seconds(pids), target.counts().requests
            time.sleep(seconds)
            count, now = target.counts().requests - count, time.monotonic()
            cpu = cpu_seconds(pids) - cpu
            summary = runner.summary()
        check("requests", target.counts().requests, summary["hits"]["total"])
    if len(pids) != workers:
        raise BenchmarkError(f"There were {len(pids)} workers and not {workers}.")
    return {"rate": count / (now - at), "per_cpu": count / cpu}
