"""What keys cost: the same distributed run with and without them, in turn.

    python -m tests.benchmarks.curve [--rounds N] [--users N] [--hits N]

What is compared is processor time of broker, agent and workers for each hit, which other programs
on the machine disturb less than they disturb the clock.  The budget is 5 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.cluster import Cluster, site
from tests.e2e.stage import Process, Stage
from tests.e2e.targets import Target, serving

BUDGET = 1.05
KINDS = {"open": ("--insecure",), "locked": ()}


def cpu_seconds(process: Process) -> float:
    """Processor time of a process and of its children that have ended."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def one_round(target: Target, kind: str, users: int, hits: int) -> tuple[float, float]:
    """Microseconds of processor time for each hit, and hits a second, of one run."""
    stage = Stage()
    try:
        stage.write("test_site.py", site("/"))
        cluster = Cluster(stage, tcp=True, broker_options=KINDS[kind])
        processes = (cluster.broker, *cluster.agents)
        before, at, counted = sum(map(cpu_seconds, processes)), time.monotonic(), target.hits
        result = cluster.run("test_site", "-u", users, "--hits", hits, "--server-url", target.url)
        spent, took = sum(map(cpu_seconds, processes)) - before, time.monotonic() - at
        if result.code or not result.hits == target.hits - counted == users * hits:
            raise SystemExit(f"{kind}: {result.hits} hits, exit {result.code}\n{result.err}")
        stage.end()
        return spent / result.hits * 1e6, result.hits / took
    finally:
        stage.clear()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when keys cost more than the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--hits", type=int, default=250, help="of each user")
    args = parser.parse_args(argv)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with serving() as target:
        for number in range(args.rounds):
            for kind in KINDS if number % 2 else reversed(KINDS):
                found[kind].append(one_round(target, kind, args.users, args.hits))
    medians = {kind: [statistics.median(column) for column in zip(*rounds, strict=True)]
               for kind, rounds in found.items()}  # fmt: skip
    for kind, (cpu, rate) in medians.items():
        print(f"{kind:<7} {cpu:8.1f} us of CPU a hit  {rate:8.0f} hits/s")
    ratio = medians["locked"][0] / medians["open"][0]
    print(f"locked / open: {ratio:.3f} of the CPU time (budget {BUDGET})")
    return int(ratio > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
