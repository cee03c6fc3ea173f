"""Agents that get lost, and agents that come back."""

from __future__ import annotations

import pytest

from loads.broker.actions import Tick
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import (
    WELCOME,
    WELCOME_BACK,
    Scene,
    acknowledge,
    ready,
    register,
    report,
)


def test_what_a_lost_agent_had_reported_stays_and_the_others_go_on():
    scene = Scene()
    run = scene.runs("a", "b", users=(4,), hits=(10,))
    scene.says("a", report("a/0", 1, 5, users=4))
    scene.passes(11, "b")
    assert (run.state, run.parts["a"].state, run.parts["b"].state) == ("running", "lost", "running")
    assert run.ledger.users == 0
    scene.says("b", report("b/0", 1, 2, ended="finished"), report("b/1", 1, 1, ended="finished"))
    scene.says("b", m.Finished("r1"))
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code, view.tally.hits) == ("incomplete", ExitCode.INCOMPLETE, 8)
    assert [(a.hits, a.unknown) for a in view.agents] == [(5, None), (3, 0)]
    why = "is lost: agent a was silent for 11 s: what it did after its last report is not known"
    most = "Agent a may have run up to 40 tests that are not counted."
    assert view.warnings == (f"a/0 {why}", f"a/1 {why}", most)


def test_a_run_ends_when_its_last_agent_is_lost():
    scene = Scene()
    run = scene.runs("a")
    scene.passes(11)
    assert (run.state, run.status) == ("ended", "incomplete")


def test_an_agent_that_leaves_in_the_middle_says_why():
    scene = Scene()
    run = scene.runs("a")
    assert scene.says("a", m.Bye("the box shuts down")) == [scene.published(run)]
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a left: the box shuts down"
    assert run.status == "incomplete"


@pytest.mark.parametrize("first_is_ready", [False, True], ids=["loading", "ready"])
def test_an_agent_lost_before_the_start_fails_the_run(first_is_ready):
    scene = Scene()
    run = scene.prepares("a", "b")
    if first_is_ready:
        scene.says("a", ready("a"))
    scene.passes(11, "b")
    assert (run.status, run.error_code) == ("failed", ExitCode.INCOMPLETE)
    assert run.error == "Agent a was silent for 11 s before the start."
    assert scene.state_of("b") is State.IDLE


# -- coming back ---------------------------------------------------------------------------------


def test_an_agent_that_comes_back_goes_on_and_its_reports_count_once():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5), report("a/0", 2, 3))  # the answers are lost
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME_BACK)]
    assert scene.logs[-1] == "Agent a is back in run r1."
    again = [report("a/0", sequence, number) for sequence, number in ((1, 5), (2, 3), (3, 1))]
    assert scene.says("a", *again) == [
        scene.to("a", acknowledge("a/0", 2)),
        scene.to("a", acknowledge("a/0", 2)),
        scene.to("a", acknowledge("a/0", 3)),
    ]
    scene.ends("a")
    scene.ends("b")
    assert (run.status, run.ledger.total.hits) == ("finished", 9)


def test_an_agent_that_was_given_up_and_comes_back_in_time_has_lost_nothing():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5))
    scene.passes(20, "b")
    assert run.parts["a"].state == "lost"
    scene.reconnects("a", "r1")
    assert run.parts["a"].state == "running"
    assert run.ledger.losses() == ()
    scene.says("a", report("a/0", 2, 3))
    scene.ends("a")
    scene.ends("b")
    assert (run.status, run.ledger.total.hits) == ("finished", 8)
    assert run.view(run.ledger.total).agents[0].unknown == 0


def test_a_worker_that_the_agent_itself_lost_is_not_found_again_by_coming_back():
    scene = Scene()
    run = scene.runs("a")
    killed = report("a/0", 1, 5, ended="lost", reason="was killed by SIGKILL", unknown=3)
    scene.says("a", killed)
    scene.reconnects("a", "r1")
    scene.says("a", killed, report("a/1", 1, 2, ended="finished"), m.Finished("r1"))
    assert run.status == "incomplete"
    assert run.ledger.losses() == (
        "a/0 was killed by SIGKILL: all its hits are counted but the 3 that were under way",
    )


def test_a_registration_in_the_middle_that_is_repeated_is_answered_again():
    scene = Scene()
    scene.runs("a")
    scene.reconnects("a", "r1")
    again = register("a", "r1", attempt=2)
    assert scene.says("a", again) == [scene.to("a", WELCOME_BACK)]


