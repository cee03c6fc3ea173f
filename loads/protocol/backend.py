"""What agents and their broker say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol.message import Message

Ended = Literal["", "finished", "stopped", "lost"]


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
        limits.check_box(self.host, self.version, self.orphan_timeout)
        if self.run_id:
            limits.check_ids(self.run_id)
        if not 1 <= self.workers <= limits.MAX_WORKERS:
            raise ValueError(f"an agent has 1 to {limits.MAX_WORKERS} workers")


@dataclass(frozen=True)
class Ready(Message):
    """The test is loaded in all of the agent's ``workers``, which wait for the start.

    ``turn`` is that of the ``Prepare`` that this answers.
    """

    run_id: str
    workers: tuple[str, ...]
    turn: int = 0

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, *self.workers)
        limits.check_counts(self.turn)
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
class LastWords(Message):
    """An agent is dead; a ``worker`` of it has ended, and says so in its place; repeated.

    In all it has made ``hits`` and finished ``tests``, those that were reported included, and up to
    ``under_way`` hits more were not over yet.
    """

    run_id: str
    agent_id: str
    worker: str
    hits: int
    tests: int
    under_way: int

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, self.agent_id, self.worker)
        limits.check_totals(self.hits, self.tests, self.under_way)


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
    """Unpack the bundle, start workers, load the test.

    ``turn`` is how often the run was prepared before and called off, to wait for agents again.
    """

    run_id: str
    plan: RunPlan
    digest: str
    bundle: bytes
    turn: int = 0

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id, self.digest)
        limits.check_counts(self.turn)
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
