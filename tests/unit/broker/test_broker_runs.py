"""A run from its submission to its end, when nobody gets lost."""

from __future__ import annotations

import pytest

from loads.broker.actions import Publish, Tick, ToClient
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.broker.scene import (
    CLIENT,
    Scene,
    acknowledge,
    hits,
    plan,
    ready,
    report,
    submit,
    told,
)

# -- preparing -----------------------------------------------------------------------------------


def test_the_start_waits_for_the_last_agent_and_is_told_to_all_at_once():
    scene = Scene(start_delay=0.1, epoch=5000.0)
    run = scene.prepares("a", "b")
    scene.now += 3
    assert scene.says("b", ready("b")) == []
    assert run.state == "preparing"
    scene.now += 1
    start = m.Start("r1", 0.1)
    assert scene.says("a", ready("a")) == [scene.to("a", start), scene.to("b", start)]
    assert (run.state, run.started) == ("running", 5000.0 + scene.now + 0.1)
    assert run.ledger.open_sources == ["b/0", "b/1", "a/0", "a/1"]


def test_one_agent_that_cannot_run_releases_all_and_fails_the_run():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    actions = scene.says("b", m.CannotRun("r1", 2, "There is no module shop.", "Install it."))
    release = m.Release("r1")
    assert actions == [scene.to("a", release), scene.to("b", release), scene.published(run)]
    view = run.view(hits(0))
    assert (view.status, view.error, view.hint) == (
        "failed", "There is no module shop.", "Install it."
    )  # fmt: skip
    assert view.exit_code == ExitCode.USAGE
    assert scene.state_of("a") is scene.state_of("b") is State.IDLE


def test_who_cannot_run_and_has_not_heard_that_it_is_released_is_told_again():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", m.CannotRun("r1", 2, "No module shop."))
    assert scene.says("b", m.CannotRun("r1", 3, "Another reason.")) == [
        scene.to("b", m.Release("r1"))
    ]
    assert run.error == "No module shop."


def test_agents_that_do_not_get_ready_in_time_fail_the_run():
    scene = Scene(prepare_timeout=60)
    run = scene.prepares("a", "b", "c")
    scene.says("b", ready("b"))
    scene.passes(59, "a", "b", "c")
    assert run.state == "preparing"
    actions = scene.passes(1, "a", "b", "c")
    assert scene.to("b", m.Release("r1")) in actions
    assert (run.status, run.error) == ("failed", "Not ready after 60 s: a, c.")
    assert run.hint == "Look at what these agents print: importing the test may hang there."
    assert run.error_code == ExitCode.INCOMPLETE


def test_an_agent_that_is_ready_after_the_run_was_called_off_is_not_heard():
    scene = Scene()
    scene.prepares("a", "b")
    scene.says("b", m.CannotRun("r1", 2, "No module shop."))
    assert scene.says("a", ready("a")) == [scene.to("a", m.Release("r1"))]
    assert scene.state_of("a") is State.IDLE


def test_what_is_said_about_a_run_that_was_called_off_does_not_disturb_the_next():
    # b's messages cross both the release and the plan of the next run
    scene = Scene()
    scene.prepares("a", "b")
    scene.says("a", m.CannotRun("r1", 2, "No module shop."))
    run = scene.prepares("a", "b", run_id="r2")
    scene.says("a", ready("a", "r2"))
    late = (
        ready("b", "r1"),
        m.CannotRun("r1", 2, "No module shop."),
        report("b/0", 1, 5, "r1"),
        m.Finished("r1"),
    )
    again = [scene.to("b", m.Release("r1"))]  # it may have missed the first one
    assert scene.says("b", *late) == again * 4
    start = m.Start("r2", 0.1)
    assert scene.says("b", ready("b", "r2")) == [scene.to("a", start), scene.to("b", start)]
    assert scene.says("b", *late) == again * 4
    scene.ends("a", "r2")
    scene.ends("b", "r2")
    assert run.status == "finished"


def test_an_agent_may_not_take_the_names_of_anothers_workers():
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", m.Ready("r1", ("0", "1")))
    scene.says("b", m.Ready("r1", ("1", "2")))
    assert (run.status, run.error) == ("failed", "Agent b names another's workers.")


