"""What the parts of the broker's core share: what they know, and what they want done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from loads.broker.actions import Action, Log, Publish, Store, ToAgent
from loads.broker.documents import DeltaKept, Head, account_kept
from loads.broker.settings import Settings
from loads.broker.state import Agent, Part, Run
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.codec import pack
from loads.protocol.messages import Acknowledge, Message, Update
from loads.protocol.roles import UNLOCKED, Who
from loads.storage.base import AddDelta, StoredRun

MENTIONS = 100  #: lines in a minute about what many agents can cause at once
A_MINUTE = 60.0  #: seconds

AHEAD = 60.0  #: seconds that an agent may be ahead of us: as long as we may have been suspended

_Thing = TypeVar("_Thing")


class Book:
    """The agents and runs that there are, the time, and the actions decided on so far."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agents: dict[str, Agent] = {}
        self.runs: dict[str, Run] = {}
        self.ended: dict[str, Head] = {}  #: what is stored of runs, those that ended last last
        self.held: dict[str, StoredRun] = {}  #: what ended and is not stored, as it is to be
        self.now = 0.0
        self.body = b""
        self.who = UNLOCKED  #: whose message is being handled
        self.decided: list[Action] = []
        self._mentions_since = -math.inf
        self._mentioned = 0

    def open(self, now: float, who: Who = UNLOCKED, body: bytes = b"") -> None:
        """Another event is to be handled, which happened ``now`` and is the doing of ``who``.

        ``body`` is its message's.
        """
        self.now, self.who, self.body, self.decided = now, who, body, []

    @property
    def wall(self) -> float:
        """The time of day, in seconds since the Unix epoch."""
        return self.settings.epoch + self.now

    def do(self, action: Action) -> None:
        """Have something done."""
        self.decided.append(action)

    def tell(self, agent: Agent, message: Message) -> None:
        """Send a message to an agent."""
        agent.link.sent(message)
        agent.liveness.sent = self.now
        self.do(ToAgent(agent.peer, message))

    def publish(self, run: Run) -> None:
        """Let consoles know how a run is; what they are told has been stored."""
        self.settle(run)
        run.number += 1
        run.published_at = self.now
        update = Update(run.number, run.tell_changes(self.settings.told_agents))
        self.do(Publish(run.run_id, update))

    def publish_all(self, run: Run) -> None:
        """Publish what was not yet, so that no later update holds a part of it."""
        if run.ledger.news or run.owed:
            self.publish(run)

    def store_account(self, run: Run, worker: str) -> None:
        """Have a worker's account stored as it is now, of which no report tells."""
        self.settle(run)
        kept = account_kept(worker, run.ledger.accounts[worker])
        self.do(Store(AddDelta(run.run_id, pack(DeltaKept(Tally(), (kept,))))))

    def settle(self, run: Run) -> None:
        """Have what was gathered stored as one delta, and acknowledge it."""
        if not run.owed:
            return
        owed, run.owed = run.owed, {}
        accounts = run.ledger.accounts
        kept = tuple(account_kept(worker, accounts[worker]) for worker in owed)
        delta = DeltaKept(run.ledger.take_unsaved(), kept)
        self.do(Store(AddDelta(run.run_id, pack(delta))))
        for worker, agent_id in owed.items():
            agent = self.agents.get(agent_id)
            if agent is not None and agent.run_id == run.run_id:
                self.tell(agent, Acknowledge(run.run_id, worker, accounts[worker].last))

    def part_of(self, agent: Agent) -> tuple[Run, Part]:
        """The run that an agent is in, and its part in it; who is not released has both."""
        run = self.runs[agent.run_id]
        return run, run.parts[agent.agent_id]

    def agents_of(self, run: Run) -> list[Agent]:
        """The agents that are in a run now, and here."""
        agents = (self.agents.get(agent_id) for agent_id in run.parts)
        return [agent for agent in agents if agent is not None and agent.run_id == run.run_id]

    def elapsed(self, run: Run) -> float:
        """The seconds since a run started; 0 if it has not."""
        return max(0.0, self.now - run.started_at) if run.started_at else 0.0

    def latest_end(self, plan: RunPlan) -> float:
        """When a load that starts now must be over: all its groups, a grace each, and slack."""
        if plan.total_seconds is None:
            return math.inf
        longest = plan.total_seconds + plan.grace * len(plan.users)
        return self.now + self.settings.start_delay + longest + self.settings.stop_slack

    def latest(self, run: Run) -> float:
        """The seconds since a run started after which nothing of it can have happened.

        What an agent says was later made up its time: there is room for a second of the timeline
        for each that there was.
        """
        return self.elapsed(run) + AHEAD

    def each(self, things: Iterable[_Thing], act: Callable[[_Thing], None]) -> None:
        """See to all of several things, also when that fails for one of them, as only a bug does.

        Raises the first error, in the end.
        """
        errors: list[Exception] = []
        for thing in list(things):
            try:
                act(thing)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def log(self, level: Literal["info", "warning"], text: str) -> None:
        """Say something to whoever runs the broker."""
        self.do(Log(level, text))

    def mention(self, level: Literal["info", "warning"], text: str) -> None:
        """Say what agents can cause as often as they like: so much of it in a minute."""
        self._mentioned += 1
        if self._mentioned == 1:
            self._mentions_since = self.now
        if self._mentioned <= MENTIONS:
            self.log(level, text)

    def tick(self) -> None:
        """Say, after each minute, how much was not said of agents."""
        if self._mentioned and self.now - self._mentions_since >= A_MINUTE:
            unsaid, self._mentioned = self._mentioned - MENTIONS, 0
            if unsaid > 0:
                self.log(
                    "warning",
                    f"There were {unsaid:,} more lines about agents in the last minute; "
                    f"{len(self.agents):,} are registered.",
                )
