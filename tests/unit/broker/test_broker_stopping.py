"""Ending a run early."""

from __future__ import annotations

import pytest

from loads.broker.actions import ToClient
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import CLIENT, WELCOME_BACK, Scene, hits, report, told


def snapshot(request, run):
    return ToClient(CLIENT, m.RunSnapshot(request, run.number, run.view(run.ledger.total)))


def test_a_run_that_prepares_is_stopped_at_once():
    scene = Scene()
    run = scene.prepares("a")
    assert scene.asks(m.StopRun(2, "r1", 30)) == [
        scene.to("a", m.Release("r1")),
        scene.published(run),
        snapshot(2, run),
    ]
    assert (run.status, scene.state_of("a")) == ("stopped", State.IDLE)


def test_a_run_that_goes_on_is_stopped_when_its_agents_have_stopped():
    scene = Scene()
    run = scene.runs("a", "b")
    stop = m.StopLoad("r1", 30)
    assert scene.asks(m.StopRun(2, "r1", 30)) == [
        scene.to("a", stop),
        scene.to("b", stop),
        snapshot(2, run),
    ]
    assert run.state == "stopping"
    for name in ("a", "b"):
        last = [report(f"{name}/{i}", 1, 2, ended="stopped") for i in (0, 1)]
        scene.says(name, *last, m.Finished("r1"))
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code) == ("stopped", ExitCode.INTERRUPTED)
    assert (view.tally.hits, view.warnings) == (8, ())


def test_a_run_that_has_ended_is_not_stopped():
    scene = Scene()
    run = scene.runs("a")
    scene.ends("a")
    assert scene.asks(m.StopRun(2, "r1", 30)) == [snapshot(2, run)]
    assert run.status == "finished"


def test_agents_that_do_not_stop_are_given_up_after_grace_and_slack():
    scene = Scene(stop_slack=15)
    run = scene.runs("a", "b")
    scene.asks(m.StopRun(2, "r1", 30))
    scene.says("b", report("b/0", 1, 1, ended="stopped"), report("b/1", 1, 1, ended="stopped"))
    scene.says("b", m.Finished("r1"))
    scene.passes(44, "a", "b")
    assert run.state == "stopping"
    actions = scene.passes(1, "a", "b")
    assert scene.to("a", m.Release("r1")) in actions
    assert scene.to("b", m.Release("r1")) not in actions
    assert (run.status, run.parts["a"].state) == ("stopped", "lost")
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a did not stop in time"
    assert scene.state_of("a") is State.IDLE


def test_an_agent_lost_while_it_stops_does_not_hold_the_run():
    scene = Scene()
    run = scene.runs("a")
    scene.asks(m.StopRun(2, "r1", 30))
    scene.passes(11)
    assert (run.state, run.status) == ("ended", "stopped")
    assert len(run.ledger.losses()) == 2


@pytest.mark.parametrize(
    ("second_grace", "ends_after"),
    [(0, 15), (30, 45)],
    ids=["in more of a hurry", "as before: asking again and again gives no more time"],
)
def test_a_second_request_can_only_bring_the_end_nearer(second_grace, ends_after):
    scene = Scene(stop_slack=15)
    run = scene.runs("a")
    asked_at = scene.now
    scene.asks(m.StopRun(2, "r1", 30))
    wait = 20 if second_grace else 0
    scene.passes(wait, "a")
    again = scene.asks(m.StopRun(3, "r1", second_grace))
    assert scene.to("a", m.StopLoad("r1", second_grace)) in again
    while run.state != "ended":
        scene.passes(1, "a")
    assert scene.now - asked_at == ends_after


def test_an_agent_that_was_away_when_the_run_was_stopped_is_told_when_it_is_back():
    scene = Scene()
    run = scene.runs("a", "b", grace=30)
    scene.passes(11, "b")
    scene.asks(m.StopRun(2, "r1", 8))
    scene.passes(5, "b")
    left = m.StopLoad("r1", 3)  # of the 8 s; not the 30 of the plan, which the broker won't wait
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME_BACK), scene.to("a", left)]
    assert run.parts["a"].state == "running"


def test_one_that_is_back_after_the_grace_period_is_to_stop_at_once():
    scene = Scene()
    scene.runs("a", "b")
    scene.passes(11, "b")
    scene.asks(m.StopRun(2, "r1", 0))
    scene.passes(5, "b")
    assert told(scene.reconnects("a", "r1"))[-1] == scene.to("a", m.StopLoad("r1", 0.0))


def test_what_was_done_before_the_stop_is_counted():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    actions = scene.asks(m.StopRun(2, "r1", 0))
    assert scene.published(run, hits(5)) in actions
    assert actions[-1] == snapshot(2, run)
