"""Compares Loads with its peers, and measures what it costs.

    python -m tests.benchmarks [SECTION ...] [--peer NAMES] [--case NAMES] [--rounds N]

``make bench`` does that with all peers installed.  How to read the figures: docs/performance.rst.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import broker_scale, keys, machine, memory, startup, table, websockets
from tests.benchmarks import cores as all_cores
from tests.benchmarks.cases import CASES
from tests.benchmarks.http import Bench
from tests.benchmarks.peers import PEERS
from tests.benchmarks.program import BenchmarkError, end_all

ROOT = Path(__file__).parents[2]


@dataclass
class Session:
    """What is measured, how, and what was found so far."""

    bench: Bench
    seconds: float
    many: int  #: users, and web sockets, where it is about memory
    cores: machine.Cores
    results: dict[str, Any] = field(default_factory=dict)

    def measure(self, sections: Sequence[str]) -> None:
        """One section after the other; one that fails is a problem, and not the end."""
        for name in sections:
            try:
                SECTIONS[name](self)
            except BenchmarkError as error:
                say(f"{name}: {error}")
                self.results["problems"].append(f"{name}: {error}")

    def http(self) -> None:
        """Requests per second, beside peers."""
        readings = self.results["http"] = []
        self.results["versions"] = self.bench.versions()
        for reading in self.bench.readings(self.cores, say):
            readings.append(reading.pack())

    def websockets(self) -> None:
        """Round trips, and the memory of idle sockets."""
        found = self.results["websockets"] = {"round_trips": [], "idle": {}}
        for number in range(1, self.bench.rounds + 1):
            say(f"Web sockets, round trips: round {number} of {self.bench.rounds}")
            found["round_trips"].append(in_folder(websockets.round_trips, self.cores, self.seconds))
        for sockets in (100, self.many):
            say(f"Web sockets, idle: {sockets:,}")
            found["idle"][str(sockets)] = in_folder(websockets.idle, self.cores, sockets)

    def memory(self) -> None:
        """What users take, each with a connection."""
        found = self.results["memory"] = {}
        for users in sorted({10, min(1_000, self.many), self.many}):
            say(f"Memory of {users:,} users")
            found[str(users)] = in_folder(memory.of_users, self.cores, users)

    def startup(self) -> None:
        """One test, one hit, from start to exit."""
        times = 3 * self.bench.rounds + 1
        say(f"Start-up, {times} times")
        self.results["startup"] = in_folder(startup.of_commands, self.cores, times, self.bench)

    def workers(self) -> None:
        """What a second worker adds."""
        found = self.results["workers"] = {"apart": all_cores.has_enough(), "rounds": []}
        for number in range(1, self.bench.rounds + 1):
            say(f"One worker and two: round {number} of {self.bench.rounds}")
            found["rounds"].append(
                {
                    str(workers): in_folder(all_cores.with_workers, workers, self.seconds)
                    for workers in (1, 2)
                }
            )

    def keys(self) -> None:
        """What it costs that a cluster is locked."""
        say("A distributed run, with keys and without")
        self.results["keys"] = keys.rounds(self.bench.rounds + 2)

    def broker(self) -> None:
        """A broker with up to a thousand agents."""
        say("The broker with ten to a thousand agents, one console and ten")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            inexact = broker_scale.main(["--seconds", str(2.5 * self.seconds)])
        self.results["broker"] = printed.getvalue()
        if inexact:
            raise BenchmarkError("Hits that were reported and those accounted for differ.")


SECTIONS: dict[str, Callable[[Session], None]] = {
    "http": Session.http,
    "websockets": Session.websockets,
    "memory": Session.memory,
    "startup": Session.startup,
    "workers": Session.workers,
    "keys": Session.keys,
    "broker": Session.broker,
}


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def in_folder(measure: Callable[..., Any], *args: object) -> Any:
    """Measure with an empty directory for all that it writes."""
    with tempfile.TemporaryDirectory(prefix="loads-bench-") as folder:
        return measure(Path(folder), *args)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; print what was found, also where Ctrl-C ends it early."""
    options = _options().parse_args(argv)
    machine.raise_descriptors()
    cases = [case for case in CASES if case.name in (options.case or [c.name for c in CASES])]
    bench = Bench(cases, options.rounds, options.seconds, options.peer, options.programs.absolute())
    session = Session(bench, options.seconds, options.many, machine.cores())
    session.results["when"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    session.results["machine"] = machine.describe()
    problems = session.results["problems"] = []
    if not session.cores.apart:
        problems.append("Target and generator share one core: there is only one.")
    names = options.sections or (["http"] if options.case or options.peer else list(SECTIONS))
    code = 0
    with tempfile.TemporaryDirectory(prefix="loads-bench-") as folder:
        tempfile.tempdir = folder  # an interrupt at any point leaves nothing behind
        try:
            session.measure(names)
        except KeyboardInterrupt:
            problems.append("Interrupted: this is what was measured until then.")
            code = 130
        finally:
            end_all()
    text = table.report(session.results)
    print(text)
    _write(options.json, json.dumps(session.results, indent=1) + "\n")
    for path in options.text:
        _write(path, text + "\n")
    return code


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _options() -> argparse.ArgumentParser:
    def names(known: Sequence[str]) -> Callable[[str], list[str]]:
        def parse(text: str) -> list[str]:
            chosen = text.replace(",", " ").split()
            for name in chosen:
                if not any(each.startswith(name) for each in known):
                    raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
            return chosen

        return parse

    peers, cases = [peer.name for peer in PEERS], [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="tests.benchmarks", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "sections",
        nargs="*",
        metavar="SECTION",
        choices=[*SECTIONS, []],
        help=f"of {', '.join(SECTIONS)}; all by default, and http where a peer or case is given",
    )
    add("--peer", type=names(peers), default=[], help=f"of {', '.join(peers)}, or how they begin")
    add("--case", type=names(cases), default=[], help=f"of {', '.join(cases)}")
    add("--rounds", type=int, default=3, help="of each comparison (default: 3)")
    add("--seconds", type=float, default=2.0, help="that each generator is measured (default: 2)")
    add("--many", type=int, default=10_000, help="users whose memory is taken (default: 10,000)")
    add(
        "--programs",
        type=Path,
        default=ROOT / ".venv-bench" / "bin",
        metavar="DIRECTORY",
        help="where the peers from PyPI are (default: .venv-bench/bin)",
    )
    add("--json", type=Path, metavar="PATH", help="write all that was measured")
    add(
        "--text",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="write what is printed; can be repeated",
    )
    return parser  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
