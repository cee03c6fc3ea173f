"""When silence means death.

Any message is a sign of life; a heartbeat is sent only when there is nothing else to say.  How long
both may take is the broker's to decide, and told in its welcome.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Liveness:
    """One side's watch over its peer.

    ``interval`` is how many seconds this side lets pass between two messages that it sends,
    ``timeout`` how much silence of the peer it bears; ``heard`` and ``sent`` are the times of the
    last message each way.
    """

    interval: float
    timeout: float
    heard: float
    sent: float

    @classmethod
    def since(cls, now: float, interval: float, timeout: float) -> Liveness:
        """A watch that starts now, with the peer alive."""
        return cls(interval, timeout, heard=now, sent=now)

    def is_due(self, now: float) -> bool:
        """Whether it is time for a heartbeat of ours."""
        return now - self.sent >= self.interval

    def is_dead(self, now: float) -> bool:
        """Whether the peer has been silent for too long."""
        return now - self.heard > self.timeout

    def silence(self, now: float) -> float:
        """Seconds since the peer was last heard."""
        return now - self.heard
