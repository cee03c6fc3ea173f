"""How agents come, stay and go."""

from __future__ import annotations

import pytest

from loads.broker.actions import FromAgent, Tick, ToAgent, ToClient, Unwelcome
from loads.broker.book import MENTIONS
from loads.broker.settings import Settings
from loads.errors import ExitCode
from loads.metrics.tally import Tally
from loads.protocol import limits
from loads.protocol import messages as m
from loads.protocol.codec import decode, encode
from loads.protocol.dialogue import State
from loads.protocol.rows import AgentRow
from loads.transport.sockets import MAX_MESSAGE
from tests.unit.broker.scene import WELCOME, Scene, register


def test_an_agent_that_registers_is_welcome():
    scene = Scene()
    assert scene.says("a", register("a")) == [scene.to("a", WELCOME)]
    assert scene.logs == ["Agent a on a.example registered with 2 workers; 1 in all."]
    assert scene.core.agents["a"].workers == 2
    assert scene.state_of("a") is State.IDLE


def test_a_registration_that_is_repeated_is_answered_again_and_changes_nothing():
    scene = Scene()
    scene.says("a", register("a"))
    before = scene.core.agents["a"]
    assert scene.says("a", register("a")) == [scene.to("a", WELCOME)]
    assert scene.core.agents["a"] is before
    assert len(scene.logs) == 1


def test_a_repeated_registration_that_crosses_a_plan_does_not_call_the_run_off():
    scene = Scene()
    scene.says("a", register("a"))
    run = scene.prepares("a")
    assert scene.says("a", register("a")) == [scene.to("a", WELCOME)]
    assert (run.state, scene.state_of("a")) == ("preparing", State.PREPARING)


def test_who_speaks_without_having_registered_is_asked_who_it_is():
    scene = Scene()
    assert scene.says("a", m.Heartbeat()) == [scene.to("a", m.WhoAreYou())]


def test_who_leaves_without_having_registered_is_not_asked_back():
    assert Scene().says("a", m.Bye("")) == []


def test_the_old_address_of_an_agent_that_reconnected_is_a_strangers():
    scene = Scene()
    scene.registers("a")
    scene.reconnects("a")
    assert scene.feed(FromAgent(b"a", m.Heartbeat())) == [ToAgent(b"a", m.WhoAreYou())]
    assert scene.says("a", m.Heartbeat()) == []


def test_an_agent_that_leaves_is_forgotten():
    scene = Scene()
    scene.registers("a")
    assert scene.says("a", m.Bye("it was asked to")) == []
    assert scene.core.agents == {}
    assert scene.logs[-1] == "Agent a left; 0 remain."


def test_a_heartbeat_is_sent_when_there_was_nothing_to_say_for_an_interval():
    scene = Scene()
    scene.registers("a")
    scene.now += 0.9
    assert scene.feed(Tick()) == []
    scene.now += 0.1
    assert scene.feed(Tick()) == [scene.to("a", m.Heartbeat())]
    assert scene.feed(Tick()) == []


@pytest.mark.parametrize(
    "sign", [m.Heartbeat(), m.Report("r9", "a/0", 1, Tally()), m.Finished("r9"), register("a")]
)
def test_any_message_is_a_sign_of_life(sign):
    scene = Scene()
    scene.says("a", register("a"))
    scene.passes(8)
    scene.says("a", sign)
    scene.passes(8)
    assert "a" in scene.core.agents


def test_an_agent_that_is_silent_for_too_long_is_lost():
    scene = Scene()
    scene.registers("a")
    scene.registers("b")
    scene.passes(10, "b")
    assert set(scene.core.agents) == {"a", "b"}
    scene.passes(1, "b")
    assert set(scene.core.agents) == {"b"}
    assert scene.logs[-1] == "Agent a is lost: silent for 11 s."


def test_an_agent_of_another_version_is_sent_away_with_the_reason():
    event = Unwelcome(b"x", "Version 3 here, 2 there.", "Upgrade it.")
    rejected = m.Rejected("Version 3 here, 2 there.", "Upgrade it.")
    assert Scene().feed(event) == [ToAgent(b"x", rejected)]


def test_a_client_of_another_version_gets_an_answer_to_a_request_that_could_not_be_read():
    event = Unwelcome(b"x", "Version 3 here, 2 there.", "Upgrade it.", is_client=True)
    refused = m.Refused(0, int(ExitCode.BROKER), "Version 3 here, 2 there.", "Upgrade it.")
    assert Scene().feed(event) == [ToClient(b"x", refused)]


