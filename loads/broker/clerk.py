"""Does the work of a storage, job after job, and holds up nobody.

A database server may be slow, or take what it is told and never answer.  Work on such a storage is
done in a thread, and the broker's loop is woken when there is something to look at.  Work on a file
is done at once: it would take longer to hand it over.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from loads.storage.base import Storage

Work = Callable[[Storage], Any]


class Done(NamedTuple):
    """What came of a job: a result or, if it failed, an error."""

    number: int
    result: Any = None
    error: Exception | None = None


class Clerk:
    """Does each job at once."""

    wakes: int | None = None  #: a descriptor that is readable when something was done

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._number = 0
        self._done: deque[Done] = deque()

    def give(self, work: Work) -> int:
        """Have something done after all that was given before; gives the job's number."""
        self._number += 1
        self._do(self._number, work)
        return self._number

    def _do(self, number: int, work: Work) -> None:
        try:
            self._done.append(Done(number, work(self.storage)))
        except Exception as error:
            self._done.append(Done(number, error=error))

    def done(self) -> list[Done]:
        """What was done since this was last called, in order."""
        found = []
        while self._done:
            found.append(self._done.popleft())
        return found

    @property
    def is_busy(self) -> bool:
        """Whether there are jobs that are not done."""
        return False

    def drop(self) -> None:
        """Do nothing of what was given, but what is under way; break that off if it can be."""

    def close(self, patience: float) -> None:
        """Close the storage, when all is done, or after ``patience`` seconds."""
        self.storage.close()


class Thread(Clerk):
    """Does the jobs in a thread.  One that hangs for good ends with the process."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.wakes, self._waker = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(self._waker, False)
        self._jobs: queue.SimpleQueue[tuple[int, Work] | None] = queue.SimpleQueue()
        self._open = 0
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._do(*job)
            with suppress(BlockingIOError):  # then it is readable anyway
                os.write(self._waker, b"!")
        self.storage.close()

    def give(self, work: Work) -> int:
        self._open += 1
        self._number += 1
        self._jobs.put((self._number, work))
        return self._number

    def done(self) -> list[Done]:
        assert self.wakes is not None
        with suppress(BlockingIOError):
            while os.read(self.wakes, 512):
                continue
        found = super().done()
        self._open -= len(found)
        return found

    @property
    def is_busy(self) -> bool:
        return self._open > 0

    def drop(self) -> None:
        with suppress(queue.Empty):
            while self._jobs.get_nowait():
                self._open -= 1
        if self._open:
            self.storage.interrupt()

    def close(self, patience: float) -> None:
        if not self._thread.is_alive():
            return
        self._jobs.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            return  # it may yet write to the pipe
        for end in (self.wakes, self._waker):
            assert end is not None
            os.close(end)


def clerk_for(storage: Storage) -> Clerk:
    """Who does the work of a storage."""
    return Thread(storage) if storage.is_remote else Clerk(storage)
