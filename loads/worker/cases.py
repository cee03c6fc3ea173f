"""Runs one test of a ``unittest.TestCase``.

``TestCase.run`` costs about as much as a request does.  Most of that serves features that few
tests use, and those that do can be told from outside; so tests of the ordinary kind are run here,
with the same verdicts, and all others by ``unittest`` itself.
"""

from __future__ import annotations

import sys
import unittest
import unittest.case
from collections.abc import Callable
from typing import Any

from loads.worker.loader import Test
from loads.worker.verdicts import Outcome

_PARTS = ("run", "doCleanups", "_callSetUp", "_callTestMethod", "_callTearDown", "subTest")
_MARKS = ("__unittest_skip__", "__unittest_expecting_failure__")
_State: Any = getattr(unittest.case, "_Outcome", None)


class CaseRun:
    """Runs one test on one instance of its class, again and again.

    What can be known before is found out once: whether the test is an ``ordinary`` one, and which
    of its class's fixtures do anything.
    """

    __slots__ = ("_case", "_method", "_name", "_ordinary", "_set_up", "_state", "_tear_down")

    def __init__(self, case: Any, test: Test) -> None:
        base, kind = unittest.TestCase, type(case)
        own = case.__dict__
        self._case = case
        self._name = test.method
        self._method = getattr(case, test.method)
        self._ordinary = _is_ordinary(kind, self._method)
        has_set_up = "setUp" in own or kind.setUp is not base.setUp
        has_tear_down = "tearDown" in own or kind.tearDown is not base.tearDown
        self._set_up = case.setUp if has_set_up else None
        self._tear_down = case.tearDown if has_tear_down else None
        #: what subTest and doCleanups report to: unittest's own object
        self._state: Any = _State(Outcome) if self._ordinary else None

    def run(self, outcome: Outcome) -> None:
        """Run the test, and enter in ``outcome`` how it ended."""
        case = self._case
        if case._testMethodName != self._name:  # one instance serves all tests of the class
            case._testMethodName = self._name
        if not self._ordinary:
            case.run(outcome)
            return
        state = self._state
        if case._outcome is not state:
            case._outcome = state
        if state.result is not outcome:  # the one before was not clean
            state.result, state.success, state.expectedFailure = outcome, True, None
        if self._set_up is None or self._part(self._set_up, outcome):
            try:
                self._method()
            except BaseException as error:
                self._caught(error, outcome)
            if self._tear_down is not None:
                self._part(self._tear_down, outcome)
        if case._cleanups:
            case.doCleanups()

    def _part(self, part: Callable[[], Any], outcome: Outcome) -> bool:
        """Run a fixture; False when what depends on it is not to be run."""
        try:
            part()
            return True
        except BaseException as error:
            self._caught(error, outcome)
            return False

    def _caught(self, error: BaseException, outcome: Outcome) -> None:
        failure = isinstance(error, self._case.failureException)
        outcome.report((type(error), error, error.__traceback__), error=not failure)


def _is_ordinary(kind: type[Any], method: Callable[[], Any]) -> bool:
    """Whether a test is one that this module runs.

    Before Python 3.11, ``unittest`` reported what happens in a subTest in another way.
    """
    return (
        sys.version_info >= (3, 11)
        and all(getattr(kind, part) is getattr(unittest.TestCase, part) for part in _PARTS)
        and not any(getattr(thing, mark, False) for thing in (kind, method) for mark in _MARKS)
    )
