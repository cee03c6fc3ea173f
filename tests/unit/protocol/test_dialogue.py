"""The order of messages: the table is complete, leads out of every state, and is kept by a link."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loads.errors import LocalProtocolError, RemoteProtocolError
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.dialogue import REPLIES, TABLE, Link, Side, State
from tests.unit.strategies import quick

AGENT, BROKER = Side.AGENT, Side.BROKER
PLAN = RunPlan("test_shop", agents=1)

STATES = [pytest.param(state, id=state.value) for state in State]
SENT_BY = {AGENT: m.FROM_AGENT, BROKER: m.TO_AGENT}


def message(kind: type[m.Message], run_id: str = "r1", attempt: int = 1) -> m.Message:
    """Some message of a kind, about a run where it is about one."""
    run = run_id or "r0"  # only a registration may be about none
    made: dict[type[m.Message], m.Message] = {
        m.Register: m.Register("a", "host", 1, 1, "0.1.0", run_id, attempt),
        m.Ready: m.Ready(run, ("w",)),
        m.CannotRun: m.CannotRun(run, 2, "no such test"),
        m.Extended: m.Extended(run, 1, ("x",)),
        m.Report: m.Report(run, "w", 1, Tally()),
        m.Finished: m.Finished(run),
        m.Bye: m.Bye(),
        m.LastWords: m.LastWords(run, "a", "w", 1, 1, 0),
        m.Heartbeat: m.Heartbeat(),
        m.Welcome: m.Welcome(1.0, 10.0, attempt),
        m.WelcomeBack: m.WelcomeBack(1.0, 10.0, attempt),
        m.Rejected: m.Rejected("no"),
        m.WhoAreYou: m.WhoAreYou(),
        m.Prepare: m.Prepare(run, PLAN, "digest", b""),
        m.Start: m.Start(run, 0.1),
        m.Extend: m.Extend(run, 1, PLAN),
        m.StopLoad: m.StopLoad(run, 1.0),
        m.Acknowledge: m.Acknowledge(run, "w", 1),
        m.Release: m.Release(run),
    }
    return made[kind]


def a_link(side: Side, state: State) -> Link:
    """A link after registration 1, in run ``r1`` where there is one in that state."""
    without = (State.NEW, State.REGISTERING, State.IDLE)
    return Link(side, state, "" if state in without else "r1", 0 if state is State.NEW else 1)


# -- the table -----------------------------------------------------------------------------------


def test_the_table_has_every_state():
    assert set(TABLE) == set(State)


@pytest.mark.parametrize("state", STATES)
def test_senders_send_what_is_theirs(state):
    for sender, kind in TABLE[state]:
        assert kind in SENT_BY[sender], f"{sender} cannot send {kind.__name__}"


@pytest.mark.parametrize("side", list(Side))
def test_every_kind_can_be_sent_at_some_time(side):
    sent = {kind for steps in TABLE.values() for sender, kind in steps if sender is side}
    assert sent == set(SENT_BY[side])


def reachable(state: State, senders: set[Side]) -> set[State]:
    """The states that messages of ``senders`` can lead to."""
    found, todo = {state}, [state]
    while todo:
        for (sender, _), after in TABLE[todo.pop()].items():
            if sender in senders and after not in found:
                found.add(after)
                todo.append(after)
    return found


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_reached(state):
    assert state in reachable(State.NEW, {AGENT, BROKER})


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_every_state_has_a_way_out(state):
    assert {State.IDLE, State.CLOSED} <= reachable(state, {AGENT, BROKER})


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_an_agent_can_leave_on_its_own(state):
    """Whatever the broker says, or does not say."""
    assert TABLE[state][AGENT, m.Bye] is State.CLOSED


@pytest.mark.parametrize(
    "state",
    [
        State.PREPARING,
        State.RETURNING,
        State.READY,
        State.RUNNING,
        State.STOPPING,
        State.DONE,
    ],
)
def test_a_broker_can_end_a_run_on_its_own(state):
    """Whatever the agent says, or does not say."""
    assert TABLE[state][BROKER, m.Release] is State.IDLE


def test_the_end_is_the_end():
    assert TABLE[State.CLOSED] == {}


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
@pytest.mark.parametrize("side", list(Side))
def test_a_sign_of_life_changes_nothing(state, side):
    assert TABLE[state][side, m.Heartbeat] is state


def test_every_request_has_its_replies_and_nothing_else_has():
    assert set(REPLIES) == set(m.FROM_CLIENT)
    assert {reply for replies in REPLIES.values() for reply in replies} == set(m.TO_CLIENT)
    assert all(m.Refused in REPLIES[request] for request in REPLIES if request is not m.Ping)


# -- a link --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", [k for k in m.ALL if k in m.FROM_AGENT or k in m.TO_AGENT])
def test_whose_fault_a_message_out_of_order_is(state, kind):
    """What we send out of order is our bug, and what we receive is the peer's."""
    for side in Side:
        if kind in SENT_BY[side] and (side, kind) not in TABLE[state]:
            ours = a_link(side, state)
            assert not ours.may_send(kind)
            with pytest.raises(LocalProtocolError, match=f"{side.value} may not send"):
                ours.sent(message(kind))
            assert ours.state is state, "what was not sent has no effect"


