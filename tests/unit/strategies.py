"""Hypothesis strategies for our values, and the laws that all aggregates obey."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from loads.metrics.failures import ERROR, FAILURE, Failure, FailureGroup
from loads.metrics.histogram import MAX_VALUE, Histogram
from loads.metrics.series import HIT, TEST, NoAnswer, Phases, Series, SeriesKey, Verdict
from loads.metrics.tally import COUNTS, Tally
from loads.metrics.timeline import Second, Timeline
from loads.plan import MAX_AGENTS, MAX_HITS, MAX_USERS, RunPlan

#: The settings of our property tests: the pure tests together are to run in about 3 s.
quick = settings(
    max_examples=40,
    deadline=None,
    database=None,
    # To explain a failure takes a minute where to find and to shrink it takes a second.
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
#: For values that take milliseconds to make.
few = settings(quick, max_examples=20)

#: Small values, where each has a bucket of its own, large ones, and some beyond the last bucket.
microseconds = st.integers(0, 300) | st.integers(0, MAX_VALUE) | st.integers(0, 3 * MAX_VALUE)
#: Seconds since a run's start, as a recorder knows them: to the microsecond.
seconds = st.integers(0, 10**12).map(lambda microseconds_: microseconds_ / 1e6)
counts = st.integers(1, 10**9)
bodies = st.integers(0, 10**12)

statuses = st.sampled_from([200, 204, 301, 404, 500, *NoAnswer])
verdicts = st.sampled_from(list(Verdict))
names = st.sampled_from(["home", "http://host/users/{n}", "(other)", "", "é\n☃"])
texts = names | st.text(max_size=10)

histograms = st.lists(microseconds, max_size=6).map(Histogram.of)


def _series(rows: list[tuple[int, int, int, int]]) -> Series:
    series = Series()
    for microseconds_, outcome, sent, received in rows:
        series.record(microseconds_, int(outcome), sent, received)
    return series


def _with_phases(series: Series, phases: Phases) -> Series:
    series.phases = phases
    return series


def series_of(outcomes: st.SearchStrategy[int]) -> st.SearchStrategy[Series]:
    """A series whose outcomes are among ``outcomes``."""
    recorded = st.lists(st.tuples(microseconds, outcomes, bodies, bodies), max_size=4).map(_series)
    return st.builds(_with_phases, recorded, st.builds(Phases, *[counts] * 4))


series = series_of(statuses)
series_keys = st.builds(SeriesKey, st.just(HIT), names, st.sampled_from(["GET", "POST"]))
test_keys = st.builds(SeriesKey, st.just(TEST), names)

seconds_of_timeline = st.builds(Second, *[st.integers(0, 10**6)] * 4)


def _timeline(rows: list[tuple[int, Second]]) -> Timeline:
    timeline = Timeline()
    for number, second in rows:
        timeline.add(number, second)
    return timeline


timelines = st.lists(st.tuples(st.integers(0, 20), seconds_of_timeline), max_size=4).map(_timeline)


failures = st.builds(Failure, st.sampled_from([FAILURE, ERROR]), names, names, names)
failure_groups = st.builds(
    lambda count, times, tests: FailureGroup(count, min(times), max(times), tests),
    counts,
    st.tuples(seconds, seconds),
    st.frozensets(texts, max_size=3),
)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """A tally with a little of everything."""
    tally = Tally()
    tally.series = draw(st.dictionaries(series_keys, series, max_size=2))
    tally.series |= draw(st.dictionaries(test_keys, series_of(verdicts), max_size=2))
    tally.failures = draw(st.dictionaries(failures, failure_groups, max_size=2))
    tally.counters = draw(st.dictionaries(texts, st.integers(-5, 10**9), max_size=2))
    tally.counts = draw(st.dictionaries(st.sampled_from(COUNTS), counts, max_size=2))
    tally.timeline = draw(timelines)
    tally.elapsed = draw(seconds)
    tally.warnings = draw(st.sets(texts, max_size=2))
    return tally


def _cycles(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    number = st.integers(1, 9) | st.integers(1, most)
    return st.lists(number, min_size=1, max_size=3).map(tuple)


@st.composite
def run_plans(draw: st.DrawFn) -> RunPlan:
    """A plan that makes sense."""
    duration = draw(st.none() | st.floats(0.001, 1e6))
    return RunPlan(
        target=draw(texts.filter(str.strip)),
        users=draw(_cycles(MAX_USERS)),
        hits=() if duration is not None else draw(_cycles(MAX_HITS)),
        duration=duration,
        agents=draw(st.integers(0, 3) | st.integers(0, MAX_AGENTS)),
        server_url=draw(st.sampled_from(["", "http://localhost:9000"])),
        grace=draw(st.floats(0, 1e6)),
        config=draw(st.dictionaries(texts, texts, max_size=2)),
    )


# -- what a peer may send by mistake or malice ---------------------------------------------------

_GARBAGE = (
    *(None, True, -1, 1 << 63, 1 << 70, 10**400),
    *(0.5, -1.0, 1e300, math.nan, math.inf, -math.inf),
    *("", "a", "12", b"", b"\x01\x02"),
    *([], [[]], [None], [5], [5, 5], ["a"], [0, 0, 0, 0], [0, None, None, []]),
    *({}, {"a": 1}, {"": None}),
)
garbage = st.sampled_from(_GARBAGE).map(copy.deepcopy) | st.integers() | st.text(max_size=5)


def _places(data: Any) -> Iterator[tuple[Any, ...]]:
    """The path to each node of plain data, the top's first."""
    yield ()
    inner: Any = data.items() if isinstance(data, dict) else ()
    inner = enumerate(data) if isinstance(data, list) else inner
    for key, node in inner:
        yield from ((key, *place) for place in _places(node))


