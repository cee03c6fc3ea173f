"""What keys cost: the same distributed run with and without them, in turn.

What is compared is processor time of broker, agent and workers for each hit, which other programs
on the machine disturb less than they disturb the clock.  Workers do nearly all of the work, and
none of what keys are for: what broker and agent took is given besides.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.benchmarks.program import BenchmarkError
from tests.e2e.cluster import Cluster, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target, serving

USERS, HITS = 20, 5_000
KINDS = {"open": ("--insecure",), "locked": ()}


def cpu_seconds(process: Process) -> float:
    """Processor time of a process and of its children that have ended."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def own_seconds(process: Process) -> float:
    """Processor time of a process's threads alone, finer than the kernel's ticks."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def one_round(target: Target, kind: str) -> tuple[float, float, float]:
    """Of one run: microseconds of processor time for each hit, hits a second, and how many of
    these microseconds were those of broker and agent.
    """
    stage = Stage()
    try:
        stage.write("test_site.py", site("/"))
        cluster = Cluster(stage, tcp=True, broker_options=KINDS[kind])
        processes = (cluster.broker, *cluster.agents)
        before, own = sum(map(cpu_seconds, processes)), sum(map(own_seconds, processes))
        at, counted = time.monotonic(), target.hits
        options = ("-u", USERS, "--hits", HITS, "--server-url", target.url)
        result = cluster.run("test_site", *options)
        took = time.monotonic() - at
        spent = sum(map(cpu_seconds, processes)) - before
        own = sum(map(own_seconds, processes)) - own
        if result.code or not result.hits == target.hits - counted == USERS * HITS:
            raise BenchmarkError(f"{kind}: {result.hits} hits, exit {result.code}\n{result.err}")
        stage.end()
        return spent / result.hits * 1e6, result.hits / took, own / result.hits * 1e6
    finally:
        stage.clear()


def rounds(number: int) -> list[dict[str, list[float]]]:
    """For each round and kind: what :func:`one_round` gives."""
    found = []
    with serving() as target:
        for turn in range(number):
            order = list(KINDS) if turn % 2 else list(reversed(KINDS))
            found.append({kind: list(one_round(target, kind)) for kind in order})
    return found
