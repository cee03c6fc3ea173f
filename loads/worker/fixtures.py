"""``setUpModule`` and ``setUpClass``: once per worker, around all that it runs.

One that fails is a test that errored, under its own name, and the tests that depend on it are not
run: the same as under unittest.
"""

from __future__ import annotations

import contextlib
import sys
import time
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


def _shared(
    tests: list[Test],
) -> Iterator[_Shared]:
    """Each module's and then each class's name, set-up, tear-down and tests."""
    modules: dict[str, list[Test]] = {}
    classes: dict[type, list[Test]] = {}
    for test in tests:
        modules.setdefault(test.function.__module__, []).append(test)
        if test.owner is not None:
            classes.setdefault(test.owner, []).append(test)
    for name, members in modules.items():
        module = sys.modules[name]
        yield (
            name,
            getattr(module, "setUpModule", setUpModule),
            getattr(module, "tearDownModule", tearDownModule),
            members,
        )
    for owner, members in classes.items():
        if not members[0].is_case:
            yield from _plain_class(owner, members)
            continue
        name = f"{owner.__module__}.{owner.__qualname__}"

        def tear_down_class(owner: Any = owner) -> None:
            owner.tearDownClass()
            owner.doClassCleanups()

        tear_down_class.__name__ = "tearDownClass"
        yield name, owner.setUpClass, tear_down_class, members  # type: ignore[attr-defined]


def _plain_class(owner: Any, members: list[Test]) -> Iterator[_Shared]:
    """The fixtures of a class that is no ``unittest.TestCase``: pytest's names, if it has them."""
    name = f"{owner.__module__}.{owner.__qualname__}"
    if hasattr(owner, "setup_class") or hasattr(owner, "teardown_class"):
        set_up = getattr(owner, "setup_class", setUpModule)
        yield name, set_up, getattr(owner, "teardown_class", tearDownModule), members


def setUpModule() -> None:
    """The fixture of a module that has none."""


def tearDownModule() -> None:
    """The fixture of a module that has none."""