@pytest.mark.parametrize(
    ("side", "state", "kind"),
    [
        pytest.param(BROKER, State.IDLE, m.Start, id="an agent that sends commands"),
        pytest.param(AGENT, State.IDLE, m.Register, id="a broker that registers"),
        pytest.param(AGENT, State.RUNNING, m.Report, id="a report that came back"),
        pytest.param(AGENT, State.IDLE, m.Start, id="a start of nothing"),
        pytest.param(AGENT, State.RUNNING, m.Prepare, id="a second run at once"),
        pytest.param(AGENT, State.PREPARING, m.Start, id="a start before it is ready"),
    ],
)
def test_what_no_crossing_explains_is_the_peers_fault(side, state, kind):
    link = a_link(side, state)
    with pytest.raises(RemoteProtocolError, match=f"{side.peer.value} may not send"):
        link.received(message(kind))
    assert link == a_link(side, state), "what was refused has no effect"


@pytest.mark.parametrize("kind", [m.Start, m.StopLoad, m.Acknowledge])
def test_a_broker_knows_which_run_it_has_given_to_an_agent(kind):
    link = a_link(AGENT, State.READY)
    with pytest.raises(RemoteProtocolError, match=r"about a run that is not on\.$"):
        link.received(message(kind, "r9"))
    assert link == a_link(AGENT, State.READY)


@pytest.mark.parametrize("kind", [m.Report, m.Finished])
def test_an_agent_knows_which_run_it_is_in(kind):
    link = a_link(AGENT, State.RUNNING)
    with pytest.raises(LocalProtocolError, match=r"about a run that is not on\.$"):
        link.sent(message(kind, "r9"))


def test_a_greeting_answers_the_latest_registration():
    link = a_link(BROKER, State.REGISTERING)
    with pytest.raises(LocalProtocolError, match=r"to a registration that is not the latest\.$"):
        link.sent(message(m.Welcome, attempt=2))


@pytest.mark.parametrize("side", list(Side))
def test_who_is_in_no_run_cannot_go_on_with_it(side):
    link = a_link(side, State.REGISTERING)
    with pytest.raises((LocalProtocolError, RemoteProtocolError), match="without a run"):
        (link.sent if side is BROKER else link.received)(message(m.WelcomeBack))


LATE = [
    pytest.param(BROKER, State.IDLE, message(m.Report), id="of a run it was released from"),
    pytest.param(BROKER, State.IDLE, message(m.Finished), id="the end of such a run"),
    pytest.param(BROKER, State.PREPARING, message(m.Ready, "r0"), id="ready for the run before"),
    pytest.param(
        BROKER,
        State.PREPARING,
        m.Ready("r1", ("w",), 1),
        id="ready in another turn of the same run",
    ),
    pytest.param(BROKER, State.PREPARING, message(m.CannotRun, "r0"), id="unable to run it"),
    pytest.param(BROKER, State.RUNNING, message(m.Report, "r0"), id="a report about it"),
    pytest.param(BROKER, State.NEW, message(m.Report), id="what a stranger reports"),
    pytest.param(BROKER, State.RUNNING, message(m.Register), id="a registration said twice"),
    pytest.param(BROKER, State.CLOSED, message(m.Heartbeat), id="who has left, lives"),
    pytest.param(AGENT, State.REGISTERING, message(m.Start), id="an order to its former self"),
    pytest.param(AGENT, State.REGISTERING, message(m.Prepare), id="a run for its former self"),
    pytest.param(AGENT, State.REGISTERING, message(m.WhoAreYou), id="it is saying who it is"),
    pytest.param(
        AGENT, State.REGISTERING, message(m.Welcome, attempt=7), id="another registration's answer"
    ),
    pytest.param(AGENT, State.NEW, message(m.Release), id="a release, before it is anybody"),
    pytest.param(AGENT, State.IDLE, message(m.Welcome), id="a second welcome"),
    pytest.param(AGENT, State.RUNNING, message(m.WelcomeBack), id="a second welcome back"),
    pytest.param(AGENT, State.IDLE, message(m.Release), id="a second release"),
    pytest.param(AGENT, State.READY, message(m.Release, "r0"), id="a release from another run"),
    pytest.param(AGENT, State.CLOSED, message(m.Prepare), id="a run, after it has left"),
]


