"""Every message on the wire: those of the backend, of the frontend and of the publisher.

One frozen dataclass each, validated when built, by the sender as by the receiver: a message that
exists is one that may be sent.  A field that is added later has a default, so that older peers can
leave it out; a field that is unknown is a newer peer's, and ignored.
"""

from __future__ import annotations

from loads.protocol import limits
from loads.protocol.backend import (
    Acknowledge,
    Bye,
    CannotRun,
    Ended,
    Extend,
    Extended,
    Finished,
    Heartbeat,
    LastWords,
    Prepare,
    Ready,
    Register,
    Rejected,
    Release,
    Report,
    Start,
    StopLoad,
    Welcome,
    WelcomeBack,
    WhoAreYou,
)
from loads.protocol.frontend import (
    Accepted,
    AgentList,
    GetRun,
    ListAgents,
    ListRuns,
    Ping,
    Pong,
    Purge,
    Purged,
    Refused,
    RunList,
    RunSnapshot,
    StopRun,
    Submit,
    Update,
    Wish,
)
from loads.protocol.message import Message

__all__ = [
    "ALL",
    "FROM_AGENT",
    "FROM_CLIENT",
    "MAX_BUNDLE",
    "MAX_WORKERS",
    "PUBLISHED",
    "TO_AGENT",
    "TO_CLIENT",
    "Accepted",
    "Acknowledge",
    "AgentList",
    "Bye",
    "CannotRun",
    "Ended",
    "Extend",
    "Extended",
    "Finished",
    "GetRun",
    "Heartbeat",
    "LastWords",
    "ListAgents",
    "ListRuns",
    "Message",
    "Ping",
    "Pong",
    "Prepare",
    "Purge",
    "Purged",
    "Ready",
    "Refused",
    "Register",
    "Rejected",
    "Release",
    "Reply",
    "Report",
    "Request",
    "RunList",
    "RunSnapshot",
    "Start",
    "StopLoad",
    "StopRun",
    "Submit",
    "Update",
    "Welcome",
    "WelcomeBack",
    "WhoAreYou",
    "Wish",
]

MAX_BUNDLE, MAX_WORKERS = limits.MAX_BUNDLE, limits.MAX_WORKERS

FROM_AGENT: tuple[type[Message], ...] = (
    Register, Ready, CannotRun, Extended, Report, Finished, Bye, Heartbeat,
    LastWords,
)  # fmt: skip
TO_AGENT: tuple[type[Message], ...] = (
    Welcome, WelcomeBack, Rejected, WhoAreYou, Prepare, Start, Extend, StopLoad, Acknowledge,
    Release, Heartbeat,
)  # fmt: skip
FROM_CLIENT: tuple[type[Message], ...] = (
    Ping, Submit, StopRun, GetRun, ListRuns, ListAgents, Purge,
)  # fmt: skip
TO_CLIENT: tuple[type[Message], ...] = (
    Pong, Accepted, RunSnapshot, RunList, AgentList, Purged, Refused,
)  # fmt: skip
PUBLISHED: tuple[type[Message], ...] = (Update,)
ALL = tuple(dict.fromkeys((*FROM_AGENT, *TO_AGENT, *FROM_CLIENT, *TO_CLIENT, *PUBLISHED)))

Request = Ping | Submit | StopRun | GetRun | ListRuns | ListAgents | Purge
Reply = Pong | Accepted | RunSnapshot | RunList | AgentList | Purged | Refused