def test_refusals_are_logged_but_nobody_can_fill_the_log_with_them():
    scene = Scene()
    for _ in range(5):
        scene.feed(Unwelcome(b"x", "Version 3 here, 2 there.", ""))
        scene.feed(Unwelcome(b"y", "Version 4 here, 2 there.", "", is_client=True))
    assert scene.logs == ["An agent is refused. Version 3 here, 2 there."]
    scene.now += 1
    scene.feed(Unwelcome(b"y", "Version 4 here, 2 there.", "", is_client=True))
    assert scene.logs[1:] == ["A client is refused. Version 4 here, 2 there."]
    scene.now += 60
    scene.feed(Unwelcome(b"y", "Version 4 here, 2 there.", "", is_client=True))
    assert len(scene.logs) == 3


@pytest.mark.parametrize("is_client", [False, True])
def test_an_answer_can_be_sent_whatever_its_text(is_client):
    text = "\udce9" * limits.MAX_TEXT
    (answer,) = Scene().feed(Unwelcome(b"x", text, text, is_client))
    assert decode(encode(answer.message)) == answer.message


def test_two_agents_at_one_address_are_one_and_the_other_is_lost():
    # a name is changed by registering anew, as a hostile agent may do
    scene = Scene()
    scene.registers("a")
    scene.says("a", register("b"))
    scene.passes(11, "a")
    assert set(scene.core.agents) == {"b"}


def test_what_an_agent_may_not_say_is_logged_and_without_effect():
    scene = Scene()
    run = scene.prepares("a")
    assert scene.says("a", m.Finished("r1")) == []
    assert scene.logs[-1] == "Agent a: The agent may not send Finished when preparing."
    assert (run.state, scene.state_of("a")) == ("preparing", State.PREPARING)


# -- many ----------------------------------------------------------------------------------------


def test_there_are_no_more_agents_than_there_may_be():
    scene = Scene(max_agents=2)
    scene.registers("a")
    scene.registers("b")
    (refused,) = scene.registers("c")
    assert refused.message == m.Rejected(
        "The broker has 2 agents, and takes no more.",
        "Have some leave that are not needed; loads-runner --list-agents shows them.",
    )
    assert scene.logs[-1] == "Agent c is refused: there are too many."
    scene.reconnects("a")
    assert scene.registers("b") == [scene.to("b", WELCOME)], "who is there, stays"
    scene.says("b", m.Bye())
    scene.registers("c")
    assert set(scene.core.agents) == {"a", "c"}


def test_a_peer_is_one_agent():
    """One connection made up agents as fast as it could, and all of them were kept."""
    scene = Scene()
    for number in range(1_000):
        scene.feed(FromAgent(b"peer", register(f"a{number}")))
    assert list(scene.core.agents) == ["a999"]
    assert scene.logs[1] == "Agent a0 is agent a1 now."
    scene.registers("a998")
    assert set(scene.core.agents) == {"a998", "a999"}, "its name is free"


def test_a_peer_that_takes_another_name_has_left_its_run():
    scene = Scene()
    run = scene.runs("a")
    scene.feed(FromAgent(b"a", register("b")))
    assert run.status == "incomplete"
    assert "agent a is b" not in scene.core.agents
    assert "is agent b now" in str(run.view(Tally()))


def test_a_flood_of_agents_is_no_flood_of_lines():
    scene = Scene()
    for number in range(500):
        scene.feed(FromAgent(b"%d" % number, register(f"a{number}")))
    assert len(scene.logs) == MENTIONS
    scene.now += 61
    for number in range(500):
        scene.feed(FromAgent(b"%d" % number, m.Heartbeat()))
    scene.feed(Tick())
    assert scene.logs[MENTIONS:] == [
        "There were 400 more lines about agents in the last minute; 500 are registered."
    ]
    scene.feed(FromAgent(b"0", m.Bye()))
    assert scene.logs[-1] == "Agent a0 left; 499 remain."


def test_a_list_of_all_agents_that_there_can_be_is_one_that_a_client_can_receive():
    row = AgentRow(
        *("\U0001f600" * limits.MAX_ID, "\U0001f600" * limits.MAX_HOST, 1 << 62, 1 << 62, 1_024),
        *(0.5, "\U0001f600" * limits.MAX_VERSION, 1, "preparing", "\U0001f600" * limits.MAX_ID),
        since=1e9,
    )
    answer = encode(m.AgentList(1, (row,) * Settings().max_agents))
    assert len(answer[2]) < MAX_MESSAGE
