"""An agent that loses its broker in the middle of a run, or is to leave then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loads.agent.actions import (
    DropRun,
    Leave,
    LoadFailed,
    StartWorkers,
    StopWorkers,
    Terminate,
    Tick,
    ToBroker,
    WorkersReady,
)
from loads.errors import ExitCode
from loads.plan import RunPlan
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.codec import decode, encode
from loads.protocol.dialogue import State
from tests.unit.agent.scene import (
    ALIVE,
    PREPARE,
    TIMEOUT,
    WELCOME,
    WELCOME_BACK,
    WORKERS,
    Scene,
    acknowledge,
    delta,
    messages,
    register,
    report,
)
from tests.unit.strategies import quick

READY = ToBroker(m.Ready("r1", WORKERS))
BYE = ToBroker(m.Bye("it was asked to"))
LEAVE = Leave(ExitCode.OK, "The agent leaves: it was asked to.")
TERMINATE = Terminate("it was asked to")


# -- losing the broker ---------------------------------------------------------------------------


def test_what_was_measured_meanwhile_is_said_when_the_broker_is_back():
    scene = Scene().running()
    scene.measures(delta("a/0", 1))
    assert scene.hears(m.WhoAreYou()) == [ToBroker(register("r1", attempt=2))]
    assert scene.measures(delta("a/1", 1), delta("a/0", 2, ended="finished")) == []
    assert scene.is_welcome_back() == [
        READY,
        report("a/0", 1),
        report("a/0", 2, ended="finished"),
        report("a/1", 1),
    ]


def test_the_last_word_too():
    scene = Scene().finished()
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome_back() == [READY, ToBroker(m.Finished("r1"))]


def test_and_that_it_cannot_run_the_plan():
    scene = Scene().preparing()
    cannot = ToBroker(m.CannotRun("r1", 2, "No module shop.", ""))
    assert scene.feed(LoadFailed(2, "No module shop.", "")) == [cannot]
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome_back() == [cannot]


def test_an_agent_that_still_loads_the_test_is_ready_later():
    scene = Scene().preparing()
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome_back() == []
    assert scene.feed(WorkersReady(WORKERS)) == [READY]
    assert scene.hears(m.Start("r1", 0.1)) == [StartWorkers(0.1)]


def test_an_agent_that_gets_ready_while_the_broker_is_away_says_so_when_it_is_back():
    scene = Scene().preparing()
    scene.hears(m.WhoAreYou())
    assert scene.feed(WorkersReady(WORKERS)) == []
    assert scene.is_welcome_back() == [READY]
    assert scene.passes(20, broker=True) == [ToBroker(ALIVE)] * 20


def test_nothing_is_repeated_to_a_broker_that_has_to_learn_first_who_this_is():
    scene = Scene().running()
    scene.measures(delta("a/0", 1))
    said = messages(scene.passes(30, broker=False))
    registering = said[said.index(register("r1", attempt=2)) :]
    assert registering == [register("r1", attempt=2)] * 20


def test_workers_whose_start_was_lost_with_the_connection_start_when_it_is_back():
    scene = Scene().ready()
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome_back() == [READY]
    assert scene.hears(m.Start("r1", 0.0)) == [StartWorkers(0.0)]
    assert scene.hears(m.StopLoad("r1", 5)) == [StopWorkers(5)]


def test_workers_that_run_are_not_started_again():
    scene = Scene().running()
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome_back() == [READY]
    assert scene.hears(m.Start("r1", 0.0)) == []


def test_an_answer_to_an_earlier_registration_has_no_effect():
    # it says that there is no run, which was true when it was given
    scene = Scene().running()
    scene.hears(m.WhoAreYou())
    assert scene.hears(WELCOME) == []
    assert scene.core.run is not None
    assert scene.is_welcome_back() == [READY]


def test_orders_that_were_given_before_the_broker_forgot_are_not_carried_out():
    scene = Scene().running()
    scene.passes(12, broker=False)
    assert scene.hears(m.StopLoad("r1", 5), acknowledge("a/0", 1), m.Release("r1")) == []
    assert not any("broke the protocol" in line for line in scene.logs)
    assert scene.core.run is not None


def test_workers_that_were_stopped_for_good_do_not_start():
    scene = Scene().ready()
    scene.passes(31, broker=False)
    why = "Agent a gave up: orphaned, no word from the broker for 31 s."
    cannot = ToBroker(m.CannotRun("r1", ExitCode.INCOMPLETE, why))
    assert scene.is_welcome_back() == [cannot]
    assert scene.measures(delta("a/0", 1, 0, ended="stopped")) != [], "which is no secret"
    assert scene.hears(m.Release("r1")) == [DropRun()]


def test_a_broker_that_knows_the_run_no_longer_ends_it():
    scene = Scene().running()
    scene.measures(delta("a/0", 1))
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome() == [DropRun()]
    assert scene.measures(delta("a/0", 2)) == []
    assert scene.core.link.state is State.IDLE


def test_an_agent_without_its_broker_stops_the_load_and_the_result_says_so():
    scene = Scene(orphan_timeout=30).running()
    assert StopWorkers(0.0) not in scene.passes(30, broker=False)
    actions = scene.passes(10, broker=False)
    assert actions.count(StopWorkers(0.0)) == 1
    scene.measures(delta("a/0", 1, 5, ended="stopped"))
    reason = "stopped early: orphaned, no word from the broker for 31 s"
    scene.measures(delta("a/1", 1, 2, ended="lost", reason="was killed by SIGKILL", unknown=3))
    assert scene.is_welcome_back() == [
        READY,
        report("a/0", 1, 5, ended="lost", reason=reason),
        report("a/1", 1, 2, ended="lost", reason="was killed by SIGKILL", unknown=3),
    ]
    assert scene.hears(acknowledge("a/0", 1), acknowledge("a/1", 1)) == [ToBroker(m.Finished("r1"))]


def test_a_worker_that_had_finished_before_the_stop_has_finished():
    scene = Scene().running()
    scene.passes(31, broker=False)
    scene.measures(delta("a/0", 1, ended="finished"))
    assert scene.is_welcome_back() == [READY, report("a/0", 1, ended="finished")]


def test_an_agent_without_its_broker_does_not_get_ready():
    # a silence that the agent bears less long than the broker, which never noticed
    scene = Scene(orphan_timeout=5).preparing()
    actions = scene.passes(6, broker=False)
    why = m.CannotRun(
        "r1", ExitCode.INCOMPLETE, "Agent a gave up: orphaned, no word from the broker for 6 s."
    )
    assert StopWorkers(0.0) in actions
    assert why in messages(actions)
    assert scene.feed(WorkersReady(WORKERS)) == []
    assert scene.measures(delta("a/0", 1, 0, ended="stopped")) == []
    assert scene.hears(m.Release("r1")) == [DropRun()]


# -- leaving in the middle of a run --------------------------------------------------------------


def test_an_agent_that_is_asked_to_leave_reports_its_run_to_the_end_first():
    scene = Scene().running()
    assert scene.feed(TERMINATE) == [StopWorkers(0.0)]
    reason = "stopped early: it was asked to"
    last = [delta(worker, 1, 2, ended="stopped") for worker in WORKERS]
    assert scene.measures(*last) == [
        report(worker, 1, 2, ended="lost", reason=reason) for worker in WORKERS
    ]
    assert scene.hears(acknowledge("a/0", 1), acknowledge("a/1", 1)) == [ToBroker(m.Finished("r1"))]
    assert scene.hears(m.Release("r1")) == [DropRun(), BYE, LEAVE]


def test_who_insists_is_obeyed_at_once():
    scene = Scene().running()
    scene.feed(TERMINATE)
    assert scene.feed(TERMINATE) == [DropRun(), BYE, LEAVE]


def test_nothing_is_waited_for_while_the_test_is_loaded():
    assert Scene().preparing().feed(TERMINATE) == [DropRun(), BYE, LEAVE]


@pytest.mark.parametrize("silence", [0, 11, 31], ids=["not yet noticed", "dead", "load stopped"])
def test_an_agent_that_is_to_leave_does_not_wait_for_a_dead_broker(silence):
    scene = Scene().running()
    scene.passes(silence, broker=False)
    scene.feed(TERMINATE)
    assert scene.passes(11, broker=False)[-3:] == [DropRun(), BYE, LEAVE]


def test_an_agent_that_is_to_leave_leaves_when_the_broker_has_forgotten_the_run():
    scene = Scene().running()
    scene.feed(TERMINATE)
    scene.hears(m.WhoAreYou())
    assert scene.is_welcome() == [DropRun(), BYE, LEAVE]


@pytest.mark.parametrize("reason", ["x" * (limits.MAX_TEXT + 1), "\udce9" * limits.MAX_TEXT])
def test_whatever_the_texts_are_they_can_be_sent(reason):
    scene = Scene().ready()
    said = scene.measures(delta("a/0", 1, ended="lost", reason=reason))
    said += Scene().preparing().feed(LoadFailed(2, reason, reason))
    said += Scene().registered().feed(Terminate(reason))
    sent = messages(said)
    assert len(sent) == 3
    for message in sent:
        assert decode(encode(message)) == message


# -- whatever the broker says --------------------------------------------------------------------

orders = st.sampled_from(
    [
        *(WELCOME, WELCOME_BACK, m.WhoAreYou(), ALIVE, PREPARE),
        *(m.Start("r1", 0.0), m.StopLoad("r1", 0.0), m.Release("r1"), m.Release("r9")),
        *(acknowledge("a/0", 1), acknowledge("a/1", 9), m.Rejected("No.", "")),
    ]
)
happenings = st.sampled_from(
    [
        *(WorkersReady(WORKERS), LoadFailed(2, "No.", ""), TERMINATE, Tick()),
        *("a/0", "a/1", "ends a/0", "ends a/1", 1.0, 6.0, 40.0),
    ]
)


@quick
@given(st.lists(orders | happenings, max_size=30))
def test_no_order_of_the_broker_brings_an_agent_down(story):
    scene = Scene(sample_interval=0.25)
    sequence = 0
    for step in story:
        if isinstance(step, m.Message):
            scene.hears(step)
        elif isinstance(step, float):
            scene.passes(step, broker=False)
        elif isinstance(step, str):
            sequence += 1
            scene.measures(delta(step[-3:], sequence, ended="finished" if " " in step else ""))
        else:
            scene.feed(step)
    scene.feed(TERMINATE, TERMINATE)
    assert scene.core.run is None
    assert scene.core.link.state is State.CLOSED


def test_a_heartbeat_that_is_late_makes_no_orphan():
    scene = Scene(orphan_timeout=0.5).running()
    assert StopWorkers(0.0) not in scene.passes(3, broker=False)
    assert StopWorkers(0.0) in scene.passes(1, broker=False)


# -- boxes that are stopped ----------------------------------------------------------------------


def test_an_agent_that_was_stopped_itself_knows_nothing_of_its_broker():
    scene = Scene().running()
    scene.now += 1000
    assert StopWorkers(0.0) not in scene.feed(Tick())
    assert StopWorkers(0.0) not in scene.passes(29, broker=False)
    assert StopWorkers(0.0) in scene.passes(1, broker=False)


def test_it_registers_anew_as_the_broker_may_have_missed_it():
    scene = Scene().running()
    scene.now += 1000
    assert scene.feed(Tick()) == [ToBroker(register("r1", attempt=2))]
    assert StopWorkers(0.0) not in scene.is_welcome_back()


def test_one_that_is_stopped_time_and_again_is_an_orphan_in_the_end():
    scene = Scene().running()
    for _ in range(30):
        scene.now += 5
        assert StopWorkers(0.0) not in scene.feed(Tick())
    scene.now += 5
    assert StopWorkers(0.0) in scene.feed(Tick())


def test_one_whose_load_others_take_over_stops_it_whatever_it_was_that_kept_it():
    plan = RunPlan("shop.test_cart", agents=2, on_agent_loss="redistribute")
    scene = Scene().registered()
    scene.hears(m.Prepare("r1", plan, "digest", b"bundle"))
    scene.feed(WorkersReady(WORKERS))
    scene.hears(m.Start("r1", 0.1, 1e6))
    scene.now += TIMEOUT + 1
    assert StopWorkers(0.0) in scene.feed(Tick())
