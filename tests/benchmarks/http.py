"""Requests per second of Loads and its peers, as their common target counts them.

Every generator runs for a while; once each of its users has been served, the target's count is
taken at the beginning and at the end of a window.  So nobody's start-up or own arithmetic is in a
figure.  All generators of a case run in turn, several rounds, and are compared within each round.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.cases import CASES, Case
from tests.benchmarks.machine import Cores, cpu_seconds, family, is_there
from tests.benchmarks.peers import COMMANDS, PEERS, Job, Peer
from tests.benchmarks.program import BenchmarkError, Program
from tests.benchmarks.target import Target, find

WARM_UP = 0.4  #: seconds between the first answers and the window
MARGIN = 3.0  #: seconds for which Loads goes on behind the window, to end by itself and be counted
ARRIVAL = 1.0  #: seconds, at most, in which a thousand users have their first answers
ENDLESS = 60.0  #: seconds; all others are ended by us
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Reading:
    """One run of one generator.

    ``rate`` is requests per second in the window, ``per_cpu`` requests per second of processor
    time of the generator, ``target_busy`` how much of its core the target used, 0 to 1.  ``served``
    is what the target counted in the whole run and ``reported`` what Loads says of it.  Where
    there is an ``error``, there is nothing else.
    """

    case: str
    round: int
    peer: str
    rate: float = 0.0
    per_cpu: float = 0.0
    target_busy: float = 0.0
    served: int | None = None
    reported: int | None = None
    error: str = ""

    def pack(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """What to compare, and how long: ``seconds`` is the length of a window."""

    cases: Sequence[Case]
    rounds: int
    seconds: float
    peers: Sequence[str]  #: how their names begin; all that there are, where it is empty
    programs: Path  #: the directory with the peers from PyPI

    def readings(self, cores: Cores, say: Callable[[str], None]) -> Iterator[Reading]:
        """Measure; each reading is given when there is one."""
        for case in self.cases:
            entrants = self.entrants(case)
            for number in range(1, self._rounds(case) + 1):
                say(f"{case.title}: round {number} of {self._rounds(case)}")
                for peer in entrants:
                    reading = self._read(case, number, peer, cores)
                    say(f"  {peer.name}: {reading.error or f'{reading.rate:,.0f} requests/s'}")
                    yield reading

    def entrants(self, case: Case) -> list[Peer]:
        """Who takes part in a case: who was asked for, or else who is common or it is the first."""
        able = [peer for peer in PEERS if peer.can(case)]
        if self.peers:  # Loads is what they are compared with
            return [p for p in able if p is PEERS[0] or p.name.startswith(tuple(self.peers))]
        return [peer for peer in able if peer.common or case is CASES[0]]

    def find(self, peer: Peer) -> str | None:
        """Where a generator's program is."""
        if peer.program == "python":  # any other than that of the peers lacks the library
            python = self.programs / "python"
            return str(python) if python.exists() else None
        return find(peer.program, COMMANDS if peer.is_ours else self.programs)

    def versions(self) -> dict[str, str]:
        """The versions of target and generators; what is missing says how to install it."""
        wanted = {peer.name: peer for case in self.cases for peer in self.entrants(case)}
        found = {"nginx": _version([find("nginx") or "nginx", "-v"])}
        for name, peer in wanted.items():
            program = self.find(peer)
            if program is None:
                found[name] = f"not installed: {peer.install}"
            elif not peer.version:
                found[name] = "it does not tell"
            else:
                found[name] = _version([program, *peer.version])
        return found

    def _rounds(self, case: Case) -> int:
        """The first case is the one that ratios are promised for."""
        return self.rounds + 2 if case is CASES[0] and self.rounds > 1 else self.rounds

    def _read(self, case: Case, number: int, peer: Peer, cores: Cores) -> Reading:
        program = self.find(peer)
        if program is None:
            return Reading(case.name, number, peer.name, error=f"not installed: {peer.install}")
        try:
            with tempfile.TemporaryDirectory(prefix="loads-bench-") as folder:
                return self._measure(case, number, peer, program, Path(folder), cores)
        except BenchmarkError as error:
            return Reading(case.name, number, peer.name, error=str(error))

    def _measure(
        self, case: Case, number: int, peer: Peer, program: str, folder: Path, cores: Cores
    ) -> Reading:
        length = ARRIVAL * case.users / 1_000 + WARM_UP + self.seconds + MARGIN
        with Target(folder, cores.target) as target:
            url = {"plain": target.url, "closing": target.closing_url, "tls": target.tls_url}
            job = Job(case, url[case.server], length if peer.is_ours else ENDLESS, folder, program)
            log = folder / "generator.log"
            # the variables by which all of them can be told whom to trust
            trust = {name: str(target.certificate) for name in _TRUST}
            with Program(
                peer.command(job), log, cores=cores.generator, cwd=folder, env=trust
            ) as generator:
                window = self._window(case, target, generator)
                if not peer.is_ours:
                    return Reading(case.name, number, peer.name, *window)
                generator.wait(30)
                served = target.counts().requests
        reported = json.loads(job.summary.read_text())["hits"]["total"]
        return Reading(case.name, number, peer.name, *window, served, reported)

    def _window(self, case: Case, target: Target, generator: Program) -> tuple[float, float, float]:
        generator.until(lambda: target.counts().requests >= case.users, "the first answers")
        time.sleep(WARM_UP)
        everyone = family(generator.pid)
        at, cpu, busy = time.monotonic(), cpu_seconds(everyone), cpu_seconds([target.pid])
        count = target.counts().requests
        time.sleep(self.seconds)
        count = target.counts().requests - count
        now = time.monotonic()
        cpu, busy = cpu_seconds(everyone) - cpu, cpu_seconds([target.pid]) - busy
        if not all(map(is_there, everyone)):
            raise BenchmarkError(f"{generator.name} had stopped before the window was over.")
        if not count:
            raise BenchmarkError(f"{generator.name} made no request in the window.")
        return count / (now - at), count / max(cpu, 0.01), busy / (now - at)


def _version(args: list[str]) -> str:
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "it does not tell"
