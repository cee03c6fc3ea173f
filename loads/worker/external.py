"""Virtual users that are programs in any language: started, heard, ended.

The same place in a worker as :mod:`loads.worker.users`: a group of users is run, and may be
stopped.  What the programs report (:mod:`loads.protocol.external`) goes to its recorder, so
that everything behind that is the same for them as for tests in Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import subprocess
from gevent.event import Event
from gevent.pool import Group

from loads.clients.hits import Choices
from loads.errors import RemoteProtocolError, TargetError
from loads.events import Job
from loads.metrics.failures import ERROR, Failure
from loads.metrics.series import HIT, TEST, SeriesKey, Verdict
from loads.plan import RunPlan, split_command
from loads.protocol import external
from loads.recorder.writer import Recorder
from loads.transport.inlet import Inlet

TERMINATE_TIME = 2.0  #: seconds from SIGTERM to SIGKILL at the end of a duration
DRAIN_TIME = 10.0  #: seconds that a connection may stay open after the last program has ended
_POLL = 0.05  #: seconds
_MOST_WORDS = 4_000  #: bytes of a program's standard error that are shown when it fails


@dataclass
class _OpenTest:
    started: float
    verdict: Verdict | None = None
    failures: list[Failure] = field(default_factory=list)


class Tracker:
    """Turns reports into records."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._open: dict[tuple[str, str], _OpenTest] = {}

    def take(self, report: external.Report, now: float) -> None:
        """Record one report that came ``now``."""
        recorder = self._recorder
        if isinstance(report, external.HitMade):
            key = SeriesKey(HIT, Choices.name(report.url), report.method.upper())
            recorder.count("hits_started")
            recorder.series(key).record(int(report.seconds * 1e6), report.status)
        elif isinstance(report, external.TestStarted):
            self._end(report.user, report.test, now)  # one that was never said to have ended
            self._start(report, now)
        elif isinstance(report, external.TestJudged):
            self._judge(report, now)
        elif isinstance(report, external.TestStopped):
            self._end(report.user, report.test, now)
        elif isinstance(report, external.SocketUsed):
            recorder.count(report.count)
            if report.size:
                recorder.count("ws_bytes_received", report.size)
        else:
            recorder.incr_counter(report.name, report.by)
        recorder.touch(now)

    def fail(self, test: str, failure: Failure, now: float) -> None:
        """Record a failure of a test that nobody reported."""
        self.take(external.TestStarted(test, ""), now)
        self.take(external.TestJudged(test, "", failure), now)
        self.take(external.TestStopped(test, ""), now)

    def close(self, now: float) -> None:
        """All programs have ended: so have their tests, and those without a verdict were cut."""
        for user, test in tuple(self._open):
            self._end(user, test, now)

    def _start(self, report: external.TestStarted | external.TestJudged, now: float) -> _OpenTest:
        self._recorder.count("tests_started")
        opened = self._open[report.user, report.test] = _OpenTest(now)
        return opened

    def _judge(self, report: external.TestJudged, now: float) -> None:
        opened = self._open.get((report.user, report.test)) or self._start(report, now)
        if report.failure is None:
            opened.verdict = opened.verdict or Verdict.SUCCESS
            return
        opened.failures.append(report.failure)
        if report.failure.kind == ERROR or opened.verdict is Verdict.ERROR:
            opened.verdict = Verdict.ERROR
        else:
            opened.verdict = Verdict.FAILURE

    def _end(self, user: str, test: str, now: float) -> None:
        opened = self._open.pop((user, test), None)
        if opened is None:
            return
        if opened.verdict is None:
            self._recorder.count("tests_cut")
            return
        for failure in opened.failures:
            self._recorder.failure(failure, test, now)
        taken = int((now - opened.started) * 1e6)
        self._recorder.series(SeriesKey(TEST, test)).record(taken, opened.verdict)


