"""A run by time has an end that does not depend on what its agents say."""

from __future__ import annotations

import pytest

from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import Scene, ready, report

ALIVE = ("a", "b")


def test_agents_that_live_and_never_finish_are_given_up_after_duration_grace_and_slack():
    scene = Scene(stop_slack=15, start_delay=0.0)
    run = scene.runs("a", "b", duration=60.0, grace=30.0)
    scene.says("a", report("a/0", 1, 5))
    scene.ends("b")
    scene.passes(60 + 30 + 14, *ALIVE)
    assert run.state == "running"
    actions = scene.passes(1, *ALIVE)
    assert scene.to("a", m.Release("r1")) in actions
    assert scene.to("b", m.Release("r1")) not in actions
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code) == ("incomplete", ExitCode.INCOMPLETE)
    assert view.tally.hits == 5
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a did not end in time"
    assert scene.state_of("a") is State.IDLE


def test_groups_follow_one_another_and_each_has_its_grace():
    scene = Scene(stop_slack=15, start_delay=0.0)
    run = scene.runs("a", users=(1, 2, 3), duration=10.0, grace=5.0)
    scene.passes(3 * (10 + 5) + 14, *ALIVE)
    assert run.state == "running"
    scene.passes(1, *ALIVE)
    assert run.status == "incomplete"


def test_a_run_by_hits_takes_as_long_as_it_takes():
    scene = Scene()
    run = scene.runs("a", hits=(1,), grace=0.0)
    scene.passes(10_000, "a")
    assert run.state == "running"


@pytest.mark.parametrize(
    ("reported", "ends_at"), [(False, 8 + 25), (True, 25)], ids=["never", "before it went away"]
)
def test_an_agent_whose_start_may_have_been_lost_has_its_whole_time(reported, ends_at):
    """One that had reported has started before: flapping does not put off the end."""
    scene = Scene(stop_slack=15, start_delay=0.0)
    run = scene.runs("a", duration=10.0, grace=0.0)
    begin = scene.now
    if reported:
        scene.says("a", report("a/0", 1, 5))
    scene.passes(8, "a")
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    while run.state == "running":
        scene.passes(1, "a")
    assert scene.now - begin == ends_at


def test_stopping_a_run_gives_it_the_deadline_of_the_stop():
    scene = Scene(stop_slack=15)
    run = scene.runs("a", duration=600.0, grace=30.0)
    scene.asks(m.StopRun(2, "r1", 5))
    scene.passes(20, "a")
    assert (run.status, run.ledger.accounts["a/0"].reason) == (
        "stopped", "is lost: agent a did not stop in time"
    )  # fmt: skip
