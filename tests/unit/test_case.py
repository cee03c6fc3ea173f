"""TestCase: what it gives to tests, in a worker and under plain unittest."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import loads
from loads.case import Settings, TestCase, weight
from loads.errors import UsageError
from loads.metrics.series import TIMING, SeriesKey
from loads.metrics.tally import Tally
from loads.recorder.current import current, install
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder
from tests.unit.projects import lay


class Site(TestCase):
    server_url = "http://site:9000"


@pytest.fixture
def tally() -> Iterator[Callable[[], Tally]]:
    """What was recorded since it was asked the last time."""
    memory, before = Memory.create(), current()
    reader = RecorderReader(memory)
    install(Recorder(memory))
    yield reader.read
    install(before)
    reader.close()


@pytest.fixture
def run_says(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What a worker does before it makes any instance."""

    def say(server_url: str = "", **config: str) -> None:
        monkeypatch.setattr(Settings, "server_url", server_url)
        monkeypatch.setattr(Settings, "config", config)

    return say


# -- counting and timing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "counter"),
    [("greeted", "greeted"), (404, "404"), (("a", 1), "('a', 1)"), (None, "None"), ("", "")],
)
def test_a_counter_may_be_called_anything(
    tally: Callable[[], Tally], name: object, counter: str
) -> None:
    """Loads 1 let tests count statuses as they were, as numbers."""
    case = Site()
    case.incr_counter(name)
    case.incr_counter(name, 3)
    case.incr_counter(name, by=-1)
    assert tally().counters == {counter: 3}


def test_a_timing_of_the_tests_own(tally: Callable[[], Tally]) -> None:
    Site().record("think", 1.5)
    Site().record("think", 0.25)
    series = tally().series[SeriesKey(TIMING, "think")]
    assert (series.count, series.latency.total) == (2, 1_750_000)


