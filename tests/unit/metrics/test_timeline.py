"""The timeline: what ended in which second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.timeline import Second, Timeline
from tests.unit.strategies import (
    check_merge_laws,
    check_round_trip,
    check_unpack,
    damaged,
    quick,
    timelines,
)


def test_add_counts_within_a_second():
    timeline = Timeline()
    timeline.add(3, Second(10, 1, 2, 1))
    timeline.add(3, Second(5, 0, 1, 0))
    assert timeline.seconds == {3: Second(15, 1, 3, 1)}


def test_a_second_in_which_nothing_ended_leaves_no_trace():
    timeline = Timeline()
    timeline.add(7, Second())
    assert timeline == Timeline()


def test_a_timeline_has_its_own_seconds():
    seconds = {0: Second(1)}
    timeline = Timeline(seconds)
    timeline.add(0, Second(1))
    assert seconds == {0: Second(1)}


@quick
@given(timelines, st.integers(0, 25))
def test_what_is_too_late_is_counted_in_the_last_second(timeline, last):
    until = timeline.until(last)
    assert all(number <= last for number in until.seconds)
    assert summed(until) == summed(timeline)
    before = {n: second for n, second in timeline.seconds.items() if n < last}
    assert {n: second for n, second in until.seconds.items() if n < last} == before


def summed(timeline: Timeline) -> Second:
    whole = Second()
    for second in timeline.seconds.values():
        whole = whole.plus(second)
    return whole


@quick
@given(timelines, timelines, timelines)
def test_merge_laws(a, b, c):
    check_merge_laws(a, b, c, Timeline())


@quick
@given(timelines)
def test_round_trip(timeline):
    check_round_trip(timeline)


@quick
@given(damaged(timelines.map(Timeline.pack)))
def test_garbage_is_refused_or_a_timeline(data):
    check_unpack(Timeline, data)


def test_columns_of_a_newer_peer_are_ignored_and_missing_ones_are_zero():
    assert Timeline.unpack([[1, 2, 3, 4, 5, 99]]) == Timeline({1: Second(2, 3, 4, 5)})
    assert Timeline.unpack([[1, 2]]) == Timeline({1: Second(2)})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([5], id="a second without counts in a list"),
        pytest.param([[]], id="no number of a second"),
        pytest.param([[0.5, 1]], id="half a second"),
        pytest.param([[-1, 1]], id="before the start"),
        pytest.param([[0, -1]], id="a negative count"),
        pytest.param([[0, "1"]], id="a count as text"),
    ],
)
def test_what_is_no_timeline_is_refused(data):
    with pytest.raises((ValueError, TypeError)):
        Timeline.unpack(data)


@pytest.mark.parametrize(
    ("elapsed", "window", "rate"),
    [
        pytest.param(0.0, 2, 0.0, id="nothing has passed"),
        pytest.param(0.5, 2, 20.0, id="the first second's rate so far"),
        pytest.param(1.0, 2, 10.0, id="one whole second"),
        pytest.param(2.9, 2, 15.0, id="two whole ones, not the one under way"),
        pytest.param(3.0, 2, 25.0, id="the last two"),
        pytest.param(3.0, 1, 30.0, id="the last one"),
        pytest.param(3.0, 9, 20.0, id="a window longer than the run"),
        pytest.param(4.0, 2, 15.0, id="a second without hits counts"),
        pytest.param(99.0, 2, 0.0, id="long silence"),
    ],
)
def test_rate_of_late(elapsed, window, rate):
    timeline = Timeline({0: Second(10), 1: Second(20), 2: Second(30)})
    assert timeline.hits_per_second(elapsed, window) == pytest.approx(rate)
