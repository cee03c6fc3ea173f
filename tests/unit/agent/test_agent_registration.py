"""An agent and its broker, when there is no run."""

from __future__ import annotations

from loads.agent.actions import (
    BoxLoad,
    BrokerVersion,
    FromBroker,
    Leave,
    Terminate,
    Tick,
    ToBroker,
)
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.dialogue import State
from tests.unit.agent.scene import (
    ALIVE,
    PREPARE,
    WELCOME,
    WELCOME_BACK,
    Scene,
    acknowledge,
    messages,
    register,
)


def test_an_agent_registers_at_once():
    scene = Scene()
    assert scene.feed(Tick()) == [ToBroker(register())]
    assert scene.is_welcome() == []
    assert scene.core.link.state is State.IDLE


def test_a_registration_is_repeated_under_its_number_until_there_is_an_answer():
    scene = Scene()
    scene.feed(Tick())
    assert messages(scene.passes(3, broker=False)) == [register()] * 3
    scene.is_welcome()
    assert messages(scene.passes(1)) == [ALIVE]


def test_heartbeats_keep_the_rhythm_of_the_welcome():
    scene = Scene(heartbeat=1.0, timeout=10.0)
    scene.feed(Tick())
    scene.hears(m.Welcome(3.0, 7.0))
    assert messages(scene.passes(9, broker=True)) == [ALIVE] * 3
    # 7 s are over after 8; with the heartbeats 3 s apart the next word is due 1 s later
    assert messages(scene.passes(9, broker=False)) == [ALIVE, ALIVE, register(attempt=2)]


def test_an_agent_registers_anew_when_its_broker_is_silent_for_too_long():
    scene = Scene().registered()
    said = messages(scene.passes(13, broker=False))
    assert said == [ALIVE] * 10 + [register(attempt=2)] * 3
    scene.is_welcome()
    assert scene.core.link.state is State.IDLE


def test_an_agent_registers_anew_when_its_broker_does_not_know_it():
    scene = Scene().registered()
    assert scene.hears(m.WhoAreYou()) == [ToBroker(register(attempt=2))]


def test_an_agent_says_how_many_cores_its_box_has():
    scene = Scene(cores=8)
    (said,) = messages(scene.feed(Tick()))
    assert said.cores == 8


def test_the_load_of_the_box_is_said_with_every_heartbeat_and_when_it_is_known():
    scene = Scene()
    assert scene.feed(BoxLoad(0.5)) == [], "nobody is there to be told"
    scene.registered()
    assert messages(scene.passes(1)) == [m.Heartbeat(0.5)]
    assert messages(scene.feed(BoxLoad(0.75))) == [m.Heartbeat(0.75)]
    assert messages(scene.passes(1)) == [m.Heartbeat(0.75)]


def test_one_registration_answers_the_broker_however_often_it_asked():
    # it asks once for each message that it did not understand, and a whole queue may have waited
    scene = Scene().registered()
    assert scene.hears(*[m.WhoAreYou()] * 3) == [ToBroker(register(attempt=2))]
    assert scene.is_welcome() == []
    assert scene.core.link.state is State.IDLE


def test_the_answer_to_a_repeated_registration_has_no_effect():
    scene = Scene().registered()
    scene.hears(PREPARE)
    assert scene.is_welcome() == []
    assert scene.core.run is not None
    assert scene.core.link.state is State.PREPARING


def test_a_broker_cannot_have_an_agent_go_on_with_a_run_that_it_did_not_name():
    scene = Scene()
    scene.feed(Tick())
    assert scene.is_welcome_back() == []
    assert scene.logs == [
        "The broker broke the protocol: The broker may not send WelcomeBack to an agent without a "
        "run."
    ]
    assert scene.is_welcome() == []
    assert scene.core.link.state is State.IDLE


def test_an_agent_that_is_rejected_leaves():
    scene = Scene()
    scene.feed(Tick())
    leave = Leave(ExitCode.BROKER, "Your key is not known.", "Get a token.")
    assert scene.hears(m.Rejected("Your key is not known.", "Get a token.")) == [leave]
    assert scene.passes(20, broker=False) == []


def test_an_agent_leaves_a_broker_of_another_version():
    leave = Leave(ExitCode.BROKER, "Version 3 there, 2 here.", "Upgrade.")
    assert Scene().feed(BrokerVersion("Version 3 there, 2 here.", "Upgrade.")) == [leave]


def test_an_idle_agent_that_is_asked_to_leaves_at_once():
    scene = Scene().registered()
    assert scene.feed(Terminate("it was asked to")) == [
        ToBroker(m.Bye("it was asked to")),
        Leave(ExitCode.OK, "The agent leaves: it was asked to."),
    ]
    assert scene.passes(20) == []


def test_an_agent_can_leave_before_it_has_a_broker():
    assert messages(Scene().feed(Terminate("it was asked to"))) == [m.Bye("it was asked to")]


def test_who_has_left_has_left():
    scene = Scene().registered()
    scene.feed(Terminate("it was asked to"))
    assert messages(scene.feed(Terminate("again"))) == []
    assert scene.hears(WELCOME, WELCOME_BACK, m.WhoAreYou(), PREPARE) == []


def test_an_order_that_makes_no_sense_is_logged_and_without_effect():
    scene = Scene().registered()
    assert scene.hears(m.Start("r1", 0)) == []
    assert scene.logs[-1] == (
        "The broker broke the protocol: The broker may not send Start when idle."
    )
    assert scene.core.link.state is State.IDLE


def test_orders_about_another_run_are_not_carried_out():
    scene = Scene().running()
    assert scene.hears(m.StopLoad("r9", 0), acknowledge("a/0", 1, "r9")) == []
    assert scene.core.handle(FromBroker(m.Release("r9")), scene.now) == []
    assert scene.core.run is not None
