"""Counts are conserved: one broker, its agents and a console, over connections that break.

The cores are real, everything else is simulated: time passes in steps, a worker serves a known
number of hits in each, and a connection delivers in order, or is cut: what is under way or said
meanwhile is lost, and when it is back, the agent has another address, as a socket that
reconnects has.  The console misses updates and asks for snapshots.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import event, example, given, note, settings
from hypothesis import strategies as st

from loads.agent import actions as does
from loads.agent import core as agent_core
from loads.agent.core import Core as AgentCore
from loads.broker.actions import FromAgent, FromClient, Log, Publish, Tick, ToAgent, ToClient
from loads.broker.core import Core as BrokerCore
from loads.broker.core import Settings
from loads.broker.placement import is_idle
from loads.broker.state import Run
from loads.client import Picture
from loads.ledger import FINISHED, STOPPED, Delta
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.tally import Tally
from loads.plan import ON_AGENT_LOSS, RunPlan
from loads.protocol import messages as m
from tests.unit.strategies import quick

STEP = 0.5  #: seconds
AGENT_TIMEOUT = 5.0
ORPHAN_TIMEOUT = 12.0
PREPARE_TIMEOUT = 20.0
FAULTS_WITHIN = 40  #: steps from the start of the load
QUIET = 200  #: steps after which everything must have come to rest
KEY = SeriesKey(HIT, "http://target/", "GET")

simulated = settings(quick, max_examples=60)

Story = Callable[[str], None]


def hits(number: int) -> Tally:
    tally = Tally()
    for _ in range(number):
        tally.line(KEY).record(1000, 200)
    return tally


class Worker:
    """Serves ``rate`` hits in each step, for so many steps once it has started."""

    def __init__(self, name: str, rate: int, steps: int) -> None:
        self.name, self.rate, self.steps = name, rate, steps
        self.served = self.reported = self.sequence = 0
        self.deltas: list[int] = []
        self.started = self.stopping = self.gone = False

    def step(self) -> Delta | None:
        """Work; gives the last delta when that is the end."""
        if self.gone:
            return None
        if self.stopping:
            return self._last(STOPPED)
        if not self.started:
            return None
        self.served += self.rate
        self.steps -= 1
        return None if self.steps > 0 else self._last(FINISHED)

    def _last(self, ended: str) -> Delta:
        self.gone = True
        return self._delta(ended)

    def sample(self) -> Delta | None:
        return None if self.gone or self.served == self.reported else self._delta()

    def _delta(self, ended: str = "") -> Delta:
        fresh, self.reported = self.served - self.reported, self.served
        self.sequence += 1
        self.deltas.append(fresh)
        return Delta(self.name, self.sequence, hits(fresh), 0 if ended else 1, ended)


@dataclass
class Link:
    """A connection of an agent: the latest of several, one after the other."""

    delay: int
    down_until: int = 0
    connection: int = 0
    to_broker: deque[tuple[int, m.Message]] = field(default_factory=deque)
    to_agent: deque[tuple[int, m.Message]] = field(default_factory=deque)

    def cut(self, now: int, steps: int) -> None:
        self.down_until = max(self.down_until, now + steps)
        self.connection += 1
        self.to_broker.clear()
        self.to_agent.clear()

    def send(self, queue: deque[tuple[int, m.Message]], now: int, message: m.Message) -> None:
        if now >= self.down_until:
            queue.append((now + self.delay, message))

    def due(self, queue: deque[tuple[int, m.Message]], now: int) -> m.Message | None:
        return queue.popleft()[1] if queue and queue[0][0] <= now else None


class Machine(NamedTuple):
    """What an agent is like: in steps, but ``work``, which is the rate and steps of workers."""

    delay: int  #: of messages, each way
    loading: int
    work: list[tuple[int, int]]


class Box:
    """An agent's core with the shell and the workers that it would have."""

    def __init__(self, name: str, machine: Machine, story: Story) -> None:
        self.name, self.link, self._story = name, Link(machine.delay), story
        self._machine = machine
        self._ready_at: int | None = None
        self._extensions: dict[int, tuple[int, list[Worker]]] = {}  # by number: ready at, workers
        self.workers: dict[str, Worker] = {}
        self.dead = self.full = False
        self.last_words: list[tuple[int, m.LastWords]] = []
        settings = agent_core.Settings(
            name, f"{name}.example", 1, len(machine.work), "2.0",
            orphan_timeout=ORPHAN_TIMEOUT, sample_interval=STEP,
        )  # fmt: skip
        self.core = AgentCore(settings, 0.0)
        self._now = 0

    @property
    def peer(self) -> bytes:
        return f"{self.name}#{self.link.connection}".encode()

    @property
    def served(self) -> int:
        """By the workers of its latest run."""
        return sum(worker.served for worker in self.workers.values())

    @property
    def is_idle(self) -> bool:
        return self.core.run is None and self.core.link.state.value == "idle"

    def step(self, now: int) -> None:
        self._now = now
        while message := self.link.due(self.link.to_agent, now):
            self.handle(does.FromBroker(message))
        self.handle(does.Tick())
        if now == self._ready_at:
            self.handle(does.WorkersReady(tuple(self.workers)))
        for number, (ready_at, workers) in list(self._extensions.items()):
            if now == ready_at and number in self._extensions:
                self.handle(does.ExtensionReady(number, tuple(w.name for w in workers)))
        for worker in list(self.workers.values()):
            if (last := worker.step()) is not None:
                self.handle(does.Measured(last))

    def handle(self, happening: does.Event) -> None:
        for action in self.core.handle(happening, self._now * STEP):
            if not isinstance(action, does.SampleWorker):
                self._story(f"{self.name}: {_brief(action)}")
            self._carry_out(action)

    def _carry_out(self, action: does.Action) -> None:
        if isinstance(action, does.PrepareExtension | does.StartExtension | does.DropExtension):
            self._extend(action)
        elif isinstance(action, does.ToBroker):
            self.link.send(self.link.to_broker, self._now, action.message)
        elif isinstance(action, does.PrepareRun):
            work = enumerate(self._machine.work)
            self.workers = {w.name: w for w in (Worker(f"{self.name}/{i}", *w) for i, w in work)}
            self._ready_at, self._extensions = self._now + self._machine.loading, {}
        elif isinstance(action, does.StartWorkers):
            for worker in self.workers.values():
                worker.started = True
        elif isinstance(action, does.StopWorkers):
            for worker in self.workers.values():
                worker.stopping, worker.gone = True, worker.gone or self._now < self._ready_at
            self._ready_at = None if self._now < self._ready_at else self._ready_at
        elif isinstance(action, does.SampleWorker):
            if (delta := self.workers[action.worker].sample()) is not None:
                self.handle(does.Measured(delta))
        elif isinstance(action, does.DropRun):
            self._ready_at, self._extensions = None, {}
            for worker in self.workers.values():
                worker.gone = True
        elif isinstance(action, does.Leave):
            self.dead = True

    def orphan(self, steps: int) -> None:
        """It is killed: what was said before still arrives, and its workers speak for themselves.

        Each does so some steps after the one before it.
        """
        self.dead = True
        run = self.core.run
        workers = [w for w in self.workers.values() if not w.gone]
        for number, worker in enumerate(workers if run is not None else (), 1):
            worker.gone = True
            words = m.LastWords(run.run_id, self.name, worker.name, worker.served, 0, 0)
            self.last_words.append((self._now + number * steps, words))

    def _extend(self, action: does.Action) -> None:
        if isinstance(action, does.PrepareExtension) and self.full:
            self.handle(does.ExtensionFailed(action.number, "no memory is left"))
        elif isinstance(action, does.PrepareExtension):
            taken = [Worker(f"{self.name}/{action.number}.0", 2, 6)]
            self._extensions[action.number] = (self._now + 1 + self._machine.loading, taken)
            self.workers.update((worker.name, worker) for worker in taken)
        elif isinstance(action, does.StartExtension):
            for worker in self._extensions[action.number][1]:
                worker.started = True
        else:
            for worker in self._extensions.pop(action.number, (0, []))[1]:
                worker.gone = True


