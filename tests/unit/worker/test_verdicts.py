"""Verdicts: what unittest and pytest call what happened in a test, a worker calls it too."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from gevent import GreenletExit

from loads.metrics.failures import ERROR, FAILURE
from loads.metrics.series import Verdict
from loads.worker.verdicts import Outcome, call, user_frame, user_traceback
from tests.unit.worker.one_worker import run

HEAD = """
import unittest
import pytest
from gevent import GreenletExit
"""

#: Bodies of tests: their verdict, and the types of what is reported.
BODIES = {
    "nothing happens": ("pass", "success", []),
    "an assertion of Python's": ("assert 1 == 2", "failure", ["AssertionError"]),
    "an exception": ("1 / 0", "error", ["ZeroDivisionError"]),
    "SystemExit is no way out": ("raise SystemExit(0)", "error", ["SystemExit"]),
    "nor is KeyboardInterrupt": ("raise KeyboardInterrupt", "error", ["KeyboardInterrupt"]),
    "nor is GeneratorExit": ("raise GeneratorExit", "error", ["GeneratorExit"]),
    "a skip of unittest's": ("raise unittest.SkipTest('later')", "skipped", []),
    "a skip of pytest's": ("pytest.skip('later')", "skipped", []),
    "a failure of pytest's": ("pytest.fail('no')", "failure", ["Failed"]),
    "a raises of pytest's that is not fulfilled": (
        "pytest.raises(KeyError, int)",
        "failure",
        ["Failed"],
    ),
    "an xfail of pytest's": ("pytest.xfail('known')", "success", []),
    "an importorskip of pytest's": ("pytest.importorskip('no_such')", "skipped", []),
    "an exception whose text is one itself": (
        "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
        "error",
        ["Mute"],
    ),
    "the run cuts it": ("raise GreenletExit", "cut", []),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    "shape",
    [
        "def test(): {}",
        "class Test:\n    def test(self): {}",
        "class Test(unittest.TestCase):\n    def test(self): {}",
    ],
    ids=["function", "plain class", "TestCase"],
)
def test_what_happens_in_a_test_is_its_verdict(root: Path, shape: str, body: str) -> None:
    """The same for all three shapes of a test."""
    code, verdict, types = BODIES[body]
    recording = run(root, HEAD + shape.format(code))
    assert [type_ for _, type_, _ in recording.failures] == types
    if verdict == "cut":
        assert (recording.cut, recording.verdicts) == (1, {})
    else:
        (verdicts,) = recording.verdicts.values()
        assert verdicts == {verdict: 1}


#: What unittest has for those who write tests: methods of a class, and what comes of ``test``.
UNITTEST = {
    "subTest: one fails": (
        """
        def test(self):
            for number in range(4):
                with self.subTest(number=number):
                    self.assertNotEqual(number % 2, 1, f"odd: {number}")
        """,
        "failure",
        [("failure", "AssertionError"), ("failure", "AssertionError")],
    ),
    "subTest: one errors, which is worse": (
        """
        def test(self):
            for number in range(3):
                with self.subTest(number=number):
                    {0: 0, 1: self.fail}[number]() if number else None
        """,
        "error",
        [("failure", "AssertionError"), ("error", "KeyError")],
    ),
    "subTest: one is skipped": (
        """
        def test(self):
            with self.subTest():
                self.skipTest("later")
            with self.subTest():
                self.fail("nevertheless")
        """,
        "failure",
        [("failure", "AssertionError")],
    ),
    "expectedFailure": (
        "@unittest.expectedFailure\ndef test(self): self.fail('as it should')",
        "success",
        [],
    ),
    "expectedFailure that does not fail": (
        "@unittest.expectedFailure\ndef test(self): pass",
        "failure",
        [("failure", "UnexpectedSuccess")],
    ),
    "skip": ("@unittest.skip('later')\ndef test(self): 1 / 0", "skipped", []),
    "skipIf": ("@unittest.skipIf(True, 'later')\ndef test(self): 1 / 0", "skipped", []),
    "skipUnless": ("@unittest.skipUnless(True, '')\ndef test(self): pass", "success", []),
    "skipTest in setUp": (
        """
        def setUp(self): self.skipTest("later")
        def tearDown(self): 1 / 0  # is not run
        def test(self): 1 / 0
        """,
        "skipped",
        [],
    ),
    "setUp errors": (
        """
        def setUp(self): 1 / 0
        def tearDown(self): {}[0]  # is not run
        def test(self): {}[1]
        """,
        "error",
        [("error", "ZeroDivisionError")],
    ),
    "setUp fails": (
        "def setUp(self): self.fail('not ready')\ndef test(self): 1 / 0",
        "failure",
        [("failure", "AssertionError")],
    ),
    "tearDown errors": (
        "def tearDown(self): 1 / 0\ndef test(self): pass",
        "error",
        [("error", "ZeroDivisionError")],
    ),
    "the test fails and tearDown errors: both are told": (
        "def tearDown(self): 1 / 0\ndef test(self): self.fail('first')",
        "error",
        [("failure", "AssertionError"), ("error", "ZeroDivisionError")],
    ),
    "the test errors and tearDown fails: an error stays one": (
        "def tearDown(self): self.fail('late')\ndef test(self): 1 / 0",
        "error",
        [("error", "ZeroDivisionError"), ("failure", "AssertionError")],
    ),
    "the test skips and tearDown fails: that counts": (
        "def tearDown(self): self.fail('late')\ndef test(self): self.skipTest('')",
        "failure",
        [("failure", "AssertionError")],
    ),
    "cleanups run last come first, after tearDown": (
        """
        done = []
        def tearDown(self):
            self.done.append("tearDown")
            self.addCleanup(self.assertEqual, self.done, ["test", "tearDown", "two", "one"])
            self.addCleanup(self.done.append, "one")
            self.addCleanup(self.done.append, "two")
        def test(self): self.done.append("test")
        """,
        "success",
        [],
    ),
    "cleanups that fail are told, and the others run": (
        """
        def test(self):
            self.addCleanup(self.fail, "first in, last out")
            self.addCleanup({}.__getitem__, "x")
        """,
        "error",
        [("error", "KeyError"), ("failure", "AssertionError")],
    ),
    "cleanups run when setUp errors": (
        """
        def setUp(self):
            self.addCleanup(self.fail, "cleaned up")
            1 / 0
        def test(self): pass
        """,
        "error",
        [("error", "ZeroDivisionError"), ("failure", "AssertionError")],
    ),
    "failureException of its own": (
        "failureException = KeyError\ndef test(self): {}['x']",
        "failure",
        [("failure", "KeyError")],
    ),
}


def indented(code: str) -> str:
    """The body of a class."""
    return textwrap.indent(textwrap.dedent(code), "    ")


@pytest.mark.parametrize("feature", UNITTEST)
def test_the_features_of_unittest(root: Path, feature: str) -> None:
    """In the order in which they happened; and once more, as one instance serves all calls."""
    code, verdict, expected = UNITTEST[feature]
    times = 1 if "cleanups run last" in feature else 2
    recording = run(
        root, HEAD + "class Test(unittest.TestCase):\n" + indented(code), "Test.test", times=times
    )
    assert recording.verdicts == {"Test.test": {verdict: times}}
    assert [(kind, type_) for kind, type_, _ in recording.failures] == expected
    assert set(recording.failures.values()) <= {times}
    assert all(tests == {"Test.test"} for tests in recording.blamed.values())


def test_a_constructor_that_raises_is_an_error_of_each_call(root: Path) -> None:
    """The user goes on: the next call makes a new instance."""
    recording = run(
        root,
        """
        import unittest

        class Test(unittest.TestCase):
            made = 0

            def __init__(self, *args):
                super().__init__(*args)
                type(self).made += 1
                if self.made < 3:
                    raise OSError("no network")

            def test(self): pass
        """,
        times=5,
    )
    assert recording.verdicts == {"Test.test": {"error": 2, "success": 3}}
    assert recording.failures == {("error", "OSError", "no network"): 2}


HOOKS = """
    from loads.recorder.current import current

    def count(name): current().incr_counter(name)

    def setup_function(function): count(f"before {function.__name__}")
    def teardown_function(): count("after a function")

    def test_passes(): count("function")
    def test_fails(): assert not count("function")
    def test_errors(): count("function"), {}[0]

    class TestPlain:
        def setup_method(self, method): count(f"before method {method.__name__}")
        def teardown_method(self): count("after a method")
        def test_passes(self): count("method")
        def test_errors(self): count("method"), {}[0]
