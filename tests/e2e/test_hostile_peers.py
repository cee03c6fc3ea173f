"""Mutated messages from peers of every role, and from strangers, while a run goes on beside them.

``LOADS_TEST_MUTATIONS`` says how many for each socket and each peer, as ``make fuzz`` does;
100,000 take some minutes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.protocol import messages as m
from loads.protocol.roles import SOCKETS, Role
from loads.transport.tokens import Access, find_access
from tests.e2e.amplifiers import amplifying
from tests.e2e.cluster import Runner, site
from tests.e2e.locked import Locked
from tests.e2e.mutations import Hostile, mutated, send_to
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

MUTATIONS = int(os.environ.get("LOADS_TEST_MUTATIONS", "2000"))
PARTS = 5  #: of what is sent to each socket; memory is looked at after each
#: MB: what the largest messages that a key may send take while they are received and read.
LARGEST = {"stranger": 64, "viewer": 300, "runner": 400, "agent": 300}
LINGER_MS = 60_000  #: for a broker to read what was sent last; only a test that fails waits so long
GROWTH = 64  #: MB: buffers, once; 1 to 22 were seen for 100,000 messages to each socket


def at_the_gate(stage: Stage, target: Target) -> tuple[Locked, Runner]:
    """A cluster in the middle of a run of 100 hits, whose five users wait."""
    stage.write("test_gate.py", site("/gate"))
    locked = Locked(stage)
    locked.agent(locked.token("box", "agent")).says("Registered with the broker")
    anne = locked.token("anne", "runner")
    options = ("test_gate", "-a", 1, "-u", 5, "--hits", 20, "--server-url", target.url)
    runner = locked.start(anne, *options)
    until(lambda: target.hits == 5, "all users at the gate")
    return locked, runner


def check_the_run_beside(locked: Locked, runner: Runner, target: Target) -> None:
    """Let the users go on: the run is exact, and its broker unhurt."""
    target.open_gate()
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 100
    assert "Traceback" not in locked.broker.err
    assert "bug" not in locked.broker.err


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    peer = Hostile()
    yield peer
    peer.close()


@pytest.mark.parametrize("role", ["stranger", "runner", "agent", "viewer"])
def test_a_run_beside_a_hostile_peer_is_exact(
    stage: Stage, target: Target, hostile: Hostile, role: str
) -> None:
    locked, runner = at_the_gate(stage, target)
    key = None if role == "stranger" else locked.access("eve", role).credentials
    send_to(Access(locked.frontend, key), "frontend", mutated(0, 100))  # buffers are made now
    before, grown = resident(locked.broker.pid), []
    for number, domain in enumerate(SOCKETS):
        access = Access(getattr(locked, domain), key)
        sent = most = 0
        for part in range(PARTS):
            some, of = hostile.send(access, domain, PARTS * number + part, MUTATIONS // PARTS)
            sent, most = sent + some, most + of
            grown.append(round(resident(locked.broker.pid) - before))
        if domain != "publisher":  # a subscriber's socket drops what it cannot send
            assert (sent == most) is (key is not None and Role(role) in SOCKETS[domain])
    check_the_run_beside(locked, runner, target)
    print(f"{role}: MB more after each of {PARTS} parts for each of {list(SOCKETS)}: {grown}")
    assert max(grown) < GROWTH, grown


@pytest.mark.parametrize("role", ["stranger", "runner", "agent", "viewer"])
def test_what_would_become_large_stays_small(stage: Stage, target: Target, role: str) -> None:
    """Of the most that a message may be, little is made; and a run beside it is exact."""
    locked, runner = at_the_gate(stage, target)
    key = None if role == "stranger" else locked.access("eve", role).credentials
    send_to(Access(locked.frontend, key), "frontend", mutated(0, 100))  # buffers are made now
    before, grown = resident(locked.broker.pid), []
    for domain, kinds in (("frontend", m.FROM_CLIENT), ("backend", m.FROM_AGENT)):
        is_in = key is not None and Role(role) in SOCKETS[domain]
        access = Access(getattr(locked, domain), key)
        send_to(access, domain, amplifying(kinds), LINGER_MS if is_in else 0)
        grown.append(round(resident(locked.broker.pid) - before))
    with BrokerClient(find_access(locked.frontend, stage.home), SystemClock()) as owner:
        assert [run.target for run in owner.runs()] == ["test_gate"]
    check_the_run_beside(locked, runner, target)
    print(f"{role}: MB more after each socket: {grown}; {peak(locked.broker.pid):.0f} at most")
    assert peak(locked.broker.pid) - before < LARGEST[role]


def test_a_viewer_that_wants_everything_does_not_fill_the_broker(
    stage: Stage, target: Target
) -> None:
    """What it subscribes to would take gigabytes; others go on following their run."""
    locked, runner = at_the_gate(stage, target)
    before = resident(locked.broker.pid)
    chance = random.Random(1)
    wanted = ([b"\1" + chance.randbytes(400)] for _ in range(100_000))
    assert send_to(locked.access("vic", "viewer", "publisher"), "publisher", wanted) == 100_000
    said = locked.broker.says("There were too many subscriptions")
    assert "most of them of the key vic, which is refused for a minute" in said
    target.open_gate()
    result = runner.wait()
    assert result.code == 0
    assert result.hits == target.hits == 100
    assert resident(locked.broker.pid) - before < GROWTH


def peak(pid: int) -> float:
    """The most resident memory that a process ever had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
