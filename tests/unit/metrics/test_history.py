"""How series went over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics.histogram import MAX_VALUE
from loads.metrics.history import CHUNK, CHUNKS, MAX_SLOTS, MAX_STEPS, History, Slot, shares
from loads.metrics.series import HIT, TEST, SeriesKey, Verdict
from loads.metrics.tally import Tally
from loads.metrics.timeline import Second
from tests.unit.strategies import few, quick, series, tallies

HOME = SeriesKey(HIT, "http://host/", "GET")


def hits(*latencies: int, outcome: int = 200) -> Tally:
    tally = Tally()
    for latency in latencies:
        tally.line(HOME).record(latency, outcome)
    return tally


def history(*entries: tuple[float, Tally]) -> History:
    made = History()
    for second, tally in entries:
        made.add(second, tally)
    return made


entries = st.lists(st.tuples(st.floats(0, 5 * MAX_SLOTS), tallies()), max_size=3)
histories = entries.map(lambda rows: history(*rows))


def test_each_second_has_its_slot():
    made = history((0.2, hits(100, 300)), (0.9, hits(200)), (3.5, hits(50, outcome=500)))
    (first, second) = made.rows()
    assert first[:2] == (HOME, 0)
    assert (first[2].count, first[2].errors, first[2].high, first[2].mean) == (3, 0, 300, 200)
    assert second[:2] == (HOME, 3)
    assert (second[2].count, second[2].errors) == (1, 1)


def test_tests_that_fail_are_errors_and_skipped_ones_are_not():
    tally = Tally()
    for verdict in Verdict:
        tally.line(SeriesKey(TEST, "test")).record(10, verdict)
    ((_, _, slot),) = history((0, tally)).rows()
    assert (slot.count, slot.errors) == (4, 2)


def test_a_long_run_has_no_more_slots_than_a_short_one():
    made = history(*((second, hits(1000)) for second in range(4 * MAX_SLOTS)))
    rows = list(made.rows())
    assert made.width == 4
    assert len(rows) == MAX_SLOTS
    assert [second for _, second, _ in rows] == list(range(0, 4 * MAX_SLOTS, 4))
    assert {slot.count for _, _, slot in rows} == {4}


def test_an_empty_tally_leaves_no_trace():
    assert not history((5, Tally()))


within_an_hour = st.integers(0, 300) | st.integers(0, MAX_VALUE)


@quick
@given(st.lists(within_an_hour, min_size=1, max_size=50), st.sampled_from([0, 50, 90, 99, 100]))
def test_percentiles_are_close(latencies, percent):
    tally = hits(*latencies)
    ((_, _, slot),) = history((0, tally)).rows()
    exact = tally.line(HOME).latency.percentile(percent)
    assert exact <= slot.percentile(percent) <= max(exact * 1.126, exact + 16)


def test_nothing_has_no_percentiles():
    assert (Slot().percentile(50), Slot().mean) == (None, None)


@few
@given(entries, st.randoms(use_true_random=False))
def test_entries_in_any_order_give_the_same_history(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert history(*shuffled) == history(*rows)


@few
@given(histories, histories, histories)
def test_merging_is_associative_and_commutative(a, b, c):
    def merged(*all_of_them: History) -> History:
        total = History()
        for one in all_of_them:
            total.merge(one)
        return total

    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a) == a


@few
@given(entries)
def test_nothing_is_lost(rows):
    made = history(*rows)
    for key in {key for _, tally in rows for key in tally.series}:
        wanted = sum(tally.series[key].count for _, tally in rows if key in tally.series)
        assert sum(slot.count for row, _, slot in made.rows() if row == key) == wanted


@few
@given(histories)
def test_the_chunks_of_a_history_are_the_whole(made):
    whole = History()
    for number in range(CHUNKS):
        whole.merge(made.chunk(number))
    assert whole == made


def test_only_chunks_that_changed_have_to_be_kept_again():
    made = history((0, hits(1)), (CHUNK, hits(1)))
    assert made.take_changed() == [0, 1]
    assert made.take_changed() == []
    made.add(CHUNK + 1, hits(1))
    made.add(3 * CHUNK, hits(1))
    assert made.take_changed() == [1, 3]
    made.add(MAX_SLOTS, hits(1))
    assert made.take_changed() == list(range(CHUNKS)), "all slots are wider now"


@few
@given(histories)
def test_packed_and_unpacked(made):
    assert History.unpack(made.pack()) == made


# -- what came late --------------------------------------------------------------------------------

weights = st.lists(st.integers(0, 5) | st.integers(0, 10**9), min_size=1, max_size=70)


@quick
@given(st.integers(0, 20) | st.integers(0, 10**12), weights)
def test_shares_are_the_nearest_that_come_to_the_whole(number, given_weights):
    got, total = shares(number, given_weights), sum(given_weights)
    if not total:
        assert got == [0] * (len(given_weights) - 1) + [number], "nobody has a claim"
        return
    assert sum(got) == number
    for share, weight in zip(got, given_weights, strict=True):
        assert number * weight // total <= share <= -(-number * weight // total)


@quick
@given(series, weights)
def test_the_parts_of_a_slot_are_the_whole(of_a_hit, given_weights):
    whole = Slot.of(HIT, of_a_hit)
    parts = whole.split(given_weights)
    assert [part.count for part in parts] == shares(whole.count, given_weights)
    merged = Slot()
    for part in parts:
        assert part.errors <= part.count
        assert (part.mean or 0) <= part.high
        merged.merge(part)
    assert merged.pack() == whole.pack()


def test_each_part_of_a_slot_has_its_share_of_slow_and_fast():
    parts = Slot.of(HIT, hits(*[100] * 28, *[10_000] * 12).line(HOME)).split([1, 2, 1])
    assert [part.count for part in parts] == [10, 20, 10]
    for part in parts:
        slow = max(part.buckets)
        assert part.buckets[slow] == 0.3 * part.count
        assert abs(part.mean - 3070) < 1


def late(*of_each_second: int, first: int = 0) -> Tally:
    """A tally of so many hits in each of some seconds."""
    tally = hits(*[1000] * sum(of_each_second))
    for number, count in enumerate(of_each_second, first):
        tally.timeline.add(number, Second(count))
    tally.elapsed = first + len(of_each_second) - 0.5
    return tally


def counts(made: History) -> dict[int, int]:
    return {second: slot.count for _, second, slot in made.rows()}


def test_what_came_late_is_of_the_seconds_in_which_it_ended():
    tally = late(3, 0, 5, 1, 7, 2, first=20)
    assert counts(history((tally.elapsed, tally))) == {20: 3, 22: 5, 23: 1, 24: 7, 25: 2}


def test_what_came_in_time_is_of_its_last_second():
    """It costs less, and there is an update four times a second."""
    tally = late(3, 5, 1, first=20)
    assert counts(history((tally.elapsed, tally))) == {22: 9}


def test_series_share_the_seconds_of_all_hits():
    tally = late(10, 20, 10)
    tally.line(SeriesKey(HIT, "http://host/rare", "GET")).record(1000, 200)
    tally.timeline.add(5, Second(0, 0, 8, 0))
    for _ in range(8):
        tally.line(SeriesKey(TEST, "test")).record(5, Verdict.SUCCESS)
    rows = [(key.name, second, slot.count) for key, second, slot in history((5, tally)).rows()]
    assert rows == [
        ("http://host/", 0, 10),
        ("http://host/", 1, 20),
        ("http://host/", 2, 10),
        ("http://host/rare", 1, 1),
        ("test", 5, 8),
    ]


def test_what_came_very_late_is_of_longer_steps():
    """To spread it over every second would hold up all else."""
    tally = late(*[1] * (10 * MAX_STEPS))
    made = counts(history((tally.elapsed, tally)))
    assert made == dict.fromkeys(range(9, 10 * MAX_STEPS, 10), 10)


def test_what_is_said_to_have_ended_later_than_it_came_is_of_that_second():
    tally = late(*[1] * 10)
    assert counts(history((5, tally))) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 5}


@pytest.mark.parametrize(
    "data",
    [
        None, [], [0, []], [3, []], [1, [["hit", "a", "GET", [[MAX_SLOTS, 0, 1, 1, [1, 1]]]]]],
        [1, [["hit", "a", "GET", [[0, -1, 1, 1, [1, 1]]]]]],
        [1, [["hit", "a", "GET", [[0, 0, 1, 1, [1]]]]]],
        [1, [["hit", "a", "GET", [[0, 0, 1, 1, [1 << 40, 1]]]]]],
        [1, [["hit", "a", "GET", [["0", 0, 1, 1, [1, 1]]]]]],
    ],
)  # fmt: skip
def test_what_is_no_history(data):
    with pytest.raises((ValueError, TypeError)):
        History.unpack(data)
