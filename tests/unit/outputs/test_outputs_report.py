from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from loads.metrics.failures import Failure, FailureGroup
from loads.metrics.series import (
    HIT,
    WEBSOCKET,
    WS_CONNECT,
    WS_ROUND_TRIP,
    NoAnswer,
    SeriesKey,
)
from loads.metrics.summary import AgentView
from loads.metrics.tally import Tally
from loads.outputs.layout import width_of
from loads.outputs.report import report, verdict
from tests.unit.outputs.run_views import (
    BOXES,
    TRACEBACK,
    empty,
    ended,
    fail,
    hit,
    plan_of,
    running,
    shop,
)

UTC = timezone.utc


def test_a_report_of_a_whole_run():
    tally = shop()
    fail(tally, "500 != 200\nas it should", 3_000)
    tally.counters.update({"greeted": 1_234, "in_cart": 7})
    tally.count("tests_cut", 2)
    tally.count("ws_opened", 4)
    tally.count("ws_bytes_received", 4_096)
    talk(tally)
    view = ended(tally=tally, warnings=("the generator was busy",))
    assert report(view, zone=UTC) == [
        "Duration: 10.00 seconds",
        "Hits: 200",
        "Started: 2023-11-14 22:13:20 UTC",
        "Approximate Average RPS: 20.0",
        "Average request time: 1.48 ms",
        "Opened web sockets: 4",
        "Bytes received via web sockets: 4,096",
        "",
        "Success: 184",
        "Errors: 3",
        "Failures: 12",
        "Skipped: 1",
        "Cut: 2",
        "Hit errors: 5",
        "",
        "Request times: p50 0.40 ms  p90 3.01 ms  p95 3.01 ms  p99 20.0 ms  p99.9 20.0 ms"
        "  max 20.0 ms",
        "Test times: p50 2.00 ms  p90 2.00 ms  p95 2.00 ms  p99 2.00 ms  p99.9 2.00 ms"
        "  max 2.00 ms",
        "",
        "Web sockets: 4 opened  4 closed  1 failed",
        "Sent: 1 message, 12 bytes",
        "Received: 2 messages, 4,096 bytes",
        "Connect times: p50 0.30 ms  p90 0.30 ms  p95 0.30 ms  p99 0.30 ms  p99.9 0.30 ms"
        "  max 0.30 ms",
        "Round trips: p50 70 us  p90 70 us  p95 70 us  p99 70 us  p99.9 70 us  max 70 us",
        "",
        "Errors and failures:",
        "",
        "  3,000 times: AssertionError: 500 != 200",
        "    as it should",
        "    in shop.TestShop.test_cart",
        "    first at 0.5 s, last at 9.5 s",
        "    Traceback (most recent call last):",
        '      File "shop.py", line 12, in test_cart',
        "        self.assertEqual(answer.status_code, 200)",
        "",
        "Slowest URLs:",
        "        URL                      Hits     Mean      p50      p95      p99  Errors",
        "  POST  http://h:9000/cart          5  20.0 ms  20.0 ms  20.0 ms  20.0 ms       0",
        "  GET   http://h:9000/users/{n}    45  3.00 ms  3.00 ms  3.00 ms  3.00 ms       5",
        "      2 timed out  3 answered 500",
        "  GET   http://h:9000/            150  0.40 ms  0.40 ms  0.40 ms  0.40 ms       0",
        "",
        "Custom metrics:",
        "  greeted  1,234",
        "  in_cart      7",
        "",
        "Warning: the generator was busy",
        "",
        "Result: failed (12 failures, 3 errors)",
    ]


def talk(tally: Tally) -> None:
    """Five web sockets, one of them refused, on one of which something was said."""
    for outcome in (101, 101, 101, 101, NoAnswer.REFUSED):
        tally.line(SeriesKey(WEBSOCKET, "ws://h:9000/ws", WS_CONNECT)).record(300, outcome)
    tally.line(SeriesKey(WEBSOCKET, "ws://h:9000/ws", WS_ROUND_TRIP)).record(70, 101)
    tally.count("ws_closed", 4)
    tally.count("ws_messages_sent", 1)
    tally.count("ws_bytes_sent", 12)
    tally.count("ws_messages_received", 2)


def test_web_sockets_that_all_failed_are_told_of():
    tally = shop()
    key = SeriesKey(WEBSOCKET, "ws://h:9000/ws", WS_CONNECT)
    tally.line(key).record(300, NoAnswer.REFUSED)
    assert "Web sockets: 0 opened  0 closed  1 failed" in report(ended(tally=tally), zone=UTC)


def test_a_report_of_nothing():
    assert report(empty(), zone=UTC) == [
        "Duration: 0.00 seconds",
        "Hits: 0",
        "Started: -",
        "Approximate Average RPS: 0",
        "Average request time: -",
        "Opened web sockets: 0",
        "Bytes received via web sockets: 0",
        "",
        "Success: 0",
        "Errors: 0",
        "Failures: 0",
        "",
        "Result: not known yet, the run is preparing",
    ]


