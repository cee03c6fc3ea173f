"""Virtual users: greenlets, each with an instance of the test, that run it as the plan says."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
import requests
from gevent.pool import Group

from loads.case import TestCase
from loads.metrics.series import Verdict
from loads.pacing import pacer_for
from loads.plan import RunPlan, Segment
from loads.recorder.writer import TESTS_STARTED, Recorder, SeriesRecord
from loads.worker.cases import CaseRun
from loads.worker.loader import Test
from loads.worker.verdicts import Outcome

_SUCCESS = int(Verdict.SUCCESS)
_Run = Callable[[Outcome], None]

TURN = 0.005  #: seconds that users who never wait may run before others have their turn


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
        for index, test in enumerate(self._tests):
            self._credit[index] += test.weight
        best = max(range(len(self._tests)), key=self._credit.__getitem__)
        self._credit[best] -= self._round
        return self._tests[best]


class Belongings:
    """What one virtual user has: its instances of the test's classes, and what its tests ask for.

    Each is made when it is first needed, and lasts as long as the user: so do its cookies and
    connections.
    """

    def __init__(self) -> None:
        self._instances: dict[type[Any], Any] = {}
        self._provided: dict[str, Any] = {}

    def instance(self, test: Test) -> Any:
        """The user's instance of the class that a test is a method of."""
        assert test.owner is not None
        instance = self._instances.get(test.owner)
        if instance is None:
            instance = test.owner(test.method) if test.is_case else test.owner()
            self._instances[test.owner] = instance
        return instance

    def arguments(self, test: Test) -> dict[str, Any]:
        """What a test asks for by the names of its arguments, and its parameters' values."""
        return {name: self._provide(name) for name in test.arguments} | dict(test.values)

    def _provide(self, name: str) -> Any:
        if name not in self._provided:
            case = self._provided.setdefault("case", TestCase())
            self._provided[name] = getattr(case, name)
        return self._provided[name]

    def close(self) -> None:
        """Close the sessions of a user that leaves."""
        for thing in (*self._instances.values(), self._provided.get("case")):
            has = getattr(thing, "__dict__", {})  # what was never asked for was never made
            for session in (has.get("session"), getattr(has.get("app"), "session", None)):
                if isinstance(session, requests.Session):
                    session.close()


class User:
    """One virtual user."""

    def __init__(self, number: int, tests: list[Test], root: str, recorder: Recorder) -> None:
        self._mix = Mix(tests, number)
        self._only = tests[0] if len(tests) == 1 else None
        self._root = root
        self._recorder = recorder
        self._belongings = Belongings()
        self._known: dict[str, tuple[_Run, SeriesRecord]] = {}
        self._outcome = Outcome(root)
        self.ended = 0.0  #: when the last test ended, on the monotonic clock

    def close(self) -> None:
        """Leave."""
        self._belongings.close()

    def run_once(self) -> Outcome:
        """Run the next test of the mix and record how it ended.

        A new instance is made before the test begins: what its constructor does, requests
        included, is measured but is no part of the test's time.
        """
        test = self._only or self._mix.next()
        recorder, outcome = self._recorder, self._outcome
        if not outcome.clean:
            outcome = self._outcome = Outcome(self._root)
        recorder.cells[TESTS_STARTED] += 1
        start = monotonic()
        try:
            known = self._known.get(test.name)
            if known is None:
                known = self._known[test.name] = self._prepare(test), recorder.series(test.key)
                start = monotonic()
            run, series = known
            run(outcome)
        except BaseException as error:  # of a constructor or a plain test: unittest keeps its own
            outcome.caught(error)
        end = self.ended = monotonic()
        if outcome.clean:
            series.record_time(int((end - start) * 1e6) or 1, _SUCCESS)
        else:
            self._report(test, outcome, start, end)
        if end > recorder.touch_at:
            recorder.touch(end)
        return outcome

    def _report(self, test: Test, outcome: Outcome, start: float, end: float) -> None:
        """Record a test that was not simply a success."""
        recorder = self._recorder
        for problem in outcome.problems:
            recorder.failure(problem, test.name, end)
        if outcome.cut:
            recorder.count("tests_cut")
        else:
            recorder.series(test.key).record(int((end - start) * 1e6), outcome.verdict)

    def _prepare(self, test: Test) -> _Run:
        """What runs this user's ``test``: its instance made, its arguments at hand."""
        instance = self._belongings.instance(test) if test.owner else None
        if test.is_case:
            return CaseRun(instance, test).run
        arguments = self._belongings.arguments(test)
        return functools.partial(_run_plain, test, instance, arguments)


def _run_plain(test: Test, instance: Any, arguments: dict[str, Any], outcome: Outcome) -> None:
    """Run a function, or a method of a plain class, between its set-up and tear-down."""
    if getattr(test.function, "__unittest_skip__", False):
        outcome.addSkip(None, "")
        return
    holder, kind, function = sys.modules[test.module], "function", test.function
    if instance is not None:
        holder, kind, function = instance, "method", getattr(instance, test.method)
    _call_hook(holder, f"setup_{kind}", function)
    try:
        function(**arguments)
    except BaseException as error:
        outcome.caught(error)
    _call_hook(holder, f"teardown_{kind}", function)


def _call_hook(holder: Any, name: str, function: Any) -> None:
    """pytest's hooks take the function or method, or nothing."""
    hook = getattr(holder, name, None)
    if hook is not None:
        hook(function) if inspect.signature(hook).parameters else hook()


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
        self._turned = 0.0
        self._cutter: gevent.Greenlet | None = None

    def run_group(self, group: int, at: float) -> None:
        """Run this worker's part of a group of users, from ``at`` until all of them have ended."""
        gevent.sleep(max(0.0, at - monotonic()))
        for number in self._segment.of(self._plan.users[group]):
            if self._stopping:
                break
            self._running.add(gevent.spawn(self._run_user, group, number, at))
        seconds = self._plan.seconds_of(group)
        if seconds is not None:
            remaining = at + seconds - monotonic()
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
        """Cut the users of this group; those of a later one are another matter."""
        self._running.kill(block=False)

    def _run_user(self, group: int, number: int, at: float) -> None:
        if not self._tests:
            return  # all of them depend on a fixture that failed
        user = User(number, self._tests, self._root, self._recorder)
        self._recorder.users(+1)
        try:
            self._pace(user, pacer_for(self._plan, group, number).wait, at)
        finally:
            self._recorder.users(-1)
            self._recorder.touch(monotonic())
            user.close()

    def _pace(self, user: User, wait: Callable[[int, float], float | None], at: float) -> None:
        done, now = 0, monotonic()
        while not self._stopping:
            pause = wait(done, now - at)
            if pause is None:
                return
            if pause:
                gevent.sleep(pause)
            outcome = user.run_once()
            done += 1
            if outcome.cut:
                return
            now = user.ended
            if now - self._turned > TURN:
                # others have their turn: a test that never waits must not keep them from starting
                self._turned = now
                gevent.sleep(0)
                now = monotonic()