@pytest.mark.parametrize(("side", "state", "late"), LATE)
def test_what_is_late_has_no_effect(side, state, late):
    link = a_link(side, state)
    assert link.received(late) is False
    assert link == a_link(side, state)


def test_what_is_in_time_has_an_effect():
    assert a_link(AGENT, State.READY).received(message(m.Start)) is True


def test_who_is_told_again_to_prepare_a_run_is_ready_when_it_says_so_in_that_turn():
    link = a_link(BROKER, State.IDLE)
    link.sent(m.Prepare("r1", PLAN, "digest", b"", 2))
    assert not link.received(m.Ready("r1", ("w",), 1)), "it had not heard that this was called off"
    assert link.received(m.Ready("r1", ("w",), 2))
    assert link.state is State.READY


def test_who_comes_back_is_ready_whatever_its_turn():
    """It has missed that it was told again, and its workers have the test all the same."""
    assert a_link(BROKER, State.RETURNING).received(m.Ready("r1", ("w",), 1))


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
def test_an_agent_can_be_sent_away_at_any_time(state):
    link = a_link(AGENT, state)
    assert link.received(message(m.Rejected)) is True
    assert link.state is State.CLOSED


@pytest.mark.parametrize("state", [State.IDLE, State.RUNNING])
def test_a_broker_releases_an_agent_again_that_goes_on_about_another_run(state):
    link = a_link(BROKER, state)
    link.sent(message(m.Release, "r0"))
    assert link == a_link(BROKER, state)


def test_requests_and_updates_are_no_part_of_the_dialogue():
    for kind in (*m.FROM_CLIENT, *m.TO_CLIENT, *m.PUBLISHED):
        assert not any(k is kind for steps in TABLE.values() for _, k in steps)


