"""Outputs that write while a run goes on: lines of JSON, and FunkLoad's XML."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.errors import UsageError
from loads.metrics.histogram import bucket_of
from loads.metrics.series import HIT, TEST, NoAnswer, SeriesKey, Verdict
from loads.metrics.summary import RunView, summarise
from loads.metrics.tally import Tally
from loads.outputs.base import Output, Outputs
from loads.outputs.file import FileOutput
from loads.outputs.funkload import FunkloadOutput, paired
from tests.unit.outputs.run_views import calls, empty, ended, fail, hit, plan_of, running, shop

CLASSES = [FileOutput, FunkloadOutput]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def follow(output: Output, *views: RunView) -> None:
    """A run as an output sees it: the last view is the one that it ends with."""
    output.start(empty())
    for view in views[:-1]:
        output.update(view)
    output.finish(views[-1])


def half() -> Tally:
    tally = Tally()
    calls(tally, 100)
    hit(tally, "http://h:9000/", 400, 100)
    tally.counters = {"carts": 3}
    return tally


# -- lines of JSON -------------------------------------------------------------------------------


def test_each_line_tells_what_came_since_the_one_before(tmp_path):
    path, tally = tmp_path / "run.jsonl", shop()
    fail(tally, "no cart", 12)
    tally.counters = {"carts": 7}
    follow(FileOutput(str(path)), running(tally=half(), elapsed=5.0), ended(tally=tally))
    plan, first, second, failure, summary = lines(path)
    assert {line["run_id"] for line in lines(path)} == {"r1"}
    assert (plan["event"], plan["plan"]) == ("plan", empty().plan.pack())
    assert first == {
        "event": "update",
        "run_id": "r1",
        "state": "running",
        "elapsed": 5.0,
        "users": 10,
        "tests": {"success": 100},
        "hits": 100,
        "hit_errors": 0,
        "status": {"200": 100},
        "counters": {"carts": 3},
    }
    assert second["tests"] == {"success": 84, "failure": 12, "error": 3, "skipped": 1}
    assert (second["hits"], second["hit_errors"]) == (100, 5)
    assert second["status"] == {"timed out": 2, "200": 90, "201": 5, "500": 3}
    assert second["counters"] == {"carts": 4}
    assert (failure["event"], failure["message"]) == ("failure", "no cart")
    assert failure["first_seen"] == ended().started + 0.5
    assert summary == {"event": "summary"} | summarise(ended(tally=tally))


def test_a_failure_has_a_line_once(tmp_path):
    path, tally = tmp_path / "run.jsonl", shop()
    fail(tally, "no cart", 12)
    later = tally.copy()
    fail(later, "no money", 1)
    follow(FileOutput(str(path)), running(tally=tally), running(tally=tally), ended(tally=later))
    told = [line["message"] for line in lines(path) if line["event"] == "failure"]
    assert told == ["no cart", "no money"]


def test_a_line_is_there_as_soon_as_it_is_known(tmp_path):
    path = tmp_path / "run.jsonl"
    output = FileOutput(str(path))
    assert path.read_text() == ""
    output.start(empty())
    assert [line["event"] for line in lines(path)] == ["plan"]
    output.update(running())
    assert [line["event"] for line in lines(path)] == ["plan", "update"]
    output.close()
    output.close()


def test_a_second_run_is_appended(tmp_path):
    path = tmp_path / "run.jsonl"
    follow(FileOutput(str(path)), ended())
    follow(FileOutput(str(path)), ended(run_id="r2"))
    assert [line["run_id"] for line in lines(path)] == ["r1"] * 3 + ["r1", "r2", "r2"]


# -- FunkLoad ------------------------------------------------------------------------------------


def test_there_is_an_element_for_each_test_and_hit(tmp_path):
    path = tmp_path / "report.xml"
    follow(FunkloadOutput(str(path)), running(tally=half(), elapsed=5.0), ended())
    root = ElementTree.parse(path).getroot()
    assert root.tag == "funkload"
    results = Counter(element.get("result") for element in root.iter("testResult"))
    assert results == {"Successful": 184, "Failure": 12, "Error": 3}  # and one that was skipped
    answers = Counter(
        tuple(element.get(name) for name in ("type", "url", "code", "result"))
        for element in root.iter("response")
    )
    assert answers == {
        ("get", "http://h:9000/", "200", "Successful"): 150,
        ("get", "http://h:9000/users/{n}", "200", "Successful"): 40,
        ("get", "http://h:9000/users/{n}", "500", "Failure"): 3,
        ("get", "http://h:9000/users/{n}", "-1", "Failure"): 2,
        ("post", "http://h:9000/cart", "201", "Successful"): 5,
    }
    at = Counter(float(element.get("time", "")) for element in root.iter("response"))
    assert at == {ended().started + 5: 100, ended().started + 10: 100}


def test_what_funkload_reads_is_there_and_a_number_where_it_wants_one(tmp_path):
    path, plan = tmp_path / "report.xml", plan_of(users=(10, 20), agents=2)
    output = FunkloadOutput(str(path))
    output.start(empty(plan=plan))
    output.update(running(plan=plan, users=19, tally=half()))
    output.finish(ended(plan=plan, users=37))
    root = ElementTree.parse(path).getroot()
    known = {config.get("key"): config.get("value", "") for config in root.iter("config")}
    assert (known["cycles"], known["class"]) == ("[20, 40]", "shop.TestShop.test_cart")
    assert float(known["duration"]) == 5.0  # a stage of the two in ten seconds
    for element in root.iter("testResult"):
        assert all(int(element.get(n, "")) == 0 for n in ("pages", "redirects", "images", "links"))
        assert float(element.get("connection_duration", "")) == 0.002
    stages = {(element.get("cycle"), element.get("cvus")) for element in root.iter("response")}
    assert stages == {("000", "20"), ("001", "40")}
    steps = {(element.get("step"), element.get("url")) for element in root.iter("response")}
    assert len(steps) == len({step for step, _ in steps}) == 3


def test_a_run_that_was_left_is_a_document_too(tmp_path):
    path = tmp_path / "report.xml"
    output = FunkloadOutput(str(path))
    with Outputs([("funkload", output)]) as outputs:
        outputs.start(empty())
        outputs.update(running())
    assert len(ElementTree.parse(path).getroot().findall("response")) == 200


def test_an_older_report_stays_until_the_run_begins(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text("<old/>" + " " * 100_000)
    output = FunkloadOutput(str(path))
    assert path.read_text().startswith("<old/>")
    follow(output, ended())
    assert len(ElementTree.parse(path).getroot().findall("response")) == 200


def test_names_cannot_break_the_document(tmp_path):
    path, tally = tmp_path / "report.xml", Tally()
    for name in ('http://h/"<&>', "http://h/\x00\x1b[31m", "http://h/\ud800", "http://h/é\n"):
        hit(tally, name, 100)
    follow(FunkloadOutput(str(path)), ended(tally=tally, plan=plan_of(target="a<b>.c")))
    urls = [element.get("url") for element in ElementTree.parse(path).getroot().iter("response")]
    assert urls == ["http://h/\\x00\\x1b[31m", 'http://h/"<&>', "http://h/é\\n", "http://h/\\ud800"]


amounts = st.dictionaries(st.integers(0, 3_000_000), st.integers(1, 9), max_size=6)
answers = st.sampled_from([200, 301, 404, 503, NoAnswer.REFUSED])


@given(st.lists(st.lists(st.tuples(st.integers(0, 4_000_000_000), answers), max_size=8)))
def test_counts_and_durations_are_those_that_were_recorded(deltas):
    stdout, tally = io.StringIO(), Tally()
    output = FunkloadOutput("-", stdout=stdout)
    output.start(empty(tally=tally.copy()))
    for delta in deltas:
        for us, answer in delta:
            hit(tally, "http://h/", us, answer=answer)
        output.update(running(tally=tally.copy()))
    output.finish(ended(tally=tally.copy()))
    elements = list(ElementTree.fromstring(stdout.getvalue().encode()).iter("response"))
    recorded = [pair for delta in deltas for pair in delta]
    codes = Counter(int(element.get("code", "")) for element in elements)
    assert codes == Counter(-1 if answer < 100 else answer for _, answer in recorded)
    told = [round(float(element.get("duration", "")) * 1e6) for element in elements]
    assert Counter(map(bucket_of, told)) == Counter(bucket_of(us) for us, _ in recorded)
    assert max(told, default=0) <= max((us for us, _ in recorded), default=0)


@given(amounts, amounts)
def test_pairs_keep_both_sides(durations, outcomes):
    pairs = list(paired(iter(durations.items()), iter(outcomes.items())))
    many = min(sum(durations.values()), sum(outcomes.values()))
    assert sum(count for _, _, count in pairs) == many
    for side, given_ in enumerate((durations, outcomes)):
        kept = Counter()
        for pair in pairs:
            kept[pair[side]] += pair[2]
        assert all(kept[key] <= given_[key] for key in kept)


# -- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", ["no/such/place", "", ".", "a\0b"])
def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be written") as caught:
        kind(name)
    assert (
        f"Give --output-{kind.__name__.removesuffix('Output').lower()}-filename"
        in caught.value.hint
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_a_full_disk_costs_the_output_and_not_the_run(kind):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    told = io.StringIO()
    with Outputs([("trail", kind("/dev/full"))], told) as outputs:
        outputs.start(empty())
        assert outputs.names == []
    assert "warning: the output trail failed and is left out: No space left" in told.getvalue()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_pipe_is_written_and_one_that_nobody_reads_is_refused(tmp_path, kind):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="cannot be written"):
        kind(str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        follow(kind(str(path)), ended(tally=half()))
        assert b"http" in os.read(reader, 100_000)
    finally:
        os.close(reader)


@pytest.mark.parametrize("kind", CLASSES)
def test_standard_output_stays_open(kind):
    stdout = io.StringIO()
    follow(kind("-", stdout=stdout), ended())
    assert not stdout.closed
    assert stdout.getvalue().endswith("\n")


def test_series_are_told_apart_by_kind():
    stdout, tally = io.StringIO(), Tally()
    tally.line(SeriesKey(TEST, "same")).record(10, Verdict.SUCCESS)
    tally.line(SeriesKey(HIT, "same", "GET")).record(10, 200)
    follow(FunkloadOutput("-", stdout=stdout), ended(tally=tally))
    root = ElementTree.fromstring(stdout.getvalue().encode())
    assert [element.tag for element in root if element.tag != "config"] == [
        "testResult",
        "response",
    ]
