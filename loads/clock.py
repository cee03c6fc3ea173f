"""Time as a value that is passed in, so that tests can own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the shells take the time from; the cores are handed plain numbers."""

    def monotonic(self) -> float:
        """Seconds that never go backwards, comparable between processes of one machine."""

    def wall(self) -> float:
        """Seconds since the Unix epoch, for people to read."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class FakeClock:
    """A clock for tests: it moves when it is told to, and no test ever waits."""

    def __init__(self, now: float = 0.0, epoch: float = 1_700_000_000.0) -> None:
        self._now = now
        self._epoch = epoch

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._epoch + self._now

    def advance(self, seconds: float) -> float:
        """Move on by ``seconds`` and return the new monotonic time."""
        self._now += seconds
        return self._now
