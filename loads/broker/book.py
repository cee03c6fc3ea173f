"""What the parts of the broker's core share: what they know, and what they want done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from loads.broker.actions import Action, Log, ToAgent
from loads.broker.documents import Head
from loads.broker.settings import Settings
from loads.broker.state import Agent, Run
from loads.protocol.messages import Message
from loads.protocol.roles import UNLOCKED, Who

_Thing = TypeVar("_Thing")


class Book:
    """The agents and runs that there are, the time, and the actions decided on so far."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agents: dict[str, Agent] = {}
        self.runs: dict[str, Run] = {}
        self.ended: dict[str, Head] = {}  #: what is stored of runs, those that ended last last
        self.now = 0.0
        self.body = b""
        self.who = UNLOCKED  #: whose message is being handled
        self.decided: list[Action] = []

    def open(self, now: float, who: Who = UNLOCKED, body: bytes = b"") -> None:
        """Another event is to be handled, which happened ``now`` and is the doing of ``who``.

        ``body`` is its message's.
        """
        self.now, self.who, self.body, self.decided = now, who, body, []

    @property
    def wall(self) -> float:
        """The time of day, in seconds since the Unix epoch."""
        return self.settings.epoch + self.now

    def do(self, action: Action) -> None:
        """Have something done."""
        self.decided.append(action)

    def tell(self, agent: Agent, message: Message) -> None:
        """Send a message to an agent."""
        agent.link.sent(message)
        agent.liveness.sent = self.now
        self.do(ToAgent(agent.peer, message))

    def each(self, things: Iterable[_Thing], act: Callable[[_Thing], None]) -> None:
        """See to all of several things, also when that fails for one of them, as only a bug does.

        Raises the first error, in the end.
        """
        errors: list[Exception] = []
        for thing in list(things):
            try:
                act(thing)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def log(self, level: Literal["info", "warning"], text: str) -> None:
        """Say something to whoever runs the broker."""
        self.do(Log(level, text))
