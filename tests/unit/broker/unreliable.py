"""Storages that fail and hang when a test says so, and a broker that has one."""

from __future__ import annotations

from collections import deque

from loads.broker.actions import Action
from loads.broker.clerk import Clerk, Work
from loads.broker.core import Core, Settings
from loads.broker.keeper import COMPACT_AT, Keeper
from loads.broker.turns import Turns
from loads.clock import FakeClock
from loads.errors import StorageError
from loads.storage.base import ForgetRun
from loads.storage.memory import MemoryStorage


class Unreliable(MemoryStorage):
    """A storage that can be out of order, and counts what is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.is_full = False  # so that nothing but room can be made
        self.writes = 0

    def write(self, records):
        self.writes += 1
        self._work()
        if self.is_full and not all(isinstance(record, ForgetRun) for record in records):
            raise StorageError("The disk is full.")
        super().write(records)

    def run(self, run_id):
        self._work()
        return super().run(run_id)

    def _work(self):
        if self.is_broken:
            raise StorageError("The disk is full.")


class Slow(Clerk):
    """Does what it is given when a test says so, as a server that takes its time."""

    def __init__(self, storage) -> None:
        super().__init__(storage)
        self._given: deque[tuple[int, Work]] = deque()

    def give(self, work: Work) -> int:
        self._number += 1
        self._given.append((self._number, work))
        return self._number

    def works(self, most: int = 1) -> None:
        """Do what was given first."""
        for _ in range(min(most, len(self._given))):
            self._do(*self._given.popleft())

    @property
    def is_busy(self) -> bool:
        return bool(self._given or self._done)

    def drop(self) -> None:
        while len(self._given) > 1:  # the first is under way
            self._given.pop()


class Unguarded:
    """A bug in the core fails the test."""

    def handle(self, core, event, now):
        return core.handle(event, now)


class Broker:
    """A broker without sockets: what it does is kept in ``done``."""

    def __init__(
        self, clerk: type[Clerk] = Clerk, compact_at: int = COMPACT_AT, **settings
    ) -> None:
        self.clock = FakeClock(1000.0)
        self.storage = Unreliable()
        self.done: list[Action] = []
        epoch = self.clock.wall() - self.clock.monotonic()
        never = dict.fromkeys(("agent_timeout", "return_timeout", "stall"), 1e6)
        self._settings = Settings(**{"epoch": epoch, **never, **settings})
        self._compact_at = compact_at
        self.clerk = clerk(self.storage)
        self.begin()

    def begin(self) -> None:
        """Another takes over the storage."""
        self.clerk = type(self.clerk)(self.storage)
        self.keeper = Keeper(
            self.storage, self.clock, compact_at=self._compact_at, clerk=self.clerk
        )
        self.core = Core(self._settings)
        self.turns = Turns(self.core, self.keeper, self.clock, Unguarded(), self.do)
        self.turns.flush()

    def do(self, action: Action) -> None:
        self.done.append(action)

    def hears(self, *events) -> None:
        """In one turn."""
        for event in events:
            self.turns.handle(event)
        self.turns.flush()

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.turns.tick()

    def breaks(self) -> None:
        self.storage.is_broken = True

    def is_repaired(self) -> None:
        self.storage.is_broken = False

    def works(self, most: int = 100) -> None:
        """A slow storage does what it was given."""
        if isinstance(self.clerk, Slow):
            self.clerk.works(most)
            self.turns.look()
