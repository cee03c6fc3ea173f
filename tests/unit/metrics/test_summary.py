"""The run as people see it: exit code, progress, and the summary's exact numbers."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given

from loads.errors import ExitCode
from loads.metrics.failures import ERROR, FAILURE, Failure, FailureGroup
from loads.metrics.histogram import Histogram
from loads.metrics.series import (
    CONNECTION,
    HIT,
    TEST,
    TIMING,
    WEBSOCKET,
    WS_CONNECT,
    WS_ROUND_TRIP,
    NoAnswer,
    Phases,
    SeriesKey,
    Verdict,
)
from loads.metrics.summary import (
    STATES,
    STATUSES,
    AgentView,
    RunView,
    State,
    Status,
    latency,
    summarise,
)
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from tests.unit.strategies import few, run_plans, tallies


def verdicts_of(**verdicts: int) -> Tally:
    """A tally of tests: how many of each verdict."""
    tally = Tally()
    for name, number in verdicts.items():
        for _ in range(number):
            tally.line(SeriesKey(TEST, "t")).record(1000, Verdict[name])
    return tally


def a_view(**changes) -> RunView:
    return RunView(**{"run_id": "r1", "plan": RunPlan("t"), **changes})


def test_lists_of_states_are_those_of_their_types():
    assert get_args(State) == STATES
    assert get_args(Status) == STATUSES


# -- exit code -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdicts", "code"),
    [
        pytest.param("finished", {"SUCCESS": 2}, ExitCode.OK, id="all passed"),
        pytest.param("finished", {"SUCCESS": 2, "SKIPPED": 1}, ExitCode.OK, id="a skip is no harm"),
        pytest.param("finished", {"SUCCESS": 9, "FAILURE": 1}, ExitCode.FAILED, id="one failed"),
        pytest.param("finished", {"SUCCESS": 9, "ERROR": 1}, ExitCode.FAILED, id="one errored"),
        pytest.param("failed", {}, ExitCode.FAILED, id="the run itself failed"),
        pytest.param("failed", {"SUCCESS": 9}, ExitCode.FAILED, id="it failed after good tests"),
        pytest.param("incomplete", {"SUCCESS": 9}, ExitCode.INCOMPLETE, id="a worker was lost"),
        pytest.param(
            "incomplete",
            {"ERROR": 9},
            ExitCode.INCOMPLETE,
            id="numbers that cannot be trusted come before what they say",
        ),
        pytest.param("stopped", {"SUCCESS": 9}, ExitCode.INTERRUPTED, id="stopped"),
        pytest.param("stopped", {"FAILURE": 9}, ExitCode.INTERRUPTED, id="stopped amid failures"),
        pytest.param("", {"FAILURE": 1}, ExitCode.FAILED, id="already while it runs"),
    ],
)
def test_exit_code(status, verdicts, code):
    assert a_view(status=status, tally=verdicts_of(**verdicts)).exit_code is code


@pytest.mark.parametrize(
    ("error_code", "code"),
    [
        pytest.param(0, ExitCode.FAILED, id="nothing more is known"),
        pytest.param(2, ExitCode.USAGE, id="the test cannot be loaded"),
        pytest.param(6, ExitCode.AGENTS, id="too few agents"),
        pytest.param(99, ExitCode.FAILED, id="a code of a newer broker is a failure still"),
    ],
)
def test_exit_code_of_a_run_that_failed(error_code, code):
    tally = verdicts_of(ERROR=1)  # what made the run fail says more than its tests
    assert a_view(status="failed", error_code=error_code, tally=tally).exit_code is code


@pytest.mark.parametrize(("error_code", "code"), [(0, ExitCode.INCOMPLETE), (5, ExitCode.BROKER)])
def test_exit_code_of_a_run_that_was_not_followed_to_its_end(error_code, code):
    assert a_view(status="incomplete", error_code=error_code).exit_code is code


def test_bad_hits_alone_do_not_fail_a_run():
    # What a hit's status means is for the test to say: an expected 404 is a success.
    tally = verdicts_of(SUCCESS=1)
    tally.line(SeriesKey(HIT, "/", "GET")).record(100, 404)
    assert a_view(status="finished", tally=tally).exit_code is ExitCode.OK


# -- progress and duration -----------------------------------------------------------------------

BY_TIME = RunPlan("t", users=(1, 1), hits=(), duration=10)


@pytest.mark.parametrize(
    ("view", "progress"),
    [
        pytest.param(a_view(), 0.0, id="not begun"),
        pytest.param(
            a_view(plan=RunPlan("t", hits=(4,)), tally=verdicts_of(SUCCESS=1, ERROR=1)),
            0.5,
            id="tests that ended, however they did",
        ),
        pytest.param(a_view(plan=BY_TIME, elapsed=5), 0.25, id="time of all groups"),
        pytest.param(a_view(plan=BY_TIME, elapsed=99), 1.0, id="the grace period is not progress"),
        pytest.param(
            a_view(plan=RunPlan("t", hits=(4,)), state="ended", status="finished"),
            1.0,
            id="finished is all of it",
        ),
        pytest.param(
            a_view(plan=BY_TIME, elapsed=5, state="ended", status="stopped"),
            0.25,
            id="stopped is not",
        ),
    ],
)
def test_progress(view, progress):
    assert view.progress == progress


def test_duration_ends_with_the_last_thing_recorded():
    tally = verdicts_of(SUCCESS=1)
    tally.elapsed = 2.5
    assert a_view(elapsed=3.0, tally=tally).duration == 3.0
    assert a_view(elapsed=3.0, tally=tally, state="ended").duration == 2.5
    assert a_view(elapsed=3.0, state="ended").duration == 3.0


# -- the summary ---------------------------------------------------------------------------------


def test_latency_is_in_seconds():
    assert latency(Histogram.of(range(1, 101))) == {
        "count": 100,
        "mean": 50.5e-6,
        "min": 1e-6,
        "p50": 50e-6,
        "p90": 90e-6,
        "p95": 95e-6,
        "p99": 99e-6,
        "p999": 100e-6,
        "max": 100e-6,
    }


def test_latency_of_nothing_is_not_zero():
    figures = latency(Histogram())
    assert figures.pop("count") == 0
    assert set(figures.values()) == {None}


def the_same(count: int, value: float) -> dict:
    """The latency of ``count`` equal values."""
    names = ("mean", "min", "p50", "p90", "p95", "p99", "p999", "max")
    return {"count": count, **dict.fromkeys(names, value)}


NO_LATENCY = the_same(0, None)


def a_run() -> RunView:
    """A run of 4 s whose every number is known."""
    tally = Tally()
    home = SeriesKey(HIT, "http://host/", "GET")
    for _ in range(6):
        tally.line(home).record(100, 200, sent=10, received=100)
    tally.line(SeriesKey(HIT, "http://host/cart", "POST")).record(200, 500, 50, 60)
    tally.line(SeriesKey(HIT, "http://host/cart", "POST")).record(200, NoAnswer.TIMED_OUT, 50)
    tally.line(home).phases = Phases(6, 6, 540, 54)
    for verdict in (Verdict.SUCCESS, Verdict.ERROR):
        tally.line(SeriesKey(CONNECTION, "host:80", "connect")).record(50, verdict)
    for path, outcome in (("/a", 101), ("/a", 101), ("/b", 101), ("/b", NoAnswer.REFUSED)):
        tally.line(SeriesKey(WEBSOCKET, path, WS_CONNECT)).record(300, outcome)
    for path in ("/a", "/b"):
        tally.line(SeriesKey(WEBSOCKET, path, WS_ROUND_TRIP)).record(70, 101)
    tally.line(SeriesKey(TIMING, "checkout")).record(500_000, Verdict.SUCCESS)
    tally.merge(verdicts_of(SUCCESS=3, FAILURE=1, ERROR=2, SKIPPED=1))
    # The more frequent one comes first, although it is the later one by its names.
    tally.failures = {
        Failure(ERROR, "Timeout", "slow", ""): FailureGroup(1, 1.0, 1.0, frozenset({"t"})),
        Failure(FAILURE, "AssertionError", "500 != 200", "trace"): FailureGroup(
            2, 0.5, 3.5, frozenset({"u", "t"})
        ),
    }
    tally.counters = {"greeted": 2, "bought": 1}
    tally.counts = {
        "tests_started": 8,
        "tests_cut": 1,
        "ws_opened": 3,
        "ws_bytes_sent": 30,
        "connections_reused": 5,
    }
    tally.elapsed = 4.0
    return RunView(
        run_id="r1",
        plan=RunPlan("t", users=(2,), hits=(4,), config={"key": "value"}),
        state="ended",
        status="incomplete",
        started=1000.0,
        elapsed=5.0,
        tally=tally,
        agents=(AgentView("a1", "box", 2, "lost", 8, None, 4, "2.0"),),
        warnings=("a warning",),
    )


def test_summary_of_a_run():
    summary = summarise(a_run())
    # Each part by itself, so that a failure shows the part.
    assert summary.pop("tests") == {
        "started": 8,
        "finished": 7,
        "success": 3,
        "failures": 1,
        "errors": 2,
        "skipped": 1,
        "cut": 1,
        "rate": 1.75,
        "latency": the_same(7, 0.001),
    }
    assert summary.pop("hits") == {
        "total": 8,
        "errors": 2,
        "rate": 2.0,
        "latency": {**the_same(8, 200e-6), "mean": 125e-6, "min": 100e-6, "p50": 100e-6},
        "bytes_sent": 160,
        "bytes_received": 660,
    }
    assert summary.pop("urls") == [
        {
            "name": "http://host/",
            "method": "GET",
            "hits": 6,
            "errors": 0,
            "status": {"200": 6},
            "latency": the_same(6, 100e-6),
            "phases": {"sending": 1e-6, "waiting": 90e-6, "receiving": 9e-6},
        },
        {
            "name": "http://host/cart",
            "method": "POST",
            "hits": 2,
            "errors": 2,
            "status": {"timed out": 1, "500": 1},
            "latency": the_same(2, 200e-6),
            "phases": {"sending": None, "waiting": None, "receiving": None},
        },
    ]
    assert summary.pop("connections") == {
        "opened": 1,
        "reused": 5,
        "failed": 1,
        "dns": NO_LATENCY,
        "connect": the_same(2, 50e-6),
        "tls": NO_LATENCY,
    }
    assert summary.pop("timings") == [{"name": "checkout", "latency": the_same(1, 0.5)}]
    assert summary.pop("websockets") == {
        "opened": 3,
        "closed": 0,
        "messages_sent": 0,
        "messages_received": 0,
        "bytes_sent": 30,
        "bytes_received": 0,
        "failed": 1,
        "connect": the_same(4, 300e-6),
        "round_trip": the_same(2, 70e-6),
    }
    assert summary.pop("failures") == [
        {
            "kind": "failure",
            "type": "AssertionError",
            "message": "500 != 200",
            "traceback": "trace",
            "count": 2,
            "first_seen": 1000.5,
            "last_seen": 1003.5,
            "tests": ["t", "u"],
        },
        {
            "kind": "error",
            "type": "Timeout",
            "message": "slow",
            "traceback": "",
            "count": 1,
            "first_seen": 1001.0,
            "last_seen": 1001.0,
            "tests": ["t"],
        },
    ]
    assert summary.pop("plan") == a_run().plan.pack()
    assert summary.pop("agents") == [
        {
            "agent_id": "a1",
            "host": "box",
            "workers": 2,
            "state": "lost",
            "hits": 8,
            "unknown": None,
            "cores": 4,
            "version": "2.0",
        }
    ]
    assert summary == {
        "schema": 1,
        "run_id": "r1",
        "status": "incomplete",
        "exit_code": 4,
        "submitted_by": "",
        "started": 1000.0,
        "duration": 4.0,
        "counters": {"bought": 1, "greeted": 2},
        "thresholds": [],
        "warnings": ["a warning"],
    }


def test_summary_before_anything_happened():
    summary = summarise(a_view())
    assert summary["tests"]["latency"] == summary["hits"]["latency"] == NO_LATENCY
    assert summary["tests"]["rate"] == summary["hits"]["rate"] == 0.0
    assert summary["urls"] == summary["failures"] == []


@few
@given(tallies(), run_plans())
def test_a_summary_is_json_and_adds_up(tally, plan):
    summary = summarise(a_view(plan=plan, tally=tally, state="ended", status="finished"))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    hits, tests = summary["hits"], summary["tests"]
    assert hits["total"] == hits["latency"]["count"] == sum(u["hits"] for u in summary["urls"])
    assert hits["errors"] == sum(url["errors"] for url in summary["urls"])
    for url in summary["urls"]:
        assert sum(url["status"].values()) == url["hits"]
    parts = ("success", "failures", "errors", "skipped")
    assert tests["finished"] == sum(tests[part] for part in parts)


def test_a_summary_says_that_there_were_too_many_series():
    view = a_run()
    view.tally.line(SeriesKey(HIT, "(other)")).record(100, 200)
    assert summarise(view)["warnings"] == [
        "a warning",
        "There were too many different hit series: (other) stands for the rest.",
    ]
