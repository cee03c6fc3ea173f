"""The recorder and its reader, over one memory: nothing is lost, however it is read or ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loads.metrics.failures import ERROR, FAILURE, Failure, FailureGroup, normalised
from loads.metrics.histogram import MAX_VALUE
from loads.metrics.series import HIT, OTHER, TEST, NoAnswer, SeriesKey, Verdict
from loads.metrics.tally import COUNTS, Tally
from loads.recorder import layout
from loads.recorder.memory import Memory
from loads.recorder.reader import RecorderReader
from loads.recorder.writer import Recorder
from tests.unit.strategies import bodies, microseconds, quick, statuses, texts, verdicts

HOME = SeriesKey(HIT, "http://host/", "GET")
CART = SeriesKey(HIT, "http://host/cart", "POST")
SHOP = SeriesKey(TEST, "TestShop.test_cart")
KEY_ERROR = Failure(ERROR, "KeyError", "'cart'", "shop.py:12")
UNEQUAL = Failure(FAILURE, "AssertionError", "1 != 2", "shop.py:14")


class Readings:
    """All that a reader gave, merged; each delta is checked as it comes."""

    def __init__(self, reader: RecorderReader) -> None:
        self._reader = reader
        self.total = Tally()

    def read(self) -> Tally:
        delta = self._reader.read()
        check_is_valid(delta)
        self.total.merge(delta)
        return delta


def check_is_valid(tally: Tally) -> None:
    """It can travel, and what only ever grows has not shrunk."""
    assert Tally.unpack(tally.pack()) == tally
    for series in tally.series.values():
        assert series.count == sum(series.latency.counts.values())
        assert min(series.latency.counts.values(), default=1) > 0
        assert min(series.outcomes.values(), default=1) > 0
        assert min(series.sent, series.received, series.latency.total) >= 0
    assert sum(line.count == 0 for line in tally.series.values()) <= len(tally.series) / 2
    assert all(number > 0 for number in tally.counts.values())
    assert all(group.count > 0 for group in tally.failures.values())
    assert all(group.first <= group.last for group in tally.failures.values())


@contextmanager
def recording(
    on_write: Callable[[], None] | None = None,
) -> Iterator[tuple[Recorder, Readings]]:
    """A recorder, and its readings through a mapping of their own, as in another process.

    ``on_write`` is called before each write of the recorder to the memory.
    """
    memory = Memory.create()
    reader = RecorderReader(Memory.inherited(os.dup(memory.fd)))
    target: Any = memory
    if on_write is not None:
        cells, text = Watched(memory.cells, on_write), Watched(memory.bytes, on_write)
        target = SimpleNamespace(cells=cells, bytes=text)
    recorder = Recorder(target)
    recorder.start_clock(0.0)
    try:
        yield recorder, Readings(reader)
    finally:
        reader.close()
        os.close(memory.fd)  # the mapping goes with the recorder, whose records hold parts of it


class Watched:
    """A memoryview that says so before each write to it, or to a part of it."""

    def __init__(self, view: memoryview, on_write: Callable[[], None]) -> None:
        self._view = view
        self._on_write = on_write

    def __getitem__(self, at: Any) -> Any:
        found = self._view[at]
        return Watched(found, self._on_write) if isinstance(at, slice) else found

    def __setitem__(self, at: Any, value: Any) -> None:
        self._on_write()
        self._view[at] = value

    def __bytes__(self) -> bytes:
        return bytes(self._view)


# -- the model: what a tally that records without any memory would say ----------------------------


class Model:
    """Does with a tally what a recorder does with its memory."""

    def __init__(self) -> None:
        self.tally = Tally()

    def hit(self, key: SeriesKey, taken: int, outcome: int, sent: int, received: int) -> None:
        self.tally.line(key).record(max(taken, 1), int(outcome), sent, received)

    def count(self, name: str, by: int) -> None:
        self.tally.count(name, by)

    def incr_counter(self, name: str, by: int) -> None:
        self.tally.counters[name] = self.tally.counters.get(name, 0) + by

    def failure(self, failure: Failure, test: str, now: float) -> None:
        new = FailureGroup(1, now, now, frozenset({test}))
        group = self.tally.failures.setdefault(normalised(failure), new)
        if group is not new:
            group.merge(new)

    def touch(self, now: float) -> None:
        self.tally.elapsed = max(self.tally.elapsed, now)


class Real:
    """The same verbs for a recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.count = recorder.count
        self.incr_counter = recorder.incr_counter
        self.failure = recorder.failure
        self.touch = recorder.touch

    def hit(self, key: SeriesKey, taken: int, outcome: int, sent: int, received: int) -> None:
        self._recorder.series(key).record(taken, outcome, sent, received)