class Fault(NamedTuple):
    """Something that happens to an agent's connection, or to the agent itself."""

    at: int  #: steps after the start of the load, or after the submission
    agent: int
    kind: (
        str  #: ``cut``, ``slow``, ``kill``, ``full``: has no room for more, ``leave``: is asked to,
        #: ``orphan``: the agent alone is killed, without its workers
    )
    steps: int = 0  #: how long it is cut, or how long messages take from now on


class World:
    """A broker, its agents, the connections between them, and a console."""

    def __init__(
        self,
        machines: list[Machine],
        lossy: list[bool],
        policy: str = "continue",
        gathered_from: int = 50,
    ) -> None:
        self.policy = policy
        self.story: list[str] = []
        self.now = 0
        self.broker = BrokerCore(
            Settings(
                heartbeat=STEP,
                agent_timeout=AGENT_TIMEOUT,
                prepare_timeout=PREPARE_TIMEOUT,
                publish_interval=3 * STEP,
                gathered_from=gathered_from,
            )
        )
        self.boxes = [Box(f"agent{i}", machine, self.tell) for i, machine in enumerate(machines)]
        self.acknowledged: dict[str, int] = {}
        self.picture, self._updates, self._lossy = Picture(), 0, lossy
        self.run = self.submit("run")

    def tell(self, what: str) -> None:
        if "Heartbeat" not in what:
            self.story.append(f"{self.now * STEP:6.1f} {what}")

    # -- the broker and the console ------------------------------------------------------------

    @property
    def alive(self) -> list[Box]:
        return [box for box in self.boxes if not box.dead]

    @property
    def is_at_rest(self) -> bool:
        """Whether all agents that are left are idle, and the broker knows it."""
        known = {name for name, agent in self.broker.agents.items() if is_idle(agent)}
        return all(box.is_idle for box in self.alive) and known == {b.name for b in self.alive}

    def submit(self, run_id: str) -> Run:
        """Have all agents that are left run a plan."""
        for _ in range(QUIET):
            if self.is_at_rest:
                break
            self.step()
        plan = RunPlan(
            "shop.test_cart", hits=(50,), agents=len(self.alive), on_agent_loss=self.policy
        )
        self.handle(FromClient(b"console", m.Submit(1, plan, "digest", b""), run_id))
        return self.broker.runs[run_id]

    def ask(self, request: m.Message) -> None:
        self.handle(FromClient(b"console", request, "never"))

    def handle(self, happening: FromAgent | FromClient | Tick) -> None:
        for action in self.broker.handle(happening, self.now * STEP):
            if isinstance(action, ToAgent):
                self.tell(f"broker: {_brief(action)}")
                self._to_agent(action.peer, action.message)
            elif isinstance(action, Publish) and action.run_id == "run":
                self._publish(action.message)
            elif isinstance(action, ToClient) and isinstance(action.message, m.RunSnapshot):
                self.picture.snapshot(action.message.number, action.message.view)
            elif isinstance(action, Log):
                self.tell(f"broker: {action.text}")

    def _to_agent(self, peer: bytes, message: m.Message) -> None:
        for box in self.boxes:
            if box.peer == peer:
                box.link.send(box.link.to_agent, self.now, message)
        if isinstance(message, m.Acknowledge):
            self.acknowledged[message.worker] = message.sequence

    def _publish(self, update: m.Update) -> None:
        self._updates += 1
        if not self._lossy[self._updates % len(self._lossy)]:
            self.picture.update(update.number, update.changes)

    # -- time ----------------------------------------------------------------------------------

    def step(self) -> None:
        self.now += 1
        for box in self.boxes:
            while message := box.link.due(box.link.to_broker, self.now):
                self.handle(FromAgent(box.peer, message))
            for at, words in box.last_words:
                if at == self.now:
                    self.handle(FromAgent(words.worker.encode(), words))
        self.handle(Tick())
        for box in self.boxes:
            if not box.dead:
                box.step(self.now)

    def watch(self) -> None:
        """The console looks: it never shows what is not so."""
        if self.picture.is_stale:
            self.ask(m.GetRun(2, "run"))
        if self.picture.number == self.run.number:
            published = self.run.ledger.total.hits - self.run.ledger.news.hits
            assert self.picture.view.tally.hits == published

    def befall(self, fault: Fault) -> None:
        box = self.boxes[fault.agent % len(self.boxes)]
        self.tell(f"--- {box.name}: {fault.kind} {fault.steps * STEP} s")
        if fault.kind == "cut":
            box.link.cut(self.now, fault.steps)
        elif fault.kind == "slow":
            box.link.delay = fault.steps
        elif fault.kind == "full":
            box.full = True
        elif fault.kind == "leave":
            box.handle(does.Terminate("it was asked to"))
        elif fault.kind == "orphan":
            box.orphan(fault.steps) if not box.dead else None
        else:
            box.dead = True
            box.link.cut(self.now, QUIET)

    def live(self, faults: list[Fault], stop_at: int | None = None) -> None:
        """Everything happens, and then all comes to rest."""
        for after in range(FAULTS_WITHIN + QUIET):
            for fault in faults:
                if fault.at == after:
                    self.befall(fault)
            if stop_at == after:
                self.tell("--- stop")
                self.ask(m.StopRun(3, "run", 1.0))
            self.step()
            self.watch()
            if after > FAULTS_WITHIN and self.run.status and self.is_at_rest:
                break
        self.ask(m.GetRun(2, "run"))  # as a console does when no update has come for long

    # -- what came of it -----------------------------------------------------------------------

    @property
    def workers(self) -> dict[str, Worker]:
        return {name: worker for box in self.boxes for name, worker in box.workers.items()}

    @property
    def served(self) -> int:
        return sum(box.served for box in self.boxes)

    def check(self) -> None:
        """What holds after anything."""
        event(f"status: {self.run.status}")
        total = self.run.ledger.total
        assert self.run.state == "ended"
        assert self.is_at_rest
        for name, account in self.run.ledger.accounts.items():
            deltas = self.workers[name].deltas
            assert account.hits == sum(deltas[: account.last])  # each of them once
            told, there = self.acknowledged.get(name, 0), {w for b in self.alive for w in b.workers}
            # what is gathered is acknowledged a moment later, when its agent may have left
            assert account.last == told or (name not in there and told < account.last)
        assert total.hits == sum(a.hits for a in self.run.ledger.accounts.values())
        assert total.hits <= self.served
        if self.run.status != "failed":
            boxes = {box.name: box for box in self.boxes}
            for view in self.run.view(total).agents:
                box = boxes[view.agent_id]
                assert view.unknown is None or box.served <= view.hits + view.unknown
        if total.hits < self.served:
            assert self.run.status in ("incomplete", "stopped")
            assert self.run.ledger.lost
        if self.run.status == "finished" and not self.run.remarks:
            assert not any(worker.steps for worker in self.workers.values())
        assert self.picture.view.tally == total
        assert self.picture.view == self.run.view(total)

    def check_that_all_goes_on(self) -> None:
        """Agents that are left do not only look idle: they can be given a run."""
        self.tell("--- all is mended")
        for box in self.alive:
            box.link.delay, box.link.down_until = 0, self.now
        for _ in range(30):
            self.step()
        if self.alive:
            run = self.submit("again")
            for _ in range(QUIET):
                self.step()
                if run.status:
                    break
            assert run.status == "finished"
            assert run.ledger.total.hits == sum(b.served for b in self.alive)


