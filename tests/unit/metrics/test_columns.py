"""Series in columns: read, refused and added up as the objects that they stand for."""

from __future__ import annotations

import copy
import json

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.metrics import columns as columns_module
from loads.metrics.columns import Columns, Names, added
from loads.metrics.histogram import BUCKETS, Histogram
from loads.metrics.packing import FIELDS, MAX_OUTCOME, MOST, column, write
from loads.metrics.series import HIT, TEST, Phases, Series, SeriesKey
from loads.metrics.tally import MAX_PARTS, Tally
from loads.metrics.unpacking import SMALL, _Column, _Document, read, read_together
from tests.unit.strategies import damaged, few, quick, tallies, twin

HOME = SeriesKey(HIT, "http://host/", "GET")
CART = SeriesKey(HIT, "http://host/cart", "POST")
SHOP = SeriesKey(TEST, "test_shop")


def over_the_wire(tally: Tally) -> Tally:
    """A tally as a peer has it that was sent it."""
    return Tally.read(msgpack.unpackb(msgpack.packb(tally.write())))


def whole(*tallies: Tally) -> Tally:
    """What tallies come to; they stay as they were."""
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total


def a_line(*microseconds: int, outcome: int = 200) -> Series:
    line = Series()
    for value in microseconds:
        line.record(value, outcome, sent=10, received=1_000)
    return line


@quick
@given(tallies())
def test_what_is_written_can_be_read(tally):
    read = over_the_wire(tally)
    assert (read.hits, read.verdicts, read.outcomes(HIT)) == (
        tally.hits,
        tally.verdicts,
        tally.outcomes(HIT),
    )
    assert read.recorded == tally.recorded
    assert read.total(HIT) == tally.total(HIT)
    assert bool(read) == bool(tally)
    assert read == tally


@quick
@given(tallies())
def test_columns_write_what_they_read(tally):
    written = write(tally.series)
    assert read(written).write() == written


@few
@given(st.lists(tallies(), min_size=1, max_size=4), st.booleans())
def test_columns_add_up_as_objects_do(parts, densely):
    expected = whole(*map(twin, parts))
    dense, columns_module.DENSE = columns_module.DENSE, columns_module.DENSE if densely else 0
    try:
        total = whole(*map(over_the_wire, parts))
        assert (total.hits, total.outcomes(TEST)) == (expected.hits, expected.outcomes(TEST))
        assert over_the_wire(total) == expected
        assert total == expected
    finally:
        columns_module.DENSE = dense


@few
@given(tallies(), tallies(), tallies(), st.lists(st.booleans(), min_size=3, max_size=3))
def test_columns_and_objects_mix(a, b, c, sent):
    """Some tallies came over the wire and others did not, and some are looked into on the way."""
    expected = whole(a, b, c)
    mixed = [
        over_the_wire(x) if was_sent else twin(x)
        for x, was_sent in zip((a, b, c), sent, strict=True)
    ]
    total = whole(*mixed[:2])
    other = whole(*mixed[:2])
    assert other.series == whole(a, b).series  # now it has objects, and gets columns on top
    for merged in (total, other):
        merged.merge(mixed[2])
        assert merged == expected
    assert mixed == [a, b, c]


def test_a_part_is_not_changed_by_what_it_is_added_to():
    part = over_the_wire(whole_of({HOME: a_line(100, 200)}))
    before = part.write()
    total = whole(part, part, part)
    total.line(HOME).record(1, 200)
    assert total.hits == 7
    assert part.write() == before


def whole_of(series: dict[SeriesKey, Series]) -> Tally:
    tally = Tally()
    tally.series = series
    return tally


def test_a_row_of_nothing_has_no_extremes_and_gives_none():
    silent, loud = whole_of({HOME: Series()}), whole_of({HOME: a_line(500, 900)})
    assert over_the_wire(silent).series[HOME] == Series()
    total = whole(over_the_wire(silent), over_the_wire(loud), over_the_wire(silent))
    assert (total.series[HOME].latency.low, total.series[HOME].latency.high) == (500, 900)


def test_a_hit_of_no_time_at_all_is_the_lowest():
    parts = [over_the_wire(whole_of({HOME: a_line(value)})) for value in (700, 0)]
    assert whole(*parts).series[HOME].latency.low == 0


def test_parts_with_names_of_their_own_are_brought_together():
    parts = [{HOME: a_line(1)}, {CART: a_line(2)}, {SHOP: a_line(3, outcome=1), HOME: a_line(4)}]
    total = whole(*(over_the_wire(whole_of(part)) for part in parts))
    assert total.series == {HOME: a_line(1, 4), CART: a_line(2), SHOP: a_line(3, outcome=1)}


def test_a_total_of_many_updates_is_added_up_on_the_way(monkeypatch):
    """What is held stays bounded, and nothing is lost by that."""
    monkeypatch.setattr("loads.metrics.tally.MAX_HELD", 10)
    total = Tally()
    for _ in range(50):
        total.merge(over_the_wire(whole_of({HOME: a_line(100), CART: a_line(200)})))
        assert len(total._held) <= 3
    assert total.series == {HOME: a_line(*[100] * 50), CART: a_line(*[200] * 50)}


