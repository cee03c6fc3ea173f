"""What tests share, set up once per worker; and what becomes of them when that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.worker.one_worker import run

SHARING = """
    import unittest
    from loads.recorder.current import current

    def count(name): current().incr_counter(name)

    def setUpModule():
        count("module up")
        unittest.addModuleCleanup(count, "module cleaned up")
    def tearDownModule(): count("module down")

    class TestOne(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            count("class up")
            cls.addClassCleanup(count, "class cleaned up")
        @classmethod
        def tearDownClass(cls): count("class down")
        def test_one(self): count("test")
        def test_two(self): count("test")

    class TestPlain:
        @classmethod
        def setup_class(cls): count("plain up")
        def teardown_class(cls): count("plain down")
        teardown_class = classmethod(teardown_class)
        def test(self): count("test")

    def test_function(): count("test")
"""


def test_fixtures_of_modules_and_classes_run_once(root: Path) -> None:
    """However many users there are, and however often they run their tests."""
    recording = run(root, SHARING, users=3, times=8)
    assert recording.counters.pop("test") == 24
    names = [f"{what} {way}" for what in ("module", "class", "plain") for way in ("up", "down")]
    cleaned = ["module cleaned up", "class cleaned up"]
    assert recording.counters == dict.fromkeys([*names, *cleaned], 1)


def test_a_test_needs_the_fixtures_of_its_module_and_its_class_only(root: Path) -> None:
    assert run(root, SHARING, "TestPlain").counters == {
        "module up": 1,
        "module down": 1,
        "module cleaned up": 1,
        "plain up": 1,
        "plain down": 1,
        "test": 1,
    }


def test_pytests_names_of_a_modules_fixtures(root: Path) -> None:
    """They may take the module; unittest's names go before them, as in pytest."""
    pytests = """
        from loads.recorder.current import current
        def setup_module(module): current().incr_counter("up " + str("test" in dir(module)))
        def teardown_module(): current().incr_counter("down")
        def test(): pass
    """
    assert run(root, pytests, users=2).counters == {"up True": 1, "down": 1}
    both = pytests + '    def setUpModule(): current().incr_counter("unittest")\n'
    assert run(root, both.replace("\n        ", "\n    ")).counters == {"unittest": 1, "down": 1}


def test_the_module_of_a_class_is_where_it_is_and_not_where_its_tests_come_from(
    root: Path,
) -> None:
    """A mixin's module has no part in it."""
    (root / "loads_mixins.py").write_text(
        "def setUpModule(): 1 / 0\nclass Mixin:\n    def test(self): self.count('test')\n"
    )
    recording = run(
        root,
        """
        import unittest
        from loads.recorder.current import current
        from loads_mixins import Mixin

        def setUpModule(): current().incr_counter("up")

        class Test(Mixin, unittest.TestCase):
            def count(self, name): current().incr_counter(name)
        """,
    )
    assert recording.counters == {"up": 1, "test": 1}
    assert recording.failures == {}


# -- failing ones ----------------------------------------------------------------------------------

FAILING = """
    import unittest
    from loads.recorder.current import current

    def count(name): current().incr_counter(name)

    class TestBroken(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            cls.addClassCleanup(count, "cleaned up")
            {act}
        @classmethod
        def tearDownClass(cls): count("never")
        def test_one(self): count("never")
        def test_two(self): count("never")

    class TestPlain:
        @classmethod
        def setup_class(cls): {act}
        @classmethod
        def teardown_class(cls): count("never")
        def test(self): count("never")

    class TestFine(unittest.TestCase):
        def test(self): count("fine")
"""


@pytest.mark.parametrize(
    ("act", "verdict", "failures"),
    [
        ("raise OSError('no database')", "error", {("error", "OSError", "no database"): 2}),
        ("assert 0, 'not so'", "failure", {("failure", "AssertionError", "not so"): 2}),
        ("raise SystemExit(1)", "error", {("error", "SystemExit", "1"): 2}),
        ("raise unittest.SkipTest('not here')", "skipped", {}),
    ],
)
def test_a_class_whose_set_up_fails(
    root: Path, act: str, verdict: str, failures: dict[tuple[str, str, str], int]
) -> None:
    """It counts once under its own name; its tests are not run, those of others are."""
    recording = run(root, FAILING.format(act=act), users=3, times=4)
    assert recording.verdicts == {
        "TestBroken.setUpClass": {verdict: 1},
        "TestPlain.setup_class": {verdict: 1},
        "TestFine.test": {"success": 12},
    }
    assert recording.failures == failures
    assert recording.counters == {"fine": 12, "cleaned up": 1}


def test_a_module_whose_set_up_fails(root: Path) -> None:
    """Nothing of it is run, neither classes nor functions."""
    recording = run(
        root,
        """
        import unittest
        from loads.recorder.current import current

        def setUpModule():
            unittest.addModuleCleanup(current().incr_counter, "cleaned up")
            raise OSError("no database")
        def tearDownModule(): 1 / 0

        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls): 1 / 0
            def test(self): 1 / 0

        def test(): 1 / 0
        """,
        users=2,
    )
    assert recording.verdicts == {"setUpModule": {"error": 1}}
    assert recording.failures == {("error", "OSError", "no database"): 1}
    assert recording.counters == {"cleaned up": 1}


@pytest.mark.parametrize(
    ("name", "class_", "module"),
    [
        ("Test.tearDownClass", "raise OSError('x')", "pass"),
        ("Test.tearDownClass", "cls.addClassCleanup(open, '/no/such')", "pass"),
        ("tearDownModule", "pass", "raise OSError('x')"),
        ("tearDownModule", "pass", "unittest.addModuleCleanup(open, '/no/such')"),
    ],
)
def test_a_tear_down_that_fails(root: Path, name: str, class_: str, module: str) -> None:
    """The tests were run, and count for themselves."""
    recording = run(
        root,
        f"""
        import unittest

        def tearDownModule(): {module}

        class Test(unittest.TestCase):
            @classmethod
            def tearDownClass(cls): {class_}
            def test(self): pass
        """,
        times=3,
    )
    assert recording.verdicts == {"Test.test": {"success": 3}, name: {"error": 1}}
    assert len(recording.failures) == 1


def test_cleanups_run_although_a_tear_down_fails(root: Path) -> None:
    recording = run(
        root,
        """
        import unittest
        from loads.recorder.current import current

        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls): cls.addClassCleanup(current().incr_counter, "cleaned up")
            @classmethod
            def tearDownClass(cls): 1 / 0
            def test(self): pass
        """,
    )
    assert recording.counters == {"cleaned up": 1}
    assert recording.verdicts["Test.tearDownClass"] == {"error": 1}


def test_a_class_that_is_skipped_is_not_set_up(root: Path) -> None:
    """Its author says that what it needs is not here."""
    recording = run(
        root,
        """
        import unittest

        @unittest.skipUnless(False, "no database here")
        class Test(unittest.TestCase):
            @classmethod
            def setUpClass(cls): raise OSError("no database")
            def test(self): 1 / 0
        """,
        times=3,
    )
    assert recording.verdicts == {"Test.test": {"skipped": 3}}
    assert recording.failures == {}