def _brief(action: object) -> str:
    """An action in a few words."""
    message = getattr(action, "message", None)
    if isinstance(message, m.Report):
        ended = f" {message.ended} {message.reason}".rstrip()
        return f"Report {message.worker} {message.sequence}: {message.tally.hits} hits{ended}"
    return repr(message if isinstance(message, m.Message) else action)


def play(world: World, faults: list[Fault], stop_at: int | None = None) -> None:
    try:
        world.live(faults, stop_at)
        world.check()
        world.check_that_all_goes_on()
    finally:
        note("\n".join(world.story))


works = st.tuples(st.integers(1, 9), st.integers(1, 25))
machines_ = st.lists(
    st.builds(
        Machine, st.integers(0, 1), st.integers(0, 4), st.lists(works, min_size=1, max_size=2)
    ),
    min_size=2,
    max_size=3,
)
policies = st.sampled_from(ON_AGENT_LOSS)
losses = st.lists(st.booleans(), min_size=1, max_size=5)


@st.composite
def short_cuts(draw: st.DrawFn) -> list[Fault]:
    """Cuts of which no agent has another before it can have said where it is."""
    faults = []
    for agent in range(3):
        at = draw(st.integers(0, 8))
        while at < FAULTS_WITHIN and draw(st.booleans()):
            faults.append(Fault(at, agent, "cut", draw(st.integers(1, 4))))
            at += draw(st.integers(10, 16))
    return faults