def test_the_start_is_in_local_time():
    zone = timezone(timedelta(hours=1), "CET")
    assert "Started: 2023-11-14 23:13:20 CET" in report(ended(), zone=zone)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tally": Tally()}, "failed: no test was run to its end"),
        ({"status": "stopped"}, "stopped at 100 % (12 failures, 3 errors)"),
        ({"status": "stopped", "tally": Tally()}, "stopped at 0 %"),
        (
            {"status": "failed", "tally": Tally(), "error_code": 4},
            "failed: the run could not be carried out",
        ),
        ({"status": "incomplete", "tally": Tally()}, "incomplete: agents or workers were lost"),
        (
            {"status": "incomplete", "tally": Tally(), "error_code": 5},
            "incomplete: the run was not followed to its end",
        ),
        (
            {"status": "incomplete", "agents": BOXES[:2]},
            "incomplete: up to 25 hits could not be counted (12 failures, 3 errors)",
        ),
        (
            {"status": "incomplete", "agents": BOXES, "tally": Tally()},
            "incomplete: an unknown number of hits could not be counted",
        ),
        ({"state": "running", "status": ""}, "not known yet, the run is running"),
    ],
)
def test_verdicts(changes, words):
    assert verdict(ended(**changes)) == words


def test_why_a_run_failed_is_said_before_the_verdict():
    view = empty(
        state="ended",
        status="failed",
        error_code=2,
        error="No test\x1b.",
        hint="Name one.\nOr two.",
    )
    assert report(view)[-5:] == [
        "Error: No test\\x1b.",
        "Name one.",
        "Or two.",
        "",
        "Result: failed: the run could not be carried out",
    ]


def test_a_run_that_passed():
    tally = shop()
    tally.series = {key: series for key, series in tally.series.items() if key.kind == HIT}
    tally.merge(_one_success())
    assert verdict(ended(tally=tally)) == "passed"


def _one_success() -> Tally:
    tally = Tally()
    tally.line(SeriesKey("test", "t")).record(5, 1)
    return tally


def test_agents_are_told_when_distributed_with_what_is_not_known():
    lines = report(ended(plan=plan_of(agents=3), agents=BOXES, status="incomplete"), zone=UTC)
    start = lines.index("Agents:")
    assert lines[start : start + 8] == [
        "Agents:",
        "  Agent  Host  Workers  State    Hits    Unknown",
        "  a1     box1        2  running   100          0",
        "  b2     box2        2  lost       60   up to 25",
        "  c3     box3        2  lost       40  not known",
        "Lost: agent b2 on box2. Counted: 60 hits; not counted: up to 25 more.",
        "Lost: agent c3 on box3. Counted: 40 hits; how many more there were is not known.",
        "",
    ]


def test_a_local_run_tells_of_agents_only_what_was_lost():
    whole = (AgentView("local", "here", 2, "ended", 200),)
    assert "Agents:" not in report(ended(agents=whole))
    short = (AgentView("me", "here", 2, "ended", 1, 2),)
    lost = "Lost: workers of agent me on here. Counted: 1 hit; not counted: up to 2 more."
    assert lost in report(ended(agents=short, status="incomplete"))


def test_only_so_many_failures_and_urls():
    tally = Tally()
    for number in range(13):
        fail(tally, f"failure {number}", 100 - number)
        hit(tally, f"http://h/{'x' * number}", 1_000 + number)
    lines = report(ended(tally=tally))
    assert "  ... and 3 more kinds, 267 times in all" in lines
    assert sum("AssertionError: failure" in line for line in lines) == 10
    assert lines.index("  100 times: AssertionError: failure 0") < lines.index(
        "  91 times: AssertionError: failure 9"
    )
    assert "Slowest URLs, 10 of 13:" in lines
    assert sum("http://h/" in line for line in lines) == 10


def test_urls_over_the_cap_are_mentioned():
    tally = Tally()
    hit(tally, "(other)", 10)
    note = "  There were too many URLs; (other) stands for the rest."
    assert note in report(ended(tally=tally))
    assert note not in report(ended())


def test_one_occurrence_is_in_the_singular():
    tally = Tally()
    fail(tally, "", 1, 3.25, 3.25)
    lines = report(ended(tally=tally))
    assert "  1 time: AssertionError" in lines
    assert "    at 3.2 s" in lines


NASTY = "\x1b[2J[bold]x[/bold]\u202e"
SHOWN = "\\x1b[2J[bold]x[/bold]\\u202e"


@pytest.mark.parametrize("width", [None, 40, 80, 120])
def test_users_text_is_shown_and_never_obeyed(width):
    tally = Tally()
    hit(tally, NASTY, 100, method=NASTY)
    tally.failures[Failure("error", NASTY, NASTY, TRACEBACK + NASTY)] = FailureGroup(
        1, 0, 0, frozenset({NASTY})
    )
    tally.counters[NASTY] = 1
    agents = (AgentView(NASTY, NASTY, 1, NASTY, 0, None),)
    text = "\n".join(report(ended(tally=tally, agents=agents, warnings=(NASTY,)), width))
    assert all(line.isprintable() for line in text.split("\n"))
    assert SHOWN in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_report_fits_a_terminal(width):
    tally = shop()
    hit(tally, "http://h:9000/" + "long/" * 40, 9_000, 10_000)
    warning = ("worker 1 of agent b2 was lost: it was killed by signal 9 " * 3,)
    view = ended(
        tally=tally, plan=plan_of(agents=3), agents=BOXES, status="incomplete", warnings=warning
    )
    *lines, last = report(view, width, zone=UTC)
    assert [line for line in lines if width_of(line) > width] == []
    assert last.startswith("Result: incomplete")
    assert any("Hits" in line and "Mean" in line for line in lines)


def test_ascii_is_enough():
    view = running(tally=shop())
    hit(view.tally, "http://h:9000/naïve", 5)
    text = "\n".join(report(view, 80, "ascii"))
    assert text.isascii()
    assert "/na\\xefve" in text
