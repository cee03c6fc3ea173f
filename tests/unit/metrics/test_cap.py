"""A run has room for so many names; what is over that is still counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.errors import RemoteProtocolError
from loads.ledger import Account, Delta, Ledger
from loads.metrics.cap import (
    MAX_CHARACTERS,
    MAX_COUNTERS,
    MAX_FAILURES,
    MAX_WARNINGS,
    OTHER_FAILURE,
    OTHER_WARNING,
    Cap,
)
from loads.metrics.failures import ERROR, Failure, FailureGroup
from loads.metrics.series import HIT, KINDS, OTHER, TEST, SeriesKey
from loads.metrics.tally import Tally
from loads.protocol import messages as m
from loads.protocol.codec import decode, encode
from tests.unit.strategies import quick, tallies


def named(*names: str, kind: str = HIT) -> Tally:
    tally = Tally()
    for name in names:
        tally.line(SeriesKey(kind, name, "GET")).record(100, 200)
    return tally


def as_sent(tally: Tally) -> Tally:
    """With its series in columns, as it comes to a broker."""
    return Tally.read(tally.write())


@pytest.mark.parametrize("sent", [as_sent, Tally.copy], ids=["columns", "objects"])
def test_series_over_the_cap_are_counted_as_other(sent) -> None:
    cap = Cap(most_series=3)
    fits = sent(named("a", "b"))
    assert cap.admit(fits) is fits
    over = sent(named("b", "c", "d", "e"))
    admitted = cap.admit(over)
    assert {key.name: line.count for key, line in admitted.series.items()} == {
        "b": 1,
        "c": 1,
        OTHER: 2,
    }
    assert over == named("b", "c", "d", "e")
    assert set(cap.admit(sent(named("f", kind=TEST))).series) == {SeriesKey(TEST, OTHER)}
    assert cap.admit(fits) is fits, "what is in stays in"


@given(st.lists(tallies(), max_size=5), st.integers(0, 4))
@quick
def test_sums_are_those_of_all(parts: list[Tally], most: int) -> None:
    cap, capped, whole = Cap(most), Tally(), Tally()
    for part in parts:
        capped.merge(cap.admit(as_sent(part)))
        whole.merge(part)
    for kind in KINDS:
        assert capped.total(kind) == whole.total(kind)
    assert sum(capped.counters.values()) == sum(whole.counters.values())
    failures = capped.failures.values(), whole.failures.values()
    assert len({sum(group.count for group in groups) for groups in failures}) == 1
    assert (capped.counts, capped.timeline) == (whole.counts, whole.timeline)
    assert len({key for key in capped.series if key.name != OTHER}) <= most


def test_names_that_one_agent_makes_up_do_not_grow_a_run() -> None:
    """Of all sorts, some of them long: what is kept stays as it is, and all of it is counted."""
    ledger, sizes = Ledger(), []
    for sequence in range(1, 13):
        tally = Tally()
        for number in range(1_000):
            name = f"{sequence}-{number}"
            tally.line(SeriesKey(HIT, name, "GET")).record(100, 200)
            tally.counters[name] = 1
            tally.failures[Failure(ERROR, name, "", "")] = FailureGroup(1, 0, 0, frozenset({name}))
            tally.warnings.add(name)
        ledger.merge(Delta("w", sequence, as_sent(tally)))
        total = ledger.take_news() and ledger.total
        tests = frozenset().union(*(group.tests for group in total.failures.values()))
        kept = total.series, total.counters, total.failures, total.warnings, tests
        sizes.append([len(names) for names in kept])
    assert sizes[-1] == sizes[-2] == [5_001, MAX_COUNTERS + 1, MAX_FAILURES + 1, MAX_WARNINGS + 1,
                                      5_000]  # fmt: skip
    assert ledger.total.hits == sum(ledger.total.counters.values()) == 12_000
    assert sum(group.count for group in ledger.total.failures.values()) == 12_000
    assert OTHER_FAILURE in ledger.total.failures
    assert OTHER_WARNING in ledger.total.warnings


def test_long_names_take_the_room_of_many() -> None:
    cap = Cap()
    long = named(*(str(number) + "x" * (MAX_CHARACTERS // 4) for number in range(6)))
    assert len(cap.admit(long).series) == 3 + 1


def test_a_ledger_that_goes_on_has_the_names_that_it_had() -> None:
    ledger = Ledger()
    ledger.begin_with({"w": Account(1)}, named(*map(str, range(5_000))))
    ledger.merge(Delta("w", 2, named("new", "7")))
    assert set(ledger.news.series) == {SeriesKey(HIT, OTHER), SeriesKey(HIT, "7", "GET")}


def test_kinds_and_counts_that_there_are_not_are_no_report() -> None:
    strange, counted = named("a", kind="made up"), named("a")
    counted.counts["made up"] = 1
    for tally in (strange, counted):
        with pytest.raises((ValueError, RemoteProtocolError)):
            decode(encode(m.Report("r", "w", 1, tally)))
