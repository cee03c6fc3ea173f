"""A broker's core on a stage: who says what to it, and what it does then.

A scene keeps the time, knows the address of each agent, and checks after every event what must
always hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from loads.broker.actions import (
    Action,
    Audit,
    Deny,
    Event,
    FromAgent,
    FromClient,
    Log,
    LookedUp,
    LookUp,
    Publish,
    Store,
    Stored,
    Tick,
    ToAgent,
    ToClient,
)
from loads.broker.archive import answer
from loads.broker.core import Core, Settings
from loads.broker.state import Run
from loads.metrics.series import HIT, SeriesKey
from loads.metrics.summary import RunChanges, RunView
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from loads.protocol.roles import Role, Who
from loads.storage.base import Record, SaveRun
from loads.storage.memory import MemoryStorage

CLIENT = b"client"
HEARTBEAT, TIMEOUT = 1.0, 10.0


def hits(number: int, elapsed: float = 0.0) -> Tally:
    """A tally of so many hits, the last of them so many seconds after the start."""
    tally = Tally()
    tally.elapsed = elapsed
    for _ in range(number):
        tally.line(SeriesKey(HIT, "http://target/", "GET")).record(1000, 200)
    return tally


def plan(agents: int = 1, **settings) -> RunPlan:
    return RunPlan("shop.test_cart", agents=agents, **settings)


def check(core: Core) -> None:
    """What holds between any two events."""
    for agent in core.agents.values():
        if agent.run_id:
            run = core.runs[agent.run_id]
            assert run.state != "ended", f"{agent.agent_id} is kept by a run that is over"
            assert not run.parts[agent.agent_id].is_over
    for run in core.runs.values():
        assert (run.state == "queued") == (run.queue is not None)
        assert run.state != "queued" or not run.parts
        assert run.ledger.total.hits == sum(a.hits for a in run.ledger.accounts.values())
        assert (run.state == "ended") == bool(run.status)
        for part in run.parts.values():
            agent = core.agents.get(part.agent_id)
            attended = agent is not None and agent.run_id == run.run_id
            awaited = part.agent_id in run.awaited
            assert attended or awaited or part.is_over, (
                f"nobody will ever end {part} of {run.run_id}"
            )
        if run.state == "ended":
            assert all(part.is_over for part in run.parts.values())
            assert not run.ledger.open_sources or run.status in ("failed", "stopped")


def told(actions: Iterable[Action]) -> list[Action]:
    """What is said to one peer, without what is published."""
    return [action for action in actions if isinstance(action, ToAgent | ToClient)]


class Scene:
    """A broker, the agents that it knows, and a client."""

    def __init__(self, orphan_timeout: float = 0.0, **settings) -> None:
        settings = {"heartbeat": HEARTBEAT, "agent_timeout": TIMEOUT, **settings}
        self.core = Core(Settings(**settings))
        self.orphan_timeout = orphan_timeout
        self.now = 1000.0
        self.logs: list[str] = []
        self.storage = MemoryStorage()
        self.audits: list[Audit] = []
        self.denied: list[Deny] = []
        self.acknowledged: dict[tuple[str, str], int] = {}  # the latest, of a run and a worker
        self.peers: dict[str, bytes] = {}
        self.attempts: dict[str, int] = {}
        self.shown: dict[str, RunView] = {}  # runs as who heard every update knows them
        self._before: dict[str, RunView] = {}  # and as they knew them before the last one
        self._number: dict[str, int] = {}  # of the last one

    # -- events ------------------------------------------------------------------------------

    def feed(self, event: Event) -> list[Action]:
        """What is done about an event; logs go to ``logs``, what is stored to ``storage``.

        Audits and denials are kept as well.
        """
        return self._heed(self.core.handle(event, self.now))

    def _heed(self, actions: Iterable[Action]) -> list[Action]:
        check(self.core)
        actions = list(actions)
        self.logs += [action.text for action in actions if isinstance(action, Log)]
        for action in actions:
            if isinstance(action, Publish):
                self._show(action.run_id, action.message)
        self.audits += [action for action in actions if isinstance(action, Audit)]
        self.denied += [action for action in actions if isinstance(action, Deny)]
        for said in (action.message for action in actions if isinstance(action, ToAgent)):
            if isinstance(said, m.Acknowledge):
                self.acknowledged[said.run_id, said.worker] = said.sequence
        more = self._store([action.record for action in actions if isinstance(action, Store)])
        return more + [
            self._looked_up(action) if isinstance(action, LookUp) else action
            for action in actions
            if not isinstance(action, Log | Store | Audit | Deny)
        ]

    def _store(self, records: list[Record]) -> list[Action]:
        """Store what is to be stored, and say so of runs that have ended."""
        self.storage.write(records)
        saved = [record for record in records if isinstance(record, SaveRun)]
        ended = tuple(record.run_id for record in saved if record.ended is not None)
        return self._heed(self.core.handle(Stored(ended), self.now)) if ended else []

    def _looked_up(self, asked: LookUp) -> ToClient:
        reply = answer(asked, self.storage.run(asked.run_id))
        if asked.by is not None:
            refused = reply.message if isinstance(reply, m.Refused) else ""
            self.feed(LookedUp(asked.by, asked.run_id, refused))
        return ToClient(asked.peer, reply)

    def _show(self, run_id: str, update: m.Update) -> None:
        """Have who follows a run hear an update; after a gap, they ask for the whole."""
        before = self.shown.get(run_id, RunView(run_id, plan()))
        run, last = self.core.runs.get(run_id), self._number.get(run_id, 0)
        self._before[run_id], self._number[run_id] = before, update.number
        is_gap = run is not None and update.number != last + 1
        self.shown[run_id] = run.view(run.ledger.total) if is_gap else before.after(update.changes)

    def restarts(self, seconds: float = 1.0, clock_set: float = 0.0) -> list[Action]:
        """The broker is killed, and another takes up what is stored; agents have to register.

        The time of day may be set meanwhile, by so many seconds.
        """
        self.now += seconds
        before = self.core.settings
        self.core = Core(replace(before, epoch=before.epoch + clock_set))
        going, ended = self.storage.open_runs(), self.storage.ended_runs()
        actions = self.core.restore(going, ended, self.now)
        for run_id, run in self.core.runs.items():  # the gap has consoles ask for the whole
            self.shown[run_id] = run.view(run.ledger.total)
        return self._heed(actions)

    def says(self, name: str, *messages: m.Message) -> list[Action]:
        """An agent says something."""
        peer = self.peers.setdefault(name, name.encode())
        return [action for said in messages for action in self.feed(FromAgent(peer, said))]

    def asks(self, message: m.Message, fresh_id: str = "r1") -> list[Action]:
        """The client asks for something."""
        return self.feed(FromClient(CLIENT, message, fresh_id))

    def says_as(self, name: str, message: m.Message, fresh_id: str = "r1") -> list[Action]:
        """A client with a key of that name asks for something."""
        who = Who(name, Role.RUNNER)
        return told(self.feed(FromClient(CLIENT, message, fresh_id, who)))

    def passes(self, seconds: float, *alive: str) -> list[Action]:
        """Time passes, in which the agents in ``alive`` keep sending heartbeats."""
        actions, end = [], self.now + seconds
        while self.now < end:
            self.now = min(self.now + HEARTBEAT, end)
            for name in alive:
                actions += self.says(name, m.Heartbeat())
            actions += self.feed(Tick())
        return actions

    # -- stories -----------------------------------------------------------------------------

    def registers(self, name: str, run_id: str = "", workers: int = 2) -> list[Action]:
        """An agent registers, or does so anew."""
        self.attempts[name] = self.attempts.get(name, 0) + 1
        said = register(name, run_id, workers, self.attempts[name])
        return self.says(name, replace(said, orphan_timeout=self.orphan_timeout))

    def reconnects(self, name: str, run_id: str = "") -> list[Action]:
        """An agent's connection was broken: it registers anew, under another address."""
        self.peers[name] = self.peers[name] + b"'"
        return self.registers(name, run_id)

    def prepares(self, *names: str, run_id: str = "r1", **settings) -> Run:
        """These agents register, unless they have, and are given a run."""
        for name in names:
            if name not in self.core.agents:
                self.registers(name)
        self.asks(submit(plan(len(names), **settings)), run_id)
        return self.core.runs[run_id]

    def runs(self, *names: str, run_id: str = "r1", **settings) -> Run:
        """A run that goes on, on these agents, each with workers ``<name>/0`` and ``<name>/1``."""
        run = self.prepares(*names, run_id=run_id, **settings)
        for name in names:
            self.says(name, ready(name, run_id))
        assert run.state == "running"
        return run

    def ends(self, name: str, run_id: str = "r1") -> list[Action]:
        """Both workers of an agent end without a hit, and the agent has finished."""
        last = [report(f"{name}/{i}", self._next(f"{name}/{i}", run_id), 0, run_id,
                       ended="finished") for i in (0, 1)]  # fmt: skip
        return self.says(name, *last, m.Finished(run_id))

    def _next(self, worker: str, run_id: str) -> int:
        return self.core.runs[run_id].ledger.accounts[worker].last + 1

    # -- expectations ------------------------------------------------------------------------

    def to(self, name: str, message: m.Message) -> ToAgent:
        """What is sent to an agent; a greeting answers its latest registration."""
        if isinstance(message, m.Welcome | m.WelcomeBack):
            message = replace(message, attempt=self.attempts.get(name, 1))
        return ToAgent(self.peers[name], message)

    def published(self, run: Run, tally: Tally | None = None) -> Publish:
        """The update that was published last, if it had this in it: all that had changed."""
        view, before = run.view(tally or Tally()), self._before[run.run_id]
        changes = RunChanges(
            **{field.name: getattr(view, field.name) for field in fields(RunChanges)}
        )
        changes = replace(
            changes,
            agents=tuple(agent for agent in view.agents if agent not in before.agents),
            warnings=None if view.warnings == before.warnings else view.warnings,
        )
        return Publish(run.run_id, m.Update(run.number, changes))

    def state_of(self, name: str) -> State:
        """Where the broker takes its dialogue with an agent to be."""
        return self.core.agents[name].link.state


