"""Every message on the wire.

One frozen dataclass each, validated when built, by the sender as by the receiver: a message that
exists is one that may be sent.  A field that is added later has a default, so that older peers can
leave it out; a field that is unknown is a newer peer's, and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from loads.metrics.summary import RunChanges, RunView
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol.rows import AgentRow, RunRow

MAX_BUNDLE, MAX_WORKERS = limits.MAX_BUNDLE, limits.MAX_WORKERS

Ended = Literal["", "finished", "stopped", "lost"]


class Message:
    """Base of all messages."""

    __slots__ = ()


# -- backend: agent to broker --------------------------------------------------------------------


@dataclass(frozen=True)
class Register(Message):
    """An agent offers itself.  ``run_id`` is the run that it is in the middle of, if any.

    ``attempt`` counts an agent's registrations.  One that is repeated because its answer is
    overdue keeps its number, so that the broker can tell a repetition from a restart.  ``cores``
    is how many the box has, 0 when that is not known.
    ``orphan_timeout`` is for how many seconds the agent keeps up its load without a broker: so long
    it may come back with all that it did.
    """

    agent_id: str
    host: str
    pid: int
    workers: int
    version: str
    run_id: str = ""
    attempt: int = 1
    cores: int = 0
    orphan_timeout: float = 0.0

    def __post_init__(self) -> None:
        limits.check_ids(self.agent_id)
        limits.check_counts(self.cores)
        limits.check_seconds(self.orphan_timeout)
        limits.check_texts(self.host, self.version, self.run_id)
        if not 1 <= self.workers <= limits.MAX_WORKERS:
            raise ValueError(f"an agent has 1 to {limits.MAX_WORKERS} workers")


@dataclass(frozen=True)
class Ready(Message):
    """The test is loaded in all of the agent's ``workers``, which wait for the start."""

    run_id: str
    workers: tuple[str, ...]

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, *self.workers)
        limits.check_workers(self.workers)
        if not self.workers:
            raise ValueError("there is at least one worker")


@dataclass(frozen=True)
class Extended(Message):
    """The answer to :class:`Extend`: these further workers have the test, and have been started.

    Without workers the agent cannot take the load over, for a ``reason``.
    """

    run_id: str
    number: int
    workers: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, *self.workers)
        limits.check_workers(self.workers)
        limits.check_texts(self.reason)
        limits.check_number(self.number)


@dataclass(frozen=True)
class CannotRun(Message):
    """The agent cannot run the plan; repeated until released."""

    run_id: str
    code: int
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_texts(self.message, self.hint)


@dataclass(frozen=True)
class Report(Message):
    """Delta number ``sequence``, counted from 1, of one worker; see ``loads.ledger``."""

    run_id: str
    worker: str
    sequence: int
    tally: Tally
    users: int = 0
    ended: Ended = ""
    reason: str = ""
    unknown: int | None = 0

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, self.worker)
        limits.check_texts(self.reason)
        limits.check_counts(self.users, self.unknown)
        limits.check_delta(self.tally)
        if self.sequence < 1:
            raise ValueError("reports count from 1")


@dataclass(frozen=True)
class Finished(Message):
    """All workers have ended and all their reports are acknowledged; repeated until released."""

    run_id: str

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)


@dataclass(frozen=True)
class Bye(Message):
    """The agent leaves of its own will."""

    reason: str = ""

    def __post_init__(self) -> None:
        limits.check_texts(self.reason)


# -- backend: both ways --------------------------------------------------------------------------


@dataclass(frozen=True)
class Heartbeat(Message):
    """Nothing to say, but alive.

    ``load`` is the load average of an agent's box over the last minute: how many processes want
    to run.  A broker, and an agent that does not know it, leave it out.
    """

    load: float | None = None

    def __post_init__(self) -> None:
        limits.check_seconds(self.load or 0.0)


# -- backend: broker to agent --------------------------------------------------------------------


@dataclass(frozen=True)
class Welcome(Message):
    """The agent is registered and idle.

    ``heartbeat`` is how many seconds may pass between two messages, ``timeout`` after how much
    silence either side takes the other for dead.  ``attempt`` is that of the registration that
    this answers.
    """

    heartbeat: float
    timeout: float
    attempt: int = 1

    def __post_init__(self) -> None:
        limits.check_rhythm(self.heartbeat, self.timeout)


