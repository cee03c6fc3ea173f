"""What may follow what on the backend.

Everything that affects the order of messages between a broker and an agent is in this table.
Both keep a :class:`Link` each and move it with every message that they send or receive.  Messages
cross on the way, so for a moment the two can be in different states; a message that was legal when
it was sent is therefore legal, and without effect, in the states that its receiver may have moved
to.

On the frontend there is nothing to remember: each request has one reply, as :data:`REPLIES` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loads.errors import LocalProtocolError, RemoteProtocolError
from loads.protocol.messages import (
    Accepted,
    Acknowledge,
    Bye,
    CannotRun,
    Finished,
    GetRun,
    Heartbeat,
    Message,
    Ping,
    Pong,
    Prepare,
    Ready,
    Refused,
    Register,
    Rejected,
    Release,
    Report,
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

    @property
    def peer(self) -> Side:
        return Side.BROKER if self is Side.AGENT else Side.AGENT


class State(Enum):
    """What an agent and its broker are in the middle of."""

    NEW = "new"  #: nothing said yet, or the broker has forgotten
    REGISTERING = "registering"  #: the agent has offered itself
    IDLE = "idle"  #: registered, without a run
    PREPARING = "preparing"  #: the agent's workers load the test
    READY = "ready"  #: they have, and wait for the start
    RUNNING = "running"  #: the load is on
    STOPPING = "stopping"  #: the load is being stopped early
    DONE = "done"  #: the agent has nothing more to say about the run
    CLOSED = "closed"  #: the agent has left, or was rejected


_A, _B = Side.AGENT, Side.BROKER
_Table = dict[State, dict[tuple[Side, type[Message]], State]]

#: ``TABLE[state][sender, kind]`` is the state after ``sender`` has sent ``kind``.
TABLE: _Table = {
    State.NEW: {
        (_B, WhoAreYou): State.NEW,
        (_A, Register): State.REGISTERING,
    },
    State.REGISTERING: {
        (_A, Register): State.REGISTERING,
        (_B, Welcome): State.IDLE,
        (_B, WelcomeBack): State.RUNNING,
        (_B, Rejected): State.CLOSED,
    },
    State.IDLE: {
        (_B, Prepare): State.PREPARING,
    },
    State.PREPARING: {
        (_A, Ready): State.READY,
        (_A, CannotRun): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.READY: {
        (_A, Report): State.READY,
        (_B, Acknowledge): State.READY,
        (_A, Finished): State.DONE,
        (_B, Start): State.RUNNING,
        (_B, StopLoad): State.STOPPING,
    },
    State.RUNNING: {
        (_A, Report): State.RUNNING,
        (_B, Acknowledge): State.RUNNING,
        (_A, Finished): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.STOPPING: {
        (_A, Ready): State.STOPPING,
        (_A, CannotRun): State.DONE,
        (_A, Report): State.STOPPING,
        (_B, Acknowledge): State.STOPPING,
        (_A, Finished): State.DONE,
        (_B, StopLoad): State.STOPPING,
    },
    State.DONE: {
        (_A, CannotRun): State.DONE,
        (_A, Finished): State.DONE,
        (_A, Report): State.DONE,
        (_B, Acknowledge): State.DONE,
        (_B, Start): State.DONE,
        (_B, StopLoad): State.DONE,
    },
    State.CLOSED: {},
}

# A run can be called off by the broker at any time, and an agent that has not noticed yet goes on
# about it for a moment.
for _state in (State.PREPARING, State.READY, State.RUNNING, State.STOPPING, State.DONE):
    TABLE[_state][_B, Release] = State.IDLE
_late: tuple[tuple[Side, type[Message]], ...] = (
    (_A, Ready), (_A, CannotRun), (_A, Report), (_A, Finished), (_B, Release), (_B, Acknowledge),
)  # fmt: skip
for _step in _late:
    TABLE[State.IDLE][_step] = State.IDLE

# A connection can break at any time, and a restarted broker knows nobody.
for _state in set(State) - {State.CLOSED}:
    TABLE[_state][_A, Heartbeat] = _state
    TABLE[_state][_B, Heartbeat] = _state
    TABLE[_state][_A, Bye] = State.CLOSED
    TABLE[_state][_A, Register] = State.REGISTERING
    TABLE[_state][_B, WhoAreYou] = State.NEW

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
}


@dataclass
class Link:
    """One side's view of a backend link."""

    side: Side
    state: State = State.NEW

    def sent(self, message: Message) -> None:
        """Note that we sent a message.  Raises :class:`LocalProtocolError`, which is a bug."""
        after = TABLE[self.state].get((self.side, type(message)))
        if after is None:
            raise LocalProtocolError(
                f"The {self.side.value} may not send {type(message).__name__} when "
                f"{self.state.value}."
            )
        self.state = after

    def received(self, message: Message) -> None:
        """Note that the peer sent a message.  Raises :class:`RemoteProtocolError`."""
        after = TABLE[self.state].get((self.side.peer, type(message)))
        if after is None:
            raise RemoteProtocolError(
                f"The {self.side.peer.value} may not send {type(message).__name__} when "
                f"{self.state.value}."
            )
        self.state = after