faults_ = st.builds(
    Fault,
    st.integers(0, FAULTS_WITHIN),
    st.integers(0, 2),
    st.sampled_from(["cut", "cut", "cut", "slow", "kill", "orphan", "leave", "full"]),
    st.integers(0, 4) | st.integers(0, 30),
)


@simulated
@given(machines_, short_cuts(), losses, policies, st.sampled_from([0, 50]))
def test_what_breaks_and_is_mended_in_time_loses_nothing(
    machines, cuts, lossy, policy, gathered_from
):
    world = World(machines, lossy, policy, gathered_from)
    while any(box.core.run is None for box in world.boxes):
        world.step()
    # of an agent that is not there, a cut would be another one's second
    play(world, [cut for cut in cuts if cut.agent < len(machines)])  # some while it is loaded
    assert world.run.status == "finished"
    planned = sum(rate * steps for machine in machines for rate, steps in machine.work)
    assert world.run.ledger.total == hits(planned)


BUSY = Machine(1, 2, [(3, 25), (1, 25)])


@simulated
@example([BUSY, BUSY], [Fault(12, 0, "leave")], [False], None, "continue", 0)
@example([BUSY, BUSY], [Fault(12, 0, "kill")], [False], None, "redistribute", 0)
# its workers tell how much that was, at once and as late as the broker misses it
@example([BUSY, BUSY], [Fault(12, 0, "orphan", 1)], [False], None, "continue", 0)
@example([BUSY, BUSY], [Fault(12, 0, "orphan", 9)], [False], None, "redistribute", 50)
# gone before its report was acknowledged
@example(
    [Machine(0, 0, [(1, 1)])] * 2,
    [Fault(0, 0, "cut", 0), Fault(3, 0, "leave", 0), Fault(4, 0, "leave", 0)],
    [False], None, "continue", 0,
)  # fmt: skip
# too long for both sides
@example([BUSY, BUSY], [Fault(12, 0, "cut", 30)], [True, False], None, "continue", 0)
# stopped while it is away
@example([BUSY, BUSY], [Fault(12, 0, "cut", 14)], [True, False], 18, "continue", 0)
# one refuses what it left, the other takes it
@example(
    [BUSY, BUSY, BUSY],
    [Fault(0, 1, "full"), Fault(12, 0, "leave")],
    [False],
    None,
    "redistribute",
    0,
)
# another is at it when it comes back
@example([BUSY, BUSY], [Fault(12, 0, "cut", 14)], [True, False], None, "redistribute", 0)
@given(
    machines_,
    st.lists(faults_, max_size=5),
    losses,
    st.none() | st.integers(0, FAULTS_WITHIN),
    policies,
    st.sampled_from([0, 50]),
)
def test_whatever_breaks_nothing_is_invented_and_no_loss_is_kept_quiet(
    machines, faults, lossy, stop_at, policy, gathered_from
):
    world = World(machines, lossy, policy, gathered_from)
    play(world, faults, stop_at)
    accounts = world.run.ledger.accounts.values()
    if world.run.status == "finished":
        assert {account.ended for account in accounts} == {FINISHED} or policy == "redistribute"
        assert all(account.unknown == 0 for account in accounts)
