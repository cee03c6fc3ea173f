"""What a broker spends on agents that report: ``python -m tests.benchmarks.broker_scale``.

One process plays all agents: each has its own socket and speaks the real protocol, from its
registration to its release, with deltas that were prepared beforehand.  A second one is a console
that follows the run as ``loads-runner`` does, a third holds further subscribers.  The broker is
``loads-broker`` as users start it, over TCP on the loopback interface.

The broker's share of a core is its CPU time, all threads, by the time that the load was on: other
work on the machine delays it, and does not count.  At the end every bucket of every series of the
broker is compared with what was sent.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import time
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import zmq
from zmq.utils import z85

from loads import bundle, descriptors
from loads.client import BrokerClient, Picture
from loads.clock import SystemClock
from loads.metrics.series import HIT, Series, SeriesKey
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import codec
from loads.protocol import messages as m
from loads.protocol.roles import Role
from loads.transport.keys import KeyRing
from loads.transport.tokens import Access, read_token

SERIES = 200
RATE = 1_000  #: hits per second of one agent
VARIANTS = 16  #: different deltas, used in turn
UNACKNOWLEDGED = 8  #: reports of one agent that may be; then, as a real one, it waits
PATIENCE = 60.0  #: seconds
MARK = 0x10000001  #: a sequence number to be replaced; written in five bytes, as all above 65535


@dataclass(frozen=True)
class Figures:
    """What one size of cluster came to.

    ``core`` is the broker's share of one core, ``seconds`` the length of the load.  A delay counts
    from a report's way to the broker to the picture of a console; a hit waits before that for its
    report, at most ``interval``.
    """

    agents: int
    consoles: int
    hits: int
    seconds: float
    interval: float
    reports: int
    postponed: int
    core: float
    microseconds_per_report: float
    console_core: float
    peak_mb: float
    in_mb_per_second: float
    out_mb_per_second: float
    delay_median: float
    delay_max: float
    exact: bool

    @property
    def hits_per_second(self) -> float:
        return self.hits / self.seconds


# -- the agents ----------------------------------------------------------------------------------


class Sent(NamedTuple):
    """What the agents did: ``log`` holds when how many hits had been sent in all."""

    log: list[tuple[float, int]]
    variants: list[int]
    reports: int
    postponed: int
    sent: int
    received: int
    started: float
    ended: float
    interval: float


def deltas(hits: int, series: int, seed: int) -> list[Tally]:
    """Different deltas of so many hits, log-normal around 20 ms, over ``series`` series.

    As those of a recorder's reader, they have all series in them when they have most.
    """
    chance = random.Random(seed)
    keys = [
        SeriesKey(HIT, f"http://shop.example.com:8080/category-{n}/{{n}}", "GET")
        for n in range(series)
    ]
    found = []
    for _ in range(VARIANTS):
        tally = Tally()
        for _ in range(hits):
            latency = int(chance.lognormvariate(9.9, 0.6))
            outcome = 200 if chance.random() < 0.98 else 503
            tally.line(chance.choice(keys)).record(latency, outcome, 180, 2_400)
        if 2 * len(tally.series) >= series:
            tally.series |= {key: Series() for key in keys if key not in tally.series}
        for line in tally.series.values():
            line.phases = line.phases._replace(hits=line.count, waiting=line.latency.total)
        tally.count("hits_started", hits)
        tally.count("connections_reused", hits)
        tally.elapsed = 0.5  # all of one second: a broker spreads what comes late over several
        tally.timeline.add(0, tally.second())
        found.append(tally)
    return found


class Agent:
    """One agent's socket, and where it is in its dialogue."""

    def __init__(self, number: int, access: Access) -> None:
        self.name = f"box-{number:04}.example.com-4242-{number:04x}"
        self.worker = f"{self.name}/0"
        self.socket = connected(zmq.DEALER, access)
        self.sequence = self.acknowledged = 0
        self.heard = self.said = 0
        self.head = b""

    def say(self, message: m.Message) -> None:
        self.say_frames(codec.encode(message))

    def say_frames(self, frames: list[bytes]) -> None:
        self.said += sum(map(len, frames))
        self.socket.send_multipart(frames)

    def expect(self, *kinds: type[m.Message]) -> Any:
        """The next message that is one of these; acknowledgements are noted, others dropped."""
        deadline = time.monotonic() + PATIENCE
        while self.socket.poll(max(0, int(1000 * (deadline - time.monotonic())))):
            message = codec.decode(self.socket.recv_multipart(), m.TO_AGENT)
            if isinstance(message, m.Acknowledge):
                self.acknowledged = max(self.acknowledged, message.sequence)
            if isinstance(message, kinds):
                return message
        raise TimeoutError(f"{self.name} was not told {kinds}")

    def drain(self) -> None:
        """Note the acknowledgements that have come."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.heard += sum(map(len, frames))
            if frames[1] == b"Acknowledge":
                message: Any = codec.decode(frames, (m.Acknowledge,))
                self.acknowledged = max(self.acknowledged, message.sequence)

    def prepare(self, run_id: str) -> None:
        body = codec.encode(m.Report(run_id, self.worker, MARK, Tally()))[2]
        self.head = body[: body.index(MARK.to_bytes(4, "big"))]

    def report(self, tail: bytes) -> None:
        self.sequence += 1
        body = self.head + self.sequence.to_bytes(4, "big") + tail
        self.say_frames([codec.PROTOCOL, b"Report", body])


def tail_of(tally: Tally) -> bytes:
    """All of a report that comes after its sequence number."""
    body = codec.encode(m.Report("r", "w", MARK, tally))[2]
    return body[body.index(MARK.to_bytes(4, "big")) + 4 :]


def connected(kind: int, access: Access) -> zmq.Socket[bytes]:
    """A socket that shows its key, if there is one."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.set_hwm(10_000)
    if access.credentials is not None:
        secret = z85.encode(access.credentials.secret)
        socket.setsockopt(zmq.CURVE_SERVERKEY, z85.encode(access.credentials.server))
        socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, zmq.curve_public(secret))
    socket.connect(access.endpoint)
    return socket


