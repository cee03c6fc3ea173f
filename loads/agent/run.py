"""What an agent knows of the run that it is in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from loads.ledger import LOST, STOPPED, Delta
from loads.protocol import messages as m
from loads.protocol.limits import clipped

MAX_UNACKNOWLEDGED = 8  #: reports of one worker; then reading it pauses


@dataclass
class Run:
    """The run that this agent is in the middle of.

    ``turn`` is that in which it was prepared.  ``workers`` are those of its own load.  ``ended``
    holds the workers whose last delta is here, ``unacknowledged`` the reports of each worker that
    the broker has not confirmed, and ``last_word`` what is repeated until the broker releases the
    agent.  ``interval`` is how often the broker wants reports, once it has said so.  ``abandoned``
    says why the agent stops the load unasked, if it does.

    ``extensions`` are the loads that it was asked to take over, by number, with the answer; None,
    while their workers load the test.  In a run whose loads are ``handed_over`` when an agent is
    lost, others take over as soon as the broker misses us.
    """

    run_id: str
    turn: int = 0
    workers: tuple[str, ...] = ()
    ended: set[str] = field(default_factory=set)
    unacknowledged: dict[str, deque[m.Report]] = field(default_factory=dict)
    extensions: dict[int, m.Extended | None] = field(default_factory=dict)
    last_word: m.Message | None = None
    reported_at: float = 0.0
    sampled_at: float = 0.0
    interval: float | None = None
    started: bool = False
    stopping: bool = False
    handed_over: bool = False
    abandoned: str = ""

    @property
    def is_told(self) -> bool:
        """Whether everything has happened, and the broker knows all of it."""
        everything = bool(self.workers) and self.ended == set(self.unacknowledged)
        unsaid = any(self.unacknowledged.values()) or None in self.extensions.values()
        return everything and not unsaid

    @property
    def pending(self) -> list[int]:
        """The loads to take over whose workers are not ready yet."""
        return [number for number, answer in self.extensions.items() if answer is None]

    def watch(self, workers: tuple[str, ...]) -> None:
        """Expect deltas of some workers."""
        self.unacknowledged.update((worker, deque()) for worker in workers)

    @property
    def sources(self) -> list[str]:
        """The workers that are to be read now: those that go on and are not far ahead."""
        return [
            worker
            for worker, waiting in self.unacknowledged.items()
            if worker not in self.ended and len(waiting) < MAX_UNACKNOWLEDGED
        ]

    @property
    def is_unconfirmed(self) -> bool:
        """Whether there is something that the broker has to be told until it says that it knows."""
        return self.last_word is not None or any(self.unacknowledged.values())

    def report(self, delta: Delta) -> m.Report:
        """Keep what a worker did, as it is to be reported, until the broker has confirmed it."""
        ended, reason = delta.ended, delta.reason
        if self.abandoned and ended == STOPPED:
            ended, reason = LOST, f"stopped early: {self.abandoned}"
        report = m.Report(
            self.run_id,
            delta.source,
            delta.sequence,
            delta.tally,
            delta.users,
            ended,  # type: ignore[arg-type]
            clipped(reason),
            delta.unknown,
        )
        if delta.ended:
            self.ended.add(delta.source)
        self.unacknowledged[delta.source].append(report)
        return report
