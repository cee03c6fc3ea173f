"""Starts, watches and stops the worker processes of one segment of a run.

Used in the same way by an agent and by a local run.  A supervisor has no thread and no loop of its
own: whoever owns it calls :meth:`Supervisor.poll` when one of its descriptors is readable or some
time has passed, and :meth:`Supervisor.sample` several times a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from loads.child import Child
from loads.clock import Clock
from loads.errors import ExitCode
from loads.events import (
    GroupEnded,
    Job,
    LeftAlone,
    StartGroup,
    StopUsers,
    Warned,
    WorkerEnded,
    WorkerEvent,
    WorkerFailed,
    WorkerReady,
)
from loads.ledger import FINISHED, LOST, STOPPED, Delta
from loads.metrics.tally import Tally
from loads.plan import RunPlan, Segment

BEAT = 1.0  #: seconds between two signs of life to a worker
SLACK = 5.0  #: seconds beyond the grace period after which a worker that does not end is killed


@dataclass(frozen=True)
class AllReady:
    """Every worker has loaded the test and waits for the start."""


@dataclass(frozen=True)
class CannotStart:
    """A worker could not load the test, or died doing so."""

    code: int
    message: str
    hint: str


Happening = AllReady | CannotStart | Delta


def usable_cores() -> int:
    """How many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_for(plan: RunPlan, most: int) -> int:
    """How many workers a plan can keep busy: never more than it has users at once."""
    return max(1, min(most, max(plan.users)))