def test_a_long_run_of_small_updates_is_held_in_few_parts():
    """Each part takes memory of its own, however little is in it."""
    total, update = Tally(), over_the_wire(whole_of({HOME: a_line(100)}))
    for _ in range(2 * MAX_PARTS):
        total.merge(update)
        assert len(total._held) <= MAX_PARTS + 1
    assert total.series == {HOME: a_line(*[100] * 2 * MAX_PARTS)}


def test_what_was_added_up_once_is_held_as_the_sum():
    """As it is of a run that has ended, which may be kept for long."""
    total = Tally()
    for _ in range(5):
        total.merge(over_the_wire(whole_of({HOME: a_line(100)})))
    before = total.write()
    assert len(total._held) == 1
    assert total.write() == before
    assert total.series == {HOME: a_line(*[100] * 5)}


def numbers_in(data: bytes) -> list[int]:
    """What a column holds: the totals, extremes and so on of one row without a hit."""
    return _Column([_Document(Names([]), [data])], 0).numbers.tolist()


@pytest.mark.parametrize("highest", [0, 1, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, MOST])
def test_a_column_is_as_wide_as_it_must_be(highest):
    data = column([0, highest])
    assert len(data) == 1 + 2 * data[0]
    assert data[0] == min(width for width in (1, 2, 4, 8) if highest < 1 << 8 * width)
    assert numbers_in(data) == [0, highest]
    assert columns_module._column(np.array([0, highest])) == data


def test_what_has_no_place_in_a_column_is_the_nearest_that_has():
    assert numbers_in(column([-5, 7, 1 << 70])) == [0, 7, MOST]


def test_an_outcome_of_too_many_digits_is_the_last_one_that_there_is():
    line = a_line(1)
    line.outcomes = {999: 1, 1234: 2, 70_000: 3, 200: 4}
    line.latency = Histogram({5: 10}, 50, 5, 5)
    assert over_the_wire(whole_of({HOME: line})).series[HOME].outcomes == {200: 4, MAX_OUTCOME: 6}


def test_names_without_a_utf8_form_are_spelled_out_and_lose_nothing():
    key = SeriesKey(HIT, "caf\udce9", "GET")
    same = SeriesKey(HIT, "caf\\udce9", "GET")
    read = over_the_wire(whole_of({key: a_line(1), same: a_line(2)}))
    assert read.series == {same: a_line(1, 2)}


def test_sums_that_run_over_are_the_highest_number():
    line = Series(Histogram({5: 1}, MOST, 5, 5), {200: 1}, sent=MOST, phases=Phases(1, MOST))
    parts = [over_the_wire(whole_of({HOME: twin(line)})) for _ in range(2)]
    (total,) = over_the_wire(whole(*parts)).series.values()
    assert (total.latency.total, total.sent, total.phases.sending) == (MOST, MOST, MOST)
    assert total.count == 2


# -- what is no series -----------------------------------------------------------------------------


@quick
@given(damaged(tallies().map(Tally.write)))
def test_garbage_is_refused_or_a_tally(data):
    try:
        tally = Tally.read(copy.deepcopy(data))
    except (ValueError, TypeError):
        return
    try:
        msgpack.packb(data)
    except OverflowError:  # what has no room in 64 bits does not arrive
        return
    assert over_the_wire(tally) == tally


@quick
@given(tallies().map(lambda tally: write(tally.series)), st.data())
def test_a_damaged_column_is_refused_or_read_as_what_can_be_sent(written, data):
    place = data.draw(st.integers(1, len(written) - 1))
    spoiled = bytearray(written[place])
    at = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[at] ^= data.draw(st.integers(1, 255))
    written[place] = bytes(spoiled[: data.draw(st.integers(at, len(spoiled)))])
    try:
        columns = read(written)
    except (ValueError, TypeError):
        return
    assert read(write(columns.series())).series() == columns.series()


GROUPS = len(FIELDS)


