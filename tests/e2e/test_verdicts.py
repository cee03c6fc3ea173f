"""What becomes of tests that do not simply succeed, and what their authors are shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import Cluster, Result, run
from tests.e2e.stage import Stage
from tests.e2e.targets import Target

VERDICTS = """
    import unittest

    class TestVerdicts(unittest.TestCase):
        def test_success(self):
            pass

        def test_failure(self):
            self.check(2)

        def check(self, number):
            self.assertEqual(1, number)  # line 11 of the file

        def test_error(self):
            {}["nothing"]

        def test_skipped(self):
            self.skipTest("not today")

        @unittest.expectedFailure
        def test_expected_failure(self):
            self.fail("as it should")

        def test_subtests(self):
            for number in range(3):
                with self.subTest(number=number):
                    self.assertNotEqual(number, 1, "one of three")

    class TestSetUp(unittest.TestCase):
        def setUp(self):
            raise OSError("no set-up")

        def test(self):
            self.fail("never run")

    class TestTearDown(unittest.TestCase):
        def tearDown(self):
            raise OSError("no tear-down")

        def test(self):
            pass

    class TestSetUpClass(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            raise OSError("no class")

        def test(self):
            self.fail("never run")

    def test_function():
        assert False, "a plain assert"
"""


@pytest.fixture(scope="module", params=["here", "on a cluster"])
def result(shared_stage: Stage, request: pytest.FixtureRequest) -> Result:
    """One user, nine tests that get on, each five times."""
    shared_stage.write("test_verdicts.py", VERDICTS)
    options = ("test_verdicts", "-u", 1, "--hits", 45)
    if request.param == "here":
        return run(shared_stage, *options)
    return Cluster(shared_stage).run(*options)


def failure(result: Result, message: str) -> dict[str, Any]:
    """The one group of failures with that message."""
    (found,) = [f for f in result.summary["failures"] if message in f["message"]]
    assert isinstance(found, dict)
    return found


def test_a_run_with_failing_tests_exits_with_1(result: Result) -> None:
    assert result.code == result.summary["exit_code"] == 1
    assert result.summary["status"] == "finished"
    assert result.warnings == []


def test_each_verdict_is_counted(result: Result) -> None:
    """Success: of itself and of the expected failure.  One error more is that of setUpClass."""
    assert result.tests == {
        "success": 2 * 5,
        "failures": 3 * 5,
        "errors": 3 * 5 + 1,
        "skipped": 5,
        "cut": 0,
    }
    assert result.summary["tests"]["finished"] == result.summary["tests"]["started"] == 46
    assert result.figure("Success") == 10
    assert result.figure("Failures") == 15
    assert result.figure("Errors") == 16
    assert result.figure("Skipped") == 5


@pytest.mark.parametrize(
    ("message", "kind", "type_", "count"),
    [
        ("1 != 2", "failure", "AssertionError", 5),
        ("nothing", "error", "KeyError", 5),
        ("one of three", "failure", "AssertionError", 5),
        ("no set-up", "error", "OSError", 5),
        ("no tear-down", "error", "OSError", 5),
        ("no class", "error", "OSError", 1),
        ("a plain assert", "failure", "AssertionError", 5),
    ],
)
def test_each_failure_is_one_group(
    result: Result, message: str, kind: str, type_: str, count: int
) -> None:
    found = failure(result, message)
    assert (found["kind"], found["type"], found["count"]) == (kind, type_, count)


def test_no_other_failure_is_reported(result: Result) -> None:
    assert len(result.summary["failures"]) == 7


def test_a_traceback_is_the_authors_own_code_and_no_other(result: Result) -> None:
    """Files relative to the project, innermost last; nothing of ours and nothing of unittest."""
    assert failure(result, "1 != 2")["traceback"] == (
        'File "test_verdicts.py", line 9, in test_failure\n'
        "    self.check(2)\n"
        'File "test_verdicts.py", line 12, in check\n'
        "    self.assertEqual(1, number)  # line 11 of the file"
    )
    for found in result.summary["failures"]:
        lines = found["traceback"].splitlines()
        assert all(line.startswith(('File "test_verdicts.py"', "    ")) for line in lines)


def test_the_console_shows_each_group_once_with_its_count(result: Result) -> None:
    assert result.out.count("1 != 2") == 1
    assert "5 times: AssertionError: 1 != 2" in result.out
    assert "in test_verdicts.TestVerdicts.test_failure" in result.out
    assert 'File "test_verdicts.py", line 12, in check' in result.out
    assert result.out.splitlines()[-1] == "Result: failed (15 failures, 16 errors)"
    assert "site-packages" not in result.out
    assert "unittest" not in result.out


def test_a_failure_of_all_users_on_all_agents_is_one_group(stage: Stage) -> None:
    """What differs from call to call, such as a number or an address, does not split it."""
    stage.write(
        "test_numbers.py",
        """
        import itertools
        numbers = itertools.count(1_000_000)

        def test():
            raise ValueError(f"order {next(numbers)} of {object()}")
        """,
    )
    result = Cluster(stage, agents=2).run("test_numbers", "-u", 10, "--hits", 5)
    assert result.code == 1
    (found,) = result.summary["failures"]
    assert found["count"] == 100
    assert found["traceback"].startswith('File "test_numbers.py", line 6, in test')


BEHAVIOUR = {
    "prints a lot": ("print('spam ' * 2_000)", "success", ""),
    "calls sys.exit()": ("sys.exit(3)", "errors", "SystemExit"),
    "raises KeyboardInterrupt": ("raise KeyboardInterrupt", "errors", "KeyboardInterrupt"),
    "raises GeneratorExit": ("raise GeneratorExit", "errors", "GeneratorExit"),
    "leaves a thread behind": ("Thread(target=time.sleep, args=(600,)).start()", "success", ""),
    "leaves a greenlet behind": ("gevent.spawn(gevent.sleep, 600)", "success", ""),
    "raises a text of its own": ("raise ValueError('\\x1b[31m\\n\\u202e')", "errors", "ValueError"),
    "recurses without end": ("recurse()", "errors", "RecursionError"),
}


@pytest.mark.parametrize("behaviour", BEHAVIOUR)
def test_what_a_test_does_to_its_process_is_its_verdict_at_most(
    stage: Stage, behaviour: str
) -> None:
    """Whatever it is, the run ends by itself and has counted every call."""
    statement, verdict, type_ = BEHAVIOUR[behaviour]
    stage.write(
        "test_odd.py",
        f"""
        import sys, time, unittest
        from threading import Thread
        import gevent

        def recurse():
            recurse()

        class TestOdd(unittest.TestCase):
            def test(self):
                {statement}
        """,
    )
    result = run(stage, "test_odd", "-u", 10, "--hits", 3, "--workers", 2)
    assert result.tests[verdict] == sum(result.tests.values()) == 30
    assert [f["type"] for f in result.summary["failures"]] == ([type_] if type_ else [])
    assert result.code == (0 if verdict == "success" else 1)
    assert "\x1b" not in result.out
    assert "spam" not in result.out, "standard output is for results"


def test_a_worker_that_a_test_ends_is_a_loss(stage: Stage, target: Target) -> None:
    stage.write(
        "test_exit.py",
        """
        import os
        from loads.case import TestCase

        class TestExit(TestCase):
            def test(self):
                self.session.get(self.server_url + "/")
                os._exit(3)
        """,
    )
    result = run(stage, "test_exit", "--hits", 10, "--server-url", target.url)
    assert result.code == 4
    assert result.hits == target.hits == 1
    assert result.warnings == ["Worker 0 exited with status 3: all its hits are counted"]


def test_a_test_that_never_lets_go_of_the_processor(stage: Stage, target: Target) -> None:
    """Greenlets cannot interrupt it, but samples are taken and the run goes on afterwards."""
    stage.write(
        "test_busy.py",
        """
        import time
        from loads.case import TestCase

        class TestBusy(TestCase):
            def test(self):
                self.session.get(self.server_url + "/")
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    pass
        """,
    )
    result = run(stage, "test_busy", "--server-url", target.url)
    assert result.code == 0
    assert result.hits == target.hits == 1


def test_a_package_travels_with_its_modules_and_its_data(stage: Stage, target: Target) -> None:
    """An agent needs nothing of it beforehand, and is left with nothing of it afterwards."""
    stage.write("shop/__init__.py", "")
    stage.write("shop/pages/__init__.py", "PATHS = ['/fast/a', '/fast/b']\n")
    stage.write("shop/data/words.txt", "one two three\n")
    stage.write(
        "shop/tests/test_pages.py",
        """
        from pathlib import Path
        from loads.case import TestCase
        from shop.pages import PATHS
        from ..pages import PATHS as THE_SAME

        class TestPages(TestCase):
            def test(self):
                assert PATHS is THE_SAME
                words = Path(__file__).parents[1].joinpath("data/words.txt").read_text().split()
                for path in PATHS:
                    self.session.get(self.server_url + path)
                self.incr_counter("words", len(words))
        """,
    )
    cluster = Cluster(stage, agents=2)
    options = ("-u", 2, "--hits", 5, "--server-url", target.url)
    result = cluster.run("shop.tests.test_pages.TestPages.test", *options)
    assert result.code == 0
    assert target.counts == {"/fast/a": 20, "/fast/b": 20}
    assert result.hits == 40
    assert result.summary["counters"] == {"words": 60}


def test_another_directory_can_be_named(stage: Stage, target: Target) -> None:
    stage.write("sub/test_here.py", "def test():\n    pass\n")
    result = run(stage, "test_here", "--test-dir", "sub")
    assert result.code == 0
    assert result.tests["success"] == 1
