"""What the broker knows: its agents and its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice

from loads.broker.documents import Head
from loads.ledger import LOST, Ledger
from loads.metrics.history import History
from loads.metrics.summary import AgentView, QueueView, RunChanges, RunView, State, Status
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.dialogue import Link, Side
from loads.protocol.liveness import Liveness
from loads.protocol.messages import Register, Welcome, WelcomeBack, Wish


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
    ``told`` is the state that the last update gave.
    """

    agent_id: str
    host: str
    state: str = "preparing"
    workers: tuple[str, ...] = ()
    told: str = ""

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
    update: what the ledger merged since are its news, and ``reported`` the agents
    whose numbers changed since they were told, those that wait longest
    first.  ``history`` is how it went until then.

    ``saved`` is what is stored of it, which is all of it once it ``is_sealed``.

    In a run that was restored, ``awaited`` are the agents that have not come back, and until when
    they are waited for, ``unheard`` the workers that have not reported since.

    ``observers`` are to be told of the end; they are never stored.
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
    reported: dict[str, None] = field(default_factory=dict)
    told_warnings: tuple[str, ...] = ()
    published_at: float = 0.0
    error_code: int = 0
    error: str = ""
    hint: str = ""
    queue: QueueView | None = None
    is_check: bool = False
    history: History = field(default_factory=History)
    notes: set[str] = field(default_factory=set)
    saved: Head | None = None
    is_sealed: bool = False
    awaited: dict[str, float] = field(default_factory=dict)
    unheard: set[str] = field(default_factory=set)
    observers: tuple[Wish, ...] = ()

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
            warnings=self._warnings,
            error_code=self.error_code,
            error=self.error,
            hint=self.hint,
            queue=self.queue,
        )

    def tell_changes(self, most: int) -> RunChanges:
        """What changed since this was last called.

        Agents whose state changed are all told at once, the numbers of others while they are no
        more than ``most`` agents in all; in the end, of all.
        """
        news, warnings = self.ledger.take_news(), self._warnings
        self.history.add(news.elapsed, news)
        changed = [part for part in self.parts.values() if part.state != part.told]
        for part in changed:
            part.told = part.state
            self.reported.pop(part.agent_id, None)
        room = len(self.reported) if self.state == "ended" else max(0, most - len(changed))
        in_turn = list(islice(self.reported, room))
        for agent_id in in_turn:
            del self.reported[agent_id]
        told = [*changed, *(self.parts[agent_id] for agent_id in in_turn)]
        is_new, self.told_warnings = warnings != self.told_warnings, warnings
        return RunChanges(
            run_id=self.run_id,
            state=self.state,
            status=self.status,
            started=self.started,
            elapsed=self.elapsed,
            users=self.ledger.users,
            tally=news,
            agents=tuple(self._agent_view(part) for part in told),
            warnings=warnings if is_new else None,
            error_code=self.error_code,
            error=self.error,
            hint=self.hint,
            queue=self.queue,
        )

    @property
    def _warnings(self) -> tuple[str, ...]:
        notes = *sorted(self.notes), *sorted(self.ledger.total.warnings)
        return (*self.ledger.losses(), *notes)

    def _agent_view(self, part: Part) -> AgentView:
        accounts = [self.ledger.accounts[worker] for worker in part.workers]
        bounds = [account.unknown for account in accounts]
        known = [bound for bound in bounds if bound is not None]
        return AgentView(
            agent_id=part.agent_id,
            host=part.host,
            workers=len(part.workers),
            state=part.state,
            hits=sum(account.hits for account in accounts),
            unknown=sum(known) if len(known) == len(bounds) else None,
        )
