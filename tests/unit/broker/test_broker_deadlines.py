"""A run by time has an end that does not depend on what its agents say."""

from __future__ import annotations

import pytest

from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import TIMEOUT, Scene, ready, report

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


# -- agents that are away when it comes ------------------------------------------------------------


def test_an_agent_that_is_out_of_reach_at_the_end_has_lost_nothing():
    """A link that is cut for less than the agent keeps up its load; the end comes meanwhile."""
    scene = Scene(orphan_timeout=30.0, stop_slack=15)
    run = scene.runs("a", "b", duration=5.0, grace=0.0)
    scene.says("a", report("a/0", 1, 5))
    scene.passes(5, "b")
    scene.ends("b")
    scene.passes(24)
    assert (run.state, run.parts["a"].state) == ("running", "lost")
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.passes(14, "a")
    scene.says("a", report("a/0", 2, 3))
    scene.ends("a")
    assert (run.status, run.ledger.total.hits) == ("finished", 8)


def test_who_does_not_come_back_is_awaited_no_longer_than_without_a_deadline():
    scene = Scene(orphan_timeout=30.0, stop_slack=15)
    run = scene.runs("a", duration=5.0, grace=0.0)
    scene.passes(32)
    assert run.state == "running"
    scene.passes(2)
    assert run.status == "incomplete"


def test_an_agent_that_is_here_and_late_does_not_have_to_wait_for_one_that_is_awaited():
    scene = Scene(orphan_timeout=30.0, stop_slack=15, start_delay=0.0)
    run = scene.runs("a", "b", duration=5.0, grace=0.0)
    actions = scene.passes(20, "b")
    assert scene.to("b", m.Release("r1")) in actions
    assert [part.state for part in run.parts.values()] == ["lost", "lost"]
    assert (run.state, scene.state_of("b")) == ("running", State.IDLE)
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.ends("a")
    assert run.status == "incomplete"
    assert [agent.unknown for agent in run.view(run.ledger.total).agents] == [0, None]


@pytest.mark.parametrize("ends", [True, False])
def test_a_silence_that_nobody_minds_counts_for_nothing(ends):
    """Agents that are missed late: one is stopped across the end, and goes on in time."""
    scene = Scene(agent_timeout=60.0, stop_slack=15)
    run = scene.runs("a", duration=5.0, grace=0.0)
    scene.passes(40)
    assert run.state == "running"
    scene.says("a", m.Heartbeat())
    scene.passes(5, "a")
    if ends:
        scene.ends("a")
    scene.passes(13, "a")
    assert run.status == ("finished" if ends else "incomplete")


@pytest.mark.parametrize("away", [4.0, 9.0, 25.0])
def test_an_agent_that_comes_and_goes_does_not_put_off_the_end_for_ever(away):
    scene = Scene(orphan_timeout=30.0, stop_slack=15)
    run = scene.runs("a", "b", duration=5.0, grace=0.0)
    scene.says("a", report("a/0", 1, 5))
    scene.says("b", report("b/0", 1, 5))
    since = scene.now
    while run.state == "running":
        for name in ("a", "b"):
            scene.passes(away / 2)
            scene.reconnects(name, "r1")
            if run.state == "running":
                scene.says(name, ready(name))
            scene.passes(1, name)
        assert scene.now - since < 20 + 15 * (1 + away), "it has never ended"
    assert run.status == "incomplete"


def test_a_stop_waits_as_long_for_an_agent_that_was_away_before():
    scene = Scene(orphan_timeout=30.0, stop_slack=15)
    run = scene.runs("a", duration=600.0, grace=0.0)
    scene.passes(25)
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.asks(m.StopRun(2, "r1", 5))
    scene.passes(19, "a")
    assert run.state == "stopping"
    scene.passes(1, "a")
    assert run.status == "stopped"


def test_an_agent_that_comes_back_to_a_stopped_run_has_the_time_to_report():
    scene = Scene(stop_slack=15)
    run = scene.runs("a", "b", hits=(100,))
    scene.says("a", report("a/0", 1, 5))
    scene.asks(m.StopRun(2, "r1", 0.0))
    scene.passes(TIMEOUT, "b")
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.passes(10, "a", "b")
    assert run.state == "stopping", "its time was over, if the one out of reach had counted"
    scene.says("a", report("a/0", 2, 3))
    scene.ends("a")
    assert (run.status, run.ledger.total.hits) == ("stopped", 8)
    assert run.parts["b"].state == "lost"


# -- a broker that did not run ---------------------------------------------------------------------


def test_a_broker_that_was_stopped_across_the_end_gives_agents_the_time_that_it_took():
    scene = Scene(stop_slack=15)
    run = scene.runs("a", duration=6.0, grace=0.0)
    scene.passes(2, "a")
    scene.now += 22
    scene.passes(15, "a")
    assert run.state == "running"
    scene.ends("a")
    assert run.status == "finished"


def test_and_no_more_than_that():
    scene = Scene(stop_slack=15, start_delay=0.0)
    run = scene.runs("a", duration=6.0, grace=0.0)
    scene.passes(2, "a")
    scene.now += 22
    scene.passes(20, "a")
    assert run.status == "incomplete"


def test_whatever_a_broker_hears_first_when_it_goes_on_it_was_not_there():
    """An agent is awaited when the broker is stopped; who ends first, then, ends no run."""
    scene = Scene(orphan_timeout=30.0)
    run = scene.runs("a", "b")
    scene.passes(11, "b")
    assert run.parts["a"].state == "lost"
    scene.now += 60
    scene.ends("b")
    assert run.state == "running"
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.ends("a")
    assert run.status == "finished"


def test_a_restarted_broker_that_is_stopped_waits_for_its_agents_as_long():
    scene = Scene(return_timeout=5)
    scene.runs("a", duration=60.0)
    scene.restarts()
    scene.passes(1)
    scene.now += 60
    scene.passes(3)
    scene.reconnects("a", "r1")
    scene.says("a", ready("a"))
    scene.ends("a")
    assert scene.core.runs["r1"].status == "finished"
