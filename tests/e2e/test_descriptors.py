"""Runs under limits of descriptors that are too low, and low at first."""

from __future__ import annotations

from tests.e2e.cluster import Result, site
from tests.e2e.stage import COMMANDS, Stage
from tests.e2e.targets import Target

USERS = 200


def run_limited(stage: Stage, target: Target, soft: int, hard: int) -> Result:
    """A run of 200 users, all connected at once, from a shell that has set these limits."""
    stage.write("test_site.py", site("/slow/2"))
    summary = stage.root / "summary.json"
    options = f"-u {USERS} --hits 1 --workers 1 --server-url {target.url}"
    outputs = f"--output console --output json --output-json-filename {summary}"
    limits = f"ulimit -Sn {soft} && ulimit -Hn {hard}"
    command = f"exec {COMMANDS / 'loads-runner'} test_site {options} {outputs}"
    process = stage.start("shell", "/bin/sh", "-c", f"{limits} && {command}")
    return Result(process.wait(), process.out, process.err, summary)


def test_the_soft_limit_is_raised_to_the_hard_one(stage: Stage, target: Target) -> None:
    result = run_limited(stage, target, 100, 1_000)
    assert result.code == 0
    assert result.hits == target.hits == target.connections == USERS
    assert result.summary["warnings"] == []


def test_a_hard_limit_that_is_too_low_is_told_with_its_remedy(stage: Stage, target: Target) -> None:
    """What fails for want of a descriptor is an error, and counted; the target never saw it."""
    result = run_limited(stage, target, 100, 100)
    (warning,) = result.summary["warnings"]
    assert "may have 100 files and connections open, and its 200 users need 264" in warning
    assert "ulimit -n 264" in warning
    assert warning in " ".join(result.out.split())
    assert result.code == 1
    answered = sum(url["status"].get("200", 0) for url in result.summary["urls"])
    assert 0 < answered == target.hits < USERS
    assert result.hits == result.summary["hits"]["errors"] + answered == USERS