WELCOME = m.Welcome(HEARTBEAT, TIMEOUT)
WELCOME_BACK = m.WelcomeBack(HEARTBEAT, TIMEOUT)


def register(
    name: str, run_id: str = "", workers: int = 2, attempt: int = 1, pid: int = 42
) -> m.Register:
    return m.Register(name, f"{name}.example", pid, workers, "2.0", run_id, attempt)


def submit(wanted: RunPlan, request: int = 1, patience: float | None = 0.0) -> m.Submit:
    return m.Submit(request, wanted, "digest", b"bundle", patience)


def prepare(wanted: RunPlan, run_id: str = "r1") -> m.Prepare:
    return m.Prepare(run_id, wanted, "digest", b"bundle")


def ready(name: str, run_id: str = "r1") -> m.Ready:
    return m.Ready(run_id, (f"{name}/0", f"{name}/1"))


def report(
    worker: str, sequence: int, number: int, run_id: str = "r1", elapsed: float = 0.0, **said
) -> m.Report:
    """Delta number ``sequence`` of a worker, with ``number`` hits."""
    return m.Report(run_id, worker, sequence, hits(number, elapsed), **said)


def acknowledge(worker: str, sequence: int, run_id: str = "r1") -> m.Acknowledge:
    return m.Acknowledge(run_id, worker, sequence)
