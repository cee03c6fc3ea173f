"""Marks of pytest's mean as load what they mean to pytest, which is asked for comparison."""

from __future__ import annotations

import re

import pytest

from tests.e2e.cluster import Cluster, run
from tests.e2e.stage import Stage
from tests.e2e.waiting import until

TESTS = """
    import os
    import unittest
    from unittest import mock

    import pytest

    class Colour:
        pass

    @pytest.mark.parametrize("number, square", [(2, 4), (3, 9), pytest.param(4, 15, id="wrong")])
    def test_square(number, square):
        assert number * number == square

    @pytest.mark.parametrize("x", [0.5, None, True])
    @pytest.mark.parametrize(
        "y", ["a.b::c/d", Colour(), Colour, b"z"], ids=[None, None, "own", None]
    )
    def test_grid(x, y):
        pass

    @pytest.mark.parametrize(
        "same", [1, 1, pytest.param(2, marks=pytest.mark.skip(reason="later"))],
        ids=lambda value: "same",
    )
    def test_ids(same):
        pass

    @pytest.mark.skip(reason="not today")
    def test_skipped():
        raise SystemExit

    @pytest.mark.skipif("sys.platform == 'nowhere'", reason="a text")
    @pytest.mark.skipif(os.name == "nowhere", reason="a condition")
    def test_not_skipped():
        pass

    @pytest.mark.skipif("os.name == 'posix'", reason="a text")
    def test_skipped_by_a_text():
        raise SystemExit

    @pytest.mark.xfail
    def test_expected():
        assert False

    @pytest.mark.xfail(raises=KeyError)
    def test_another_than_expected():
        raise ValueError("this is not it")

    @pytest.mark.xfail(strict=True)
    def test_strict():
        pass

    @pytest.mark.xfail(reason="it may pass")
    def test_not_strict():
        pass

    @pytest.mark.xfail(run=False)
    def test_never_run():
        raise SystemExit

    @pytest.mark.xfail(False, reason="never")
    def test_no_longer_expected():
        assert True

    @mock.patch("os.getcwd")
    @mock.patch("os.sep", "!")
    def test_patched(getcwd):
        assert os.getcwd() is getcwd.return_value and os.sep == "!"

    @mock.patch("os.getcwd")
    @pytest.mark.parametrize("n", [1, 2])
    def test_patched_with_parameters(getcwd, n):
        assert n in (1, 2) and os.getcwd() is getcwd.return_value

    class TestPlain:
        pytestmark = pytest.mark.parametrize("c", "pq")

        def setup_method(self):
            self.ready = True

        def test_it(self, c):
            assert self.ready and c in "pq"

        @pytest.mark.parametrize("d", [1, 2])
        def test_more(self, c, d):
            assert self.ready and c in "pq" and d in (1, 2)

        @pytest.mark.xfail
        def test_failing(self, c):
            assert c == "r"

    class TestCase(unittest.TestCase):
        @pytest.mark.skip("so it is")
        def test_a(self):
            raise SystemExit

        @pytest.mark.xfail
        def test_b(self):
            self.fail("as expected")

        @mock.patch("os.getcwd")
        def test_c(self, getcwd):
            assert os.getcwd() is getcwd.return_value

    @pytest.mark.skip
    class TestNothing(unittest.TestCase):
        def test_a(self):
            raise SystemExit
"""


def by_pytest(stage: Stage) -> tuple[list[str], dict[str, int]]:
    """The node ids that pytest finds, and how often it gives each verdict."""
    command = ("python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_marks.py")
    collected = stage.start("pytest", *command, "--collect-only", env={"COLUMNS": "200"})
    collected.wait()
    nodes = [line for line in collected.out.splitlines() if "::" in line]
    ran = stage.start("pytest", *command)
    until(lambda: ran.code is not None, "the end of pytest")
    found = re.findall(r"(\d+) (failed|passed|skipped|xfailed|xpassed)", ran.out)
    return nodes, {word: int(number) for number, word in found}


@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_verdicts_are_those_of_pytest(stage: Stage, agents: int) -> None:
    stage.write("test_marks.py", TESTS)
    nodes, verdicts = by_pytest(stage)
    assert len(nodes) == sum(verdicts.values()) > 30
    options = ("test_marks.py", "--hits", len(nodes))
    result = Cluster(stage).run(*options) if agents else run(stage, *options)
    tests = result.tests
    assert tests["failures"] + tests["errors"] == verdicts["failed"] == 3, result.out
    # a test that may fail and is never run is an expected failure to pytest, to us a skipped one
    assert tests["skipped"] == verdicts["skipped"] + 1
    assert tests["success"] == verdicts["passed"] + verdicts["xpassed"] + verdicts["xfailed"] - 1
    assert result.code == 1


def test_each_case_can_be_run_by_the_name_that_pytest_has_for_it(stage: Stage) -> None:
    stage.write("test_marks.py", TESTS)
    nodes, _ = by_pytest(stage)
    chosen = [node for node in nodes if "test_grid" in node and "c/d" in node]
    chosen += [node for node in nodes if "wrong" in node or "test_more[1-p]" in node]
    assert len(chosen) == 5
    for node in chosen:
        result = run(stage, node, "-u", 2)
        assert result.code == (1 if "wrong" in node else 0), result.err
        assert result.tests["success"] + result.tests["failures"] == 2
    result = run(stage, "test_marks.TestPlain.test_more[2-q]")
    assert result.tests["success"] == 1
    process = stage.start("runner", "loads-runner", "test_marks.py::test_square[5-25]")
    assert process.wait() == 2
    assert "has no case [5-25]" in process.err
    assert "[2-4], [3-9], [wrong]" in process.err


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"test_it.py": "import pytest\n@pytest.fixture(autouse=True)\ndef warm(): ...\n"
             "def test_it(): ..."},
            "fixture 'warm', which has autouse=True",
        ),
        (
            {"test_it.py": "def test_it(): ...",
             "conftest.py": "import pytest\n@pytest.fixture(autouse=True)\ndef cold(): ...\n"},
            "fixture 'cold' of conftest.py",
        ),
        (
            {"test_it.py": "import pytest\n@pytest.mark.usefixtures('hot')\ndef test_it(): ..."},
            "fixture 'hot'",
        ),
        ({"test_it.py": "def test_it(tmp_path): ..."}, "asks for 'tmp_path'"),
        (
            {"test_it.py": "import pytest\n@pytest.mark.parametrize('a', [1], indirect=True)\n"
             "def test_it(a): ..."},
            "parameters that are for fixtures",
        ),
    ],
    ids=["autouse", "conftest", "usefixtures", "argument", "indirect"],
)  # fmt: skip
@pytest.mark.parametrize("agents", [0, 1], ids=["here", "on a cluster"])
def test_what_needs_fixtures_is_refused(
    stage: Stage, agents: int, files: dict[str, str], words: str
) -> None:
    """A test without its fixtures is another test, so it is not run at all."""
    for name, text in files.items():
        stage.write(name, text)
    if agents:
        cluster = Cluster(stage)
        process = cluster.start("test_it.py::test_it").process
    else:
        process = stage.start("runner", "loads-runner", "test_it.py::test_it")
    assert process.wait() == 2
    assert words in process.err
