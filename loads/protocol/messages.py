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

MAX_ID = 200
MAX_TEXT = 20_000
MAX_BUNDLE = 64 << 20  #: bytes of a packed bundle
MAX_WORKERS = 1_024  #: workers of one agent

Ended = Literal["", "finished", "stopped", "lost"]


class Message:
    """Base of all messages."""

    __slots__ = ()


def _check_ids(*ids: str) -> None:
    for value in ids:
        if not 0 < len(value) <= MAX_ID:
            raise ValueError(f"an identifier has 1 to {MAX_ID} characters")


def _check_seconds(*seconds: float) -> None:
    for value in seconds:
        if not 0 <= value < 1e9:
            raise ValueError("seconds are a number from 0 up")


def _check_rhythm(heartbeat: float, timeout: float) -> None:
    _check_seconds(heartbeat, timeout)
    if not 0 < heartbeat < timeout:
        raise ValueError("there is more than one heartbeat in a timeout")


def _check_texts(*texts: str) -> None:
    for value in texts:
        if len(value) > MAX_TEXT:
            raise ValueError(f"a text has at most {MAX_TEXT} characters")


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
        _check_ids(self.agent_id)
        _check_texts(self.host, self.version, self.run_id)
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"an agent has 1 to {MAX_WORKERS} workers")


@dataclass(frozen=True)
class Ready(Message):
    """The test is loaded in all of the agent's ``workers``, which wait for the start."""

    run_id: str
    workers: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_ids(self.run_id, *self.workers)
        if not 1 <= len(set(self.workers)) == len(self.workers) <= MAX_WORKERS:
            raise ValueError("workers have different names, and there is at least one")


@dataclass(frozen=True)
class CannotRun(Message):
    """The agent cannot run the plan; repeated until released."""

    run_id: str
    code: int
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        _check_ids(self.run_id)
        _check_texts(self.message, self.hint)


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
        _check_ids(self.run_id, self.worker)
        _check_texts(self.reason)
        if self.sequence < 1 or self.users < 0 or (self.unknown or 0) < 0:
            raise ValueError("a report counts from 1, and nothing in it is negative")


@dataclass(frozen=True)
class Finished(Message):
    """All workers have ended and all their reports are acknowledged; repeated until released."""

    run_id: str

    def __post_init__(self) -> None:
        _check_ids(self.run_id)


@dataclass(frozen=True)
class Bye(Message):
    """The agent leaves of its own will."""

    reason: str = ""

    def __post_init__(self) -> None:
        _check_texts(self.reason)


# -- backend: both ways --------------------------------------------------------------------------


@dataclass(frozen=True)
class Heartbeat(Message):
    """Nothing to say, but alive."""


# -- backend: broker to agent --------------------------------------------------------------------


@dataclass(frozen=True)
class Welcome(Message):
    """The agent is registered and idle.

    ``heartbeat`` is how many seconds may pass between two messages, ``timeout`` after how much
    silence either side takes the other for dead.
    """

    heartbeat: float
    timeout: float

    def __post_init__(self) -> None:
        _check_rhythm(self.heartbeat, self.timeout)


@dataclass(frozen=True)
class WelcomeBack(Message):
    """As :class:`Welcome`, to an agent that is to go on with the run that it is in."""

    heartbeat: float
    timeout: float

    def __post_init__(self) -> None:
        _check_rhythm(self.heartbeat, self.timeout)


@dataclass(frozen=True)
class Rejected(Message):
    """The broker will not have this agent; trying again is of no use."""

    reason: str
    hint: str = ""

    def __post_init__(self) -> None:
        _check_texts(self.reason, self.hint)


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
        _check_ids(self.run_id, self.digest)
        if len(self.bundle) > MAX_BUNDLE:
            raise ValueError(f"a bundle has at most {MAX_BUNDLE} bytes")


@dataclass(frozen=True)
class Start(Message):
    """Start the load ``delay`` seconds after this arrives."""

    run_id: str
    delay: float

    def __post_init__(self) -> None:
        _check_ids(self.run_id)
        _check_seconds(self.delay)


@dataclass(frozen=True)
class StopLoad(Message):
    """Start no further test; cut those that still run after ``grace`` seconds."""

    run_id: str
    grace: float

    def __post_init__(self) -> None:
        _check_ids(self.run_id)
        _check_seconds(self.grace)


@dataclass(frozen=True)
class Acknowledge(Message):
    """All reports of ``worker`` up to number ``sequence`` are merged."""

    run_id: str
    worker: str
    sequence: int

    def __post_init__(self) -> None:
        _check_ids(self.run_id, self.worker)
        if self.sequence < 0:
            raise ValueError("reports count from 1, and 0 acknowledges none")


@dataclass(frozen=True)
class Release(Message):
    """The broker is done with this agent's part of the run; the agent forgets it."""

    run_id: str

    def __post_init__(self) -> None:
        _check_ids(self.run_id)


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
        _check_ids(self.digest)
        if self.plan.agents < 1:
            raise ValueError("a plan for a broker asks for agents")
        if len(self.bundle) > MAX_BUNDLE:
            raise ValueError(f"a bundle has at most {MAX_BUNDLE} bytes")


@dataclass(frozen=True)
class StopRun(Message):
    """End a run early: no further test, and ``grace`` seconds for those that run."""

    request: int
    run_id: str
    grace: float

    def __post_init__(self) -> None:
        _check_ids(self.run_id)
        _check_seconds(self.grace)


@dataclass(frozen=True)
class GetRun(Message):
    """What is the state of this run, in full?"""

    request: int
    run_id: str

    def __post_init__(self) -> None:
        _check_ids(self.run_id)


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


@dataclass(frozen=True)
class Accepted(Message):
    """The run exists, and agents are being prepared."""

    request: int
    run_id: str

    def __post_init__(self) -> None:
        _check_ids(self.run_id)


@dataclass(frozen=True)
class RunSnapshot(Message):
    """A run in full, as it is after update ``number``."""

    request: int
    number: int
    view: RunView


@dataclass(frozen=True)
class Refused(Message):
    """No.  ``code`` is the exit code that a command should end with."""

    request: int
    code: int
    message: str
    hint: str = ""

    def __post_init__(self) -> None:
        _check_texts(self.message, self.hint)


# -- publisher: broker to consoles ---------------------------------------------------------------


@dataclass(frozen=True)
class Update(Message):
    """Update ``number``, counted from 1, of a run: ``view.tally`` is what came since the last."""

    number: int
    view: RunView

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError("updates count from 1")


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
