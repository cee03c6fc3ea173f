"""The life of a worker process: take a job, load the test, run groups of users, end.

Commands arrive on one pipe, events leave on another, results are left in shared memory.  A native
thread reads the commands, so that a worker whose greenlets are blocked still notices that its
supervisor is gone: then its load ends at once, see :mod:`loads.worker.orphan`.  Where the
supervisor is there and silent, the load is stopped after some time, and what was done can still be
read: see :mod:`loads.worker.switch`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

import gevent
from gevent import monkey
from gevent.event import Event

from loads import descriptors
from loads.case import Settings
from loads.clients.hits import Choices, exact_name
from loads.clients.instrument import measure
from loads.clients.trace import show
from loads.errors import LoadsError
from loads.events import (
    Beat,
    GroupEnded,
    Job,
    LeftAlone,
    LineReader,
    StartGroup,
    StopUsers,
    Warned,
    WorkerEnded,
    WorkerEvent,
    WorkerFailed,
    WorkerReady,
    encode,
)
from loads.recorder.current import install
from loads.recorder.memory import Memory
from loads.recorder.writer import Recorder
from loads.worker.fixtures import fixtures
from loads.worker.loader import load
from loads.worker.orphan import end_by_force, leave
from loads.worker.switch import INTERVAL, Switch
from loads.worker.users import Users
from loads.worker.watchdog import LIMIT, Watchdog

if TYPE_CHECKING:
    from loads.worker.external import Programs

CUT_TIME = 2.0  #: seconds that cut greenlets have to unwind before the process ends regardless

_start_thread = monkey.get_original("_thread", "start_new_thread")
_poll = monkey.get_original("select", "poll")


class Commands:
    """The supervisor's commands, read by a native thread and handed to the hub."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reader = LineReader()
        self._arrived: deque[object] = deque()
        self._event = Event()
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._event.set)

    def read_job(self) -> Job:
        """The first command, waited for with nothing else running yet."""
        while not self._arrived:
            data = os.read(self._fd, 1 << 16)
            if not data:
                os._exit(1)
            self._arrived.extend(self._reader.feed(data))
        job = self._arrived.popleft()
        assert isinstance(job, Job)
        if job.last_words >= 0:
            os.set_inheritable(job.last_words, False)  # it is none of the test's business
        _start_thread(self._read_for_ever, (job,))
        return job

    def _read_for_ever(self, job: Job) -> None:
        switch, poll = Switch(job.orphan_timeout), _poll()
        poll.register(self._fd, select.POLLIN)
        while True:
            before = time.monotonic()
            readable = poll.poll(INTERVAL * 1000)
            waited = time.monotonic() - before
            if readable:
                self._read(job, switch)
            what = switch.waited(waited, heard=bool(readable))
            if what == "stop":
                _tell(job, LeftAlone(switch.silence))
                self._hand_over(StopUsers(0.0))
            elif what == "end":
                end_by_force()

    def _read(self, job: Job, switch: Switch) -> None:
        data = os.read(self._fd, 1 << 16)
        if not data:
            leave(job)
        for command in self._reader.feed(data):
            if isinstance(command, StartGroup):
                switch.arm()
            if not isinstance(command, Beat):
                self._hand_over(command)

    def _hand_over(self, command: object) -> None:
        self._arrived.append(command)
        self._watcher.send_ignoring_arg(None)

    def next(self) -> object:
        """Wait for the next command."""
        while not self._arrived:
            self._event.clear()
            if not self._arrived:
                self._event.wait()
        return self._arrived.popleft()


def _tell(job: Job, event: WorkerEvent) -> None:
    """Report to the supervisor; one that is gone needs no report."""
    with contextlib.suppress(BrokenPipeError):
        os.write(job.control, encode(event))


