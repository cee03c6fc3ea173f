"""What clients and their broker say to each other, and what it publishes."""

from __future__ import annotations

from dataclasses import dataclass, field

from loads.metrics.summary import RunChanges, RunView
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol.message import Message
from loads.protocol.rows import AgentRow, RunRow

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
        if len(self.options) > limits.MAX_OPTIONS:
            raise ValueError(f"an observer has at most {limits.MAX_OPTIONS} options")
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