def check_equal(read: Tally, expected: Tally) -> None:
    assert read.series == expected.series
    assert read.failures == expected.failures
    assert not_zero(read.counters) == not_zero(expected.counters)
    assert not_zero(read.counts) == not_zero(expected.counts)
    assert read.elapsed == expected.elapsed
    in_all = expected.second()
    assert sum(s.hits for s in read.timeline.seconds.values()) == in_all.hits
    assert sum(s.tests for s in read.timeline.seconds.values()) == in_all.tests
    assert sum(s.hit_errors for s in read.timeline.seconds.values()) == in_all.hit_errors
    assert sum(s.test_problems for s in read.timeline.seconds.values()) == in_all.test_problems


def not_zero(numbers: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if number}


def call(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *arguments)


STEPS = st.lists(
    st.one_of(
        call("read"),
        call("hit", st.sampled_from([HOME, CART]), microseconds, statuses, bodies, bodies),
        call("hit", st.just(SHOP), microseconds, verdicts, st.just(0), st.just(0)),
        call("count", st.sampled_from(COUNTS), st.integers(1, 10**9)),
        call("incr_counter", texts, st.integers(-(10**9), 10**9)),
        call("failure", st.sampled_from([KEY_ERROR, UNEQUAL]), texts),
        call("wait", st.integers(1, 200)),
    ),
    max_size=30,
)


def carry_out(steps: list[tuple[Any, ...]], model: Model, real: Real, read: Callable[[], Any]):
    """Do the steps to both.  Time is in 64ths of a second: exact as seconds and microseconds."""
    now = 0.0
    for verb, *arguments in steps:
        if verb == "read":
            read()
            continue
        if verb == "wait":
            now += arguments[0] / 64
        late = (now,) if verb == "failure" else ()
        for side in (model, real):
            if verb != "wait":
                getattr(side, verb)(*arguments, *late)
            side.touch(now)


@settings(quick, max_examples=50)
@given(STEPS)
def test_deltas_add_up_to_what_was_recorded(steps):
    model = Model()
    with recording() as (recorder, readings):
        carry_out(steps, model, Real(recorder), readings.read)
        readings.read()
        check_equal(readings.total, model.tally)
        assert not readings.read(), "all is read only once"


@settings(quick, max_examples=25)
@given(STEPS)
def test_reading_between_any_two_writes_loses_nothing(steps):
    """As above, but with a reading before each single write to the memory."""
    model = Model()
    on_write: list[Callable[[], Any]] = []
    with recording(lambda: on_write and on_write[0]()) as (recorder, readings):
        on_write.append(readings.read)
        carry_out(steps, model, Real(recorder), readings.read)
        readings.read()
        total, expected = readings.total, model.tally
        assert total.hits == expected.hits
        assert total.verdicts.keys() == expected.verdicts.keys()
        check_equal(total, expected)


@settings(quick, max_examples=25)
@given(STEPS, STEPS)
def test_a_reader_that_starts_late_has_missed_nothing(before, after):
    model = Model()
    memory = Memory.create()
    recorder = Recorder(memory)
    recorder.start_clock(0.0)
    carry_out(before, model, Real(recorder), lambda: None)
    late = Readings(RecorderReader(memory))
    late.read()
    assert late.total.series == model.tally.series
    assert late.total.failures == model.tally.failures
    os.close(memory.fd)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param([5], 5, id="up"),
        pytest.param([-5], -5, id="below zero"),
        pytest.param([5, -7], -2, id="up, then below zero"),
        pytest.param([-7, 5], -2, id="below zero, then up"),
        pytest.param([-1, 1], 0, id="and back to zero"),
        pytest.param([2**63 - 1], 2**63 - 1, id="the highest"),
        pytest.param([-(2**63)], -(2**63), id="the lowest"),
    ],
)
@pytest.mark.parametrize("in_between", [False, True], ids=["read once", "read each time"])
def test_counters_are_whole_numbers_of_either_sign(change, expected, in_between):
    with recording() as (recorder, readings):
        for by in change:
            recorder.incr_counter("stock", by)
            if in_between:
                readings.read()
        readings.read()
        assert readings.total.counters.get("stock", 0) == expected