@dataclass(frozen=True)
class WelcomeBack(Message):
    """As :class:`Welcome`, to an agent that is to go on with the run that it is in.

    It says :class:`Ready` again, if it has its workers, and all that is not acknowledged.
    """

    heartbeat: float
    timeout: float
    attempt: int = 1

    def __post_init__(self) -> None:
        limits.check_rhythm(self.heartbeat, self.timeout)


@dataclass(frozen=True)
class Rejected(Message):
    """The broker will not have this agent, or no longer; trying again is of no use."""

    reason: str
    hint: str = ""

    def __post_init__(self) -> None:
        limits.check_texts(self.reason, self.hint)


@dataclass(frozen=True)
class WhoAreYou(Message):
    """The broker heard from an agent that it does not know: it is to register again."""


@dataclass(frozen=True)
class Prepare(Message):
    """Unpack the bundle, start workers, load the test."""

    run_id: str
    plan: RunPlan
    digest: str
    bundle: bytes

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, self.digest)
        limits.check_lasting(self.plan)
        if len(self.bundle) > limits.MAX_BUNDLE:
            raise ValueError(f"a bundle has at most {limits.MAX_BUNDLE} bytes")


@dataclass(frozen=True)
class Start(Message):
    """Start the load ``delay`` seconds after this arrives.

    Each worker is to report every ``report_interval`` seconds while there is something to report.
    """

    run_id: str
    delay: float
    report_interval: float = 0.25

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_seconds(self.delay, self.report_interval)


@dataclass(frozen=True)
class Extend(Message):
    """Take over a part of what a lost agent had left.

    The agent starts further workers for this plan, of the same test, and their load as soon as they
    have it.  Extensions of an agent's part count from 1.  One that is repeated is answered again.
    """

    run_id: str
    number: int
    plan: RunPlan

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_number(self.number)
        limits.check_lasting(self.plan)


@dataclass(frozen=True)
class StopLoad(Message):
    """Start no further test; cut those that still run after ``grace`` seconds."""

    run_id: str
    grace: float

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_seconds(self.grace)


@dataclass(frozen=True)
class Acknowledge(Message):
    """All reports of ``worker`` up to number ``sequence`` are merged."""

    run_id: str
    worker: str
    sequence: int

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, self.worker)
        if self.sequence < 0:
            raise ValueError("reports count from 1, and 0 acknowledges none")


@dataclass(frozen=True)
class Release(Message):
    """The broker is done with this agent's part of the run; the agent forgets it."""

    run_id: str

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)


# -- frontend: client to broker ------------------------------------------------------------------


@dataclass(frozen=True)
class Ping(Message):
    """Is a broker there, and where are its other endpoints?"""

    request: int


@dataclass(frozen=True)
class Wish:
    """An observer that is to be told of a run's end, and pairs of its options and their values.

    No part of the plan: values may be secrets, and a plan is shown to many and kept.
    """

    name: str
    options: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        limits.check_ids(self.name)
        for option in self.options:
            if len(option) != 2:
                raise ValueError("an option is a name and a value")
            limits.check_texts(*option)


@dataclass(frozen=True)
class Submit(Message):
    """Run this plan with this bundle on ``plan.agents`` agents.

    ``patience`` is how many seconds the run may wait in the queue for them, 0 for not at all, nil
    for as long as it takes.  ``on`` names the agents that it is to run on; then it never waits.
    ``observers`` are to be told of the end.  ``submission`` is an identifier of the client's own:
    what is said again with the same one is still one run.
    """

    request: int
    plan: RunPlan
    digest: str
    bundle: bytes
    patience: float | None = 0.0
    on: tuple[str, ...] = ()
    observers: tuple[Wish, ...] = ()
    submission: str = ""

    def __post_init__(self) -> None:
        limits.check_ids(self.digest, *self.on)
        if self.submission:
            limits.check_ids(self.submission)
        limits.check_lasting(self.plan)
        limits.check_seconds(self.patience or 0.0)
        if self.on and len(set(self.on)) != self.plan.agents:
            raise ValueError("agents that are named are as many as the plan asks for")
        if self.plan.agents < 1:
            raise ValueError("a plan for a broker asks for agents")
        if len(self.observers) > limits.MAX_OBSERVERS:
            raise ValueError(f"a run has at most {limits.MAX_OBSERVERS} observers")
        if len(self.bundle) > limits.MAX_BUNDLE:
            raise ValueError(f"a bundle has at most {limits.MAX_BUNDLE} bytes")


