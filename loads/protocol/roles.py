"""Who may say what.

Everything that decides about rights is in this module: which role may open which socket, and which
role may send which message.  What is not in the tables is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from loads.protocol import messages as m


class Role(Enum):
    """What a key is for."""

    OWNER = "owner"  #: the user that the broker runs as, on its own machine; may do everything
    RUNNER = "runner"  #: submits runs, stops them, and watches all
    AGENT = "agent"  #: offers a box, runs what it is sent, and reports
    VIEWER = "viewer"  #: watches


#: The roles that tokens are made for: the owner's key is found in the broker's home.
GIVEN = (Role.RUNNER, Role.AGENT, Role.VIEWER)


@dataclass(frozen=True)
class Who:
    """Who speaks: the name of a key, and its role."""

    name: str
    role: Role


OWNER = Who("@owner", Role.OWNER)  #: whoever runs the broker; no name of another key is such
#: Whoever reaches an endpoint that is not locked: a Unix socket that only its owner can open, or
#: a broker that was told to be open to everybody.
UNLOCKED = Who("local", Role.OWNER)

_OWNER, _ALL = frozenset({Role.OWNER}), frozenset(Role)
_AGENTS = _OWNER | {Role.AGENT}
_RUNNERS = _OWNER | {Role.RUNNER}
_WATCHERS = _RUNNERS | {Role.VIEWER}

#: Who may open which socket of a broker.
SOCKETS: dict[str, frozenset[Role]] = {
    "frontend": _ALL,
    "backend": _AGENTS,
    "publisher": _WATCHERS,
}

#: Who may send which message.
MAY: dict[type[m.Message], frozenset[Role]] = {
    **dict.fromkeys(m.FROM_AGENT, _AGENTS),
    m.Ping: _ALL,
    m.GetRun: _WATCHERS,
    m.ListRuns: _WATCHERS,
    m.ListAgents: _WATCHERS,
    m.Submit: _RUNNERS,
    m.StopRun: _RUNNERS,
    m.Purge: _RUNNERS,
}


def may(who: Who, kind: type[m.Message]) -> bool:
    """Whether somebody may send messages of a kind."""
    return who.role in MAY.get(kind, ())


def refusal(who: Who, kind: type[m.Message]) -> tuple[str, str]:
    """Why somebody may not send messages of a kind, and what to do about it."""
    allowed = [role.value for role in GIVEN if role in MAY.get(kind, ())]
    article = "an" if who.role is Role.AGENT else "a"
    reason = f"The key {who.name} is {article} {who.role.value}'s, which may not {verb(kind)}."
    if not allowed:
        return reason, ""
    return reason, f"That takes a token made with: loads-keys add --role {allowed[0]} NAME"


def verb(kind: type[m.Message]) -> str:
    """What a message does, for people."""
    return _VERBS.get(kind, f"send {kind.__name__}")


_VERBS: dict[type[m.Message], str] = {
    m.Register: "register as an agent",
    m.LastWords: "report what workers have done",
    m.Ping: "ask where the broker is",
    m.GetRun: "look at runs",
    m.Submit: "submit runs",
    m.StopRun: "stop runs",
    m.Purge: "stop all runs",
    m.ListRuns: "list runs",
    m.ListAgents: "list agents",
}
