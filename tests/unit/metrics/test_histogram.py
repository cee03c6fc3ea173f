"""The histogram, against its definition and against HdrHistogram."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.histogram import (
    BUCKETS,
    MAX_VALUE,
    SUB_BUCKETS,
    Histogram,
    bucket_of,
    highest_of,
)
from tests.unit.strategies import (
    check_merge_laws,
    check_round_trip,
    check_unpack,
    damaged,
    histograms,
    merged,
    microseconds,
    quick,
)

values_in_range = st.integers(0, 300) | st.integers(0, MAX_VALUE)
small = st.integers(0, 2 * SUB_BUCKETS - 1)  # each value has its own bucket

# Where buckets begin and end: all powers of two and their neighbours.
EDGES = sorted({(1 << power) + step for power in range(32) for step in (-1, 0, 1)})
EDGES = [value for value in EDGES if value <= MAX_VALUE] + [MAX_VALUE]


def oracle_of(values: list[int]) -> HdrHistogram:
    """HdrHistogram with our range and two significant digits."""
    oracle = HdrHistogram(1, MAX_VALUE, 2)
    for value in values:
        assert oracle.record_value(value)
    return oracle


# -- buckets -------------------------------------------------------------------------------------


def test_buckets_tile_the_range_without_gap_or_overlap():
    # Each bucket's highest value is in it and the next value is in the next: with that, bucket_of
    # is monotone, and highest_of is its inverse.
    for bucket in range(BUCKETS - 1):
        assert bucket_of(highest_of(bucket)) == bucket
        assert bucket_of(highest_of(bucket) + 1) == bucket + 1


@quick
@given(values_in_range)
def test_a_value_is_in_its_bucket(value):
    bucket = bucket_of(value)
    lowest = highest_of(bucket - 1) + 1 if bucket else 0
    assert lowest <= value <= highest_of(bucket)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        pytest.param(0, 0, id="zero"),
        pytest.param(255, 255, id="the last with a bucket of its own"),
        pytest.param(256, 256, id="the first that shares"),
        pytest.param(257, 256, id="and with whom"),
        pytest.param(MAX_VALUE, BUCKETS - 1, id="the last bucket"),
        pytest.param(MAX_VALUE + 1, BUCKETS - 1, id="what is longer counts there too"),
        pytest.param(1 << 62, BUCKETS - 1, id="however long"),
        pytest.param(-1, 0, id="a clock that went backwards"),
    ],
)
def test_bucket_of_a_value(value, bucket):
    assert bucket_of(value) == bucket


@quick
@given(values_in_range)
def test_relative_error_is_below_one_in_128(value):
    # No larger than the width of the bucket, for the bucket's smallest value.
    assert highest_of(bucket_of(value)) - value < max(value, 1) / SUB_BUCKETS


# -- the oracle ----------------------------------------------------------------------------------


def test_as_many_buckets_as_the_oracle_needs_for_an_hour():
    last = HdrHistogram(1, MAX_VALUE, 2)
    last.record_value(MAX_VALUE)
    assert last.counts[BUCKETS - 1] == 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(EDGES, id="powers of two"),
        pytest.param(list(range(600)), id="the first buckets"),
        pytest.param([3**power for power in range(20)], id="powers of three"),
    ],
)
def test_buckets_are_the_oracles(values):
    oracle = oracle_of(values)
    expected = {index: count for index, count in enumerate(oracle.counts) if count}
    assert Histogram.of(values).counts == expected
    highest = {value: oracle.get_highest_equivalent_value(value) for value in values}
    assert {value: highest_of(bucket_of(value)) for value in values} == highest


@quick
@given(st.lists(values_in_range, min_size=1, max_size=30), st.data())
def test_percentiles_are_the_oracles(values, data):
    ranks = data.draw(st.lists(st.integers(1, len(values)), min_size=1, max_size=3).map(sorted))
    # The oracle rounds to the nearest rank where we take the one above; at the percent that is
    # exactly a rank they mean the same value.
    percents = tuple(100 * rank / len(values) for rank in ranks)
    oracle = oracle_of(values)
    expected = [min(oracle.get_value_at_percentile(p), max(values)) for p in percents]
    assert Histogram.of(values).percentiles(percents) == expected


# -- percentiles ---------------------------------------------------------------------------------


def nearest_rank(values: list[int], percent: str) -> int:
    """The definition: the value at rank ceil(p / 100 x n) of the sorted values."""
    rank = math.ceil(Fraction(percent) * len(values) / 100)
    return sorted(values)[max(rank, 1) - 1]


@quick
@given(
    st.lists(small, min_size=1, max_size=60),
    st.sampled_from(["0", "0.1", "1", "33.3", "50", "90", "95", "99", "99.9", "99.99", "100"]),
)
def test_percentiles_of_small_values_are_exact(values, percent):
    assert Histogram.of(values).percentile(float(percent)) == nearest_rank(values, percent)


@pytest.mark.parametrize("percent", ["50", "90", "95", "99", "99.9"])
# Of 41,000, 99.9 percent is 40,959, but a float above that: the rank may not become the next.
@pytest.mark.parametrize("count", [10, 1000, 41_000, 10**6, 10**9, 10**12])
def test_a_rank_is_exact_however_many_values(percent, count):
    # One value more than the rank is in the lower bucket, or not, and the answer changes.
    rank = math.ceil(Fraction(percent) * count / 100)
    enough = Histogram({1: rank, 2: count - rank}, 0, 1, 2)
    too_few = Histogram({1: rank - 1, 2: count - rank + 1}, 0, 1, 2)
    assert enough.percentile(float(percent)) == 1
    assert too_few.percentile(float(percent)) == 2


@quick
@given(st.lists(values_in_range, min_size=1, max_size=20), st.floats(0, 100))
def test_a_percentile_is_never_far_above_nor_ever_below_the_true_value(values, percent):
    rank = max(1, math.ceil(percent * len(values) / 100 - 1e-9))
    true = sorted(values)[rank - 1]
    assert true <= Histogram.of(values).percentile(percent) <= true + true / SUB_BUCKETS


@quick
@given(st.lists(microseconds, min_size=1, max_size=20))
def test_percentiles_ascend_between_the_exact_extremes(values):
    histogram = Histogram.of(values)
    percents = (0.0, 25.0, 50.0, 75.0, 99.9, 100.0)
    found = histogram.percentiles(percents)
    assert found == sorted(found)
    assert min(values) <= found[0] <= found[-1] <= max(values)
    assert found == [histogram.percentile(percent) for percent in percents]


def test_of_one_value_every_percentile_is_exact():
    histogram = Histogram.of([123_457])
    assert histogram.percentiles((0, 50, 100)) == [123_457] * 3


def test_of_nothing_there_is_no_figure():
    nothing = Histogram()
    assert nothing.count == nothing.total == 0
    assert nothing.mean is nothing.low is nothing.high is nothing.percentile(50) is None


# -- recording, merging, packing -----------------------------------------------------------------


@quick
@given(st.lists(microseconds, max_size=20))
def test_count_sum_and_extremes_are_exact(values):
    histogram = Histogram.of(values)
    assert histogram.count == len(values)
    assert histogram.total == sum(values)
    assert histogram.low == min(values, default=None)
    assert histogram.high == max(values, default=None)
    assert histogram.mean == (sum(values) / len(values) if values else None)


def test_a_histogram_has_its_own_counts():
    counts = {5: 1}
    Histogram(counts, 5, 5, 5).record(5)
    assert counts == {5: 1}


@quick
@given(st.lists(microseconds, max_size=20), st.lists(microseconds, max_size=20))
def test_to_merge_is_to_have_recorded_all(some, others):
    assert merged(Histogram.of(some), Histogram.of(others)) == Histogram.of(some + others)


@quick
@given(histograms, histograms, histograms)
def test_merge_laws(a, b, c):
    check_merge_laws(a, b, c, Histogram())


@quick
@given(histograms)
def test_round_trip(histogram):
    check_round_trip(histogram)


@quick
@given(damaged(histograms.map(Histogram.pack)))
def test_garbage_is_refused_or_a_histogram(data):
    check_unpack(Histogram, data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="empty"),
        pytest.param([0, None, None, []][:3], id="a part is missing"),
        pytest.param([0, None, None, [], 0], id="a part too many"),
        pytest.param([0, None, None, 5], id="buckets that are a number"),
        pytest.param([0, None, None, {}], id="buckets that are a mapping"),
        pytest.param([5, 5, 5, [5]], id="a bucket without its count"),
        pytest.param([5, 5, 5, [5, -1]], id="a negative count"),
        pytest.param([5, 5, 5, [5, 1.0]], id="a fraction"),
        pytest.param([5, 5, 5, [5, "1"]], id="text"),
        pytest.param([5, 5, 5, [-5, 1]], id="a negative bucket"),
        pytest.param([5, 5, 5, [BUCKETS, 1]], id="a bucket that does not exist"),
        pytest.param([-5, 5, 5, [5, 1]], id="a negative sum"),
        pytest.param([5, 5, 5, [5, 1 << 63]], id="more than 63 bits"),
        pytest.param([5, 5, None, [5, 1]], id="one extreme only"),
        pytest.param([5, 9, 5, [5, 1]], id="extremes crossed"),
        pytest.param([5, None, None, [5, 1]], id="values without extremes"),
        pytest.param([10, 5, 5, [5, 1, 5, 1]], id="a bucket twice, of which one would be lost"),
    ],
)
def test_what_is_no_histogram_is_refused(data):
    with pytest.raises((ValueError, TypeError)):
        Histogram.unpack(data)
