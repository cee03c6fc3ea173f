"""What the broker knows: its agents and its runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from loads.broker.documents import Head, PartKept
from loads.ledger import LOST, Ledger
from loads.metrics.history import History
from loads.metrics.summary import AgentView, QueueView, RunChanges, RunView, State, Status
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol.codec import plan_size
from loads.protocol.dialogue import Link, Side
from loads.protocol.liveness import Liveness
from loads.protocol.messages import Register, Welcome, WelcomeBack, Wish


@dataclass
class Agent:
    """A registered agent.

    ``peer`` is where it is now; one that reconnects, at another address, is another agent here.
    ``greeting`` is how its registration was answered.  ``since`` is when it registered, in seconds
    since the Unix epoch; ``load`` is what it said last of its box, ``key`` the name of the key that
    it uses.
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
    orphan_timeout: float = 0.0
    greeting: Welcome | WelcomeBack | None = None
    key: str = ""
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
class Extension:
    """A load that an agent takes over from one that was lost, as it was to do at ``since``.

    ``deadline`` is until when it has to say that it has; ``workers`` are those that it names then,
    or ``failed`` is why it cannot.  Then the load may be ``passed_on`` to another agent, which is
    none of those that it was ``refused_by`` before.
    """

    plan: RunPlan
    since: float
    deadline: float
    workers: tuple[str, ...] = ()
    failed: str = ""
    refused_by: tuple[str, ...] = ()
    passed_on: bool = False

    @property
    def is_answered(self) -> bool:
        return bool(self.workers or self.failed)

    @property
    def is_missing(self) -> bool:
        """Whether nobody does it."""
        return bool(self.failed) and not self.passed_on


@dataclass
class Part:
    """One agent's part of a run.

    ``state`` is ``preparing``, ``ready``, ``running``, and in the end ``ended`` or ``lost``.  An
    agent that has finished but may be asked to take over from others is ``waiting``.
    ``handed_over`` tells that others were given what was left to do here; whoever comes back to
    such a part only has something to report.  Until ``awaited_until`` a lost agent may come back
    with all that it did.  Only who has the ``key`` of that name is its agent.  ``host``, ``cores``
    and ``version`` are those of the agent when it was chosen.
    ``away`` is for how many seconds its agent was out of reach in all, which leaves it as much
    longer to end; ``gone_since`` is when that was heard last, while it is.  ``started_again`` is
    how often it was, before any report of it.
    ``told`` is the state that the last update gave, ``kept`` what was stored last.
    """

    agent_id: str
    host: str
    state: str = "preparing"
    workers: tuple[str, ...] = ()
    told: str = ""
    kept: PartKept | None = None
    extensions: list[Extension] = field(default_factory=list)
    handed_over: bool = False
    awaited_until: float = 0.0
    key: str = ""
    cores: int = 0
    version: str = ""
    away: float = 0.0
    gone_since: float = 0.0
    started_again: int = 0

    @property
    def is_over(self) -> bool:
        return self.state in ("ended", LOST)

    @property
    def may_have_more(self) -> bool:
        """Whether it may have begun with a load of whose workers nobody has heard."""
        return not all(extension.is_answered for extension in self.extensions)

    @property
    def all_workers(self) -> tuple[str, ...]:
        """The workers of its own load, and of those that it took over."""
        return sum((extension.workers for extension in self.extensions), self.workers)

    def excuse(self, silence: float, lapse: float) -> None:
        """Its agent is heard again after a silence.

        ``lapse`` seconds of each are its own, so that one that is away time and again has an end.
        """
        self.away += max(0.0, silence - lapse)


