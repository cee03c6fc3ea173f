"""Outputs that write while a run goes on say what the target served."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e.cluster import SITE, Cluster, Runner, site
from tests.e2e.stage import Stage
from tests.e2e.targets import Target
from tests.e2e.waiting import until

OUTPUTS = ("--output", "file", "--output", "funkload")


def lines(path: Path) -> list[dict[str, Any]]:
    """What ``--output file`` wrote; a line that is only half there is left out."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def start(stage: Stage, where: str, *options: object) -> Runner:
    if where == "here":
        return Runner(stage, *options)
    return Cluster(stage, agents=2).start(*options)


@pytest.mark.parametrize("where", ["here", "on a cluster"])
def test_lines_and_elements_add_up_to_what_the_target_served(
    stage: Stage, target: Target, where: str
) -> None:
    stage.write("test_site.py", SITE)
    files = (
        *("--output-file-filename", stage.root / "run.jsonl"),
        *("--output-funkload-filename", stage.root / "report.xml"),
    )
    options = ("-u", "5:10", "--hits", 20, "--server-url", target.url)
    result = start(stage, where, "test_site", *options, *OUTPUTS, *files).wait()
    assert result.code == 0
    told = lines(stage.root / "run.jsonl")
    assert [told[0]["event"], told[-1]["event"]] == ["plan", "summary"]
    assert told[-1] == {"event": "summary"} | result.summary
    updates = [line for line in told if line["event"] == "update"]
    assert sum(line["hits"] for line in updates) == target.hits == result.hits
    assert sum(line["tests"].get("success", 0) for line in updates) == target.hits
    root = ElementTree.parse(stage.root / "report.xml").getroot()
    answers = Counter(element.get("code") for element in root.iter("response"))
    assert answers == {"200": target.hits}
    assert len(root.findall("testResult")) == target.hits


def test_an_interrupted_run_is_written_to_its_end(stage: Stage, target: Target) -> None:
    """With the names that the files have where none is given."""
    stage.write("test_slow.py", site("/slow/2"))
    options = ("-u", 4, "--hits", 1_000, "--server-url", target.url)
    runner = Runner(stage, "test_slow", *options, *OUTPUTS)
    until(lambda: target.hits == 4, "all users under way")
    runner.process.signal(signal.SIGINT)
    assert runner.wait().code == 130
    assert lines(stage.project / "loads.jsonl")[-1]["hits"]["total"] == target.hits == 4
    root = ElementTree.parse(stage.project / "funkload-report.xml").getroot()
    assert len(root.findall("response")) == 4


def test_a_killed_runner_leaves_what_it_knew(stage: Stage, target: Target) -> None:
    stage.write("test_site.py", SITE)
    file = stage.root / "run.jsonl"
    options = ("-u", 2, "-d", 60, "--server-url", target.url, "--output-file-filename", file)
    runner = Runner(stage, "test_site", *options, "--output", "file")
    until(lambda: file.exists() and any(line.get("hits") for line in lines(file)), "some hits")
    runner.process.signal(signal.SIGKILL)
    runner.process.wait()
    told = [line["hits"] for line in lines(file) if line["event"] == "update"]
    assert 0 < sum(told) <= target.hits