def test_what_is_timed(tally: Callable[[], Tally], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it fails: a search that gives up has taken its time all the same."""
    now = iter([10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr("loads.case.time.perf_counter", lambda: next(now))
    case = Site()
    with case.timed("search"):
        pass
    with pytest.raises(KeyError), case.timed("search"):
        raise KeyError
    series = tally().series[SeriesKey(TIMING, "search")]
    assert (series.count, series.latency.low, series.latency.high) == (2, 500_000, 2_000_000)


# -- session, app, settings ------------------------------------------------------------------------


def test_a_session_is_one_of_requests_and_stays() -> None:
    one, two = Site(), Site()
    assert isinstance(one.session, requests.Session)
    assert one.session is one.session
    assert one.session is not two.session


def test_an_app_is_on_the_server(run_says: Callable[..., None]) -> None:
    case = Site()
    assert case.app.server_url == "http://site:9000"
    assert case.app is case.app
    run_says("http://elsewhere")
    assert Site().app.server_url == "http://elsewhere"


def test_a_test_may_set_its_own() -> None:
    """Tests of Loads 1 did, as both were plain attributes."""

    class Own(Site):
        app = None  # type: ignore[assignment]

        def setUp(self) -> None:
            self.session = requests.Session()
            self.app = self.session  # type: ignore[assignment]

        def runTest(self) -> None:
            self.assertIs(self.session, self.app)
            self.assertEqual(type(self.session), requests.Session)

    result = unittest.TestResult()
    Own().run(result)
    assert result.wasSuccessful()


def test_no_app_without_a_server() -> None:
    with pytest.raises(UsageError, match="where the server is") as caught:
        TestCase().app
    assert "server_url" in caught.value.hint
    assert "--server-url http://" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "seen"), [("", "http://site:9000"), ("http://other", "http://other")]
)
def test_the_server_that_the_run_names_counts_before_that_of_the_class(
    run_says: Callable[..., None], said: str, seen: str
) -> None:
    run_says(said)
    assert Site().server_url == seen
    assert Site.server_url == "http://site:9000", "the class itself is left alone"


def test_settings_of_the_run(run_says: Callable[..., None]) -> None:
    assert Site().config == {}
    run_says(users="10", own_key="x")
    assert Site().config == {"users": "10", "own_key": "x"}


class Overridden(TestCase):
    """As many tests of Loads 1 began."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made_with = (args, kwargs)

    def test_it(self) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("test_it",), {}),
        (("test_it", object()), {}),
        (("test_it", object(), {"old": 1}), {}),
        (("test_it",), {"test_result": None, "config": {"old": 1}}),
        ((), {"methodName": "test_it"}),
    ],
)
@pytest.mark.parametrize("case_class", [Overridden, TestCase])
def test_a_constructor_takes_what_it_took_in_loads_1(
    case_class: type[TestCase], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """A result and a config; what the run says goes before what a caller makes up."""
    if case_class is TestCase:
        args = ("run", *args[1:]) if args else ()
        kwargs = {k: v for k, v in kwargs.items() if k != "methodName"}
    case = case_class(*args, **kwargs)
    assert case.config == {}
    assert getattr(case, "made_with", (args, kwargs)) == (args, kwargs)


# -- older names -----------------------------------------------------------------------------------

OLD = {
    "assertEquals": ((1, 1), (1, 2)),
    "assertNotEquals": ((1, 2), (1, 1)),
    "assertAlmostEquals": ((1, 1.00000001), (1, 2)),
    "assertNotAlmostEquals": ((1, 2), (1, 1.00000001)),
    "assertRegexpMatches": (("abc", "b"), ("abc", "x")),
    "assertNotRegexpMatches": (("abc", "x"), ("abc", "b")),
    "assertRaisesRegexp": ((ValueError, "inv", int, "x"), (ValueError, "zzz", int, "x")),
    "assertItemsEqual": (([1, 2], [2, 1]), ([1], [2])),
    "assert_": ((True,), (0,)),
    "failUnless": ((1,), (False,)),
    "failIf": ((0,), (1,)),
    "failUnlessEqual": ((1, 1), (1, 2)),
    "failIfEqual": ((1, 2), (1, 1)),
    "failUnlessAlmostEqual": ((1, 1.00000001), (1, 2)),
    "failIfAlmostEqual": ((1, 2), (1, 1.00000001)),
    "failUnlessRaises": ((ValueError, int, "x"), (ValueError, int, "1")),
}


@pytest.mark.parametrize("name", OLD)
def test_a_name_that_newer_pythons_dropped(name: str) -> None:
    """It does what it did, without a warning, which would be an error here."""
    good, bad = OLD[name]
    check = getattr(TestCase(), name)
    check(*good)
    with pytest.raises(AssertionError):
        check(*bad)


def test_older_names_take_messages_and_serve_as_contexts() -> None:
    case: Any = TestCase()
    with pytest.raises(AssertionError, match="in my own words"):
        case.assertEquals(1, 2, msg="in my own words")
    with case.assertRaisesRegexp(ValueError, "invalid") as caught:
        int("x")
    assert isinstance(caught.exception, ValueError)


def test_a_class_of_its_own_may_have_these_names(tally: Callable[[], Tally]) -> None:
    class Own(TestCase):
        def assertEquals(self, one: object, two: object) -> str:
            return "mine"

    assert Own().assertEquals(1, 2) == "mine"


# -- weights ---------------------------------------------------------------------------------------


def test_a_weight_stays_with_what_it_is_given_to() -> None:
    def test() -> str:
        return "unchanged"

    assert weight(3)(test) is test
    assert test() == "unchanged"
    assert test.__loads_weight__ == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", None, True])
def test_what_is_no_weight_is_refused(number: Any) -> None:
    with pytest.raises(ValueError, match="a whole number from 1 up"):
        weight(number)


def test_the_public_names() -> None:
    assert (loads.TestCase, loads.weight) == (TestCase, weight)


# -- under unittest, in a process without us -------------------------------------------------------

EVERYTHING = """
    import sys
    import unittest
    from loads.case import TestCase

    class TestEverything(TestCase):
        server_url = "http://site:9000"

        def __init__(self, *args, **kwargs):
            super(TestEverything, self).__init__(*args, **kwargs)
            self.incr_counter("made")

        def test_counters_and_timings(self):
            self.incr_counter(404)
            self.record("think", 0.5)
            with self.timed("search"):
                self.assertEquals(1, 1)

        def test_settings(self):
            self.assertEqual(self.config, {})
            self.assertEqual(self.server_url, "http://site:9000")

        def test_session(self):
            self.assertEqual(self.session.headers["Accept"], "*/*")

        def test_app(self):
            self.assertEqual(self.app.server_url, "http://site:9000")

        def test_gevent_is_not_needed(self):
            self.assertNotIn("gevent", sys.modules)

        def test_that_fails(self):
            with self.timed("search"):
                self.fail("as it is meant to")
"""


def test_everything_works_without_a_worker(tmp_path: Path) -> None:
    """What is recorded goes nowhere, and the test need not know."""
    lay(tmp_path, {"test_everything.py": EVERYTHING})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:'cgi'", "-m", "unittest", "test_everything"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(loads.__file__).parents[1]), "PATH": ""},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "as it is meant to" in said
    assert "Ran 6 tests" in said
    assert "FAILED (failures=1)" in said


def test_importing_a_test_costs_little() -> None:
    """WebTest, ws4py and gevent come when a test asks for them."""
    code = """
        import sys, loads.case
        sys.exit(str({"gevent", "webtest", "ws4py", "zmq", "msgpack", "rich"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "set()"