def test_users_are_those_active_now():
    memory = Memory.create()
    recorder, reader = Recorder(memory), RecorderReader(memory)
    seen = []
    for change in (+1, +1, -1, +1, -1, -1):
        recorder.users(change)
        seen.append(reader.users)
    assert seen == [1, 2, 1, 2, 1, 0]
    reader.close()


def test_hits_under_way_are_those_started_and_not_ended():
    with recording() as (recorder, readings):
        reader = readings._reader
        recorder.count("hits_started", 3)
        recorder.series(HOME).record(100, 200)
        assert reader.under_way == 0, "it is of the last reading"
        readings.read()
        assert reader.under_way == 2
        for _ in range(2):
            recorder.series(HOME).record(100, NoAnswer.CUT)
        readings.read()
        assert reader.under_way == 0


@pytest.mark.parametrize(
    ("taken", "low", "high"),
    [
        pytest.param(-5, 1, 1, id="before it began, by a clock that was set back"),
        pytest.param(0, 1, 1, id="at once"),
        pytest.param(1, 1, 1, id="the shortest"),
        pytest.param(255, 255, 255, id="the last with a bucket of its own"),
        pytest.param(256, 256, 256, id="the first that shares one"),
        pytest.param(MAX_VALUE, MAX_VALUE, MAX_VALUE, id="the longest"),
        pytest.param(7 * MAX_VALUE, 7 * MAX_VALUE, 7 * MAX_VALUE, id="longer than that"),
    ],
)
def test_extremes_are_exact(taken, low, high):
    with recording() as (recorder, readings):
        recorder.series(HOME).record(taken, 200)
        latency = readings.read().series[HOME].latency
        assert (latency.low, latency.high, latency.count) == (low, high, 1)


# -- caps ----------------------------------------------------------------------------------------


def test_series_over_the_cap_are_counted_as_other():
    keys = [SeriesKey(HIT, f"http://host/{n}", "GET") for n in range(layout.MAX_SERIES + 40)]
    with recording() as (recorder, readings):
        for key in keys:
            for _ in range(2):
                recorder.series(key).record(100, 200, sent=3, received=5)
        recorder.series(SHOP).record(100, Verdict.SUCCESS)
        readings.read()
        total = readings.total.total(HIT)
        assert (total.count, total.sent, total.received) == (
            2 * len(keys),
            6 * len(keys),
            10 * len(keys),
        )
        assert readings.total.total(TEST).count == 1
        assert len(readings.total.series) <= layout.MAX_SERIES
        assert readings.total.series[SeriesKey(HIT, OTHER)].count >= 2 * 40
        assert readings.total.series[SeriesKey(TEST, OTHER)].count == 1
        assert readings.total.series[keys[0]].count == 2


def test_counters_over_the_cap_are_counted_as_other():
    names = [f"counter {n}" for n in range(layout.MAX_COUNTERS + 30)]
    with recording() as (recorder, readings):
        for name in names * 2:
            recorder.incr_counter(name, 7)
        readings.read()
        assert len(readings.total.counters) == layout.MAX_COUNTERS
        assert sum(readings.total.counters.values()) == 14 * len(names)
        assert readings.total.counters[OTHER] == 14 * 31
        assert readings.total.counters[names[0]] == 14


def test_failures_over_the_cap_are_counted_as_other():
    some = [Failure(ERROR, f"Error{n}", "no", "shop.py") for n in range(layout.MAX_FAILURES + 30)]
    with recording() as (recorder, readings):
        for now, failure in enumerate(some * 2):
            recorder.failure(failure, "test_cart", float(now))
        readings.read()
        groups = readings.total.failures
        assert len(groups) == layout.MAX_FAILURES
        assert sum(group.count for group in groups.values()) == 2 * len(some)
        assert [group.count for key, group in groups.items() if key.type == OTHER] == [2 * 31]


