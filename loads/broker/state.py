"""What the broker knows: its agents and its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from loads.ledger import LOST, Ledger
from loads.metrics.summary import AgentView, QueueView, RunView, State, Status
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.dialogue import Link, Side
from loads.protocol.liveness import Liveness
from loads.protocol.messages import Register, Welcome, WelcomeBack


@dataclass
class Agent:
    """A registered agent.

    ``peer`` is where it is now; one that reconnects, at another address, is another agent here.
    ``greeting`` is how its registration was answered.  ``since`` is when it registered, in seconds
    since the Unix epoch; ``load`` is what it said last of its box.
    """

    agent_id: str
    peer: bytes
    host: str
    pid: int
    workers: int
    version: str
    liveness: Liveness
    cores: int = 0
    load: float | None = None
    since: float = 0.0
    greeting: Welcome | WelcomeBack | None = None
    link: Link = field(default_factory=lambda: Link(Side.BROKER))

    @property
    def run_id(self) -> str:
        """The run that it is in, from its plan to its release; empty, when there is none."""
        return self.link.run_id

    def is_repeated_by(self, peer: bytes, message: Register) -> bool:
        """Whether a registration is this one once more, and neither a return nor a restart."""
        this = (self.peer, self.pid, self.link.attempt)
        return this == (peer, message.pid, message.attempt)


@dataclass
class Part:
    """One agent's part of a run.

    ``state`` is ``preparing``, ``ready``, ``running``, and in the end ``ended`` or ``lost``.
    """

    agent_id: str
    host: str
    state: str = "preparing"
    workers: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.state in ("ended", LOST)


@dataclass
class Run:
    """A run, from its submission until the broker forgets it.

    Times are on the broker's monotonic clock, except ``submitted``, ``started`` and ``ended``,
    which are for people.  ``queue`` is where it waits, while it does.  A run that ``is_check``
    looks after agents and is of no interest later.  ``bundle`` is here until all agents have it.
    ``deadline`` is when the present state must be over; ``number`` that of the last published
    update, ``unpublished`` what was merged since.
    """

    run_id: str
    plan: RunPlan
    parts: dict[str, Part] = field(default_factory=dict)
    deadline: float = math.inf
    digest: str = ""
    bundle: bytes = b""
    state: State = "preparing"
    status: Status = ""
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    started_at: float = 0.0
    elapsed: float = 0.0
    stop_asked: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    number: int = 0
    unpublished: Tally = field(default_factory=Tally)
    published_at: float = 0.0
    error_code: int = 0
    error: str = ""
    hint: str = ""
    queue: QueueView | None = None
    is_check: bool = False

    def close(self, part: Part, state: str, reason: str) -> None:
        """A part is over; workers that did not say how they ended are lost for ``reason``."""
        part.state = state
        for worker in part.workers:
            self.ledger.give_up(worker, reason)

    def reopen(self, part: Part) -> None:
        """A part's agent is back, and says again what it had to say."""
        part.state = "preparing" if self.state == "preparing" else "running"
        for worker in part.workers:
            self.ledger.reopen(worker)

    def view(self, tally: Tally) -> RunView:
        """The run as it is now, with the given numbers."""
        return RunView(
            run_id=self.run_id,
            plan=self.plan,
            state=self.state,
            status=self.status,
            started=self.started,
            elapsed=self.elapsed,
            users=self.ledger.users,
            tally=tally,
            agents=tuple(self._agent_view(part) for part in self.parts.values()),
            warnings=(*self.ledger.losses(), *sorted(self.ledger.total.warnings)),
            error_code=self.error_code,
            error=self.error,
            hint=self.hint,
            queue=self.queue,
        )

    def _agent_view(self, part: Part) -> AgentView:
        accounts = [self.ledger.accounts[worker] for worker in part.workers]
        bounds = [account.unknown for account in accounts]
        known = [bound for bound in bounds if bound is not None]
        return AgentView(
            agent_id=part.agent_id,
            host=part.host,
            workers=len(part.workers),
            state=part.state,
            hits=sum(account.tally.hits for account in accounts),
            unknown=sum(known) if len(known) == len(bounds) else None,
        )
