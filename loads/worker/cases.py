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
_ordinary: dict[str, bool] = {}
_state_of: Any = getattr(unittest.case, "_Outcome", None)


def run_case(case: Any, test: Test, outcome: Outcome) -> None:
    """Run ``test`` on its instance ``case``, and enter in ``outcome`` how it ended."""
    ordinary = _ordinary.get(test.name)
    if ordinary is None:
        ordinary = _ordinary[test.name] = _is_ordinary(case, test)
    if not ordinary:
        case.run(outcome)
        return
    case._outcome = _state_of(outcome)  # what subTest and doCleanups report to
    try:
        if _part(case, case.setUp, outcome):
            _part(case, getattr(case, test.method), outcome)
            _part(case, case.tearDown, outcome)
        if case._cleanups:
            case.doCleanups()
    finally:
        case._outcome = None


def _part(case: Any, part: Callable[[], Any], outcome: Outcome) -> bool:
    """Run one part of a test; False when the parts that depend on it are not to be run."""
    try:
        part()
        return True
    except BaseException as error:
        failure = isinstance(error, case.failureException)
        outcome.report((type(error), error, error.__traceback__), error=not failure)
        return False


def _is_ordinary(case: Any, test: Test) -> bool:
    """Whether a test is one that this module runs.

    Before Python 3.11, ``unittest`` reported what happens in a subTest in another way.
    """
    kind, method = type(case), getattr(case, test.method)
    return (
        sys.version_info >= (3, 11)
        and all(getattr(kind, part) is getattr(unittest.TestCase, part) for part in _PARTS)
        and not any(getattr(thing, mark, False) for thing in (kind, method) for mark in _MARKS)
    )