@pytest.mark.parametrize("in_between", [False, True], ids=["read once", "read each time"])
def test_outcomes_over_the_cap_are_counted_as_other(in_between):
    outcomes = [200, *range(400, 440), NoAnswer.OTHER, NoAnswer.RESET]
    with recording() as (recorder, readings):
        for outcome in outcomes * 2:
            recorder.series(HOME).record(100, outcome)
            if in_between:
                readings.read()
        readings.read()
        series = readings.total.series[HOME]
        assert series.count == series.latency.count == 2 * len(outcomes)
        assert series.outcomes[200] == series.outcomes[400] == 2
        named = 1 + layout.OUTCOMES - 1
        assert series.outcomes[NoAnswer.OTHER] == 2 * (len(outcomes) - named)


def test_a_full_string_region_is_no_error():
    """Names of a thousand characters that take twelve bytes each as JSON fill it early."""
    with recording() as (recorder, readings):
        for n in range(500):
            long = f"{n:04}" + "\N{SNAKE}" * 990
            recorder.series(SeriesKey(HIT, long, "GET")).record(100, 200)
            recorder.series(SeriesKey(TEST, long)).record(100, Verdict.SUCCESS)
            recorder.incr_counter(long)
            recorder.failure(Failure(ERROR, "E", f"{n:04}", long), long, float(n))
        readings.read()
        total = readings.total
        assert total.total(HIT).count == total.total(TEST).count == 500
        assert sum(total.counters.values()) == 500
        assert sum(group.count for group in total.failures.values()) == 500
        for key in (SeriesKey(HIT, OTHER), SeriesKey(TEST, OTHER)):
            assert total.series[key].count > 0
        assert total.counters[OTHER] > 0
        assert any(failure.type == OTHER for failure in total.failures)


def test_a_full_string_region_stays_readable():
    """What is new after that is counted under (other), and nowhere else."""
    with recording() as (recorder, readings):
        other = recorder.series(SeriesKey(HIT, OTHER))
        for length in (990, 80, 0):  # until not even the shortest name fits any more
            for n in range(layout.MAX_SERIES):
                if recorder.series(SeriesKey(HIT, f"{n}" + length * "\N{SNAKE}")) is other:
                    break
            assert n < 500, "it was not the number of series"
        recorder.series(HOME).record(100, 200)
        recorder.series(SHOP).record(100, Verdict.ERROR)
        recorder.failure(KEY_ERROR, "test_cart", 1.0)
        recorder.incr_counter("a counter with a name that is not very short")
        delta = readings.read()
        assert set(delta.series) == {SeriesKey(HIT, OTHER), SeriesKey(TEST, OTHER)}
        assert [failure.type for failure in delta.failures] == [OTHER]
        assert delta.counters == {OTHER: 1}


LONG_A = "http://host/" + "a" * 1000 + "1" + "b" * 1000
LONG_B = "http://host/" + "a" * 1000 + "2" + "b" * 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(LONG_A, LONG_B, id="too long, and different in the middle that is cut"),
        pytest.param("caf\udce9", "caf\\udce9", id="without a UTF-8 form, and that spelled out"),
    ],
)
def test_names_that_are_cut_to_the_same_are_counted_together(one, other):
    """Otherwise the hits of one of them would be lost."""
    with recording() as (recorder, readings):
        for name in (one, other, one):
            recorder.series(SeriesKey(HIT, name, "GET")).record(100, 200)
            recorder.incr_counter(name)
        readings.read()
        assert readings.total.hits == 3
        assert sum(readings.total.counters.values()) == 3


def test_a_series_that_the_user_calls_other_is_like_any_other():
    """However many methods it has: ``name=`` and the method are the user's to choose."""
    keys = [SeriesKey(HIT, f"http://host/{n}", "GET") for n in range(layout.MAX_SERIES)]
    keys += [SeriesKey(HIT, OTHER, f"METHOD{n}") for n in range(5)]
    with recording() as (recorder, readings):
        for key in keys:
            recorder.series(key).record(100, 200)
        readings.read()
        recorder.series(SeriesKey(TEST, "late")).record(100, Verdict.SUCCESS)
        recorder.incr_counter("late")
        readings.read()
        assert readings.total.hits == len(keys)
        assert readings.total.total(TEST).count == 1
        assert readings.total.counters == {"late": 1}