class Worker:
    """One worker process."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._job = commands.read_job()
        self._recorder = Recorder(Memory.inherited(self._job.memory))
        install(self._recorder)
        measure(self._job.plan.resolve_once, fast=self._job.plan.patching)

    def tell(self, event: WorkerEvent) -> None:
        """Report to the supervisor."""
        _tell(self._job, event)

    def run(self) -> None:
        """Load the test, then obey until the last group has ended or the users are stopped."""
        job = self._job
        Settings.server_url = job.plan.server_url
        Settings.config = dict(job.plan.config)
        if job.plan.url_names == "exact":
            Choices.name = staticmethod(exact_name)
        if job.plan.test_runner:
            self._run_programs()
            return
        if job.verbose > 1:
            Choices.watch = staticmethod(show)
        sys.path[:0] = [os.path.normpath(os.path.join(job.root, path)) for path in job.plan.paths]
        try:
            tests = load(job.plan.target, job.root)
        except LoadsError as error:
            self.tell(WorkerFailed(int(error.exit_code), error.message, error.hint))
            return
        gc.freeze()  # what was loaded stays: it need not be looked through again and again
        with fixtures(tests, job.root, self._recorder) as usable:
            users = Users(job.plan, job.segment, usable, job.root, self._recorder)
            self._warn_of_shortage()
            self.tell(WorkerReady())
            if not job.verbose:  # somebody who debugs stops the worker on purpose
                Watchdog(job.root, self._warn_of_blocking, self._warn_of_pause).start()
            self._obey(users)
        self.tell(WorkerEnded())

    def _warn_of_shortage(self) -> None:
        """In the same words in every worker of a segment's size, so that it is said once."""
        plan, segments = self._job.plan, self._job.segment.count
        users = -(-max(plan.users) // segments)
        shortage = descriptors.shortage(users, descriptors.raise_limit())
        if shortage:
            self.tell(Warned(shortage))

    def _run_programs(self) -> None:
        """The users are programs of another language."""
        from loads.worker.external import Programs  # noqa: PLC0415 - others do without ZeroMQ

        try:
            programs = Programs(self._job, self._recorder, lambda text: self.tell(Warned(text)))
        except LoadsError as error:
            self.tell(WorkerFailed(int(error.exit_code), error.message, error.hint))
            return
        try:
            self.tell(WorkerReady())
            self._obey(programs)
        finally:
            programs.close()
        self.tell(WorkerEnded())

    def _warn_of_blocking(self, where: str) -> None:
        self.tell(
            Warned(
                f"The test kept its worker from running other users for over {LIMIT:g} s, at "
                f"{where}. What was measured meanwhile is not the target's doing."
            )
        )

    def _warn_of_pause(self, seconds: float) -> None:
        self.tell(
            Warned(
                f"The machine did not run a worker for {seconds:.0f} s: it was stopped, or had no "
                "processor. What was measured meanwhile is not the target's doing."
            )
        )

    def _obey(self, users: Users | Programs) -> None:
        last_group = len(self._job.plan.users) - 1
        running: gevent.Greenlet | None = None
        ended = Event()

        def run_group(command: StartGroup) -> None:
            users.run_group(command.group, command.at)
            self.tell(GroupEnded(command.group))
            if command.group == last_group:
                ended.set()

        def end_within(seconds: float) -> None:
            if running is not None:
                running.join(seconds)
            ended.set()

        def obey() -> None:
            nonlocal running
            while True:
                command = self._commands.next()
                if isinstance(command, StartGroup):
                    if command.group == 0:
                        self._recorder.start_clock(command.origin or command.at)
                    running = gevent.spawn(run_group, command)
                elif isinstance(command, StopUsers):
                    users.stop(command.grace)
                    # not waited for here: the next command may be to stop at once
                    gevent.spawn(end_within, command.grace + CUT_TIME)

        obeying = gevent.spawn(obey)
        ended.wait()
        obeying.kill(block=False)


def main(commands_fd: int) -> int:
    """Run one job; the commands come from the file descriptor ``commands_fd``."""
    sys.argv[1:] = []  # our command line is none of the test's business
    # where each greenlet was spawned is half a kilobyte of it, for a report that nobody asks for
    gevent.config.track_greenlet_tree = False
    worker = Worker(Commands(commands_fd))
    worker.run()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is recorded and said; what a test left behind (threads, greenlets, atexit
    # handlers that wait) must not keep the run from ending.
    os._exit(0)
