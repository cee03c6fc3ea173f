"""Failures: which ones are the same, and how they are counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.failures import (
    ERROR,
    FAILURE,
    MAX_MESSAGE,
    MAX_TRACEBACK,
    Failure,
    FailureGroup,
    clip,
    normalised,
)
from tests.unit.strategies import (
    check_merge_laws,
    check_round_trip,
    check_unpack,
    damaged,
    failure_groups,
    quick,
)

#: Merges into any group without a change.  It is no group that anybody sends.
NOTHING = FailureGroup(0, math.inf, -math.inf, frozenset())


def error(message: str = "", traceback: str = "") -> Failure:
    return Failure(ERROR, "ValueError", message, traceback)


UUIDS = ("123e4567-e89b-12d3-a456-426614174000", "ABCDEFAB-ABCD-ABCD-ABCD-ABCDEFABCDEF")


@pytest.mark.parametrize(
    ("one", "another"),
    [
        pytest.param("no answer", "no answer", id="the same words"),
        pytest.param("<Cart at 0x7f3a1c>", "<Cart at 0x55D0e8>", id="addresses of objects"),
        pytest.param(f"order {UUIDS[0]}", f"order {UUIDS[1]}", id="UUIDs"),
        pytest.param(
            "key 507f1f77bcf86cd799439011", "key 507f191e810c19729de860ea", id="hexadecimal ids"
        ),
        pytest.param("order 1234567", "order 98765", id="long numbers, of different lengths"),
        pytest.param("at 1700000000", "at 1700000001", id="times"),
        pytest.param("10.0.0.1:49152", "10.0.0.1:60999", id="ephemeral ports"),
    ],
)
def test_what_differs_by_accident_is_one_failure(one, another):
    assert normalised(error(one)) == normalised(error(another))
    assert normalised(error(traceback=one)) == normalised(error(traceback=another))


@pytest.mark.parametrize(
    ("one", "another"),
    [
        pytest.param("404 != 200", "500 != 200", id="status codes"),
        pytest.param("3 items", "4 items", id="counts"),
        pytest.param("port 8080", "port 9000", id="ports of servers"),
        pytest.param("line 12", "line 13", id="line numbers"),
        pytest.param("facade", "decade", id="words of hexadecimal digits"),
        pytest.param("feedfacefeedface", "deadbeefdeadbeef", id="long ones without a digit"),
        pytest.param("1920x1080 expected", "1920x720 expected", id="sizes are not addresses"),
        pytest.param("", "no answer", id="no message"),
    ],
)
def test_what_differs_in_substance_is_two_failures(one, another):
    assert normalised(error(one)) != normalised(error(another))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Failure(FAILURE, "ValueError", "m", "t"), id="kind"),
        pytest.param(Failure(ERROR, "TypeError", "m", "t"), id="type"),
        pytest.param(Failure(ERROR, "ValueError", "n", "t"), id="message"),
        pytest.param(Failure(ERROR, "ValueError", "m", "u"), id="traceback"),
    ],
)
def test_each_part_of_a_failure_counts(other):
    assert normalised(Failure(ERROR, "ValueError", "m", "t")) != normalised(other)


def test_what_people_read_is_kept():
    failure = Failure(FAILURE, "AssertionError", "404 != 200", 'File "t.py", line 3, in test\n')
    assert normalised(failure) == failure


@pytest.mark.parametrize(
    ("one", "another"),
    [
        pytest.param("order 99999: ", "order 100000: ", id="ids of different lengths"),
        # The cut is at 997 characters: it leaves three digits, which are no long number.
        pytest.param("x" * 993 + " 12345678 ", "x" * 993 + " 98765432 ", id="an id on the cut"),
    ],
)
def test_long_messages_are_grouped_like_short_ones(one, another):
    # Their middles are cut away; what is left must not depend on the accidental parts.
    tail = "".join(f"line {n % 100}\n" for n in range(MAX_MESSAGE))
    assert normalised(error(one + tail)) == normalised(error(another + tail))


@pytest.mark.parametrize(
    ("text", "most", "clipped"),
    [
        pytest.param("", 9, "", id="nothing"),
        pytest.param("123456789", 9, "123456789", id="fits exactly"),
        pytest.param("1234567890", 9, "12 ... 90", id="the ends stay"),
        pytest.param("12345678901", 10, "12 ... 01", id="never longer than asked"),
    ],
)
def test_clip(text, most, clipped):
    assert clip(text, most) == clipped


@quick
@given(st.text(max_size=60), st.integers(7, 50))
def test_clip_keeps_to_the_limit(text, most):
    clipped = clip(text, most)
    assert len(clipped) <= most
    assert clipped[0:1] == text[0:1]
    assert clipped[-1:] == text[-1:]


def test_texts_of_a_group_are_bounded():
    key = normalised(error("m" * 10**5, "t" * 10**5))
    assert len(key.message) <= MAX_MESSAGE
    assert len(key.traceback) <= MAX_TRACEBACK


# -- groups --------------------------------------------------------------------------------------


def test_merge_adds_counts_and_widens_times():
    group = FailureGroup(2, 1.0, 3.0, frozenset({"a"}))
    group.merge(FailureGroup(3, 0.5, 2.0, frozenset({"a", "b"})))
    assert group == FailureGroup(5, 0.5, 3.0, frozenset({"a", "b"}))


@quick
@given(failure_groups, failure_groups, failure_groups)
def test_merge_laws(a, b, c):
    check_merge_laws(a, b, c, NOTHING)


@quick
@given(failure_groups)
def test_round_trip(group):
    check_round_trip(group)


@quick
@given(damaged(failure_groups.map(FailureGroup.pack)))
def test_garbage_is_refused_or_a_group(data):
    check_unpack(FailureGroup, data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([1, 0.0, 1.0], id="a part is missing"),
        pytest.param([1.5, 0.0, 1.0, []], id="a fraction of a failure"),
        pytest.param([-1, 0.0, 1.0, []], id="a negative count"),
        pytest.param([1, "soon", 1.0, []], id="a time in words"),
        pytest.param([1, None, 1.0, []], id="no time"),
        pytest.param([1, math.nan, 1.0, []], id="NaN, with which min and max do not commute"),
        pytest.param([1, 0.0, math.inf, []], id="infinity, which JSON has not"),
        pytest.param([1, 10**400, 1.0, []], id="a time beyond float"),
        pytest.param([1, 0.0, 1.0, [5]], id="a test that is a number"),
        pytest.param([1, 0.0, 1.0, None], id="no list of tests"),
    ],
)
def test_what_is_no_group_is_refused(data):
    with pytest.raises((ValueError, TypeError)):
        FailureGroup.unpack(data)
