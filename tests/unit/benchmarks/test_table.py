"""What the benchmarks print: ratios within rounds, budgets, and counts that do not agree."""

from __future__ import annotations

import pytest

from tests.benchmarks.http import Reading
from tests.benchmarks.table import lines, ratios, report, tables


def reading(peer: str, number: int, rate: float, **more: object) -> Reading:
    return Reading("get", number, peer, rate, rate, 0.5, **more)  # type: ignore[arg-type]


def test_ratios_are_those_of_neighbours() -> None:
    """The machine became twice as slow in between, and the ratio did not change."""
    found = [reading("loads", 1, 300), reading("hey", 1, 100)]
    found += [reading("loads", 2, 150), reading("hey", 2, 50)]
    assert ratios(found, "hey") == [3.0, 3.0]


def test_a_round_in_which_one_failed_has_no_ratio() -> None:
    found = [reading("loads", 1, 300), reading("hey", 1, 0, error="it was not well")]
    found += [reading("loads", 2, 150), reading("hey", 2, 50)]
    assert ratios(found, "hey") == [3.0]
    assert "hey: it was not well" in tables(found)


@pytest.mark.parametrize(("rate", "verdict"), [(130, "kept"), (129, "missed")])
def test_a_budget_is_kept_from_its_very_value(rate: float, verdict: str) -> None:
    text = tables([reading("loads", 1, rate), reading("hey", 1, 100)])
    assert f"1.3 x: {verdict}" in text


def test_counts_that_differ_are_shown() -> None:
    good = reading("loads", 1, 300, served=700, reported=700)
    assert "Counts: 700 requests served, and as many reported by Loads." in tables([good])
    bad = reading("loads", 2, 300, served=1_701, reported=1_700)
    text = tables([good, bad])
    assert "loads, round 2: 1,701 served, 1,700 reported" in text
    assert "Counts:" not in text


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert lines(("name", "n"), [("a", "1,000"), ("longer", "2")]).splitlines() == [
        "name        n",
        "------  -----",
        "a       1,000",
        "longer      2",
    ]


def test_what_keys_cost_is_the_median_of_neighbours() -> None:
    """A machine that is twice as slow in the second round says nothing about keys."""
    cpu = [(100.0, 104.0), (200.0, 206.0), (100.0, 101.0)]
    machine = {"processor": "P", "cores": 2, "memory_gb": 8, "system": "S", "python": "3"}
    results = {
        "when": "today",
        "machine": machine | {"load_before": 0},
        "problems": [],
        "keys": [{"open": [one, 9.0, 1.0], "locked": [other, 8.0, 1.1]} for one, other in cpu],
    }
    assert "With keys, 1.030 of the processor time (budget: 1.05)." in report(results)
