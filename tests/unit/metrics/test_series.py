"""Series, their outcomes and their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.series import (
    NoAnswer,
    Series,
    is_error,
    outcome_name,
    url_template,
)
from tests.unit.strategies import (
    check_merge_laws,
    check_round_trip,
    check_unpack,
    damaged,
    quick,
    series,
)


@quick
@given(series, series, series)
def test_merge_laws(a, b, c):
    check_merge_laws(a, b, c, Series())


@quick
@given(series)
def test_round_trip(one):
    check_round_trip(one)


@quick
@given(damaged(series.map(Series.pack)))
def test_garbage_is_refused_or_a_series(data):
    check_unpack(Series, data)


NOTHING = [0, None, None, []]
ONE = [5, 5, 5, [5, 1]]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([NOTHING, [], 0], id="a part is missing"),
        pytest.param([None, [], 0, 0], id="no histogram"),
        pytest.param([ONE, [200], 0, 0], id="an outcome without its count"),
        pytest.param([ONE, [200, -1], 0, 0], id="a negative count"),
        pytest.param([ONE, [-200, 1], 0, 0], id="a negative outcome"),
        pytest.param([ONE, ["200", 1], 0, 0], id="an outcome as text"),
        pytest.param([ONE, {}, 0, 0], id="outcomes that are a mapping"),
        pytest.param([ONE, [200, 1], -1, 0], id="negative bytes"),
        pytest.param([ONE, [200, 1], 0, 1.5], id="a fraction of a byte"),
        pytest.param([ONE, [], 0, 0], id="a latency without its outcome"),
        pytest.param([NOTHING, [200, 1], 0, 0], id="an outcome without its latency"),
        pytest.param([ONE, [200, 1, 200, 1], 0, 0], id="an outcome twice"),
    ],
)
def test_what_is_no_series_is_refused(data):
    with pytest.raises((ValueError, TypeError)):
        Series.unpack(data)


def test_record_counts_hits_errors_and_bytes():
    one = Series()
    for outcome in (200, 302, 404, 500, NoAnswer.REFUSED):
        one.record(100, outcome, sent=10, received=20)
    assert (one.count, one.errors, one.latency.count) == (5, 3, 5)
    assert (one.sent, one.received) == (50, 100)


@pytest.mark.parametrize(
    ("outcome", "name", "error"),
    [
        pytest.param(200, "200", False, id="success"),
        pytest.param(304, "304", False, id="not modified is an answer"),
        pytest.param(399, "399", False, id="the last good one"),
        pytest.param(400, "400", True, id="the first bad one"),
        pytest.param(599, "599", True, id="a server error"),
        pytest.param(999, "999", True, id="a status of somebody's own"),
        pytest.param(101, "101", False, id="switching protocols"),
        pytest.param(NoAnswer.REFUSED, "refused", True, id="no connection"),
        pytest.param(NoAnswer.TIMED_OUT, "timed out", True, id="two words"),
        pytest.param(NoAnswer.CUT, "cut", True, id="cut by the run's end"),
        pytest.param(0, "other", True, id="an outcome that nobody defined"),
        pytest.param(42, "other", True, id="an outcome of a newer worker"),
    ],
)
def test_outcomes(outcome, name, error):
    assert (outcome_name(outcome), is_error(outcome)) == (name, error)


def test_each_way_to_get_no_answer_has_its_own_name():
    assert len({outcome_name(outcome) for outcome in NoAnswer}) == len(NoAnswer)


@pytest.mark.parametrize(
    ("url", "template"),
    [
        pytest.param("http://host/", "http://host/", id="as it is"),
        pytest.param("http://host", "http://host/", id="no path is the root"),
        pytest.param("http://host:8080/a", "http://host:8080/a", id="the port stays"),
        pytest.param("https://host/a/", "https://host/a/", id="so does a last slash"),
        pytest.param("ws://host/ws", "ws://host/ws", id="web sockets"),
        pytest.param("http://host/a?b=1", "http://host/a", id="the query goes"),
        pytest.param("http://host?b=1", "http://host/", id="also without a path"),
        pytest.param("http://host/a#b", "http://host/a", id="the fragment goes"),
        pytest.param("http://me:pw@host/a", "http://host/a", id="a password is not shown"),
        pytest.param("http://me:p@w@host/a", "http://host/a", id="nor one with an at sign"),
        pytest.param("http://[::1]:80/a", "http://[::1]:80/a", id="IPv6"),
        pytest.param("http://host/users/42", "http://host/users/{n}", id="a number"),
        pytest.param("http://host/users/42/7", "http://host/users/{n}/{n}", id="two numbers"),
        pytest.param("http://host/42/edit", "http://host/{n}/edit", id="in the middle"),
        pytest.param(
            "http://host/o/123e4567-e89b-12d3-a456-426614174000", "http://host/o/{n}", id="a UUID"
        ),
        pytest.param(
            "http://host/o/ABCDEFAB-ABCD-ABCD-ABCD-ABCDEFABCDEF",
            "http://host/o/{n}",
            id="a UUID in capitals, without a decimal digit",
        ),
        pytest.param("http://host/c/3f2a9c1b", "http://host/c/{n}", id="hexadecimal"),
        pytest.param("http://host/c/3f2a9c1", "http://host/c/3f2a9c1", id="too short to tell"),
        pytest.param("http://host/c/facade", "http://host/c/facade", id="a word"),
        pytest.param("http://host/c/deadbeef", "http://host/c/deadbeef", id="a longer word"),
        pytest.param("http://host/v2/users", "http://host/v2/users", id="a version"),
        pytest.param("http://host/2024-01-05", "http://host/2024-01-05", id="a date"),
        pytest.param("http://host/img12.png", "http://host/img12.png", id="a part of a segment"),
        pytest.param("http://host/-5", "http://host/-5", id="a negative number"),
        pytest.param("http://host//42", "http://host//{n}", id="an empty segment"),
    ],
)
def test_name_of_a_url(url, template):
    assert url_template(url) == template


@quick
@given(st.text(max_size=20))
def test_a_name_is_its_own_name_and_keeps_the_host(path):
    name = url_template(f"http://host/{path}")
    assert url_template(name) == name
    assert name.startswith("http://host/")
    assert not {"?", "#"} & set(name)
