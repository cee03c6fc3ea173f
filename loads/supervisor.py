"""Starts, watches and stops the worker processes of one segment of a run.

Used in the same way by an agent and by a local run.  A supervisor has no thread and no loop of its
own: whoever owns it calls :meth:`Supervisor.poll` when one of its descriptors is readable or some
time has passed, and :meth:`Supervisor.sample` several times a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from loads.clock import Clock
from loads.errors import ExitCode
from loads.events import (
    Command,
    GroupEnded,
    Job,
    LineReader,
    StartGroup,
    StopUsers,
    WorkerEnded,
    WorkerEvent,
    WorkerFailed,
    WorkerReady,
    encode,
)
from loads.ledger import FINISHED, LOST, STOPPED, Delta
from loads.metrics.tally import Tally
from loads.plan import RunPlan, Segment
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader

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


class _Worker:
    """One worker process, its pipes and its memory."""

    def __init__(self, name: str, job: Callable[[int, int], Job]) -> None:
        """``job`` makes the job from the descriptors for events and memory."""
        self.name = name
        self.memory = Memory.create()
        self.reader = RecorderReader(self.memory)
        self.sequence = 0
        self.users = 0
        self.ready = False
        self.done = False  # it said that all is done
        self.gone = False  # its last delta was given
        self.group = -1  # the last group that it ended
        self.lines = LineReader()
        self.events, control = os.pipe()
        os.set_blocking(self.events, False)
        made = job(control, self.memory.fd)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "loads.worker"],
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno(),  # standard output is for our results
                pass_fds=(control, self.memory.fd),
                cwd=made.root,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is the supervisor's to handle
                bufsize=0,
            )
        finally:
            os.close(control)
        self.tell(made)

    def tell(self, command: Command) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead, which poll() will notice
            self.process.stdin.write(encode(command))

    def heard(self) -> list[WorkerEvent]:
        """What it said since the last time."""
        events: list[WorkerEvent] = []
        while True:
            try:
                data = os.read(self.events, 1 << 16)
            except BlockingIOError:
                return events
            if not data:
                return events
            events.extend(self.lines.feed(data))

    @property
    def exited(self) -> bool:
        """Whether the process has ended.  It stays a zombie, so that its group's id stays ours."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, how) is not None

    def kill(self) -> None:
        """End the process and whatever the test started in its process group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        os.close(self.events)
        self.reader.close()


def _environment() -> Mapping[str, str]:
    """Our environment, with our own package importable from whatever directory a worker is in."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [ours, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


class Supervisor:
    """The workers of one segment of a run.

    ``root`` is the directory with the test; ``scratch``, if given, one that the workers remove
    should they outlive this process.  ``prefix`` starts the names of the workers.
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
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._stopping = False
        self._deadline: float | None = None
        self._group = -1
        self._said_ready = False
        self._failed = False
        self._workers: list[_Worker] = []
        try:
            for index in range(workers):
                job = partial(Job, plan, Segment(index, workers), root, scratch)
                self._workers.append(_Worker(f"{prefix}{index}", job))
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

    def start(self, delay: float = 0.0) -> None:
        """Start the first group of users ``delay`` seconds from now, in all workers at once."""
        self._start_group(0, self._clock.monotonic() + delay)

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

    def sample(self, name: str) -> Delta | None:
        """What a worker recorded since its last delta; None when there is nothing new."""
        worker = next(w for w in self._workers if w.name == name)
        if worker.gone:
            return None
        users, tally = worker.reader.users, worker.reader.read()
        if not tally and users == worker.users:
            return None
        worker.users = users
        return self._delta(worker, tally, users=users)

    def _delta(
        self,
        worker: _Worker,
        tally: Tally,
        *,
        users: int = 0,
        ended: str = "",
        reason: str = "",
        unknown: int = 0,
    ) -> Delta:
        worker.sequence += 1
        return Delta(worker.name, worker.sequence, tally, users, ended, reason, unknown)

    def _note(self, worker: _Worker, event: WorkerEvent) -> None:
        if isinstance(event, WorkerReady):
            worker.ready = True
        elif isinstance(event, GroupEnded):
            worker.group = event.group
        elif isinstance(event, WorkerEnded):
            worker.done = True

    def _cannot_start(self, code: int, message: str, hint: str) -> list[Happening]:
        """One failure speaks for all: the others failed for the same reason."""
        if self._failed:
            return []
        self._failed = True
        return [CannotStart(code, message, hint)]

    def _gone(self, worker: _Worker) -> list[Happening]:
        """A worker has exited: its last delta, with how it ended."""
        worker.gone = True
        worker.kill()
        how = _describe_exit(worker.process.wait())
        if not worker.ready:
            if self._stopping:
                return []
            return self._cannot_start(
                int(ExitCode.INCOMPLETE),
                f"Worker {worker.name} {how} before the test was loaded.",
                "What it printed is above.",
            )
        tally = worker.reader.read()
        if worker.done:
            return [self._delta(worker, tally, ended=STOPPED if self._stopping else FINISHED)]
        unknown = worker.reader.under_way
        return [self._delta(worker, tally, ended=LOST, reason=how, unknown=unknown)]

    # -- groups ------------------------------------------------------------------------------

    def _start_group(self, group: int, at: float) -> None:
        self._group = group
        if self._plan.duration is not None and not self._stopping:
            self._deadline = at + self._plan.duration + self._plan.grace + SLACK
        for worker in self._workers:
            worker.tell(StartGroup(group, at))

    def _go_on(self) -> None:
        """Start the next group once all workers that are left have ended this one.

        Groups follow one another, so a fast worker waits for a slow one.
        """
        alive = [worker for worker in self._workers if not worker.gone]
        if not alive or self._stopping or not 0 <= self._group < len(self._plan.users) - 1:
            return
        if all(worker.group >= self._group for worker in alive):
            self._start_group(self._group + 1, self._clock.monotonic())


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