"""


def test_hooks_of_pytest_are_called_around_each_test(root: Path) -> None:
    """With what is tested, if they take it; also after a test that did not go well."""
    recording = run(root, HOOKS, times=10)
    assert recording.counters == {
        **{f"before test_{name}": 2 for name in ("passes", "fails", "errors")},
        "function": 6,
        "after a function": 6,
        **{f"before method test_{name}": 2 for name in ("passes", "errors")},
        "method": 4,
        "after a method": 4,
    }
    assert recording.tally.verdicts == {
        Verdict.SUCCESS: 6,
        Verdict.FAILURE: 0,
        Verdict.ERROR: 4,
        Verdict.SKIPPED: 0,
    }


def test_a_hook_of_pytest_that_fails(root: Path) -> None:
    """A set-up's test is not run; a tear-down's failure does not hide that of its test."""
    recording = run(
        root,
        """
        class TestSetUp:
            def setup_method(self): raise OSError("no set-up")
            def teardown_method(self): raise OSError("not run either")
            def test(self): raise OSError("not run")

        class TestTearDown:
            def teardown_method(self): raise OSError("no tear-down")
            def test(self): assert False, "the test itself"
        """,
        times=4,
    )
    assert recording.verdicts == {"TestSetUp.test": {"error": 2}, "TestTearDown.test": {"error": 2}}
    assert recording.failures == {
        ("error", "OSError", "no set-up"): 2,
        ("failure", "AssertionError", "the test itself"): 2,
        ("error", "OSError", "no tear-down"): 2,
    }


def test_pytest_is_recognised_without_being_imported() -> None:
    """It need not be installed where a worker runs."""
    code = "import sys, loads.worker.users; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- outcomes --------------------------------------------------------------------------------------


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "verdict", "kinds"),
    [
        (AssertionError("a"), Verdict.FAILURE, [FAILURE]),
        (ValueError("a"), Verdict.ERROR, [ERROR]),
        (SystemExit(0), Verdict.ERROR, [ERROR]),
        (GreenletExit(), Verdict.SUCCESS, []),
    ],
)
def test_whatever_a_function_raises_is_its_outcome(
    error: BaseException, verdict: Verdict, kinds: list[str]
) -> None:
    outcome = call(lambda: _raise(error), "/project")
    assert (outcome.verdict, [problem.kind for problem in outcome.problems]) == (verdict, kinds)
    assert outcome.cut is isinstance(error, GreenletExit)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_the_worst_counts_in_whatever_order_it_comes(order: tuple[int, ...]) -> None:
    outcome = Outcome("/project")
    reports = [
        lambda: outcome.addSkip(None, "later"),
        lambda: outcome.caught(AssertionError()),
        lambda: outcome.caught(ValueError()),
    ]
    for index in order:
        reports[index]()
    assert outcome.verdict is Verdict.ERROR
    assert len(outcome.problems) == 2


# -- tracebacks ------------------------------------------------------------------------------------


def test_a_traceback_has_the_users_frames_only(root: Path) -> None:
    """Through a library and back: neither ours nor the library's."""
    recording = run(
        root,
        """
        import functools, unittest

        class Test(unittest.TestCase):
            def test(self):
                functools.reduce(self.deeper, [1, 2])

            def deeper(self, one, two):
                self.assertEqual(one, two)
        """,
    )
    (traceback,) = recording.tracebacks
    lines = traceback.splitlines()
    assert [line.split(", ", 1)[1] for line in lines[::2]] == [
        "line 6, in test",
        "line 9, in deeper",
    ]
    assert lines[1::2] == [
        "    functools.reduce(self.deeper, [1, 2])",
        "    self.assertEqual(one, two)",
    ]
    assert lines[0].startswith('File "users_tests_')


def _library_trouble() -> TypeError:
    import requests

    try:
        requests.get(no_such="argument")  # type: ignore[call-arg]
    except TypeError as error:
        return error
    raise AssertionError


def test_where_no_frame_is_the_users_those_of_libraries_are_shown() -> None:
    text = user_traceback(_library_trouble().__traceback__, "/project")
    assert "requests" in text


def test_a_virtual_environment_inside_of_the_project_is_not_the_users_code() -> None:
    trace = _library_trouble().__traceback__
    root = str(Path(__file__).parents[3])
    assert user_traceback(trace, root).splitlines()[0].startswith('File "tests/unit/worker/')
    assert "site-packages" not in user_traceback(trace, root)


def test_where_a_stack_is() -> None:
    frame = sys._getframe()
    root = str(Path(__file__).parent)
    number = frame.f_lineno + 1
    assert user_frame(frame, root) == f"test_verdicts.py, line {number}, in {frame.f_code.co_name}"
    assert user_frame(frame, "/elsewhere") == f"{__file__}, line {frame.f_lineno}"
    assert user_frame(None, root) == "an unknown place"
