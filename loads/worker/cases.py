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
from typing import Any, NamedTuple

from loads.worker.loader import Test
from loads.worker.verdicts import Outcome

_PARTS = ("run", "doCleanups", "_callSetUp", "_callTestMethod", "_callTearDown", "subTest")
_MARKS = ("__unittest_skip__", "__unittest_expecting_failure__")
_known: dict[str, _Manner] = {}
_State: Any = getattr(unittest.case, "_Outcome", None)


class _Manner(NamedTuple):
    """How a test is run: by this module if it is ``ordinary``, and then with which fixtures."""

    ordinary: bool
    sets_up: bool
    tears_down: bool


def run_case(case: Any, test: Test, outcome: Outcome) -> None:
    """Run ``test`` on its instance ``case``, and enter in ``outcome`` how it ended."""
    manner = _known.get(test.name)
    if manner is None:
        manner = _known[test.name] = _manner_of(case, test)
    if not manner.ordinary:
        case.run(outcome)
        return
    case._outcome = _state_of(case, outcome)
    try:
        if not manner.sets_up or _part(case, case.setUp, outcome):
            _part(case, getattr(case, test.method), outcome)
            if manner.tears_down:
                _part(case, case.tearDown, outcome)
        if case._cleanups:
            case.doCleanups()
    finally:
        case._outcome = None


def _state_of(case: Any, outcome: Outcome) -> Any:
    """What subTest and doCleanups report to: unittest's own object, kept with the instance."""
    state = case.__dict__.get("_loads_state")
    if state is None:
        state = case._loads_state = _State(outcome)
    state.result, state.success, state.expectedFailure = outcome, True, None
    return state


def _part(case: Any, part: Callable[[], Any], outcome: Outcome) -> bool:
    """Run one part of a test; False when the parts that depend on it are not to be run."""
    try:
        part()
        return True
    except BaseException as error:
        failure = isinstance(error, case.failureException)
        outcome.report((type(error), error, error.__traceback__), error=not failure)
        return False


def _manner_of(case: Any, test: Test) -> _Manner:
    """Whether a test is one that this module runs, and with which fixtures.

    Before Python 3.11, ``unittest`` reported what happens in a subTest in another way.
    """
    kind, method, base = type(case), getattr(case, test.method), unittest.TestCase
    ordinary = (
        sys.version_info >= (3, 11)
        and all(getattr(kind, part) is getattr(base, part) for part in _PARTS)
        and not any(getattr(thing, mark, False) for thing in (kind, method) for mark in _MARKS)
    )
    own = case.__dict__
    return _Manner(
        ordinary,
        sets_up="setUp" in own or kind.setUp is not base.setUp,
        tears_down="tearDown" in own or kind.tearDown is not base.tearDown,
    )
