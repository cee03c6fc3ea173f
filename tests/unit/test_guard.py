"""Daemons outlive bugs in their cores."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from loads.agent import actions as agent
from loads.agent.core import Core as AgentCore
from loads.agent.core import Settings as AgentSettings
from loads.broker import actions as broker
from loads.broker.core import Core as BrokerCore
from loads.broker.core import Settings as BrokerSettings
from loads.errors import LocalProtocolError
from loads.protocol import messages as m
from loads.transport.guard import Guard

log = logging.getLogger("tests.guard")


class Buggy:
    """A core that does what a test says."""

    def __init__(self, handle: Callable[[list[str]], None]) -> None:
        self._handle = handle
        self.decided: list[str] = []

    def handle(self, event: Any, now: float) -> list[str]:
        self.decided = []
        self._handle(self.decided)
        return self.decided


def failing(error: Exception) -> Callable[[list[str]], None]:
    def handle(decided: list[str]) -> None:
        decided.append("done before")
        raise error

    return handle


@pytest.mark.parametrize("error", [LocalProtocolError("A bug."), KeyError("r1"), RecursionError()])
def test_what_was_decided_before_a_bug_is_done(error, caplog):
    assert Guard(log).handle(Buggy(failing(error)), broker.Tick(), 0.0) == ["done before"]
    (record,) = caplog.records
    assert (record.levelname, record.exc_info[1]) == ("ERROR", error)
    assert record.getMessage() == "This is a bug in Loads; it goes on. It was handling: Tick"


def test_a_core_without_a_bug_is_just_asked(caplog):
    assert Guard(log).handle(Buggy(lambda decided: decided.append("x")), None, 0.0) == ["x"]
    assert not caplog.records


def test_each_kind_of_event_is_named_once(caplog):
    guard, buggy = Guard(log), Buggy(failing(KeyError("r1")))
    events = [
        *[broker.Tick()] * 100,
        *[broker.FromAgent(b"a", m.Heartbeat())] * 100,
        broker.FromAgent(b"a", m.Finished("r1")),
        agent.LoadFailed(2, "A text.", ""),
    ]
    for event in events:
        guard.handle(buggy, event, 0.0)
    said = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert said == ["Tick", "FromAgent Heartbeat", "FromAgent Finished", "LoadFailed"]


def test_another_error_on_the_same_kind_is_told(caplog):
    guard = Guard(log)
    for error in (KeyError("r1"), ValueError("no"), KeyError("r2")):
        guard.handle(Buggy(failing(error)), broker.Tick(), 0.0)
    assert [record.exc_info[0] for record in caplog.records] == [KeyError, ValueError]


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit])
def test_who_wants_to_end_the_daemon_may(leave):
    with pytest.raises(leave):
        Guard(log).handle(Buggy(failing(leave())), broker.Tick(), 0.0)


@pytest.mark.parametrize(("broken", "other"), ["ab", "ba"])
def test_a_broker_with_one_agent_that_it_cannot_handle_serves_the_others(broken, other, caplog):
    """The bug is in what the broker thinks of an agent: it takes that one's link for closed."""
    core, guard = BrokerCore(BrokerSettings()), Guard(log)
    for name in ("a", "b"):
        register = m.Register(name, "h", 1, 1, "1")
        guard.handle(core, broker.FromAgent(name.encode(), register), 0.0)
    link = core.agents[broken].link
    link.state = type(link.state).CLOSED
    for now in (1.0, 2.0):
        actions = guard.handle(core, broker.Tick(), now)
        assert actions == [broker.ToAgent(other.encode(), m.Heartbeat())]
    (record,) = caplog.records
    assert record.exc_info[0] is LocalProtocolError
    (pong,) = guard.handle(core, broker.FromClient(b"c", m.Ping(1), "r1"), 3.0)
    assert pong.message.agents == 2


def test_an_agent_goes_on_too(caplog):
    core, guard = AgentCore(AgentSettings("a", "h", 1, 1, "1"), 0.0), Guard(log)
    core._handlers[m.WhoAreYou] = lambda message: {}["a bug"]
    assert len(guard.handle(core, agent.Tick(), 0.0)) == 1
    guard.handle(core, agent.FromBroker(m.Welcome(1.0, 10.0)), 0.0)
    assert guard.handle(core, agent.FromBroker(m.WhoAreYou()), 0.0) == []
    assert "It was handling: FromBroker WhoAreYou" in caplog.text
    (said,) = guard.handle(core, agent.Tick(), 1.0)
    assert said.message == m.Register("a", "h", 1, 1, "1", "", 2, 0, 30.0)