def test_an_agent_whose_workers_all_die_before_the_start_fails_the_run():
    # and not only after the whole time that agents are given to get ready
    scene = Scene()
    run = scene.prepares("a", "b")
    scene.says("a", ready("a"))
    for worker in ("a/0", "a/1"):
        scene.says("a", report(worker, 1, 0, ended="lost", reason="was killed by SIGKILL"))
    release = m.Release("r1")
    assert told(scene.says("a", m.Finished("r1"))) == [
        scene.to("a", release),
        scene.to("b", release),
    ]
    assert (run.status, run.error) == (
        "failed", "Agent a has no worker left before the start."
    )  # fmt: skip
    assert run.error_code == ExitCode.INCOMPLETE


# -- reports -------------------------------------------------------------------------------------


def test_reports_are_merged_and_acknowledged_up_to_where_all_are_there():
    scene = Scene()
    run = scene.runs("a")
    assert scene.says("a", report("a/0", 1, 5, users=3)) == [scene.to("a", acknowledge("a/0", 1))]
    assert scene.says("a", report("a/0", 2, 2, users=1)) == [scene.to("a", acknowledge("a/0", 2))]
    assert scene.says("a", report("a/1", 1, 1, users=4)) == [scene.to("a", acknowledge("a/1", 1))]
    assert run.ledger.total == hits(8)
    view = run.view(run.ledger.total)
    assert (view.users, view.agents[0].hits) == (5, 8)


def test_a_report_that_comes_twice_is_acknowledged_twice_and_counted_once():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5), report("a/0", 2, 5))
    assert scene.says("a", report("a/0", 1, 5)) == [scene.to("a", acknowledge("a/0", 2))]
    assert run.ledger.total.hits == run.ledger.news.hits == 10


def test_a_report_that_comes_too_early_is_not_counted_until_it_comes_again():
    scene = Scene()
    run = scene.runs("a")
    assert scene.says("a", report("a/0", 2, 3)) == [scene.to("a", acknowledge("a/0", 0))]
    assert run.ledger.total.hits == run.ledger.news.hits == 0
    scene.says("a", report("a/0", 1, 4), report("a/0", 2, 3))
    assert run.ledger.total.hits == 7


def test_an_agent_reports_for_its_own_workers_only():
    scene = Scene()
    run = scene.runs("a", "b")
    assert scene.says("a", report("b/0", 1, 5), report("nobody", 1, 5)) == []
    assert run.ledger.total.hits == 0
    assert set(run.ledger.accounts) == {"a/0", "a/1", "b/0", "b/1"}


def test_a_report_about_a_run_that_is_over_is_answered_with_a_release():
    # or else an agent that missed the end would hold back its reports and itself for ever
    scene = Scene()
    scene.registers("a")
    assert scene.says("a", report("a/0", 1, 5, "r9")) == [scene.to("a", m.Release("r9"))]


# -- the end -------------------------------------------------------------------------------------


def test_a_run_ends_with_its_last_agent():
    scene = Scene()
    run = scene.runs("a", "b")
    scene.now += 10
    scene.says("a", report("a/0", 1, 5, ended="finished"), report("a/1", 1, 2, ended="finished"))
    assert scene.says("a", m.Finished("r1")) == [scene.to("a", m.Release("r1"))]
    assert run.state == "running"
    scene.now += 10
    scene.says("b", report("b/0", 1, 1, ended="finished"), report("b/1", 1, 0, ended="finished"))
    assert scene.says("b", m.Finished("r1")) == [
        scene.to("b", m.Release("r1")),
        scene.published(run, hits(8)),
    ]
    view = run.view(run.ledger.total)
    assert (view.state, view.status, view.warnings) == ("ended", "finished", ())
    assert [agent.state for agent in view.agents] == ["ended", "ended"]
    assert round(view.elapsed, 6) == 19.9  # from the start, which was 0.1 s after it was told


def test_finished_is_repeated_until_released():
    scene = Scene()
    scene.runs("a")
    scene.ends("a")
    assert scene.says("a", m.Finished("r1")) == [scene.to("a", m.Release("r1"))]


def test_a_worker_that_never_said_how_it_ended_is_lost():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5, ended="finished"), report("a/1", 1, 5))
    scene.says("a", m.Finished("r1"))
    assert run.status == "incomplete"
    assert run.ledger.losses() == (
        "a/1 never reported how it ended: what it did after its last report is not known",
    )


def test_a_worker_that_was_lost_makes_the_run_incomplete_and_bounds_what_is_unknown():
    scene = Scene()
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5, ended="lost", reason="was killed by SIGKILL", unknown=3))
    scene.says("a", report("a/1", 1, 5, ended="finished"), m.Finished("r1"))
    view = run.view(run.ledger.total)
    assert (view.status, view.exit_code) == ("incomplete", ExitCode.INCOMPLETE)
    assert (view.agents[0].hits, view.agents[0].unknown) == (10, 3)