@dataclass
class Run:
    """A run, from its submission until the broker forgets it.

    Times are on the broker's monotonic clock, except ``submitted``, ``started`` and ``ended``,
    which are for people.  ``queue`` is where it waits, while it does.  A run that ``is_check``
    looks after agents and is of no interest later.  ``bundle`` is here until all agents have it.
    ``deadline`` is when the present state must be over; ``number`` that of the last published
    update, ``numbered_from`` the one that this broker began with: what the ledger merged since the
    last are its news, and ``reported`` the agents
    whose numbers changed since they were told, those that wait longest
    first.  ``history`` is how it went until then.

    ``saved`` is what is to be stored of it, which is all of it once it ``is_sealed``; when that
    ``is_stored`` indeed, its history is only there, and not here, and it ``is_light``.  It
    ``must_save`` what nobody may be told before.  That it ``gave_up`` workers is not in it yet.

    A run may be ``aborted`` because of a loss.  ``remarks`` are what else whoever reads the result
    should know, ``notes`` what holds only for now; it is ``stalled`` while nothing ends.

    In a run that was restored, ``awaited`` are the agents that have not come back, and until when
    they are waited for, ``unheard`` the workers that have not reported since.

    It may wait for agents for ``patience`` seconds, or as long as it takes if that is None, which
    is until ``waits_until``; ``turn`` is how often it was prepared and had to wait again.

    ``observers`` are to be told of the end; they are never stored.  ``submission`` is what the
    client that asked for the run called that.

    Of a run that ``gathers``, reports are stored and acknowledged together; ``owed`` are the
    workers whose last was not yet, and their agents.
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
    numbered_from: int = 0
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
    is_stored: bool = False
    is_light: bool = False
    awaited: dict[str, float] = field(default_factory=dict)
    unheard: set[str] = field(default_factory=set)
    aborted: bool = False
    progressed_at: float = 0.0
    stalled: str = ""
    remarks: list[str] = field(default_factory=list)
    observers: tuple[Wish, ...] = ()
    submitted_by: str = ""
    submission: str = ""
    must_save: bool = False
    gave_up: bool = False
    patience: float | None = 0.0
    waits_until: float = 0.0
    turn: int = 0
    gathers: bool = False
    owed: dict[str, str] = field(default_factory=dict)

    @cached_property
    def plan_size(self) -> int:
        """The bytes that its plan takes, and what its observers are told."""
        texts = (text for wish in self.observers for option in wish.options for text in option)
        return plan_size(self.plan) + sum(map(len, texts))

    @property
    def workers(self) -> int:
        """How many workers of all parts have been named."""
        return sum(len(part.all_workers) for part in self.parts.values())

    def close(self, part: Part, state: str, reason: str) -> None:
        """A part is over; workers that did not say how they ended are lost for ``reason``."""
        part.state = state
        self.must_save = self.must_save or state == LOST
        for worker in part.all_workers:
            self.gave_up = self.gave_up or not self.ledger.accounts[worker].ended
            self.ledger.give_up(worker, reason)

    def reopen(self, part: Part) -> None:
        """A part's agent is back, and says again what it had to say."""
        part.state = "preparing" if self.state == "preparing" else "running"
        for worker in part.all_workers:
            self.ledger.reopen(worker)

    def put_off(self, seconds: float) -> None:
        """Nobody could be heard for so long: whoever is waited for has as much longer."""
        self.deadline += seconds
        self.progressed_at += seconds
        for agent_id in self.awaited:
            self.awaited[agent_id] += seconds
        for part in self.parts.values():
            part.awaited_until += seconds if part.awaited_until else 0.0
            part.gone_since += seconds if part.gone_since else 0.0
            for extension in part.extensions:
                extension.deadline += seconds

    def wait_again(self) -> None:
        """Go back to the queue, without agents, as if it had never left that.

        Consoles are to see a gap, as no update takes agents away.
        """
        self.state, self.deadline = "queued", self.waits_until
        self.turn += 1
        self.number += 1
        self.parts, self.ledger, self.history = {}, Ledger(), History()
        self.awaited, self.unheard, self.reported, self.owed = {}, set(), {}, {}
        self.must_save = True

    def remark(self, text: str) -> None:
        """Tell whoever reads the result, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def has_lost(self, part: Part) -> bool:
        """Whether a worker of a part ended without doing all of its own."""
        return any(self.ledger.accounts[w].ended == LOST for w in part.all_workers)

    @property
    def is_complete(self) -> bool:
        """Whether all that was planned is done, and all that was done is counted."""
        return not self.aborted and all(map(self._is_complete, self.parts.values()))

    def _is_complete(self, part: Part) -> bool:
        accounts = [self.ledger.accounts[worker] for worker in part.all_workers]
        if any(account.missing for account in accounts):
            return False
        lost = [account for account in accounts if account.ended == LOST]
        if part.state == LOST and part.may_have_more:
            return False
        made_good = part.handed_over and not any(account.unknown != 0 for account in lost)
        return made_good or not (lost or any(e.is_missing for e in part.extensions))

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
            submitted_by=self.submitted_by,
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
        stalled = (self.stalled,) if self.stalled else ()
        notes = *sorted(self.notes), *sorted(self.ledger.total.warnings)
        bounds = (text for part in self.parts.values() if (text := self._bound(part)))
        return (*self.remarks, *self.ledger.losses(), *bounds, *notes, *stalled)

    def _bound(self, part: Part) -> str:
        """How much a part whose end is not known may have done beyond what is counted, at most."""
        if self.plan.duration is not None or not part.is_over:
            return ""
        accounts = [self.ledger.accounts[worker] for worker in part.all_workers]
        if all(a.unknown is not None for a in accounts) and not part.may_have_more:
            return ""
        plans = (self.plan, *(e.plan for e in part.extensions if not e.passed_on))
        planned = sum(plan.tests_in(group) for plan in plans for group in range(len(plan.users)))
        done = sum(account.tests_done for account in accounts)
        more = max(0, planned - done)
        tests = "a test that is" if more == 1 else f"up to {more:,} tests that are"
        return f"Agent {part.agent_id} may have run {tests} not counted."

    def _agent_view(self, part: Part) -> AgentView:
        accounts = [self.ledger.accounts[worker] for worker in part.all_workers]
        bounds = [account.unknown for account in accounts]
        if part.state == LOST and part.may_have_more:
            bounds.append(None)
        known = [bound for bound in bounds if bound is not None]
        return AgentView(
            agent_id=part.agent_id,
            host=part.host,
            workers=len(accounts),
            state=part.state,
            hits=sum(account.hits for account in accounts),
            unknown=sum(known) if len(known) == len(bounds) else None,
            cores=part.cores,
            version=part.version,
        )
