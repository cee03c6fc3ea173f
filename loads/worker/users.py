"""Virtual users: greenlets, each with an instance of the test, that run it as the plan says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Group

from loads.metrics.series import TEST, SeriesKey
from loads.pacing import pacer_for
from loads.plan import RunPlan, Segment
from loads.recorder.writer import Recorder
from loads.worker.loader import Test
from loads.worker.verdicts import Outcome, call


class Mix:
    """The order in which one user runs several tests: each as often as it weighs, interleaved.

    Smooth weighted round robin: over any ``sum(weights)`` choices in a row, each test is chosen
    exactly as often as it weighs.  Users start at different places of the round.
    """

    def __init__(self, tests: list[Test], user: int) -> None:
        self._tests = tests
        self._credit = [0] * len(tests)
        self._round = sum(test.weight for test in tests)
        for _ in range(user % self._round):
            self.next()

    def next(self) -> Test:
        """The test to run now."""
        if len(self._tests) == 1:
            return self._tests[0]
        for index, test in enumerate(self._tests):
            self._credit[index] += test.weight
        best = max(range(len(self._tests)), key=self._credit.__getitem__)
        self._credit[best] -= self._round
        return self._tests[best]


class User:
    """One virtual user."""

    def __init__(self, number: int, tests: list[Test], root: str, recorder: Recorder) -> None:
        self._mix = Mix(tests, number)
        self._root = root
        self._recorder = recorder
        self._instances: dict[str, Any] = {}

    def run_once(self) -> Outcome:
        """Run the next test of the mix and record how it ended."""
        test, recorder = self._mix.next(), self._recorder
        recorder.count("tests_started")
        start = time.perf_counter()
        outcome = self._run_case(test) if test.owner else call(test.function, self._root)
        taken, now = time.perf_counter() - start, time.monotonic()
        for problem in outcome.problems:
            recorder.failure(problem, test.name, now)
        if outcome.cut:
            recorder.count("tests_cut")
        else:
            recorder.series(SeriesKey(TEST, test.name)).record(int(taken * 1e6), outcome.verdict)
        recorder.touch(now)
        return outcome

    def _run_case(self, test: Test) -> Outcome:
        """One instance serves this user for all calls of the test."""
        outcome = Outcome(self._root)
        try:
            case = self._instances.get(test.name)
            if case is None:
                assert test.owner is not None
                case = self._instances[test.name] = test.owner(test.name.rpartition(".")[2])
            case.run(outcome)
        except BaseException as error:  # of a constructor: unittest itself keeps those of tests
            outcome.caught(error)
        return outcome


class Users:
    """All the users of one worker, group after group."""

    def __init__(
        self, plan: RunPlan, segment: Segment, tests: list[Test], root: str, recorder: Recorder
    ) -> None:
        self._plan = plan
        self._segment = segment
        self._tests = tests
        self._root = root
        self._recorder = recorder
        self._running = Group()
        self._stopping = False
        self._cutter: gevent.Greenlet | None = None

    def run_group(self, group: int, at: float) -> None:
        """Run this worker's part of a group of users, from ``at`` until all of them have ended."""
        gevent.sleep(max(0.0, at - time.monotonic()))
        for number in self._segment.of(self._plan.users[group]):
            if self._stopping:
                break
            self._running.add(gevent.spawn(self._run_user, number, at))
        if self._plan.duration is not None:
            remaining = at + self._plan.duration - time.monotonic()
            cutter = gevent.spawn_later(max(0.0, remaining) + self._plan.grace, self._cut)
            self._running.join()
            cutter.kill()
        else:
            self._running.join()

    def stop(self, grace: float) -> None:
        """Start no further test; cut those still running after ``grace`` seconds."""
        self._stopping = True
        if self._cutter is not None:
            self._cutter.kill(block=False)
        self._cutter = gevent.spawn_later(grace, self._cut)

    def _cut(self) -> None:
        self._stopping = True
        self._running.kill(block=False)

    def _run_user(self, number: int, at: float) -> None:
        self._recorder.users(+1)
        try:
            self._pace(User(number, self._tests, self._root, self._recorder), at)
        finally:
            self._recorder.users(-1)

    def _pace(self, user: User, at: float) -> None:
        wait: Callable[[int, float], float | None] = pacer_for(self._plan).wait
        done = 0
        while not self._stopping:
            pause = wait(done, time.monotonic() - at)
            if pause is None:
                return
            if pause:
                gevent.sleep(pause)
            outcome = user.run_once()
            done += 1
            if outcome.cut:
                return
            gevent.sleep(0)  # a test that never waits must not keep the other users from starting
