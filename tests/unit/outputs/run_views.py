"""Runs with known numbers, for the tests of outputs."""

from __future__ import annotations

from typing import Any

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import HIT, TEST, NoAnswer, SeriesKey, Verdict
from loads.metrics.summary import AgentView, RunView
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second
from loads.plan import RunPlan

STARTED = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
TRACEBACK = (
    'Traceback (most recent call last):\n  File "shop.py", line 12, in test_cart\n'
    "    self.assertEqual(answer.status_code, 200)\n"
)


def plan_of(**changes: Any) -> RunPlan:
    return RunPlan(**{"target": "shop.TestShop.test_cart", "users": (10,), "hits": (20,)} | changes)


def empty(**changes: Any) -> RunView:
    """A run in which nothing has happened."""
    return RunView(**{"run_id": "r1", "plan": plan_of(), "tally": Tally()} | changes)


def hit(tally: Tally, name: str, us: int, times: int = 1, method: str = "GET", answer: int = 200):
    for _ in range(times):
        tally.line(SeriesKey(HIT, name, method)).record(us, answer, 100, 300)


def calls(tally: Tally, times: int, verdict: Verdict = Verdict.SUCCESS, us: int = 2_000):
    tally.count("tests_started", times)
    for _ in range(times):
        tally.line(SeriesKey(TEST, "shop.TestShop.test_cart")).record(us, verdict)


def fail(tally: Tally, message: str, count: int, first: float = 0.5, last: float = 9.5):
    failure = Failure("failure", "AssertionError", message, TRACEBACK)
    tally.failures[failure] = FailureGroup(
        count, first, last, frozenset({"shop.TestShop.test_cart"})
    )


def shop() -> Tally:
    """200 tests (12 failures, 3 errors, 1 skipped), 200 hits (5 errors) in 10 seconds."""
    tally = Tally()
    calls(tally, 184)
    calls(tally, 12, Verdict.FAILURE)
    calls(tally, 3, Verdict.ERROR)
    calls(tally, 1, Verdict.SKIPPED)
    hit(tally, "http://h:9000/", 400, 150)
    hit(tally, "http://h:9000/users/{n}", 3_000, 40)
    hit(tally, "http://h:9000/users/{n}", 3_000, 3, answer=500)
    hit(tally, "http://h:9000/users/{n}", 3_000, 2, answer=NoAnswer.TIMED_OUT)
    hit(tally, "http://h:9000/cart", 20_000, 5, "POST", 201)
    for second in range(10):
        tally.timeline.add(second, Second(20, 0, 20, 1))
    tally.elapsed = 10.0
    return tally


def running(**changes: Any) -> RunView:
    known = {"state": "running", "elapsed": 10.0, "users": 10, "tally": shop(), "started": STARTED}
    return empty(**known | changes)


def ended(**changes: Any) -> RunView:
    return running(**{"state": "ended", "status": "finished", "users": 0} | changes)


BOXES = (
    AgentView("a1", "box1", 2, "running", 100),
    AgentView("b2", "box2", 2, "lost", 60, 25),
    AgentView("c3", "box3", 2, "lost", 40, None),
)