def test_an_update_is_published_now_and_then_with_what_came_since_the_last():
    scene = Scene(publish_interval=0.25)
    run = scene.runs("a")
    scene.says("a", report("a/0", 1, 5))
    scene.now += 0.25
    assert scene.feed(Tick()) == [scene.published(run, hits(5))]
    number = run.number
    scene.now += 0.2
    assert scene.feed(Tick()) == []
    scene.now += 0.05
    assert scene.feed(Tick()) == [scene.published(run)]
    assert run.number == number + 1


# -- what is kept --------------------------------------------------------------------------------


def test_the_runs_that_ended_longest_ago_are_forgotten():
    scene = Scene(kept_runs=2)
    scene.runs("slow", run_id="r0")
    for run_id in ("r1", "r2", "r3"):
        scene.runs("a", run_id=run_id)
        scene.ends("a", run_id)
    assert list(scene.core.runs) == ["r0", "r2", "r3"]
    scene.ends("slow", "r0")  # submitted first, but nobody has seen its result yet
    assert list(scene.core.runs) == ["r3", "r0"]


def test_no_run_at_all_may_be_kept():
    scene = Scene(kept_runs=0)
    scene.runs("a")
    scene.ends("a")
    assert scene.core.runs == {}


def test_stopping_a_run_as_it_is_forgotten_still_answers():
    scene = Scene(kept_runs=0)
    run = scene.prepares("a")
    answer = scene.asks(m.StopRun(2, "r1", 5))[-1]
    assert answer == ToClient(CLIENT, m.RunSnapshot(2, run.number, run.view(hits(0))))


def test_two_runs_side_by_side_do_not_meet():
    scene = Scene()
    one, two = scene.runs("a", run_id="r1"), scene.runs("b", run_id="r2")
    scene.says("a", report("a/0", 1, 5, "r1"))
    scene.says("b", report("b/0", 1, 3, "r2"))
    scene.says("b", report("b/0", 2, 9, "r1"))  # not its run
    assert (one.ledger.total.hits, two.ledger.total.hits) == (5, 3)
    scene.ends("a", "r1")
    assert (one.state, two.state) == ("ended", "running")
    scene.asks(submit(plan(), request=9), "r3")
    assert scene.core.agents["a"].run_id == "r3"


@pytest.mark.parametrize(
    ("workers", "interval"),
    [
        pytest.param(2, 0.25, id="few report often"),
        pytest.param(500, 0.25, id="as many as can do that"),
        pytest.param(1000, 0.5, id="more report less often"),
    ],
)
def test_how_often_workers_report_depends_on_how_many_they_are(workers, interval):
    scene = Scene(report_rate=2000)
    scene.prepares("a")
    (started,) = scene.says("a", m.Ready("r1", tuple(f"a/{n}" for n in range(workers))))
    assert started == scene.to("a", m.Start("r1", 0.1, interval))


def test_an_update_tells_the_hits_of_some_agents_in_turn_and_the_last_one_of_all():
    names = "abcde"
    scene = Scene(told_agents=2)
    run = scene.runs(*names)
    scene.now += 1
    scene.feed(Tick())  # tells that all are running
    shown = {}
    for round_ in (1, 2, 3):
        for name in names:
            scene.says(name, report(f"{name}/0", round_, 10))
        scene.now += 0.25
        (update,) = scene.feed(Tick())
        assert len(update.message.changes.agents) == 2
        shown |= {agent.agent_id: agent.hits for agent in update.message.changes.agents}
    assert shown == {"a": 30, "b": 10, "c": 20, "d": 20, "e": 30}  # who waits longest is next
    for name in names:
        actions = scene.ends(name)
    update = next(action for action in reversed(actions) if isinstance(action, Publish))
    told_last = {agent.agent_id: agent.hits for agent in update.message.changes.agents}
    assert shown | told_last == dict.fromkeys(names, 30)
    assert run.state == "ended"


def test_a_state_that_changes_is_told_at_once_of_all_agents():
    names = "abcde"
    scene = Scene(told_agents=2)
    scene.runs(*names)
    scene.now += 0.25
    (update,) = scene.feed(Tick())
    assert {agent.state for agent in update.message.changes.agents} == {"running"}
    assert len(update.message.changes.agents) == 5