class Programs:
    """All the users of one worker, group after group, each a process."""

    def __init__(self, job: Job, recorder: Recorder, warn: Callable[[str], None]) -> None:
        """Raises :class:`TargetError` when there is no such program."""
        self._job, self._plan, self._recorder, self._warn = job, job.plan, recorder, warn
        self._command = command_of(job.plan, job.root)
        self._tracker = Tracker(recorder)
        self._running = Group()
        self._processes: set[Any] = set()
        self._ended_by_us: set[int] = set()
        self._stopping = False
        self._garbage: list[str] = []
        place = os.path.join(job.scratch, f".loads-{job.segment.index}.sock")
        self._inlet = Inlet(place, external.MAX_MESSAGE)
        self._emptied = Event()
        self._reader = gevent.spawn(self._read)

    def close(self) -> None:
        """Leave nothing behind."""
        self._signal(signal.SIGKILL)
        self._reader.kill()
        self._inlet.close()

    def run_group(self, group: int, at: float) -> None:
        """Run this worker's part of a group of users, from ``at`` until all of them have ended."""
        gevent.sleep(max(0.0, at - time.monotonic()))
        for number in self._job.segment.of(self._plan.users[group]):
            if self._stopping:
                break
            self._running.add(gevent.spawn(self._run_user, group, number + 1))
        enders: list[gevent.Greenlet] = []
        if self._plan.duration is not None:
            left = max(0.0, at + self._plan.duration - time.monotonic()) + self._plan.grace
            enders = [
                gevent.spawn_later(left, self._signal, signal.SIGTERM),
                gevent.spawn_later(left + TERMINATE_TIME, self._signal, signal.SIGKILL),
            ]
        self._running.join()
        gevent.killall(enders)
        self._emptied.clear()
        self._emptied.wait(DRAIN_TIME)
        self._tracker.close(time.monotonic())
        self._tell_of_garbage()

    def stop(self, grace: float) -> None:
        """Ask the programs to end, by SIGTERM; end those that still run after ``grace`` seconds."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        gevent.spawn_later(grace, self._signal, signal.SIGKILL)

    # -- programs --------------------------------------------------------------------------------

    def _run_user(self, group: int, user: int) -> None:
        self._recorder.users(+1)
        try:
            with tempfile.TemporaryFile() as said:
                status = self._run_program(group, user, said)
                if status is not None:
                    self._note_status(status, said)
        finally:
            self._recorder.users(-1)

    def _run_program(self, group: int, user: int, said: Any) -> int | None:
        """The exit status of a program; None when it was we who ended it."""
        told = external.environment(
            self._plan, group, user, receiver=self._inlet.endpoint,
            agent_id=self._job.name, run_id=self._job.run_id,
        )  # fmt: skip
        inherited = {k: v for k, v in os.environ.items() if k not in _OURS}
        try:
            process = subprocess.Popen(
                self._command,
                cwd=self._job.plan.test_dir or self._job.root,
                env={**inherited, **told},
                stdin=subprocess.DEVNULL,
                stdout=None if self._job.verbose else subprocess.DEVNULL,
                stderr=None if self._job.verbose else said,
            )
        except OSError as error:
            said.write(str(error).encode())
            return 127
        self._processes.add(process)
        if self._stopping:
            self._signal(signal.SIGTERM)
        status: int = process.wait()
        self._processes.discard(process)
        return None if process.pid in self._ended_by_us else status

    def _signal(self, number: int) -> None:
        for process in tuple(self._processes):
            if process.poll() is None:
                self._ended_by_us.add(process.pid)
                process.send_signal(number)

    def _note_status(self, status: int, said: Any) -> None:
        if status == 0:
            return
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        said.seek(max(0, said.seek(0, os.SEEK_END) - _MOST_WORDS))
        words = said.read().decode(errors="replace").strip()
        failure = Failure(ERROR, "ExternalRunnerError", f"The test runner {how}.", words)
        self._tracker.fail(self._plan.target, failure, time.monotonic())

    # -- reports ---------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            closed = self._inlet.is_closed  # asked before receiving, so that nothing is missed
            frames = self._inlet.receive(_POLL)
            if frames is not None:
                self._take(frames)
            elif closed:
                self._emptied.set()

    def _take(self, frames: list[bytes]) -> None:
        try:
            if len(frames) != 1:
                raise RemoteProtocolError("A message is one frame.")
            reports = external.parse(frames[0])
        except RemoteProtocolError as error:
            self._garbage.append(error.message) if len(self._garbage) < _MOST_WORDS else None
            return
        now = time.monotonic()
        for report in reports:
            self._tracker.take(report, now)

    def _tell_of_garbage(self) -> None:
        if self._garbage:
            self._warn(
                f"The test runner sent what is no report, at least {len(self._garbage)} times to "
                f"one worker; it was left out. The first: {self._garbage[0]}"
            )
            self._garbage.clear()


_OURS = frozenset({"LOADS_TOTAL_HITS", "LOADS_DURATION"})  # options may be variables of these names


def command_of(plan: RunPlan, root: str) -> list[str]:
    """The command of a plan's external runner, ``{test}`` being what is to be run.

    Raises :class:`TargetError` when there is no such program.
    """
    words = split_command(plan.test_runner, plan.target)
    path = os.path.join(root, words[0]) if "/" in words[0] else words[0]
    if shutil.which(path) is None:
        raise TargetError(
            f"There is no program {words[0]!r} for --test-runner.",
            "Name one that is installed where the workers run, or one in the project, such as "
            "./runner.sh, that can be executed; --include-file sends others along.",
        )
    return words