class Supervisor:
    """The workers of one segment of a run.

    ``root`` is the directory with the test; ``scratch``, if given, one that the workers remove
    should they outlive this process.  ``prefix`` starts the names of the workers; ``libraries``
    is a directory with what was installed for the test.  In the ``foreground``, a worker has the
    terminal to itself; ``verbose`` has it show what it does there.  Without any sign of us, which
    people know as ``owner``, workers keep up their load for ``orphan_timeout`` seconds.  What they
    do when we are gone is what ``last_words`` makes of their names; by default they end.
    """

    def __init__(
        self,
        plan: RunPlan,
        root: str,
        workers: int,
        clock: Clock,
        *,
        prefix: str = "",
        scratch: str = "",
        run_id: str = "",
        libraries: str = "",
        foreground: bool = False,
        verbose: int = 0,
        orphan_timeout: float = 30.0,
        owner: str = "loads-runner",
        last_words: Callable[[str], bytes] = lambda name: b"",
    ) -> None:
        self._plan = plan
        self._owner = owner
        self._beaten = clock.monotonic()
        self._clock = clock
        self._stopping = False
        self._deadline: float | None = None
        self._group = -1
        self._said_ready = False
        self._failed = False
        self._workers: list[Child] = []
        try:
            for index in range(workers):
                name = f"{prefix}{index}"
                job = partial(
                    Job,
                    plan,
                    Segment(index, workers),
                    root,
                    scratch,
                    verbose=verbose,
                    name=name,
                    run_id=run_id,
                    # one beat that is late is no reason
                    orphan_timeout=max(orphan_timeout, 3 * BEAT),
                )
                self._workers.append(Child(name, job, libraries, foreground, last_words(name)))
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """The workers' names, under which they report."""
        return [worker.name for worker in self._workers]

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.process.pid for worker in self._workers]

    @property
    def filenos(self) -> list[int]:
        """Descriptors that are readable when :meth:`poll` has something to see."""
        return [worker.events for worker in self._workers if not worker.gone]

    # -- commands ----------------------------------------------------------------------------

    def start(self, delay: float = 0.0, origin: float = 0.0) -> None:
        """Start the first group of users ``delay`` seconds from now, in all workers at once.

        A group by duration that should have started some time ago has that much less.  ``origin``
        is when the run began, on the machine's monotonic clock, where that is not now.
        """
        self._start_group(0, self._clock.monotonic() + delay, origin)

    def stop(self, grace: float) -> None:
        """Have no further test started; cut those that still run after ``grace`` seconds."""
        self._stopping = True
        self._deadline = self._clock.monotonic() + grace + SLACK
        for worker in self._workers:
            worker.tell(StopUsers(grace))

    def kill(self) -> None:
        """End all workers now.  What they had recorded is still there to be read."""
        self._stopping = True
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """Leave nothing behind: no process, no descriptor, no memory."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    # -- what happens ------------------------------------------------------------------------

    def poll(self) -> list[Happening]:
        """What happened since the last time: readiness, failure, last deltas of workers."""
        self._keep_beating()
        happenings: list[Happening] = []
        for worker in self._workers:
            if worker.gone:
                continue
            exited = worker.exited  # asked before reading, so that nothing is missed
            for event in worker.heard():
                if isinstance(event, WorkerFailed):
                    happenings += self._cannot_start(event.code, event.message, event.hint)
                self._note(worker, event)
            if exited:
                happenings += self._gone(worker)
            elif self._deadline is not None and self._clock.monotonic() > self._deadline:
                worker.kill()
        if not self._said_ready and all(worker.ready for worker in self._workers):
            self._said_ready = True
            happenings.append(AllReady())
        self._go_on()
        return happenings

    def _keep_beating(self) -> None:
        now = self._clock.monotonic()
        due = now - self._beaten >= BEAT
        for worker in self._workers:
            if not worker.gone:
                worker.flush()
                worker.beat() if due else None
        if due:
            self._beaten = now

    def sample(self, name: str) -> Delta | None:
        """What a worker recorded since its last delta; None when there is nothing new."""
        worker = next(w for w in self._workers if w.name == name)
        if worker.gone:
            return None
        users, tally = worker.reader.users, worker.reader.read()
        if not tally and users == worker.users and not worker.warnings:
            return None
        worker.users = users
        return self._delta(worker, tally, users=users)

    def _delta(
        self,
        worker: Child,
        tally: Tally,
        *,
        users: int = 0,
        ended: str = "",
        reason: str = "",
        unknown: int = 0,
    ) -> Delta:
        worker.sequence += 1
        tally.warnings |= worker.warnings
        worker.warnings.clear()
        return Delta(worker.name, worker.sequence, tally, users, ended, reason, unknown)

    def _note(self, worker: Child, event: WorkerEvent) -> None:
        if isinstance(event, WorkerReady):
            worker.ready = True
        elif isinstance(event, GroupEnded):
            worker.group = event.group
        elif isinstance(event, WorkerEnded):
            worker.done = True
        elif isinstance(event, Warned):
            worker.warnings.add(event.text)
        elif isinstance(event, LeftAlone):
            worker.left_alone = event.seconds

    def _cannot_start(self, code: int, message: str, hint: str) -> list[Happening]:
        """One failure speaks for all: the others failed for the same reason."""
        if self._failed:
            return []
        self._failed = True
        return [CannotStart(code, message, hint)]

    def _gone(self, worker: Child) -> list[Happening]:
        """A worker has exited: its last delta, with how it ended."""
        worker.gone = True
        worker.kill()
        how = worker.wait()
        if not worker.ready:
            if self._stopping:
                return []
            return self._cannot_start(
                int(ExitCode.INCOMPLETE),
                f"Worker {worker.name} {how} before the test was loaded.",
                "What it printed is above.",
            )
        tally = worker.reader.read()
        if worker.left_alone:
            why = f"orphaned, no word from {self._owner} for {worker.left_alone:.0f} s"
            how = f"stopped early: {why}" if worker.done else f"{how}: {why}"
        elif worker.done:
            return [self._delta(worker, tally, ended=STOPPED if self._stopping else FINISHED)]
        unknown = 0 if worker.done else worker.reader.under_way
        return [self._delta(worker, tally, ended=LOST, reason=how, unknown=unknown)]

    # -- groups ------------------------------------------------------------------------------

    def _start_group(self, group: int, at: float, origin: float = 0.0) -> None:
        self._group = group
        seconds = self._plan.seconds_of(group)
        if seconds is not None and not self._stopping:
            self._deadline = at + seconds + self._plan.grace + SLACK
        for worker in self._workers:
            worker.tell(StartGroup(group, at, origin))

    def _go_on(self) -> None:
        """Start the next group once all workers that are left have ended this one.

        Groups follow one another, so a fast worker waits for a slow one.
        """
        alive = [worker for worker in self._workers if not worker.gone]
        if not alive or self._stopping or not 0 <= self._group < len(self._plan.users) - 1:
            return
        if all(worker.group >= self._group for worker in alive):
            self._start_group(self._group + 1, self._clock.monotonic())
