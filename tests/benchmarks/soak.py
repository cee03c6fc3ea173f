"""Does anything grow?  A cluster at work for an hour, or for as long as there is.

    python -m tests.benchmarks.soak [--minutes M] [--users N]

Two agents carry out run after run for half of the time, each checked against what the target
counted, then a single long run.  Memory, descriptors and threads of the broker, the agents and the
workers are sampled every second; the table has the slope of each.  A slope is of the samples after
the first third, by least squares: caches fill up first, and the broker keeps its last 100 runs.
The exit code is 1 when a count is wrong, a descriptor is leaked, or, in an hour at least, the
memory of a process still grows in the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.cluster import Cluster, Runner, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Target, serving

INTERVAL = 1.0  #: seconds between samples
PROGRESS = 1.0  #: minutes between two lines that say how it goes
SHORT = 2  #: seconds of each of the many runs
GROWTH = 20.0  #: KB a minute in the last quarter of the time, above which memory grows
#: Minutes.  A broker's history of a run is full after 15: so long has the long one lasted by then.
JUDGED_FROM = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass
class Process:
    """What was seen of one process: ``(minutes, KB resident, descriptors, threads)`` each time."""

    name: str
    pid: int
    samples: list[tuple[float, float, int, int]] = field(default_factory=list)

    def sample(self, minutes: float) -> None:
        """Look at it; one that is gone has nothing to show."""
        at = Path(f"/proc/{self.pid}")
        try:
            resident = int((at / "statm").read_text().split()[1]) * _PAGE
            fds, threads = len(os.listdir(at / "fd")), len(os.listdir(at / "task"))
        except OSError:
            return
        self.samples.append((minutes, resident, fds, threads))

    @property
    def settled(self) -> list[tuple[float, float, int, int]]:
        """The samples without the first third."""
        return self.samples[len(self.samples) // 3 :]

    @property
    def slope(self) -> float:
        """KB a minute."""
        return slope([(minutes, resident) for minutes, resident, _, _ in self.settled])

    def row(self) -> str:
        """A line of the table."""
        first, last = self.settled[0], self.settled[-1]
        return (
            f"{self.name:<22} {first[1]:>9,.0f} {last[1]:>9,.0f} {self.slope:>+10.1f}"
            f" {first[2]:>6} {last[2]:>6} {first[3]:>7} {last[3]:>5}"
        )


def slope(points: Iterable[tuple[float, float]]) -> float:
    """The slope of the line through some points, by least squares; 0 for fewer than two."""
    points = list(points)
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


class Soak:
    """A cluster that is watched at work."""

    def __init__(self, stage: Stage, target: Target, users: int) -> None:
        self._cluster = Cluster(stage, 2)
        self._target = target
        self._options = ("test_slow", "-u", users, "--server-url", target.url)
        daemons = [self._cluster.broker, *self._cluster.agents]
        self.daemons = [Process(daemon.name, daemon.pid) for daemon in daemons]
        self.workers: list[Process] = []
        self._began = time.monotonic()
        self._told = 0.0
        self.runs = self.wrong = self._counted = 0

    @property
    def minutes(self) -> float:
        """How long it has lasted."""
        return (time.monotonic() - self._began) / 60

    def many_runs(self, until: float) -> None:
        """Run after run, until so many minutes have passed."""
        while self.minutes < until:
            self._watch(self._cluster.start(*self._options, "-d", SHORT))

    def long_run(self, until: float) -> None:
        """One run, with its workers."""
        runner = self._cluster.start(*self._options, "-d", max(5, (until - self.minutes) * 60))
        self._cluster.broker.says(" started on ", times=self.runs + 1)
        for agent in self._cluster.agents:
            self.workers += [Process(f"worker of {agent.name}", pid) for pid in agent.workers]
        self._watch(runner)

    def _watch(self, runner: Runner) -> None:
        before = self._counted
        while runner.process.code is None:
            for process in (*self.daemons, *self.workers):
                process.sample(self.minutes)
            self._tell()
            time.sleep(INTERVAL)
        result = runner.wait()
        self.runs += 1
        if result.code != 0 or result.hits != self._target.hits - before:
            self.wrong += 1
            print(f"run {self.runs}: exit code {result.code}, {result.hits} hits counted, "
                  f"{self._target.hits - before} served", flush=True)  # fmt: skip
        self._counted = self._target.hits

    def _tell(self) -> None:
        """Say now and then how it goes."""
        if self.minutes < self._told + PROGRESS:
            return
        self._told = self.minutes
        sizes = ", ".join(
            f"{process.name} {process.samples[-1][1] / 1024:.1f} MB"
            for process in (*self.daemons, *self.workers)
            if process.samples
        )
        print(f"{self.minutes:5.1f} minutes, {self.runs} runs, {self._target.hits:,} hits, "
              f"{self.wrong} wrong: {sizes}", file=sys.stderr, flush=True)  # fmt: skip

    @property
    def leaks(self) -> list[str]:
        """The daemons that had more descriptors in the end than when they had settled."""
        return [p.name for p in self.daemons if p.settled and p.settled[-1][2] > _usual(p)]

    @property
    def growing(self) -> list[str]:
        """The processes whose memory still grows at the end, with by how much."""
        if self.minutes < JUDGED_FROM:
            return []
        late = 0.75 * self.minutes  # by then a broker's history of the long run is full
        found = []
        for process in (*self.daemons, *self.workers):
            growth = slope((at, kb) for at, kb, _, _ in process.samples if at > late)
            if growth > GROWTH:
                found.append(f"{process.name} grows by {growth:.1f} KB a minute in the end")
        return found


def _usual(process: Process) -> int:
    """The most descriptors in the first half of the time: some are open only during a run."""
    return max(fds for _, _, fds, _ in process.samples[: len(process.samples) // 2])


def main(argv: list[str]) -> int:
    """Soak; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--users", type=int, default=20)
    options = parser.parse_args(argv)
    stage = Stage()
    try:
        with serving() as target:
            stage.write("test_slow.py", site("/slow/0.05"))
            soak = Soak(stage, target, options.users)
            with suppress(KeyboardInterrupt):  # what was seen until then is told
                soak.many_runs(options.minutes / 2)
                soak.long_run(options.minutes)
                stage.end()
    finally:
        stage.clear()
    return report(soak, target.hits)


def report(soak: Soak, served: int) -> int:
    """Print what was found; gives the exit code."""
    print(f"{soak.runs} runs in {soak.minutes:.1f} minutes, {served:,} hits, "
          f"{soak.wrong} runs with a wrong count")  # fmt: skip
    print(f"{'':<22} {'KB then':>9} {'KB now':>9} {'KB/minute':>10} {'fds':>6} {'now':>6}"
          f" {'threads':>7} {'now':>5}")  # fmt: skip
    for process in (*soak.daemons, *soak.workers):
        if process.samples:
            print(process.row())
    for name in soak.leaks:
        print(f"{name} has leaked descriptors")
    growing = soak.growing
    for line in growing:
        print(line)
    return 1 if soak.wrong or soak.leaks or growing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