STORIES = {
    "a run to its end": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (AGENT, m.Heartbeat, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.Heartbeat, State.PREPARING),
        (AGENT, m.Ready, State.READY),
        (BROKER, m.Start, State.RUNNING),
        (AGENT, m.Report, State.RUNNING),
        (BROKER, m.Acknowledge, State.RUNNING),
        (AGENT, m.Report, State.RUNNING),
        (BROKER, m.Acknowledge, State.RUNNING),
        (AGENT, m.Finished, State.DONE),
        (BROKER, m.Release, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
    ],
    "a test that cannot be loaded": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.CannotRun, State.DONE),
        (AGENT, m.CannotRun, State.DONE),
        (BROKER, m.Release, State.IDLE),
    ],
    "a run that is stopped": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.Ready, State.READY),
        (BROKER, m.Start, State.RUNNING),
        (BROKER, m.StopLoad, State.STOPPING),
        (AGENT, m.Report, State.STOPPING),
        (BROKER, m.StopLoad, State.STOPPING),
        (BROKER, m.Acknowledge, State.STOPPING),
        (AGENT, m.Finished, State.DONE),
        (BROKER, m.Release, State.IDLE),
    ],
    "a run that is called off": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (BROKER, m.Release, State.IDLE),
    ],
    "a connection that broke during a run": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.Ready, State.READY),
        (BROKER, m.Start, State.RUNNING),
        (BROKER, m.WhoAreYou, State.NEW),
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.WelcomeBack, State.RETURNING),
        (AGENT, m.Ready, State.READY),
        (AGENT, m.Report, State.READY),
        (BROKER, m.Start, State.RUNNING),
        (BROKER, m.Acknowledge, State.RUNNING),
    ],
    "a connection that broke while the test was loaded": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.WelcomeBack, State.RETURNING),
        (AGENT, m.Heartbeat, State.RETURNING),
        (AGENT, m.Ready, State.READY),
        (BROKER, m.Start, State.RUNNING),
    ],
    "a connection that broke while the load was stopped": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (BROKER, m.Prepare, State.PREPARING),
        (AGENT, m.Ready, State.READY),
        (BROKER, m.Start, State.RUNNING),
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.WelcomeBack, State.RETURNING),
        (BROKER, m.StopLoad, State.STOPPING),
        (AGENT, m.Ready, State.STOPPING),
        (AGENT, m.Finished, State.DONE),
        (BROKER, m.Release, State.IDLE),
    ],
    "an agent that is not wanted": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Rejected, State.CLOSED),
    ],
    "a worker whose agent is dead": [
        (AGENT, m.LastWords, State.CLOSED),
    ],
    "an agent that leaves": [
        (AGENT, m.Register, State.REGISTERING),
        (BROKER, m.Welcome, State.IDLE),
        (AGENT, m.Bye, State.CLOSED),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_story_without_any_crossing(story):
    links = {side: Link(side) for side in Side}
    attempt = 0
    for sender, kind, after in story:
        attempt += kind is m.Register
        links[sender].sent(message(kind, attempt=attempt))
        assert links[sender.peer].received(message(kind, attempt=attempt))
        assert links[AGENT].state is links[BROKER].state is after


# -- crossing messages ---------------------------------------------------------------------------


@dataclass
class Wire:
    """Two links, and what is on its way between them."""

    links: dict[Side, Link] = field(default_factory=lambda: {s: Link(s) for s in Side})
    to: dict[Side, deque[m.Message]] = field(default_factory=lambda: {s: deque() for s in Side})
    prepared: int = 0
    is_ready: bool = False

    def legal(self, sender: Side, kinds: tuple[type[m.Message], ...]) -> list[m.Message]:
        """What a side may send now.

        A broker gives each run that it prepares a new identifier; an agent is ready for each once.
        """
        made, link = [], self.links[sender]
        again = sender is BROKER or link.state is State.REGISTERING
        for kind in kinds:
            if self.is_ready and kind in (m.Ready, m.CannotRun) and link.state is State.STOPPING:
                continue
            run_id = f"r{self.prepared + 1}" if kind is m.Prepare else link.run_id
            one = message(kind, run_id, link.attempt + (not again))
            try:
                copy.deepcopy(link).sent(one)
            except LocalProtocolError:
                continue
            made.append(one)
        return made

    def send(self, sender: Side, one: m.Message) -> None:
        self.links[sender].sent(one)
        self.to[sender.peer].append(one)
        self.prepared += isinstance(one, m.Prepare)
        self.is_ready |= isinstance(one, m.Ready)

    def deliver(self, receiver: Side) -> None:
        one = self.to[receiver].popleft()
        if self.links[receiver].received(one) and isinstance(one, m.Prepare | m.WelcomeBack):
            self.is_ready = False

    def deliver_all(self) -> None:
        for side in Side:
            while self.to[side]:
                self.deliver(side)

    def agree(self) -> bool:
        """Whether the two take the same for given, or the agent is about to register."""
        agent, broker = self.links[AGENT], self.links[BROKER]
        if State.CLOSED in (agent.state, broker.state) or agent.state is State.NEW:
            return True
        if (agent.state, broker.state) == (State.REGISTERING, State.NEW):
            return True
        return (agent.state, agent.run_id) == (broker.state, broker.run_id)

    def play(self, steps: list[tuple[Side, type[m.Message] | None]]) -> None:
        """Do some steps: a side sends a kind or, where that is None, receives."""
        for side, kind in steps:
            if kind is None:
                self.deliver(side)
            else:
                (one,) = self.legal(side, (kind,))
                self.send(side, one)


UNTIL_IDLE = [(AGENT, m.Register), (BROKER, None), (BROKER, m.Welcome), (AGENT, None)]
UNTIL_READY = [
    *UNTIL_IDLE,
    (BROKER, m.Prepare),
    (AGENT, None),
    (AGENT, m.Ready),
    (BROKER, None),
]
UNTIL_RUNNING = [*UNTIL_READY, (BROKER, m.Start), (AGENT, None)]
UNTIL_RETURNING = [
    *UNTIL_RUNNING,
    (AGENT, m.Register),
    (BROKER, None),
    (BROKER, m.WelcomeBack),
    (AGENT, None),
]

#: What crosses after a common beginning: what each side sends before it reads what the other did.
CROSSINGS = [
    pytest.param(UNTIL_READY, [m.Report], [m.Start], id="a report, the start"),
    pytest.param(UNTIL_READY, [m.Report, m.Finished], [m.Start], id="an early end, the start"),
    pytest.param(UNTIL_RUNNING, [m.Report], [m.StopLoad], id="a report, the stop"),
    pytest.param(UNTIL_RUNNING, [m.Finished], [m.StopLoad], id="the end, the stop"),
    pytest.param(UNTIL_RUNNING, [m.Report] * 3, [m.Release], id="reports, the release"),
    pytest.param(UNTIL_RUNNING, [m.Finished] * 2, [m.Release], id="the end twice, the release"),
    pytest.param(UNTIL_RUNNING, [m.Report], [m.Acknowledge] * 2, id="reports, acknowledgements"),
    pytest.param(
        [*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)],
        [m.Ready],
        [m.StopLoad],
        id="ready, the stop",
    ),
    pytest.param(
        [*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)],
        [m.CannotRun],
        [m.Release],
        id="cannot run, the release",
    ),
    pytest.param(
        [*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)],
        [m.CannotRun],
        [m.Release, m.Prepare],
        id="cannot run, the release and another run",
    ),
    pytest.param(
        [*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)],
        [m.Ready],
        [m.Release, m.Prepare],
        id="ready, the release and another run",
    ),
    pytest.param(
        UNTIL_RUNNING,
        [m.Finished] * 2,
        [m.Release, m.Prepare],
        id="the end twice, the release and another run",
    ),
    pytest.param(
        UNTIL_RUNNING,
        [m.Report],
        [m.Release, m.Prepare],
        id="a report, the release, another run",
    ),
    pytest.param(UNTIL_READY, [m.Register], [m.Start], id="a registration, the start"),
    pytest.param(UNTIL_RUNNING, [m.Register], [m.Acknowledge], id="a registration, an ack"),
    pytest.param(UNTIL_RUNNING, [m.Register], [m.Release], id="a registration, the release"),
    pytest.param(UNTIL_IDLE, [m.Register], [m.Prepare], id="a registration, a run"),
    pytest.param(UNTIL_RUNNING, [m.Report], [m.WhoAreYou], id="a report, who are you"),
    pytest.param(UNTIL_IDLE, [m.Bye], [m.Prepare], id="a farewell, a run"),
    pytest.param(UNTIL_RUNNING, [m.Bye], [m.Acknowledge], id="a farewell, an ack"),
    pytest.param([], [m.Register] * 2, [], id="a registration twice"),
    pytest.param(UNTIL_RUNNING, [m.Report], [m.StopLoad, m.Release], id="a report, the end"),
    pytest.param(UNTIL_RETURNING, [m.Ready, m.Report], [m.StopLoad], id="a return, the stop"),
    pytest.param(UNTIL_RETURNING, [m.CannotRun], [m.Release], id="a return in vain, the release"),
    pytest.param(UNTIL_RETURNING, [m.Register], [m.StopLoad], id="a second return, the stop"),
]