def test_an_agent_that_comes_back_after_the_end_is_told_to_forget_the_run():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.passes(11, "b")
    scene.ends("b")
    assert run.status == "incomplete"
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME)]
    scene.says("a", report("a/0", 1, 5))
    assert run.ledger.total.hits == 0  # the result that people have seen does not change


def test_an_agent_that_comes_back_while_it_loads_the_test_goes_on_with_that():
    scene = Scene()
    run = scene.prepares("a", "b")
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME_BACK)]
    scene.says("b", ready("b"))
    assert (run.state, scene.state_of("a")) == ("preparing", State.RETURNING)
    start = m.Start("r1", 0.1)
    assert scene.says("a", ready("a")) == [scene.to("a", start), scene.to("b", start)]
    scene.ends("a")
    scene.ends("b")
    assert run.status == "finished"


def test_an_agent_that_was_ready_and_comes_back_is_waited_for_until_it_is_ready_again():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    scene.reconnects("a", "r1")
    assert scene.says("b", ready("b")) == []
    assert run.state == "preparing"
    assert len(scene.says("a", ready("a"))) == 2
    assert run.state == "running"


def test_an_agent_that_comes_back_unable_to_run_the_plan_fails_the_run():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.reconnects("a", "r1")
    scene.says("a", m.CannotRun("r1", 2, "No module shop."))
    assert (run.status, run.error) == ("failed", "No module shop.")


def test_an_agent_that_comes_back_and_is_silent_fails_the_run_at_its_deadline():
    scene = Scene(prepare_timeout=60)
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    scene.reconnects("a", "r1")
    scene.says("b", ready("b"))
    scene.passes(60, "a", "b")
    assert (run.status, run.error) == ("failed", "Not ready after 60 s: a.")


def test_who_says_again_that_it_is_ready_is_told_again_that_the_load_has_started():
    # the first time may have been lost with the connection
    scene = Scene()
    scene.runs("a", "b")
    scene.reconnects("a", "r1")
    assert scene.says("a", ready("a")) == [scene.to("a", m.Start("r1", 0.0))]
    assert scene.state_of("a") is State.RUNNING


def test_but_not_while_the_run_is_being_stopped():
    scene = Scene()
    scene.runs("a", "b")
    scene.asks(m.StopRun(2, "r1", 30))
    stop = m.StopLoad("r1", 30)
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME_BACK), scene.to("a", stop)]
    assert scene.says("a", ready("a")) == []
    assert scene.state_of("a") is State.STOPPING


def test_an_agent_that_comes_back_with_other_workers_has_lost_those_it_had():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5))
    scene.reconnects("a", "r1")
    assert scene.says("a", m.Ready("r1", ("a/7",))) == [scene.to("a", m.Release("r1"))]
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a came back with other workers"
    assert "a/7" not in run.ledger.accounts
    scene.ends("b")
    assert (run.status, run.ledger.total.hits) == ("incomplete", 5)


def test_an_agent_that_comes_back_unable_to_go_on_does_not_take_the_result_with_it():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5))
    scene.reconnects("a", "r1")
    assert scene.says("a", m.CannotRun("r1", 2, "No more.")) == [scene.to("a", m.Release("r1"))]
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a cannot run it: No more."
    scene.ends("b")
    assert (run.status, run.ledger.total.hits) == ("incomplete", 5)


def test_a_restarted_agent_is_not_taken_for_one_that_repeats_itself():
    # the same name, address and number of registration, as a process after an exec has
    scene = Scene()
    run = scene.runs("a")
    assert scene.says("a", register("a", pid=43)) == [scene.published(run), scene.to("a", WELCOME)]
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a was restarted"


def test_an_agent_that_was_restarted_has_lost_its_part():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.says("a", report("a/0", 1, 5))
    assert scene.reconnects("a") == [scene.to("a", WELCOME)]
    assert run.parts["a"].state == "lost"
    assert run.ledger.accounts["a/0"].reason == "is lost: agent a was restarted"
    scene.ends("b")
    assert (run.status, run.ledger.total.hits) == ("incomplete", 5)


def test_an_agent_whose_release_was_lost_is_idle_when_it_comes_back():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.ends("a")
    assert scene.reconnects("a", "r1") == [scene.to("a", WELCOME)]
    assert (run.parts["a"].state, scene.state_of("a")) == ("ended", State.IDLE)
    scene.ends("b")
    assert run.status == "finished"


def test_a_silent_agent_does_not_take_a_run_with_it_twice():
    scene = Scene()
    run = scene.runs("a")
    scene.passes(11)
    number = run.number
    scene.reconnects("a", "r1")
    scene.passes(11)
    assert run.number == number
    assert scene.feed(Tick()) == []
