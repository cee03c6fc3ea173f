"""Every message on the wire.

One frozen dataclass each, validated when built, by the sender as by the receiver: a message that
exists is one that may be sent.  A field that is added later has a default, so that older peers can
leave it out; a field that is unknown is a newer peer's, and ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loads.metrics.summary import RunView
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import limits

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
    overdue keeps its number, so that the broker can tell a repetition from a restart.
    """

    agent_id: str
    host: str
    pid: int
    workers: int
    version: str
    run_id: str = ""
    attempt: int = 1

    def __post_init__(self) -> None:
        limits.check_ids(self.agent_id)
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
        if not 1 <= len(set(self.workers)) == len(self.workers) <= limits.MAX_WORKERS:
            raise ValueError("workers have different names, and there is at least one")


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
    """Nothing to say, but alive."""


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
    """The broker will not have this agent; trying again is of no use."""

    reason: str
    hint: str = ""
    attempt: int = 1

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
    """Start the load ``delay`` seconds after this arrives."""

    run_id: str
    delay: float

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_seconds(self.delay)


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
class Submit(Message):
    """Run this plan with this bundle on ``plan.agents`` agents."""

    request: int
    plan: RunPlan
    digest: str
    bundle: bytes

    def __post_init__(self) -> None:
        limits.check_ids(self.digest)
        limits.check_lasting(self.plan)
        if self.plan.agents < 1:
            raise ValueError("a plan for a broker asks for agents")
        if len(self.bundle) > limits.MAX_BUNDLE:
            raise ValueError(f"a bundle has at most {limits.MAX_BUNDLE} bytes")


@dataclass(frozen=True)
class StopRun(Message):
    """End a run early: no further test, and ``grace`` seconds for those that run."""

    request: int
    run_id: str
    grace: float

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_seconds(self.grace)


@dataclass(frozen=True)
class GetRun(Message):
    """What is the state of this run, in full?"""

    request: int
    run_id: str

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)


# -- frontend: broker to client ------------------------------------------------------------------


@dataclass(frozen=True)
class Pong(Message):
    """The broker's version, its endpoints as it bound them, and how many agents it has."""

    request: int
    version: str
    backend: str
    publisher: str
    agents: int
    idle_agents: int
    runs: int

    def __post_init__(self) -> None:
        limits.check_texts(self.version, self.backend, self.publisher)
        limits.check_counts(self.agents, self.idle_agents, self.runs)


@dataclass(frozen=True)
class Accepted(Message):
    """The run exists, and agents are being prepared."""

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
    """Update ``number``, counted from 1, of a run: ``view.tally`` is what came since the last."""

    number: int
    view: RunView

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("updates count from 1")
        limits.check_view(self.view)


FROM_AGENT: tuple[type[Message], ...] = (
    Register, Ready, CannotRun, Report, Finished, Bye, Heartbeat,
)  # fmt: skip
TO_AGENT: tuple[type[Message], ...] = (
    Welcome, WelcomeBack, Rejected, WhoAreYou, Prepare, Start, StopLoad, Acknowledge, Release,
    Heartbeat,
)  # fmt: skip
FROM_CLIENT: tuple[type[Message], ...] = (Ping, Submit, StopRun, GetRun)
TO_CLIENT: tuple[type[Message], ...] = (Pong, Accepted, RunSnapshot, Refused)
PUBLISHED: tuple[type[Message], ...] = (Update,)
ALL = tuple(dict.fromkeys((*FROM_AGENT, *TO_AGENT, *FROM_CLIENT, *TO_CLIENT, *PUBLISHED)))

Request = Ping | Submit | StopRun | GetRun
Reply = Pong | Accepted | RunSnapshot | Refused
