"""What may follow what on the backend.

Everything that affects the order of messages between a broker and an agent is in this module.
Both keep a :class:`Link` each and move it through the table with every message that they send or
receive.

Messages cross on the way, so for a moment the two can be in different states.  Where a message says
what it belongs to, a registration by its number or a run by its identifier, or the turn in which
that is prepared, the link tells by that whether it is *late*: sent by a peer that had not heard yet
what we know.  A late message has no effect.  For the others, the table has a row in each state that
the receiver may have moved to.

On the frontend there is nothing to remember: each request has one reply, as :data:`REPLIES` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loads.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from loads.protocol.messages import (
    FROM_AGENT,
    TO_AGENT,
    Accepted,
    Acknowledge,
    AgentList,
    Bye,
    CannotRun,
    Extend,
    Extended,
    Finished,
    GetRun,
    Heartbeat,
    LastWords,
    ListAgents,
    ListRuns,
    Message,
    Ping,
    Pong,
    Prepare,
    Purge,
    Purged,
    Ready,
    Refused,
    Register,
    Rejected,
    Release,
    Report,
    RunList,
    RunSnapshot,
    Start,
    StopLoad,
    StopRun,
    Submit,
    Welcome,
    WelcomeBack,
    WhoAreYou,
)


class Side(Enum):
    """The two ends of a backend link."""

    AGENT = "agent"
    BROKER = "broker"

    __hash__ = object.__hash__  # every message looks up several; Enum's own is many times slower

    @property
    def peer(self) -> Side:
        return Side.BROKER if self is Side.AGENT else Side.AGENT


class State(Enum):
    """What an agent and its broker are in the middle of."""

    NEW = "new"  #: nothing said yet, or the broker has forgotten
    REGISTERING = "registering"  #: the agent has offered itself
    IDLE = "idle"  #: registered, without a run
    PREPARING = "preparing"  #: the agent's workers load the test
    RETURNING = "returning"  #: the agent is back in its run, and is to say how far it is
    READY = "ready"  #: the workers have the test; the load is to start, if it has not
    RUNNING = "running"  #: the load is on
    STOPPING = "stopping"  #: the load is being stopped early
    DONE = "done"  #: the agent has nothing more to say about the run, unless that is extended
    CLOSED = "closed"  #: the agent has left, or was rejected

    __hash__ = object.__hash__  # as above


_A, _B = Side.AGENT, Side.BROKER
_Table = dict[State, dict[tuple[Side, type[Message]], State]]

#: ``TABLE[state][sender, kind]`` is the state after ``sender`` has sent ``kind``.
TABLE: _Table = {
    State.NEW: {
        (_B, WhoAreYou): State.NEW,
        (_A, Register): State.REGISTERING,
        (_A, LastWords): State.CLOSED,  # of a dead agent's worker, at an address of its own
    },
    State.REGISTERING: {
        (_A, Register): State.REGISTERING,
        (_B, Welcome): State.IDLE,
        (_B, WelcomeBack): State.RETURNING,
    },
    State.IDLE: {
        (_B, Prepare): State.PREPARING,
    },
    State.PREPARING: {
        (_A, Ready): State.READY,
        (_A, CannotRun): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.RETURNING: {
        (_A, Ready): State.READY,
        (_A, CannotRun): State.DONE,
        (_A, Report): State.RETURNING,
        (_B, Acknowledge): State.RETURNING,
        (_A, Finished): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.READY: {
        (_A, Extended): State.READY,
        (_A, Report): State.READY,
        (_B, Acknowledge): State.READY,
        (_A, Finished): State.DONE,
        (_B, Start): State.RUNNING,
        (_B, StopLoad): State.STOPPING,
    },
    State.RUNNING: {
        (_B, Extend): State.RUNNING,
        (_A, Extended): State.RUNNING,
        (_A, Report): State.RUNNING,
        (_B, Acknowledge): State.RUNNING,
        (_A, Finished): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.STOPPING: {
        (_A, Ready): State.STOPPING,
        (_A, CannotRun): State.DONE,
        (_A, Extended): State.STOPPING,
        (_A, Report): State.STOPPING,
        (_B, Acknowledge): State.STOPPING,
        (_A, Finished): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.DONE: {
        (_B, Extend): State.DONE,
        (_A, Extended): State.DONE,
        (_A, CannotRun): State.DONE,
        (_A, Finished): State.DONE,
        (_A, Report): State.DONE,
        (_B, Acknowledge): State.DONE,
        (_B, Start): State.DONE,
        (_B, StopLoad): State.DONE,
    },
    State.CLOSED: {},
}

# A run can be called off by the broker at any time; who goes on about one that is over is released
# from it again.
for _state in set(State) - {State.NEW, State.REGISTERING, State.CLOSED}:
    TABLE[_state][_B, Release] = State.IDLE

# A connection can break at any time, and a restarted broker knows nobody.  An agent can be sent
# away at any time, as when its key is withdrawn; that holds whatever it has said last.
for _state in set(State) - {State.CLOSED}:
    TABLE[_state][_A, Heartbeat] = _state
    TABLE[_state][_B, Heartbeat] = _state
    TABLE[_state][_A, Bye] = State.CLOSED
    TABLE[_state][_A, Register] = State.REGISTERING
    TABLE[_state][_B, WhoAreYou] = State.NEW
    TABLE[_state][_B, Rejected] = State.CLOSED

# A registration that is repeated is answered again; only the first answer has an effect.
for _state in set(State) - {State.NEW, State.REGISTERING, State.CLOSED}:
    TABLE[_state][_B, Welcome] = _state
    TABLE[_state][_B, WelcomeBack] = _state


#: What a client's request may be answered with.
REPLIES: dict[type[Message], tuple[type[Message], ...]] = {
    Ping: (Pong,),
    Submit: (Accepted, Refused),
    StopRun: (RunSnapshot, Refused),
    GetRun: (RunSnapshot, Refused),
    ListRuns: (RunList, Refused),
    ListAgents: (AgentList, Refused),
    Purge: (Purged, Refused),
}


#: What is said about the run that the two are in the middle of.
OfRun = (Ready | CannotRun | Extended | Report | Finished) | (
    Start | Extend | StopLoad | Acknowledge | Release
)
Greeting = Welcome | WelcomeBack

_SAID_BY = {Side.AGENT: FROM_AGENT, Side.BROKER: TO_AGENT}
_UNREGISTERED = (State.NEW, State.REGISTERING)


@dataclass
class Link:
    """One side's view of a backend link.

    ``attempt`` is the number of the registration that counts, ``run_id`` the run that the two are
    in the middle of; empty, when there is none.  ``turn`` is that in which it was prepared last.
    """

    side: Side
    state: State = State.NEW
    run_id: str = ""
    attempt: int = 0
    turn: int = 0

    def may_send(self, kind: type[Message]) -> bool:
        """Whether we may send messages of a kind now."""
        return (self.side, kind) in TABLE[self.state]

    def sent(self, message: Message) -> None:
        """Note that we sent a message.  Raises :class:`LocalProtocolError`, which is a bug."""
        if self.may_send(type(message)) and self._is_of_another_run(message, Release):
            return  # the answer to something late
        self._move(self.side, message, LocalProtocolError)

    def received(self, message: Message) -> bool:
        """Note that the peer sent a message; False when it is late, and so has no effect.

        Raises :class:`RemoteProtocolError` for what the peer may not send, late or not.
        """
        if type(message) in _SAID_BY[self.side.peer] and self._is_late(message):
            return False
        self._move(self.side.peer, message, RemoteProtocolError)
        return True

    def _move(self, sender: Side, message: Message, error: type[ProtocolError]) -> None:
        after = TABLE[self.state].get((sender, type(message)))
        objection = self._objection(message, after)
        if after is None or objection:
            kind = type(message).__name__
            raise error(f"The {sender.value} may not send {kind} {objection}.")
        if isinstance(message, Register):
            self.attempt = message.attempt
        if isinstance(message, Register | Prepare):
            self.run_id = message.run_id
            self.turn = message.turn if isinstance(message, Prepare) else self.turn
        elif after is State.IDLE:
            self.run_id = ""
        self.state = after

    def _objection(self, message: Message, after: State | None) -> str:
        """What is wrong with a message now, if anything is."""
        if after is None:
            return f"when {self.state.value}"
        if self._is_of_another_run(message):
            return "about a run that is not on"
        if isinstance(message, Greeting) and message.attempt != self.attempt:
            return "to a registration that is not the latest"
        if isinstance(message, WelcomeBack) and after is State.RETURNING and not self.run_id:
            return "to an agent without a run"
        return ""

    def _is_late(self, message: Message) -> bool:
        """Whether the peer sent this before it had heard what we know."""
        if self.state is State.CLOSED:
            return True
        if self.side is Side.BROKER:
            return self._comes_late_from_agent(message)
        return self._comes_late_from_broker(message)

    def _comes_late_from_agent(self, message: Message) -> bool:
        """The agent has not heard our welcome, our release, or that we do not know it."""
        if isinstance(message, Register):
            return message.attempt == self.attempt and self.state not in _UNREGISTERED
        if isinstance(message, Ready) and self.state is State.PREPARING:
            return self._is_of_another_run(message) or message.turn != self.turn
        return self._is_of_another_run(message) or (
            isinstance(message, OfRun) and self.state in _UNREGISTERED
        )

    def _comes_late_from_broker(self, message: Message) -> bool:
        """The broker has not heard our registration, or answered one before it."""
        registering = self.state is State.REGISTERING
        if isinstance(message, Greeting):
            return not registering or message.attempt != self.attempt
        if isinstance(message, WhoAreYou):
            return registering
        if isinstance(message, Heartbeat | Rejected):
            return False
        return self.state in _UNREGISTERED or self._is_of_another_run(message, Release)

    def _is_of_another_run(self, message: Message, kind: type[Message] = Message) -> bool:
        return (
            isinstance(message, OfRun)
            and isinstance(message, kind)
            and message.run_id != self.run_id
        )
