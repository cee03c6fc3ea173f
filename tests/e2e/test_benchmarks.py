"""The benchmarks run, and what they count is right; how fast anything is, no test says."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stage import Process, Stage
from tests.e2e.waiting import until

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.needs("nginx", "openssl")


def start(stage: Stage, *options: object) -> tuple[Process, Path]:
    """Start the benchmarks without peers of other makers; gives where the results will be."""
    results = stage.root / "results.json"
    args = ("python", "-m", "tests.benchmarks", *options, "--programs", stage.root)
    return stage.start("bench", *args, "--json", results, cwd=REPOSITORY), results


def bench(stage: Stage, *options: object) -> tuple[str, dict[str, Any]]:
    """What the benchmarks print, and the results as data."""
    process, results = start(stage, *options, "--rounds", 1, "--seconds", 0.5)
    assert process.wait(120) == 0
    return process.out, json.loads(results.read_text())


def test_loads_is_measured_in_both_forms_and_counted_exactly(stage: Stage) -> None:
    options = ("--peer", "loads", "--case", "tls,flow")
    text, results = bench(stage, *options)
    readings = results["http"]
    assert [(reading["case"], reading["peer"]) for reading in readings] == [
        (case, peer) for case in ("tls", "flow") for peer in ("loads", "loads-plain")
    ]
    for reading in readings:
        assert reading["error"] == ""
        assert reading["served"] == reading["reported"] > 50
        assert reading["rate"] > 0
        assert reading["per_cpu"] > 0
    served = [f"{sum(r['served'] for r in readings[at : at + 2]):,}" for at in (0, 2)]
    for number in served:
        assert f"Counts: {number} requests served, and as many reported by Loads." in text
    assert set(results) >= {"when", "machine", "versions", "problems"}


def test_a_peer_that_is_missing_is_a_line_and_not_the_end(stage: Stage) -> None:
    text, results = bench(stage, "--peer", "geventhttpclient", "--case", "get")
    ours, missing = results["http"]
    assert ours["served"] == ours["reported"]
    assert missing["error"] == "not installed: pip install 'loads[bench]'"
    assert "geventhttpclient: not installed: pip install 'loads[bench]'" in text


def test_what_was_measured_is_shown_after_ctrl_c(stage: Stage) -> None:
    options = ("--peer", "loads", "--case", "get", "--rounds", 1_000, "--seconds", 0.1)
    process, results = start(stage, *options)
    process.says("requests/s", times=2)
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert "Interrupted: this is what was measured until then." in process.out
    assert len(json.loads(results.read_text())["http"]) >= 2
    until(lambda: not stage.survivors(), "the end of target and generator")


def test_the_other_measurements_come_to_their_ends(stage: Stage) -> None:
    """Where counts differ, each says that it has failed: that would be among the problems."""
    sections = ("websockets", "memory", "startup", "workers")
    text, results = bench(stage, *sections, "--many", 200)
    assert results["problems"] == []
    assert set(results["websockets"]["idle"]) == {"100", "200"}
    assert set(results["memory"]) == {"10", "200"}
    assert set(results["startup"]) >= {"loads", "python -c pass"}
    assert set(results["workers"]["rounds"][0]) == {"1", "2"}
    for title in ("Web sockets", "Memory", "Start-up", "All cores"):
        assert f"\n{title}\n{'=' * len(title)}\n" in text