def play_agents(
    pipe: Connection,
    backend: Access,
    number: int,
    seconds: float,
    series: int,
    rate: int,
    seed: int,
) -> None:
    """All agents of one run, in a process of its own."""
    descriptors.raise_limit()
    zmq.Context.instance().max_sockets = number + 100
    agents = [Agent(n, backend) for n in range(number)]
    for agent in agents:
        agent.say(m.Register(agent.name, "box.example.com", 4242, 1, "0.1.0"))
    for agent in agents:
        agent.expect(m.Welcome)
    pipe.send("registered")
    for agent in agents:
        run_id = agent.expect(m.Prepare).run_id
        agent.prepare(run_id)
    for agent in agents:
        agent.say(m.Ready(run_id, (agent.worker,)))
    start = [agent.expect(m.Start) for agent in agents][-1]
    interval = getattr(start, "report_interval", 0.25)
    tallies = deltas(round(rate * interval), series, seed)
    pipe.send("started")
    sent = report(agents, tallies, interval, seconds, start.delay)
    for agent in agents:
        agent.say(m.Report(run_id, agent.worker, agent.sequence + 1, Tally(), ended="finished"))
        agent.sequence += 1
    for agent in agents:
        while agent.acknowledged < agent.sequence:
            agent.expect(m.Acknowledge)
    pipe.send(sent)
    pipe.recv()  # the figures are taken: the run may end
    for agent in agents:
        agent.say(m.Finished(run_id))
    for agent in agents:
        agent.expect(m.Release)
        agent.socket.close()
    pipe.send("released")


def report(
    agents: list[Agent], tallies: list[Tally], interval: float, seconds: float, delay: float
) -> Sent:
    """Report for some seconds, each agent in its turn, so that the load is even."""
    tails, hits = [tail_of(tally) for tally in tallies], [tally.hits for tally in tallies]
    used, log, total, postponed = [0] * VARIANTS, [], 0, 0
    said = sum(agent.said for agent in agents)
    heard = sum(agent.heard for agent in agents)
    time.sleep(delay)
    started = time.monotonic()
    for turn in range(int(seconds / interval) * len(agents)):
        due = started + turn * interval / len(agents)
        now = time.monotonic()
        if due > now + 0.001:
            time.sleep(due - now)
        agent = agents[turn % len(agents)]
        agent.drain()
        if agent.sequence - agent.acknowledged >= UNACKNOWLEDGED:
            postponed += 1
            continue
        variant = turn % VARIANTS
        agent.report(tails[variant])
        used[variant] += 1
        total += hits[variant]
        log.append((time.monotonic(), total))
    return Sent(
        log, used, sum(used), postponed, sum(agent.said for agent in agents) - said,
        sum(agent.heard for agent in agents) - heard, started, time.monotonic(), interval,
    )  # fmt: skip


