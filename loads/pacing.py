"""When a user starts its next test: pure functions of what is done and how much time has passed.

A pacer is asked before each test.  It never looks at a clock and never waits itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from loads.plan import RunPlan


class Pacer(Protocol):
    """Paces one user of a closed model, or all the arrivals of an open one."""

    def wait(self, done: int, elapsed: float) -> float | None:
        """How many seconds to wait before the next test, or None when there is no next one.

        ``done`` tests have been started so far, ``elapsed`` seconds after the group's start.
        """


@dataclass(frozen=True)
class Repeat:
    """A closed model: each user runs the test ``times`` times, one after the other."""

    times: int

    def wait(self, done: int, elapsed: float) -> float | None:
        return 0.0 if done < self.times else None


@dataclass(frozen=True)
class Lasting:
    """A closed model: each user runs the test again and again for ``seconds``."""

    seconds: float

    def wait(self, done: int, elapsed: float) -> float | None:
        return 0.0 if elapsed < self.seconds else None


def pacer_for(plan: RunPlan, group: int = 0, user: int = 0) -> Pacer:
    """The pacer of one user of ``plan`` in one of its groups.

    A cycle of hits (``--hits 5:10``) is run number after number by each user by itself, with
    no barrier in between, so that to a pacer it is its sum.
    """
    seconds = plan.seconds_of(group)
    if seconds is not None:
        return Lasting(seconds)
    return Repeat(plan.tests_of(group, user))
