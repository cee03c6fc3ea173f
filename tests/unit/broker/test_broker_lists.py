"""What a broker says of its runs and agents when it is asked for a list."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loads.errors import ExitCode
from loads.protocol import messages as m
from tests.unit.broker.scene import Scene, hits, plan, ready, report, submit


def rows(scene: Scene, ended: int = 100):
    (action,) = scene.asks(m.ListRuns(4, ended))
    assert action.message.request == 4
    return action.message.runs


def agents(scene: Scene):
    (action,) = scene.asks(m.ListAgents(4))
    return action.message.agents


def test_runs_that_go_on_come_first_then_those_that_wait_then_the_latest_that_ended():
    scene = Scene()
    for run_id in ("old", "older"):
        scene.runs("a", run_id=run_id)
        scene.ends("a", run_id)
    scene.runs("a", run_id="on")
    for run_id in ("w1", "w2"):
        scene.asks(submit(plan(), patience=None), run_id)
    assert [row.run_id for row in rows(scene)] == ["on", "w1", "w2", "older", "old"]
    assert [row.place for row in rows(scene)] == [0, 1, 2, 0, 0]
    assert [row.run_id for row in rows(scene, ended=1)] == ["on", "w1", "w2", "older"]
    assert [row.run_id for row in rows(scene, ended=0)] == ["on", "w1", "w2"]


def test_a_row_tells_what_the_run_is():
    scene = Scene(epoch=5000.0)
    submitted = 5000.0 + scene.now
    scene.runs("a", "b", config={"user_id": "alice"})
    scene.says("a", report("a/0", 1, 7, users=3))
    scene.passes(2, "a", "b")
    (row,) = rows(scene)
    assert (row.run_id, row.target, row.user_id) == ("r1", "shop.test_cart", "alice")
    assert (row.state, row.status, row.agents, row.users, row.hits) == ("running", "", 2, 3, 7)
    assert (row.submitted, row.ended) == (submitted, 0.0)
    assert row.description == plan(agents=2).describe()
    scene.ends("a")
    scene.ends("b")
    (row,) = rows(scene)
    assert (row.state, row.status, row.ended) == ("ended", "finished", 5000.0 + scene.now)


def checks(scene: Scene, name: str, run_id: str) -> None:
    scene.asks(replace(submit(plan()), on=(name,)), run_id)
    scene.says(name, ready(name, run_id))


def test_checks_are_not_listed_and_forgotten_first():
    scene = Scene(kept_runs=2)
    scene.runs("a", run_id="r1")
    scene.ends("a", "r1")
    for run_id in ("c1", "c2"):
        checks(scene, "a", run_id)
        scene.ends("a", run_id)
        assert [row.run_id for row in rows(scene)] == ["r1"]
        assert run_id in scene.core.runs, "who checks has still to read it"
    scene.runs("a", run_id="r2")
    scene.ends("a", "r2")
    assert list(scene.core.runs) == ["r1", "r2"]


def test_an_agent_in_a_list():
    scene = Scene(epoch=5000.0)
    since = 5000.0 + scene.now
    scene.says("b", m.Register("b", "b.example", 42, 2, "2.0", cores=8))
    scene.runs("a")
    scene.says("b", m.Heartbeat(0.5))
    first, second = agents(scene)
    assert (first.agent_id, first.state, first.run_id, first.load) == ("a", "running", "r1", None)
    assert (second.agent_id, second.state, second.run_id) == ("b", "idle", "")
    assert (second.cores, second.workers, second.load, second.version) == (8, 2, 0.5, "2.0")
    assert (second.host, second.pid, second.since) == ("b.example", 42, since)


@pytest.mark.parametrize("ask", [m.GetRun, lambda *a: m.StopRun(*a, 0.0)], ids=["get", "stop"])
def test_the_beginning_of_an_identifier_is_enough_if_it_is_the_only_one(ask):
    scene = Scene()
    scene.runs("a", run_id="abc1")
    scene.runs("b", run_id="abd2")
    said = [a.message for a in scene.asks(ask(1, "abc")) if hasattr(a, "peer")]
    assert [m_.view.run_id for m_ in said if isinstance(m_, m.RunSnapshot)] == ["abc1"]
    (refused,) = scene.asks(ask(1, "ab"))
    assert refused.message.code == ExitCode.USAGE
    assert refused.message.message == "ab is the beginning of 2 runs."
    assert refused.message.hint == "Give more of it: abc1, abd2."


def test_a_whole_identifier_counts_although_another_begins_with_it():
    scene = Scene()
    scene.runs("a", run_id="abc")
    scene.runs("b", run_id="abcd")
    (action,) = scene.asks(m.GetRun(1, "abc"))
    assert action.message.view.run_id == "abc"


@pytest.mark.parametrize("ask", [m.GetRun, lambda *a: m.StopRun(*a, 0.0)], ids=["get", "stop"])
def test_who_submitted_a_run_may_name_it_as_it_did_then(ask):
    scene = Scene()
    said = replace(submit(plan(), patience=None), submission="mine")
    scene.says_as("me", said, "r1")
    assert scene.says_as("me", ask(2, "mine"))[-1].message.view.run_id == "r1"
    refused = scene.says_as("another", ask(2, "mine"))[-1].message
    assert refused.message == "The broker knows no run mine."


def test_a_hint_names_only_a_few_of_many():
    scene = Scene()
    for number in range(7):
        scene.asks(submit(plan(), patience=None), f"x{number}")
    (action,) = scene.asks(m.GetRun(1, "x"))
    assert action.message.hint == "Give more of it: x0, x1, x2, x3, x4, ..."


def test_a_list_does_not_change_what_is_published():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 7))
    before = run.number
    rows(scene)
    assert (run.number, run.ledger.news) == (before, hits(7))