# -- the consoles --------------------------------------------------------------------------------


def watch(pipe: Connection, frontend: Access, publisher: Access, run_id: str) -> None:
    """A console that keeps its picture: tells when it saw how many hits, and what that cost."""
    socket = subscriber(publisher, run_id)
    picture, size, seen = Picture(), 0, []
    with BrokerClient(frontend, SystemClock(), timeout=PATIENCE) as client:
        snapshot = client.get(run_id)
        picture.snapshot(snapshot.number, snapshot.view)
        pipe.send("following")
        while not pipe.poll():
            if not socket.poll(50):
                continue
            frames = socket.recv_multipart()
            size += sum(map(len, frames))
            update: Any = codec.decode(frames[1:], m.PUBLISHED)
            picture.update(update.number, update.changes)
            if picture.is_stale:
                snapshot = client.get(run_id)
                picture.snapshot(snapshot.number, snapshot.view)
            assert picture.view is not None
            seen.append((time.monotonic(), picture.view.tally.hits))
    pipe.send((seen, size, time.process_time()))
    pipe.recv()


def subscribe(pipe: Connection, publisher: Access, run_id: str, number: int) -> None:
    """Further subscribers, who only take what they are sent."""
    sockets = [subscriber(publisher, run_id) for _ in range(number)]
    pipe.send("following")
    while not pipe.poll(0.05):
        for socket in sockets:
            while socket.poll(0):
                socket.recv_multipart()


def subscriber(publisher: Access, run_id: str) -> zmq.Socket[bytes]:
    socket = connected(zmq.SUB, publisher)
    socket.setsockopt(zmq.SUBSCRIBE, run_id.encode())
    return socket


# -- the broker ----------------------------------------------------------------------------------


@contextmanager
def broker(stores: bool, locked: bool) -> Iterator[tuple[int, list[Access]]]:
    """A broker on free ports of the loopback interface: its process id and the way to its sockets.

    It keeps its runs in a file that is removed with it, or in memory only.
    """
    options = ("--frontend", "--backend", "--publisher")
    endpoints = [word for option in options for word in (option, "tcp://127.0.0.1:0")]
    with TemporaryDirectory() as home:
        database = f"{home}/broker.db" if stores else "memory:"
        security = () if locked else ("--insecure",)
        process = subprocess.Popen(
            [*(sys.executable, "-m", "loads.cli.broker", "--db", database), *security, *endpoints],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "LOADS_HOME": home, "LOADS_RUNTIME_DIR": home},
        )
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("loads-broker is ready"))
            bound = line.split()[-3:]
            yield (
                process.pid,
                [
                    _access(Path(home), role, endpoint) if locked else Access(endpoint)
                    for role, endpoint in zip(
                        (Role.RUNNER, Role.AGENT, Role.RUNNER), bound, strict=True
                    )
                ],
            )
        finally:
            process.terminate()
            process.wait()


def _access(home: Path, role: Role, endpoint: str) -> Access:
    """The way to one of the broker's sockets, with a key of its own."""
    return read_token(KeyRing(home).add(uuid.uuid4().hex, role, endpoint, time.time()))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


# -- the measurement -----------------------------------------------------------------------------


_spawn = multiprocessing.get_context("spawn")