def test_text_without_a_utf8_form_is_spelled_out():
    """Lone surrogates are how Python shows the bytes of undecodable file names."""
    bad = "caf\udce9"
    with recording() as (recorder, readings):
        recorder.series(SeriesKey(HIT, bad, bad)).record(100, 200)
        recorder.incr_counter(bad)
        recorder.failure(Failure(ERROR, "OSError", bad, bad), bad, 1.0)
        delta = readings.read()
        spelled = "caf\\udce9"
        assert set(delta.series) == {SeriesKey(HIT, spelled, spelled)}
        assert delta.counters == {spelled: 1}
        ((failure, group),) = delta.failures.items()
        assert (failure.message, failure.traceback) == (spelled, spelled)
        assert group.tests == {spelled}
        repr(delta.pack()).encode("utf-8")


# -- a writer that is killed ---------------------------------------------------------------------


class Killed(Exception):
    """The writer is no more."""


class Executioner:
    """Lets ``writes`` writes pass and prevents the one after them; None lets all pass."""

    def __init__(self) -> None:
        self.writes: int | None = None

    def __call__(self) -> None:
        if self.writes is not None:
            if not self.writes:
                raise Killed
            self.writes -= 1


def nothing(recorder: Recorder) -> None:
    pass


def first_hit(recorder: Recorder) -> None:
    recorder.series(HOME).record(100, 200, sent=10, received=20)


def two_outcomes(recorder: Recorder) -> None:
    recorder.series(HOME).record(100, 200, sent=10, received=20)
    recorder.series(HOME).record(100, 404, sent=10, received=20)


def all_outcomes(recorder: Recorder) -> None:
    for outcome in range(200, 200 + 1 + layout.OUTCOMES - 1):
        recorder.series(HOME).record(100, outcome)


def a_failure(recorder: Recorder) -> None:
    recorder.failure(KEY_ERROR, "test_cart", 1.0)


KILLS = [
    pytest.param(nothing, first_hit, id="a series' first hit"),
    pytest.param(
        first_hit,
        lambda r: r.series(HOME).record(90, 200, sent=10, received=20),
        id="the first outcome again, faster",
    ),
    pytest.param(
        first_hit,
        lambda r: r.series(HOME).record(5_000, 500, sent=10, received=20),
        id="a second outcome, slower",
    ),
    pytest.param(
        two_outcomes,
        lambda r: r.series(HOME).record(80, 404, sent=10),
        id="an outcome that is not the first, again",
    ),
    pytest.param(
        two_outcomes,
        lambda r: r.series(HOME).record(80, NoAnswer.RESET),
        id="a third outcome",
    ),
    pytest.param(
        all_outcomes,
        lambda r: r.series(HOME).record(80, 599),
        id="an outcome over the cap",
    ),
    pytest.param(
        first_hit,
        lambda r: r.series(CART).record(80, 200),
        id="a second series",
    ),
    pytest.param(nothing, a_failure, id="a first failure"),
    pytest.param(a_failure, a_failure, id="the same failure"),
    pytest.param(
        a_failure,
        lambda r: r.failure(KEY_ERROR, "test_till", 2.0),
        id="the same failure in another test",
    ),
    pytest.param(nothing, lambda r: r.incr_counter("stock", -1), id="a first counter"),
    pytest.param(nothing, lambda r: r.count("ws_opened"), id="a count"),
]


