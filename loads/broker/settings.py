"""What the broker's shell knows and its core does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a broker behaves.

    ``observers`` are those that it has, by name.

    ``epoch`` is what to add to the monotonic clock for the time of day.  ``report_rate`` is how
    many reports per second a run may make: with 2,000, each of 1,000 workers reports every half
    second.  ``told_agents`` is of how many agents an update tells the hits.  From ``gathered_from``
    workers on, what they report is stored and acknowledged together, with each update.  Texts and
    numbers of things aside, all others are in seconds.
    """

    version: str = ""
    backend: str = ""
    publisher: str = ""
    epoch: float = 0.0
    heartbeat: float = 1.0
    agent_timeout: float = 10.0
    prepare_timeout: float = 120.0
    stop_slack: float = 15.0  #: beyond the time a run may take, for agents to report the end
    start_delay: float = 0.1  #: so that the slowest link has the start before it is due
    publish_interval: float = 0.25
    queue_interval: float = 1.0  #: between two updates of a run that waits
    max_queued_runs: int = 100
    max_queued_bytes: int = 512 << 20  #: of bundles, each counted once, and of plans
    max_agents: int = 10_000
    report_interval: float = 0.25
    report_rate: int = 2_000
    told_agents: int = 50
    gathered_from: int = 50
    stall: float = 30.0  #: without the end of any test or hit, after which a run is said to hang
    #: after a restart of the broker, for agents to come back: they look for it for so long
    return_timeout: float = 40.0
    kept_runs: int = 100  #: ended runs in memory, with all their numbers
    held_histories: int = 64 << 20  #: bytes of histories in memory that could not be stored yet
    listed_runs: int = 1_000  #: ended runs in lists
    listed_bytes: int = 64 << 20  #: of their plans
    observers: frozenset[str] = frozenset()

    @property
    def lapse(self) -> float:
        """Seconds for which nothing need be heard of an agent that is well."""
        return 3 * self.heartbeat