@dataclass(frozen=True)
class StopRun(Message):
    """End a run early: no further test, and ``grace`` seconds for those that run.

    Where that is nil, it is the plan's own.  ``run_id`` may be the beginning of an identifier that
    no other run has.
    """

    request: int
    run_id: str
    grace: float | None

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_seconds(self.grace or 0.0)


@dataclass(frozen=True)
class GetRun(Message):
    """What is the state of this run, in full?

    ``run_id`` may be the beginning of an identifier that no other run has.
    """

    request: int
    run_id: str

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)


@dataclass(frozen=True)
class ListRuns(Message):
    """Which runs are there?  Of those that have ended, the latest ``ended`` at most."""

    request: int
    ended: int = 100

    def __post_init__(self) -> None:
        limits.check_counts(self.ended)


@dataclass(frozen=True)
class ListAgents(Message):
    """Which agents are registered?"""

    request: int


@dataclass(frozen=True)
class Purge(Message):
    """Stop all runs, those in the queue first; ``grace`` is as in :class:`StopRun`."""

    request: int
    grace: float = 0.0

    def __post_init__(self) -> None:
        limits.check_seconds(self.grace)


# -- frontend: broker to client ------------------------------------------------------------------


@dataclass(frozen=True)
class Pong(Message):
    """The broker's version, its endpoints as it bound them, and how many agents it has.

    ``runs`` are those that have not ended, and ``queued`` those of them that wait for agents.
    """

    request: int
    version: str
    backend: str
    publisher: str
    agents: int
    idle_agents: int
    runs: int
    queued: int = 0

    def __post_init__(self) -> None:
        limits.check_texts(self.version, self.backend, self.publisher)
        limits.check_counts(self.agents, self.idle_agents, self.runs, self.queued)


@dataclass(frozen=True)
class Accepted(Message):
    """The run exists; its agents are being prepared, or it waits for them."""

    request: int
    run_id: str

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)


@dataclass(frozen=True)
class RunSnapshot(Message):
    """A run in full, as it is after update ``number``."""

    request: int
    number: int
    view: RunView

    def __post_init__(self) -> None:
        limits.check_counts(self.number)
        limits.check_view(self.view)


@dataclass(frozen=True)
class RunList(Message):
    """The runs: those that go on, those that wait, in their order, and those that ended last."""

    request: int
    runs: tuple[RunRow, ...]


@dataclass(frozen=True)
class AgentList(Message):
    """The agents that are registered, by their identifiers."""

    request: int
    agents: tuple[AgentRow, ...]


@dataclass(frozen=True)
class Purged(Message):
    """These runs are being stopped."""

    request: int
    run_ids: tuple[str, ...]

    def __post_init__(self) -> None:
        limits.check_ids(*self.run_ids)


@dataclass(frozen=True)
class Refused(Message):
    """No.  ``code`` is the exit code that a command should end with.

    ``request`` is 0 where the broker could not read which request it was.
    """

    request: int
    code: int
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        limits.check_texts(self.message, self.hint)


# -- publisher: broker to consoles ---------------------------------------------------------------


@dataclass(frozen=True)
class Update(Message):
    """Update ``number``, counted from 1, of a run: what has changed since the one before it.

    The first number of an agent's hits that a console sees may be a few seconds old in a run of
    many agents: an update tells a part of them in turn.  The last update tells them all.
    """

    number: int
    changes: RunChanges

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("updates count from 1")
        limits.check_changes(self.changes)


FROM_AGENT: tuple[type[Message], ...] = (
    Register, Ready, CannotRun, Extended, Report, Finished, Bye, Heartbeat,
)  # fmt: skip
TO_AGENT: tuple[type[Message], ...] = (
    Welcome, WelcomeBack, Rejected, WhoAreYou, Prepare, Start, Extend, StopLoad, Acknowledge,
    Release, Heartbeat,
)  # fmt: skip
FROM_CLIENT: tuple[type[Message], ...] = (
    Ping, Submit, StopRun, GetRun, ListRuns, ListAgents, Purge,
)  # fmt: skip
TO_CLIENT: tuple[type[Message], ...] = (
    Pong, Accepted, RunSnapshot, RunList, AgentList, Purged, Refused,
)  # fmt: skip
PUBLISHED: tuple[type[Message], ...] = (Update,)
ALL = tuple(dict.fromkeys((*FROM_AGENT, *TO_AGENT, *FROM_CLIENT, *TO_CLIENT, *PUBLISHED)))

Request = Ping | Submit | StopRun | GetRun | ListRuns | ListAgents | Purge
Reply = Pong | Accepted | RunSnapshot | RunList | AgentList | Purged | Refused
