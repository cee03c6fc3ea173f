"""A run on an agent, while all goes well."""

from __future__ import annotations

from loads.agent.actions import (
    DropRun,
    LoadFailed,
    PrepareRun,
    SampleWorker,
    StartWorkers,
    StopWorkers,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.agent.core import REPEAT
from loads.agent.run import MAX_UNACKNOWLEDGED
from loads.errors import ExitCode
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.agent.scene import (
    ALIVE,
    PLAN,
    PREPARE,
    WORKERS,
    Scene,
    acknowledge,
    delta,
    messages,
    report,
)

FINISHED = ToBroker(m.Finished("r1"))


def said_besides_heartbeats(actions):
    return [message for message in messages(actions) if message != ALIVE]


# -- getting ready -------------------------------------------------------------------------------


def test_a_run_from_its_plan_to_its_release():
    scene = Scene().registered()
    assert scene.hears(PREPARE) == [PrepareRun("r1", PLAN, "digest", b"bundle")]
    assert scene.feed(WorkersReady(WORKERS)) == [ToBroker(m.Ready("r1", WORKERS))]
    assert scene.hears(m.Start("r1", 0.1)) == [StartWorkers(0.1)]
    last = [delta(worker, 1, 3, ended="finished") for worker in WORKERS]
    assert scene.measures(*last) == [report(w, 1, 3, ended="finished") for w in WORKERS]
    assert scene.hears(acknowledge("a/0", 1)) == []
    assert scene.hears(acknowledge("a/1", 1)) == [FINISHED]
    assert scene.hears(m.Release("r1")) == [DropRun()]
    assert scene.core.link.state is State.IDLE
    assert scene.hears(PREPARE) != []


def test_an_agent_says_in_which_turn_of_a_run_it_is_ready():
    scene = Scene().preparing()
    assert scene.hears(m.Release("r1")) == [DropRun()]
    scene.hears(m.Prepare("r1", PLAN, "digest", b"bundle", 1))
    assert scene.feed(WorkersReady(WORKERS)) == [ToBroker(m.Ready("r1", WORKERS, 1))]


def test_why_a_run_cannot_be_run_is_repeated_until_the_release():
    scene = Scene().preparing()
    cannot = m.CannotRun("r1", 2, "There is no module shop.", "Install it.")
    assert scene.feed(LoadFailed(2, "There is no module shop.", "Install it.")) == [
        ToBroker(cannot)
    ]
    assert said_besides_heartbeats(scene.passes(2 * REPEAT)) == [cannot, cannot]
    assert scene.hears(m.Release("r1")) == [DropRun()]
    assert said_besides_heartbeats(scene.passes(2 * REPEAT)) == []


def test_the_first_failure_speaks_for_all_and_a_long_one_is_cut():
    scene = Scene().preparing()
    (said,) = messages(
        scene.feed(LoadFailed(2, "x" * limits.MAX_TEXT + "y", "h" * (limits.MAX_TEXT + 1)))
    )
    assert said == m.CannotRun("r1", 2, "x" * limits.MAX_TEXT, "h" * limits.MAX_TEXT)
    assert scene.feed(LoadFailed(2, "Another.", "")) == []


def test_who_cannot_run_is_not_ready_later():
    scene = Scene().preparing()
    scene.feed(LoadFailed(2, "No module shop.", ""))
    assert scene.feed(WorkersReady(WORKERS), Tick()) == []


def test_a_worker_that_is_killed_while_others_still_load_the_test_fails_the_run():
    scene = Scene().preparing()
    dead = delta("a/0", 1, 0, ended="lost", reason="was killed by SIGKILL")
    why = "Worker a/0 ended before all were ready: it was killed by SIGKILL."
    assert scene.measures(dead) == [ToBroker(m.CannotRun("r1", ExitCode.INCOMPLETE, why))]
    assert scene.measures(delta("a/1", 1, 0, ended="lost")) == []


def test_workers_that_get_ready_after_the_release_are_of_no_interest():
    scene = Scene().preparing()
    scene.hears(m.Release("r1"))
    assert scene.feed(WorkersReady(WORKERS)) == []
    assert scene.feed(LoadFailed(2, "No.", "")) == []
    assert scene.measures(delta("a/0", 1)) == []


def test_a_start_is_carried_out_once():
    scene = Scene().running()
    scene.hears(m.WhoAreYou(), m.WelcomeBack(1, 10, 2), m.Start("r1", 0.0))
    assert scene.hears(m.StopLoad("r1", 5), m.Release("r1")) == [StopWorkers(5), DropRun()]


def test_a_stop_is_passed_on_each_time():
    # the second one may be in more of a hurry
    scene = Scene().running()
    assert scene.hears(m.StopLoad("r1", 30), m.StopLoad("r1", 0)) == [
        StopWorkers(30),
        StopWorkers(0),
    ]
    assert scene.measures(delta("a/0", 1, ended="stopped")) == [report("a/0", 1, ended="stopped")]


def test_workers_that_have_not_started_can_be_stopped():
    assert Scene().ready().hears(m.StopLoad("r1", 30)) == [StopWorkers(30)]


# -- reports -------------------------------------------------------------------------------------


def test_workers_are_read_at_intervals_until_they_have_ended():
    scene = Scene(sample_interval=0.25).running()
    read = [SampleWorker("a/0"), SampleWorker("a/1")]
    scene.now += 0.25  # at most: where in the interval an agent begins is its own
    assert scene.feed(Tick()) == read
    scene.now += 0.2
    assert scene.feed(Tick()) == []
    scene.now += 0.05
    assert scene.feed(Tick()) == read
    scene.measures(delta("a/0", 1, ended="finished"))
    scene.now += 0.25
    assert scene.feed(Tick()) == [SampleWorker("a/1")]


def test_a_worker_with_many_unacknowledged_reports_is_not_read():
    scene = Scene(sample_interval=0.0).running()
    scene.measures(*(delta("a/0", n) for n in range(1, MAX_UNACKNOWLEDGED + 1)))
    assert scene.feed(Tick()) == [SampleWorker("a/1")]
    scene.hears(acknowledge("a/0", 1))
    assert scene.feed(Tick()) == [SampleWorker("a/0"), SampleWorker("a/1")]


def test_its_last_delta_is_reported_even_then():
    scene = Scene().running()
    scene.measures(*(delta("a/0", n) for n in range(1, MAX_UNACKNOWLEDGED + 1)))
    last = MAX_UNACKNOWLEDGED + 1
    assert scene.measures(delta("a/0", last, ended="finished")) == [
        report("a/0", last, ended="finished")
    ]


def test_reports_without_an_answer_are_said_again_in_order():
    scene = Scene().running()
    first = scene.measures(delta("a/0", 1), delta("a/0", 2), delta("a/1", 1))
    scene.hears(acknowledge("a/0", 1))
    assert said_besides_heartbeats(scene.passes(REPEAT - 0.5)) == []
    assert said_besides_heartbeats(scene.passes(0.5)) == messages(first[1:])
    scene.hears(acknowledge("a/0", 2), acknowledge("a/1", 1))
    assert said_besides_heartbeats(scene.passes(2 * REPEAT)) == []


def test_an_answer_that_confirms_nothing_does_not_put_that_off():
    # the broker answers so to a report that came too early
    scene = Scene().running()
    scene.hears(acknowledge("a/0", 0))
    scene.measures(delta("a/0", 1))
    scene.passes(REPEAT - 1)
    scene.hears(acknowledge("a/0", 0))
    assert said_besides_heartbeats(scene.passes(1)) == messages([report("a/0", 1)])


def test_an_agent_has_not_finished_before_all_is_acknowledged():
    scene = Scene().running()
    scene.measures(delta("a/0", 1), delta("a/0", 2, ended="finished"))
    scene.measures(delta("a/1", 1, ended="lost"))
    assert scene.hears(acknowledge("a/1", 1), acknowledge("a/0", 1)) == []
    assert scene.hears(acknowledge("a/0", 2)) == [FINISHED]
    assert scene.hears(acknowledge("a/0", 2)) == []


def test_finished_is_repeated_until_the_release():
    scene = Scene().finished()
    assert said_besides_heartbeats(scene.passes(2 * REPEAT)) == [FINISHED.message] * 2
    assert scene.hears(m.Release("r1")) == [DropRun()]


def test_an_acknowledgement_for_an_unknown_worker_is_no_harm():
    assert Scene().running().hears(acknowledge("b/7", 3)) == []