def spoiled(place: int, value: object) -> list[object]:
    """The columns of two series of two hits each, with one of them replaced."""
    lines = {HOME: a_line(100, 200), CART: a_line(100, 200)}
    written = write(lines)
    written[place] = value
    return written


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="no columns"),
        pytest.param(write({})[:-1], id="a column is missing"),
        pytest.param(spoiled(0, "[]"), id="names that are text"),
        pytest.param(spoiled(0, b"[["), id="names that are no JSON"),
        pytest.param(spoiled(0, b"[" * 5_000), id="names that are too deep"),
        pytest.param(spoiled(0, b'[["hit","GET",["a","a"]]]'), id="a name twice"),
        pytest.param(spoiled(0, b'[["hit","GET",["a"]],["hit","GET",["b"]]]'), id="a method twice"),
        pytest.param(spoiled(0, b'[["hit","GET",["a",1]]]'), id="a name that is a number"),
        pytest.param(spoiled(0, b'[["hit","GET","ab"]]'), id="names in a text"),
        pytest.param(spoiled(0, b'[["hit","GET",["a","\\ud800"]]]'), id="half a character"),
        pytest.param(spoiled(0, b'[["hit","GET",["a"]]]'), id="fewer names than rows"),
        pytest.param(spoiled(1, b""), id="an empty column"),
        pytest.param(spoiled(1, [1, 2]), id="a column that is a list"),
        pytest.param(spoiled(1, b"\x03" + bytes(30)), id="numbers of 3 bytes"),
        pytest.param(spoiled(1, b"\x02" + bytes(21)), id="half a number"),
        pytest.param(spoiled(1, column([1] * 9)), id="too few numbers"),
        pytest.param(spoiled(1, column([1, 1, 9, 9, 5, 5, 1, 1, 1, 1])), id="low above high"),
        pytest.param(spoiled(1, b"\x08" + b"\xff" * 80), id="numbers of 64 bits"),
        pytest.param(spoiled(GROUPS + 1, column([1, 2])), id="more outcomes than there are"),
        pytest.param(spoiled(GROUPS + 1, b"\x08" + bytes(16)), id="lengths of 8 bytes"),
        pytest.param(spoiled(GROUPS + 2, column([200, 1000])), id="no such outcome"),
        pytest.param(spoiled(GROUPS + 3, column([2, 0])), id="an outcome that did not happen"),
        pytest.param(spoiled(GROUPS + 3, column([2, 3])), id="more outcomes than latencies"),
        pytest.param(spoiled(GROUPS + 3, column([1, 3])), id="a latency in the wrong row"),
        pytest.param(spoiled(GROUPS + 5, column([100, BUCKETS] * 2)), id="no such bucket"),
        pytest.param(spoiled(GROUPS + 5, column([200, 100] * 2)), id="buckets that descend"),
        pytest.param(spoiled(GROUPS + 5, column([100, 100] * 2)), id="a bucket twice"),
        pytest.param(spoiled(GROUPS + 6, column([MOST, MOST] * 2)), id="counts beyond measure"),
    ],
)
def test_what_is_no_series_is_refused(data):
    with pytest.raises((ValueError, TypeError, RecursionError)):
        read(data)


def test_names_may_be_written_in_other_ways():
    """As by a worker in another language, whose JSON has spaces, or escapes."""
    lines = {HOME: a_line(100, 200), CART: a_line(100, 200)}
    written = write(lines)
    ours = read(written)
    written[0] = json.dumps(json.loads(written[0]), indent=1).encode()
    theirs = read(written)
    assert added([ours, theirs]).series() == added([ours, ours]).series()


def test_columns_of_a_newer_peer_are_ignored():
    written = write({HOME: a_line(100)})
    assert read([*written, b"more", None]).series() == {HOME: a_line(100)}


# -- many at once ----------------------------------------------------------------------------------


def said(columns: Columns) -> object:
    """All that columns say, and what they know besides."""
    return columns.write(), columns.series(), columns._counts


def alone(data: object) -> object:
    try:
        return said(read(data))
    except (ValueError, TypeError, RecursionError):
        return None


hits = st.lists(
    st.tuples(
        st.sampled_from([HOME, CART, SHOP]), st.integers(0, 300), st.sampled_from([200, 503])
    ),
    max_size=6,
)


@st.composite
def alike(draw: st.DrawFn) -> list[list[object]]:
    """What some workers report of the same series; one of them may be damaged."""
    many = []
    for recorded in draw(st.lists(hits, min_size=1, max_size=5)):
        tally = Tally()
        tally.series = {key: Series() for key in (HOME, CART, SHOP)}
        for key, latency, outcome in recorded:
            tally.line(key).record(latency, outcome)
        many.append(write(tally.series))
    if draw(st.booleans()):
        data = draw(st.sampled_from(many))
        place = draw(st.integers(1, len(data) - 1))
        spoiled = bytearray(data[place])
        spoiled[draw(st.integers(0, len(spoiled) - 1))] ^= draw(st.integers(1, 255))
        data[place] = bytes(spoiled[: draw(st.integers(0, len(spoiled)))])
    return many


@quick
@given(alike(), st.lists(tallies().map(lambda tally: write(tally.series)), max_size=2))
def test_what_is_read_together_is_what_is_read_alone(many, others):
    many = [*many[:2], *others, *many[2:], None, []]
    for columns, data in zip(read_together(many), many, strict=True):
        assert columns is None or said(columns) == alone(data)


@quick
@given(st.lists(st.integers(1, 255), min_size=2, max_size=20))
def test_those_that_are_alike_are_read_together(latencies):
    lines = [{HOME: a_line(latency), CART: a_line(5, 7)} for latency in latencies]
    *together, other = read_together([*map(write, lines), write({HOME: a_line(100)})])
    assert other is None, "nothing is like it"
    total = Tally()
    for line in lines:
        total._add(line)
    assert added(together).series() == total.series


def test_what_is_large_is_read_alone():
    """However many messages there are, they are not in memory twice."""
    lines = {SeriesKey(HIT, str(number), "GET"): a_line(100) for number in range(SMALL // 8)}
    assert read_together([write(lines)] * 2) == [None, None]
