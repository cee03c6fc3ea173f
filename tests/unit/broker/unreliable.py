"""Storages that fail and hang when a test says so."""

from __future__ import annotations

from collections import deque

from loads.broker.clerk import Clerk, Work
from loads.errors import StorageError
from loads.storage.memory import MemoryStorage


class Unreliable(MemoryStorage):
    """A storage that can be out of order, and counts what is tried."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.writes = 0

    def write(self, records):
        self.writes += 1
        self._work()
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
