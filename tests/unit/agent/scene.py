"""An agent's core on a stage: what it hears, what its workers do, and what it does then."""

from __future__ import annotations

from loads.agent.actions import (
    Action,
    Event,
    FromBroker,
    Log,
    Measured,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.agent.core import Core, Settings
from loads.ledger import Delta
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import messages as m

HEARTBEAT, TIMEOUT, ORPHAN = 1.0, 10.0, 30.0
WELCOME = m.Welcome(HEARTBEAT, TIMEOUT)
WELCOME_BACK = m.WelcomeBack(HEARTBEAT, TIMEOUT)
PLAN = RunPlan("shop.test_cart", agents=1)
PREPARE = m.Prepare("r1", PLAN, "digest", b"bundle")
WORKERS = ("a/0", "a/1")
ALIVE = m.Heartbeat()


def register(run_id: str = "", attempt: int = 1) -> m.Register:
    return m.Register("a", "a.example", 42, 2, "2.0", run_id, attempt, 0, ORPHAN)


def delta(worker: str, sequence: int, hits: int = 1, **said) -> Delta:
    """Delta number ``sequence`` of a worker, with so many hits."""
    tally = Tally()
    for _ in range(hits):
        tally.line(SeriesKey(HIT, "http://target/", "GET")).record(1000, 200)
    return Delta(worker, sequence, tally, **said)


def report(worker: str, sequence: int, hits: int = 1, **said) -> ToBroker:
    """The report of :func:`delta`."""
    return ToBroker(m.Report("r1", worker, sequence, delta(worker, sequence, hits).tally, **said))


def acknowledge(worker: str, sequence: int, run_id: str = "r1") -> m.Acknowledge:
    return m.Acknowledge(run_id, worker, sequence)


def messages(actions: list[Action]) -> list[m.Message]:
    """What is said to the broker."""
    return [action.message for action in actions if isinstance(action, ToBroker)]


class Scene:
    """An agent with two workers.  Samples are taken when a test asks, unless it says else."""

    def __init__(self, sample_interval: float = 1e6, **settings) -> None:
        settings = {"heartbeat": HEARTBEAT, "timeout": TIMEOUT, "orphan_timeout": ORPHAN,
                    **settings}  # fmt: skip
        self.now = 1000.0
        self.logs: list[str] = []
        own = Settings("a", "a.example", 42, 2, "2.0", sample_interval=sample_interval, **settings)
        self.core = Core(own, self.now)

    def feed(self, *events: Event) -> list[Action]:
        """What is done about events; what is logged goes to ``logs``."""
        actions = [a for event in events for a in self.core.handle(event, self.now)]
        self.logs += [action.text for action in actions if isinstance(action, Log)]
        return [action for action in actions if not isinstance(action, Log)]

    def hears(self, *said: m.Message) -> list[Action]:
        """The broker says something."""
        return self.feed(*map(FromBroker, said))

    def is_welcome(self) -> list[Action]:
        """The broker answers the latest registration: it knows of no run."""
        return self.hears(m.Welcome(HEARTBEAT, TIMEOUT, self.core.link.attempt))

    def is_welcome_back(self) -> list[Action]:
        """The broker answers the latest registration: the run goes on."""
        return self.hears(m.WelcomeBack(HEARTBEAT, TIMEOUT, self.core.link.attempt))

    def measures(self, *deltas: Delta) -> list[Action]:
        """Workers give their deltas."""
        return self.feed(*map(Measured, deltas))

    def passes(self, seconds: float, broker: bool = True) -> list[Action]:
        """Time passes; the broker sends heartbeats, or is silent."""
        actions, end = [], self.now + seconds
        while self.now < end:
            self.now = min(self.now + HEARTBEAT, end)
            actions += self.hears(ALIVE) if broker else []
            actions += self.feed(Tick())
        return actions

    # -- stories -----------------------------------------------------------------------------

    def registered(self) -> Scene:
        self.feed(Tick())
        self.hears(WELCOME)
        return self

    def preparing(self) -> Scene:
        self.registered().hears(PREPARE)
        return self

    def ready(self) -> Scene:
        self.preparing().feed(WorkersReady(WORKERS))
        return self

    def running(self) -> Scene:
        self.ready().hears(m.Start("r1", 0.1, self.core.settings.sample_interval))
        return self

    def finished(self) -> Scene:
        """Both workers have ended, and the broker knows that."""
        self.running().measures(*(delta(w, 1, ended="finished") for w in WORKERS))
        self.hears(*(acknowledge(w, 1) for w in WORKERS))
        return self
