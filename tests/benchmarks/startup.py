"""How long a command takes that makes one request, from its start to its exit."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.http import Bench
from tests.benchmarks.machine import Cores
from tests.benchmarks.peers import COMMANDS, PEERS
from tests.benchmarks.program import Program
from tests.benchmarks.target import Target

_TEST = """
from loads.case import TestCase

class TestOnce(TestCase):
    def test_it(self):
        self.assertEqual(self.session.get(self.server_url).status_code, 200)
"""

_K6 = """
import http from 'k6/http';

export default function () {{
  http.get('{url}/');
}}
"""


def of_commands(folder: Path, cores: Cores, times: int, bench: Bench) -> dict[str, float]:
    """Medians in seconds, by name: of Loads, of Python alone, and of peers that are there."""
    with Target(folder, cores.target) as target:
        commands = _commands(folder, target.url, bench)
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(times):
            for name, args in commands.items():
                start = time.perf_counter()
                with Program(args, folder / "log", cores=cores.generator, cwd=folder) as program:
                    program.wait(30)
                taken[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in taken.items()}


def _commands(folder: Path, url: str, bench: Bench) -> dict[str, list[object]]:
    (folder / "test_once.py").write_text(_TEST)
    commands: dict[str, list[object]] = {
        "loads": [COMMANDS / "loads-runner", "test_once", "--server-url", url],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    quiet = ("--quiet", "--no-summary", "--no-usage-report")
    once: dict[str, tuple[object, ...]] = {"hey": ("-n", 1, "-c", 1, url)}
    once["k6"] = ("run", *quiet, _written(folder / "once.js", _K6.format(url=url)))
    for peer in PEERS:
        program = bench.find(peer)
        if peer.name in once and program is not None:
            commands[peer.name] = [program, *once[peer.name]]
    return commands


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
