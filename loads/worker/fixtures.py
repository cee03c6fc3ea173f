"""``setUpModule`` and ``setUpClass``, under these names or pytest's: once per worker.

One that fails is a test that errored, under its own name, and the tests that depend on it are not
run: the same as under unittest.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from loads.metrics.series import TEST, SeriesKey, Verdict
from loads.recorder.writer import Recorder
from loads.worker.loader import Test
from loads.worker.verdicts import call

_Shared = tuple[str, Callable[[], Any], Callable[[], Any], list[Test]]


@contextlib.contextmanager
def fixtures(tests: list[Test], root: str, recorder: Recorder) -> Iterator[list[Test]]:
    """Set up what the tests share; give those whose fixtures work; tear down at the end."""
    usable = list(tests)
    undo: list[tuple[str, Callable[[], Any]]] = []

    def run(name: str, function: Callable[[], Any]) -> bool:
        start = time.perf_counter()
        outcome = call(function, root)
        if outcome.verdict is Verdict.SUCCESS:
            return True
        now = time.monotonic()
        recorder.count("tests_started")
        for problem in outcome.problems:
            recorder.failure(problem, name, now)
        taken = int((time.perf_counter() - start) * 1e6)
        recorder.series(SeriesKey(TEST, name)).record(taken, outcome.verdict)
        return False

    for name, set_up, tear_down, members in _shared(tests):
        if not any(test in usable for test in members):
            continue
        if run(f"{name}.{set_up.__name__}", set_up):
            undo.append((f"{name}.{tear_down.__name__}", tear_down))
        else:
            usable = [test for test in usable if test not in members]
    yield usable
    for name, tear_down in reversed(undo):
        run(name, tear_down)


def _shared(tests: list[Test]) -> Iterator[_Shared]:
    """Each module's and then each class's name, set-up, tear-down and tests."""
    modules: dict[str, list[Test]] = {}
    classes: dict[type, list[Test]] = {}
    for test in tests:
        modules.setdefault(test.module, []).append(test)
        if test.owner is not None:
            classes.setdefault(test.owner, []).append(test)
    for name, members in modules.items():
        yield _of_module(name, members)
    for owner, members in classes.items():
        if not members[0].is_case:
            yield from _of_plain_class(owner, members)
        elif not getattr(owner, "__unittest_skip__", False):
            yield _of_case(owner, members)


def _of_module(name: str, members: list[Test]) -> _Shared:
    """unittest's names, or else pytest's; a set-up of pytest's may take the module."""
    module = sys.modules[name]

    def find(*names: str) -> Callable[[], Any]:
        own = (getattr(module, name) for name in names if hasattr(module, name))
        hook: Callable[..., Any] = next(own, _nothing)
        takes_module = hook is not _nothing and inspect.signature(hook).parameters

        def call_hook() -> None:
            hook(module) if takes_module else hook()

        call_hook.__name__ = hook.__name__
        return call_hook

    return (
        name,
        *_with_cleanups(
            find("setUpModule", "setup_module"),
            find("tearDownModule", "teardown_module"),
            unittest.case.doModuleCleanups,
        ),
        members,
    )


def _of_case(owner: Any, members: list[Test]) -> _Shared:
    def clean_up() -> None:
        owner.doClassCleanups()  # keeps what they raise
        for _, error, _ in owner.tearDown_exceptions:
            raise error

    fixtures = _with_cleanups(owner.setUpClass, owner.tearDownClass, clean_up)
    return f"{owner.__module__}.{owner.__qualname__}", *fixtures, members


def _of_plain_class(owner: Any, members: list[Test]) -> Iterator[_Shared]:
    """The fixtures of a class that is no ``unittest.TestCase``: pytest's names, if it has them."""
    name = f"{owner.__module__}.{owner.__qualname__}"
    if hasattr(owner, "setup_class") or hasattr(owner, "teardown_class"):
        set_up = getattr(owner, "setup_class", _nothing)
        yield name, set_up, getattr(owner, "teardown_class", _nothing), members


def _with_cleanups(
    set_up: Callable[[], Any], tear_down: Callable[[], Any], clean_up: Callable[[], Any]
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Clean up after the tear-down, or at once when the set-up fails, as unittest does."""

    @functools.wraps(set_up)
    def set_up_or_clean_up() -> None:
        try:
            set_up()
        except BaseException:
            clean_up()
            raise

    @functools.wraps(tear_down)
    def tear_down_and_clean_up() -> None:
        try:
            tear_down()
        finally:
            clean_up()

    return set_up_or_clean_up, tear_down_and_clean_up


def _nothing() -> None:
    """The fixture of what has none."""
