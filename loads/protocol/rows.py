"""The lines of the lists that a broker gives: of its runs, and of its agents."""

from __future__ import annotations

from dataclasses import dataclass

from loads.metrics.summary import State, Status
from loads.protocol import limits


@dataclass(frozen=True)
class RunRow:
    """A run in a list.

    ``submitted``, ``started`` and ``ended`` are seconds since the Unix epoch, 0 for what has not
    happened; ``duration`` is seconds of load so far.  ``agents`` is how many it asks for,
    ``users`` how many are active now.  ``place`` is that in the queue, 0 outside of it.
    ``user_id`` is who started it, if that was said, ``submitted_by`` the name of the key that was
    used.
    """

    run_id: str
    target: str
    description: str
    state: State
    status: Status
    submitted: float
    started: float
    ended: float
    duration: float
    agents: int
    users: int
    hits: int
    place: int = 0
    user_id: str = ""
    submitted_by: str = ""

    def __post_init__(self) -> None:
        limits.check_ids(self.run_id)
        limits.check_moments(self.submitted, self.started, self.ended)
        limits.check_seconds(self.duration)
        limits.check_counts(self.agents, self.users, self.hits, self.place)


@dataclass(frozen=True)
class AgentRow:
    """An agent in a list.

    ``state`` is that of its link, ``run_id`` the run that it is in, ``since`` when it registered,
    in seconds since the Unix epoch; ``load`` as in ``Heartbeat``, ``cores`` as in
    ``Register``.  ``protocol`` is the version of the protocol that it speaks.
    """

    agent_id: str
    host: str
    pid: int
    cores: int
    workers: int
    load: float | None
    version: str
    protocol: int
    state: str
    run_id: str
    since: float

    def __post_init__(self) -> None:
        limits.check_ids(self.agent_id)
        limits.check_moments(self.since)
        limits.check_counts(self.cores, self.workers)
        limits.check_seconds(self.load or 0.0)