@pytest.mark.parametrize(("before", "by_agent", "by_broker"), CROSSINGS)
def test_messages_that_cross_are_nobodys_fault(before, by_agent, by_broker):
    wire = Wire()
    wire.play(before)
    wire.play([(AGENT, kind) for kind in by_agent])
    wire.play([(BROKER, kind) for kind in by_broker])
    wire.play([(BROKER, None)] * len(by_agent))
    wire.play([(AGENT, None)] * len(by_broker))
    assert wire.agree()


def test_another_run_is_not_disturbed_by_what_was_late_of_the_first():
    """The agent's last word on a run crosses its release; the next run must be able to start."""
    wire = Wire()
    wire.play([*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)])
    wire.play([(AGENT, m.Ready), (BROKER, m.Release), (BROKER, m.Prepare)])
    wire.play([(BROKER, None), (AGENT, None), (AGENT, None)])
    wire.play([(AGENT, m.Ready), (BROKER, None), (BROKER, m.Start), (AGENT, None)])
    assert wire.links[AGENT].state is wire.links[BROKER].state is State.RUNNING


#: One registration and one run, without a break.
OF_ONE_RUN = {
    AGENT: (m.Heartbeat, m.Ready, m.CannotRun, m.Extended, m.Report, m.Finished),
    BROKER: (m.Heartbeat, m.Start, m.Extend, m.StopLoad, m.Acknowledge, m.Release),
}
CHOICES = st.lists(
    st.tuples(st.sampled_from(["send", "get"]), st.sampled_from(Side), st.integers(0, 99)),
    max_size=25,
)


def interleave(wire: Wire, choices: list, kinds: dict) -> None:
    """Carry out what is possible of some choices, then deliver all that is still on its way."""
    for verb, side, number in choices:
        if verb == "get" and wire.to[side]:
            wire.deliver(side)
        elif verb == "send":
            legal = wire.legal(side, kinds[side])
            if legal:
                wire.send(side, legal[number % len(legal)])
    wire.deliver_all()
    assert wire.agree()


@settings(quick, max_examples=80)
@given(CHOICES)
def test_nothing_that_crosses_within_a_run_is_refused(choices):
    wire = Wire()
    wire.play([*UNTIL_IDLE, (BROKER, m.Prepare), (AGENT, None)])
    interleave(wire, choices, OF_ONE_RUN)


@settings(quick, max_examples=80)
@given(CHOICES)
def test_nothing_that_is_legal_to_send_is_refused(choices):
    interleave(Wire(), choices, SENT_BY)