@contextmanager
def player(play: Any, *arguments: Any) -> Iterator[Connection]:
    """A process that plays a part; gone in the end, whatever happened."""
    ours, theirs = _spawn.Pipe()
    process: BaseProcess = _spawn.Process(target=play, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours
        ours.close()
        process.join(PATIENCE)
    finally:
        process.kill()
        process.join()


def hear(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE + 60):
        raise TimeoutError("a process of the benchmark does not answer")
    return pipe.recv()


def measure(
    agents: int, consoles: int, seconds: float, series: int, rate: int, stores: bool, locked: bool
) -> Figures:
    """One size of cluster."""
    seed = 8
    with broker(stores, locked) as (pid, (frontend, backend, publisher)):
        arguments = (backend, agents, seconds, series, rate, seed)
        with player(play_agents, *arguments) as fleet:
            hear(fleet)
            with BrokerClient(frontend, SystemClock(), timeout=PATIENCE) as client:
                here = Path(__file__)
                packed = bundle.pack(here.parent, [here])  # nobody will look into it
                plan = RunPlan("broker_scale.test", duration=3600.0, agents=agents)
                run_id = client.submit(plan, packed)
                with (
                    player(watch, frontend, publisher, run_id) as console,
                    player(subscribe, publisher, run_id, consoles - 1) as others,
                ):
                    hear(console), hear(others)
                    hear(fleet)
                    before = cpu_seconds(pid)
                    sent: Sent = hear(fleet)
                    spent = cpu_seconds(pid) - before
                    peak = peak_mb(pid)
                    time.sleep(0.5)  # let the console see the last update; nothing depends on it
                    console.send("enough")
                    seen, size, console_spent = hear(console)
                    console.send("thanks"), others.send("thanks")
                    fleet.send("thanks")
                    hear(fleet)
                exact = client.get(run_id).view.tally.series == expected(sent, series, rate, seed)
    length = sent.ended - sent.started
    waits = delays(sent.log, seen)
    return Figures(
        agents=agents,
        consoles=consoles,
        hits=sent.log[-1][1],
        seconds=length,
        interval=sent.interval,
        reports=sent.reports,
        postponed=sent.postponed,
        core=spent / length,
        microseconds_per_report=1e6 * spent / sent.reports,
        console_core=console_spent / length,
        peak_mb=peak,
        in_mb_per_second=sent.sent / length / 1e6,
        out_mb_per_second=(sent.received + consoles * size) / length / 1e6,
        delay_median=statistics.median(waits),
        delay_max=max(waits),
        exact=exact,
    )


def expected(sent: Sent, series: int, rate: int, seed: int) -> dict[SeriesKey, Any]:
    """What the broker must have: each variant as often as it was sent."""
    whole = Tally()
    for tally, times in zip(
        deltas(round(rate * sent.interval), series, seed), sent.variants, strict=True
    ):
        for bit in range(times.bit_length()):  # by doubling
            if times >> bit & 1:
                whole.merge(tally)
            tally.merge(tally.copy())
    return whole.series


def delays(sent: list[tuple[float, int]], seen: list[tuple[float, int]]) -> list[float]:
    """For each report, how long until the picture held as many hits as had been sent with it."""
    numbers = [hits for _, hits in seen]
    places = [(at, bisect_left(numbers, hits)) for at, hits in sent]
    return [seen[place][0] - at if place < len(seen) else float("inf") for at, place in places]


COLUMNS = (
    ("agents", lambda f: f"{f.agents:,}"),
    ("consoles", lambda f: f"{f.consoles}"),
    ("hits/s", lambda f: f"{f.hits_per_second:,.0f}"),
    ("reports/s", lambda f: f"{f.reports / f.seconds:,.0f}"),
    ("postponed", lambda f: f"{f.postponed:,}"),
    ("of a core", lambda f: f"{f.core:.3f}"),
    ("us/report", lambda f: f"{f.microseconds_per_report:,.0f}"),
    ("peak MB", lambda f: f"{f.peak_mb:.0f}"),
    ("MB/s in", lambda f: f"{f.in_mb_per_second:.2f}"),
    ("MB/s out", lambda f: f"{f.out_mb_per_second:.2f}"),
    ("waits for report", lambda f: f"{f.interval:.2f}"),
    ("delay median", lambda f: f"{f.delay_median:.2f}"),
    ("delay max", lambda f: f"{f.delay_max:.2f}"),
    ("console core", lambda f: f"{f.console_core:.3f}"),
    ("exact", lambda f: "yes" if f.exact else "NO"),
)


def table(figures: Sequence[Figures]) -> str:
    """The figures, a line for each size of cluster."""
    rows = [[title for title, _ in COLUMNS], *([cell(f) for _, cell in COLUMNS] for f in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table; 1 when a count was not exact."""
    numbers = lambda text: [int(word) for word in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=numbers, default=[10, 100, 1000])
    parser.add_argument("--consoles", type=numbers, default=[1, 10])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--rate", type=int, default=RATE, help="hits per second of one agent")
    parser.add_argument("--store", action="store_true", help="have the broker keep it in a file")
    parser.add_argument(
        "--locked", action="store_true", help="with keys: all that travels is encrypted"
    )
    parser.add_argument("--json", metavar="PATH", help="write the figures there as well")
    options = parser.parse_args(argv)
    descriptors.raise_limit()
    figures = []
    for agents in options.agents:
        for consoles in options.consoles:
            found = measure(
                agents,
                consoles,
                options.seconds,
                options.series,
                options.rate,
                options.store,
                options.locked,
            )
            figures.append(found)
            print(table([found]), file=sys.stderr)
    print(table(figures))
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(f) for f in figures], indent=2))
    return 0 if all(f.exact for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
