"""The machine that measures: which core runs what, and what the figures depend on.

Linux only: cores are chosen with ``sched_setaffinity``, and processes are looked at in ``/proc``.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cores:
    """Where things run: what is measured gets one core to itself, if there are two."""

    target: Set[int]
    generator: Set[int]

    @property
    def apart(self) -> bool:
        """Whether target and generator do not take time from each other."""
        return not self.target & self.generator


def cores() -> Cores:
    """The last core for the generator, and the one before it for the target."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return Cores({usable[0]}, {usable[0]})
    return Cores({usable[-2]}, {usable[-1]})


def describe() -> dict[str, Any]:
    """What to print beside every figure."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * _PAGE / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


@contextmanager
def on_cores(cores: Set[int]) -> Iterator[None]:
    """Have what is started meanwhile run on some cores only; on all of ours if there are none."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_descriptors() -> None:
    """For ourselves and all that we start: 10,000 connections have two ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {child: _stat(child) for child in _pids()}
    found = [pid]
    for member in found:  # grows while it is walked
        found += [child for child, stat in parents.items() if stat and int(stat[1]) == member]
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Processor time that processes have used, in user and system mode."""
    return sum(int(stat[11]) + int(stat[12]) for pid in pids if (stat := _stat(pid))) / _TICK


def is_there(pid: int) -> bool:
    """Whether a process has not ended; one that has and was not waited for is not there."""
    stat = _stat(pid)
    return bool(stat) and stat[0] != b"Z"


def resident(pid: int) -> int:
    """Bytes of memory that a process has to itself or shares, as far as they are in memory."""
    return int(_stat(pid)[21]) * _PAGE


def command(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _stat(pid: int) -> list[bytes]:
    """The fields of ``/proc/PID/stat`` from the third on; none of a process that is gone."""
    try:
        # the second, the program's name in parentheses, may hold anything
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
