"""The tally: one kind of number, for a delta and for a whole run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.failures import ERROR, Failure, FailureGroup
from loads.metrics.series import HIT, TEST, Series, SeriesKey, Verdict
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second
from tests.unit.strategies import (
    check_merge_laws,
    check_round_trip,
    check_unpack,
    damaged,
    few,
    merged,
    quick,
    tallies,
)

HOME = SeriesKey(HIT, "http://host/", "GET")
CART = SeriesKey(HIT, "http://host/cart", "POST")
SHOP = SeriesKey(TEST, "test_shop")


def a_tally() -> Tally:
    """Three hits, one of them bad, and a test of each verdict."""
    tally = Tally()
    tally.line(HOME).record(100, 200)
    tally.line(HOME).record(120, 404)
    tally.line(CART).record(140, 200)
    for verdict in Verdict:
        tally.line(SHOP).record(1000, verdict)
    return tally


@few
@given(tallies(), tallies(), tallies())
def test_merge_laws(a, b, c):
    check_merge_laws(a, b, c, Tally())


@few
@given(tallies(), tallies())
def test_merge_conserves_hits(a, b):
    whole = merged(a, b)
    assert whole.hits == a.hits + b.hits
    assert whole.hits == whole.total(HIT).count == sum(s.count for s in whole.of_kind(HIT).values())


@few
@given(tallies(), st.floats(0, 30))
def test_nothing_is_later_than_what_it_is_taken_until(tally, seconds):
    before = tally.copy()
    until = tally.until(seconds)
    assert tally == before
    assert until.elapsed == min(seconds, tally.elapsed)
    assert until.timeline == tally.timeline.until(int(seconds))
    until = until.copy()
    until.timeline, until.elapsed = tally.timeline, tally.elapsed
    assert until == tally, "all else is as it was"


@few
@given(tallies())
def test_round_trip(tally):
    check_round_trip(tally)


@few
@given(tallies())
def test_a_copy_is_equal_and_apart(tally):
    copy = tally.copy()
    assert copy == tally
    copy.line(HOME).record(1, 200)
    copy.count("tests_started")
    assert copy != tally


@quick
@given(damaged(tallies().map(Tally.pack)))
def test_garbage_is_refused_or_a_tally(data):
    check_unpack(Tally, data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="empty"),
        pytest.param([[], [], {}, {}, []], id="a part is missing"),
        pytest.param([None, [], {}, {}, [], 0], id="no list of series"),
        pytest.param([[[HIT, "/"]], [], {}, {}, [], 0], id="a series without a body"),
        pytest.param([[[HIT, "/", "GET", []]], [], {}, {}, [], 0], id="a series of nothing"),
        pytest.param([[], [["error"]], {}, {}, [], 0], id="half a failure"),
        pytest.param([[], [], [], {}, [], 0], id="counters in a list"),
        pytest.param([[], [], None, {}, [], 0], id="no counters"),
        pytest.param([[], [], {}, 5, [], 0], id="counts that are a number"),
        pytest.param([[], [], {"a": "many"}, {}, [], 0], id="a counter in words"),
        pytest.param([[], [], {"a": None}, {}, [], 0], id="a counter of nothing"),
        pytest.param([[], [], {"a": math.inf}, {}, [], 0], id="a counter without an end"),
        pytest.param([[], [], {"a": 1.9}, {}, [], 0], id="a fraction, which would be lost"),
        pytest.param([[], [], {}, {}, 5, 0], id="a timeline that is a number"),
        pytest.param([[], [], {}, {}, [], None], id="no time"),
        pytest.param([[], [], {}, {}, [], math.nan], id="NaN, with which max does not commute"),
        pytest.param([[], [], {}, {}, [], math.inf], id="infinity, which JSON has not"),
        pytest.param([[], [], {}, {}, [], -1.0], id="before the start"),
    ],
)
def test_what_is_no_tally_is_refused(data):
    with pytest.raises((ValueError, TypeError)):
        Tally.unpack(data)


def test_parts_of_a_newer_peer_are_ignored():
    assert Tally.unpack([*a_tally().pack(), "more", {}]) == a_tally()


def test_a_failure_that_comes_twice_counts_twice():
    # Counts are conserved: the second row may not take the place of the first.
    row = ["error", "ValueError", "m", "t", [2, 0.0, 1.0, ["a"]]]
    (group,) = Tally.unpack([[], [row, row], {}, {}, [], 0, []]).failures.values()
    assert group.count == 4


def test_totals_are_by_kind():
    tally = a_tally()
    assert tally.hits == 3
    assert tally.total(HIT).errors == 1
    assert tally.total(TEST).count == 4
    assert tally.of_kind(HIT).keys() == {HOME, CART}
    assert tally.total("websocket") == Series()


def test_a_total_is_a_value_of_its_own():
    tally = a_tally()
    tally.total(HIT).record(1, 200)
    assert tally == a_tally()


@few
@given(tallies(), tallies(), tallies())
def test_a_total_that_was_asked_for_before_is_kept_up_to_date(a, b, c):
    whole = merged(a, b)
    for kind in (HIT, TEST):
        assert whole.total(kind) == merged(a, b).total(kind)
    whole.merge(c)
    assert whole.total(HIT) == merged(a, b, c).total(HIT)
    whole.line(HOME).record(7, 200, sent=5)
    assert whole.total(HIT).latency.count == merged(a, b, c).hits + 1
    assert whole.total(TEST) == merged(a, b, c).total(TEST)


def test_verdicts_name_those_that_did_not_happen_too():
    assert a_tally().verdicts == dict.fromkeys(Verdict, 1)
    assert Tally().verdicts == dict.fromkeys(Verdict, 0)


def test_as_one_second_of_the_timeline():
    # Hits, bad hits, tests, tests that failed or errored: a skipped test is no problem.
    assert a_tally().second() == Second(3, 1, 4, 2)
    assert Tally().second() == Second()


def test_counts_and_counters_add_up():
    tally = Tally()
    tally.count("ws_opened")
    tally.count("ws_bytes_sent", 500)
    tally.counters["greeted"] = 2
    both = merged(tally, tally)
    assert both.counts == {"ws_opened": 2, "ws_bytes_sent": 1000}
    assert both.counters == {"greeted": 4}


def test_failures_are_merged_by_what_they_are():
    failure = Failure(ERROR, "ValueError", "m", "t")
    tally, other = Tally(), Tally()
    tally.failures[failure] = FailureGroup(1, 2.0, 2.0, frozenset({"a"}))
    other.failures[failure] = FailureGroup(2, 1.0, 3.0, frozenset({"b"}))
    other.failures[failure._replace(message="n")] = FailureGroup(5, 0.0, 0.0, frozenset())
    whole = merged(tally, other)
    assert whole.failures[failure] == FailureGroup(3, 1.0, 3.0, frozenset({"a", "b"}))
    assert len(whole.failures) == 2


def test_elapsed_is_the_latest():
    early, late = Tally(), Tally()
    early.elapsed, late.elapsed = 1.5, 2.5
    assert merged(early, late).elapsed == merged(late, early).elapsed == 2.5


def a_counter() -> Tally:
    tally = Tally()
    tally.counters["greeted"] = 1
    return tally


def a_count() -> Tally:
    tally = Tally()
    tally.count("tests_started")
    return tally


@pytest.mark.parametrize(
    ("tally", "something"),
    [
        pytest.param(Tally(), False, id="empty"),
        pytest.param(a_tally(), True, id="series"),
        pytest.param(a_counter(), True, id="a counter"),
        pytest.param(a_count(), True, id="a count"),
    ],
)
def test_a_delta_says_whether_there_is_anything_to_send(tally, something):
    assert bool(tally) is something