@pytest.mark.parametrize("read_before", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize(("before", "during"), KILLS)
def test_a_writer_killed_between_any_two_writes(before, during, read_before):
    for writes in range(100):
        if survives(before, during, read_before, writes):
            break
    assert 1 <= writes < 99, "there was something to kill it in, and an end to that"


def survives(
    before: Callable[[Recorder], None],
    during: Callable[[Recorder], None],
    read_before: bool,
    writes: int,
) -> bool:
    """Kill a writer after so many writes, and check what is read then."""
    executioner = Executioner()
    with recording(executioner) as (recorder, readings):
        before(recorder)
        if read_before:
            readings.read()
        executioner.writes = writes
        killed = False
        try:
            during(recorder)
        except Killed:
            killed = True
        readings.read()
        assert not readings.read()
        check_against_the_cells(readings)
        check_between(readings.total, recorded_by(before), recorded_by(before, during))
    return not killed


def recorded_by(*acts: Callable[[Recorder], None]) -> Tally:
    """What a writer that lives on records."""
    with recording() as (recorder, readings):
        for act in acts:
            act(recorder)
        readings.read()
        return readings.total


def check_against_the_cells(readings: Readings) -> None:
    """The hits that were read are the increments of buckets, each with one outcome."""
    for key, inner in readings._reader._series:
        cells = inner._cells
        buckets = sum(cells[layout.BUCKETS_AT : layout.SERIES_CELLS])
        series = readings.total.series.get(key)
        assert buckets == (series.count if series else 0)
        assert series is None or series.latency.count == sum(series.outcomes.values())


def check_between(read: Tally, least: Tally, most: Tally) -> None:
    """All that was recorded before is there, and of the last record all or nothing."""
    for kind in (HIT, TEST):
        assert least.total(kind).count <= read.total(kind).count <= most.total(kind).count
        for outcome, count in read.total(kind).outcomes.items():
            assert count <= most.total(kind).outcomes[outcome]
    for failure, group in read.failures.items():
        assert group.count in (
            least.failures[failure].count if failure in least.failures else 0,
            most.failures[failure].count,
        )
    assert set(read.failures) >= set(least.failures)


WRITER = """
import sys
from loads.metrics.failures import ERROR, Failure
from loads.metrics.series import HIT, SeriesKey
from loads.recorder.memory import Memory
from loads.recorder.writer import Recorder

recorder = Recorder(Memory.inherited(int(sys.argv[1])))
recorder.start_clock(0.0)
for n in range(10_000):
    recorder.series(SeriesKey(HIT, f"http://host/{n % 3}", "GET")).record(n, 200 + n % 2, 1, 2)
recorder.failure(Failure(ERROR, "KeyError", "'cart'", "shop.py:12"), "test_cart", 2.0)
recorder.incr_counter("stock", -4)
recorder.count("hits_started", 10_001)
recorder.touch(3.5)
print("recorded", flush=True)
sys.stdin.read()
"""


def test_what_a_process_recorded_before_it_was_killed_is_there():
    memory = Memory.create()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(memory.fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[memory.fd],
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"recorded\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    reader = RecorderReader(memory)
    tally = reader.read()
    check_is_valid(tally)
    assert tally.hits == 10_000
    assert tally.total(HIT).outcomes == {200: 5_000, 201: 5_000}
    assert (tally.total(HIT).sent, tally.total(HIT).received) == (10_000, 20_000)
    assert tally.failures == {KEY_ERROR: FailureGroup(1, 2.0, 2.0, frozenset({"test_cart"}))}
    assert tally.counters == {"stock": -4}
    assert tally.elapsed == 3.5
    assert reader.under_way == 1
    reader.close()


# -- the memory ----------------------------------------------------------------------------------


def test_new_memory_is_all_zero_and_takes_no_room():
    memory = Memory.create()
    status = os.fstat(memory.fd)
    assert status.st_size == layout.SIZE
    assert status.st_blocks == 0, "it is sparse"
    assert status.st_nlink == 0, "no name leads to it"
    reader = RecorderReader(memory)
    assert not reader.read()
    reader.close()


def test_closing_leaves_neither_a_mapping_nor_a_descriptor():
    memory = Memory.create()
    recorder, reader = Recorder(memory), RecorderReader(memory)
    recorder.series(HOME).record(100, 200)
    assert reader.read().hits == 1
    del recorder
    reader.close()
    with pytest.raises(OSError):
        os.fstat(memory.fd)
    with pytest.raises(ValueError):
        memory.cells[0]


def test_parts_of_the_memory_do_not_overlap():
    assert layout.COUNTS + len(COUNTS) <= layout.HEAD_CELLS == layout.FAILURES
    assert layout.FAILURES + layout.MAX_FAILURES * layout.FAILURE_CELLS == layout.COUNTERS
    assert layout.COUNTERS + layout.MAX_COUNTERS <= layout.SERIES
    assert layout.FIRST_OUTCOME < layout.OUTCOME_SLOTS
    end_of_series = layout.SERIES + layout.MAX_SERIES * layout.SERIES_CELLS
    assert end_of_series * layout.CELL == layout.STRINGS_AT
    assert layout.STRINGS_AT + layout.STRINGS_SIZE == layout.SIZE