@st.composite
def damaged(draw: st.DrawFn, packed: st.SearchStrategy[Any]) -> Any:
    """Packed data of which one node, the whole included, is garbage, missing or there twice."""
    data = copy.deepcopy(draw(packed))
    place = draw(st.sampled_from(list(_places(data))))
    place = place[: draw(st.integers(0, len(place)))]  # most nodes are deep, most checks are not
    if not place:
        return draw(garbage)
    parent, last = data, place[-1]
    for key in place[:-1]:
        parent = parent[key]
    damage = draw(st.sampled_from(["garbage", "missing", "twice"]))
    if damage == "missing":
        del parent[last]
    elif damage == "twice" and isinstance(parent, list):
        parent.insert(last, copy.deepcopy(parent[last]))
    else:
        parent[last] = draw(garbage)
    return data


# -- the laws of aggregates ----------------------------------------------------------------------


def twin(value: Any) -> Any:
    """An aggregate of its own with the same numbers."""
    return copy.deepcopy(value)


def merged(*parts: Any) -> Any:
    """What ``parts`` come to, merged from left to right, none of them changed."""
    whole = twin(parts[0])
    for part in parts[1:]:
        whole.merge(part)
    return whole


def check_merge_laws(a: Any, b: Any, c: Any, nothing: Any) -> None:
    """``merge`` is associative, commutative, has an identity and leaves its argument alone."""
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, b) == merged(b, a)
    assert merged(a, nothing) == a == merged(nothing, a)
    before, whole = twin(b), twin(nothing)
    whole.merge(b)
    assert b == before
    whole.merge(b)  # nothing of b may have become a part of the whole
    assert b == before


def check_round_trip(value: Any) -> None:
    """``pack`` gives plain JSON data, and ``unpack`` all of the value from it."""
    packed = value.pack()
    assert type(value).unpack(packed) == value
    again = type(value).unpack(json.loads(json.dumps(packed, allow_nan=False)))
    assert again == value
    assert again.pack() == packed


def check_unpack(cls: type, data: Any) -> None:
    """``unpack`` refuses ``data``, or makes a value of it that packs, as JSON has no NaN.

    Documented are ``ValueError`` and ``TypeError``; anything else fails the test.
    """
    try:
        value = cls.unpack(data)
    except (ValueError, TypeError):
        return
    check_round_trip(value)
