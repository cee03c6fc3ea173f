"""What the broker's core is told, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loads.metrics.summary import RunView
from loads.protocol.messages import Message, Wish
from loads.protocol.roles import UNLOCKED, Who
from loads.storage.base import Record

# -- events --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromAgent:
    """A message arrived on the backend.  ``peer`` is the address to answer to.

    ``body`` is the message as it came, for what is stored as it came.
    """

    peer: bytes
    message: Message
    body: bytes = b""
    who: Who = UNLOCKED


@dataclass(frozen=True)
class FromClient:
    """A request arrived on the frontend.  ``fresh_id`` is an identifier never used before."""

    peer: bytes
    message: Message
    fresh_id: str
    who: Who = UNLOCKED


@dataclass(frozen=True)
class NotEntitled:
    """Somebody said what they have no right to say; what exactly, was not looked at.

    ``request`` is the number of a request, 0 where there is none.
    """

    peer: bytes
    who: Who
    kind: type[Message]
    request: int = 0


@dataclass(frozen=True)
class Unwelcome:
    """What an agent, or a client, says is not heard; ``reason`` says why.

    It speaks another version of the protocol, or its key is good no longer.
    """

    peer: bytes
    reason: str
    hint: str
    is_client: bool = False


@dataclass(frozen=True)
class Observed:
    """An observer was told of a run's end, or failed: then ``problem`` says why."""

    run_id: str
    observer: str
    problem: str


@dataclass(frozen=True)
class LookedUp:
    """The run that somebody wanted to stop was looked up; ``refused`` is why they got none."""

    by: Who
    run_id: str
    refused: str


@dataclass(frozen=True)
class KeyGone:
    """A key was revoked, or has expired: ``reason``."""

    name: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Tick:
    """Some time has passed."""


@dataclass(frozen=True)
class StorageFailed:
    """What was to be stored was not; ``reason`` is for people."""

    reason: str


@dataclass(frozen=True)
class StorageWorks:
    """The storage has all of :meth:`~loads.broker.core.Core.everything`."""


@dataclass(frozen=True)
class Stored:
    """Runs that have ended are in the storage, with all that belongs to them."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Removed:
    """Runs that have ended were removed from the storage, to make room."""

    run_ids: tuple[str, ...]


Event = (
    FromAgent
    | FromClient
    | NotEntitled
    | LookedUp
    | Unwelcome
    | KeyGone
    | Observed
    | Tick
    | StorageFailed
    | StorageWorks
    | Stored
    | Removed
)

# -- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToAgent:
    """Send a message to an agent."""

    peer: bytes
    message: Message


@dataclass(frozen=True)
class ToClient:
    """Answer a client."""

    peer: bytes
    message: Message


@dataclass(frozen=True)
class Publish:
    """Publish a message to all consoles that follow a run."""

    run_id: str
    message: Message


@dataclass(frozen=True)
class Observe:
    """Tell an observer of a run's end; ends in :class:`Observed`."""

    wish: Wish
    view: RunView


@dataclass(frozen=True)
class Log:
    """Say something to whoever runs the broker."""

    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True)
class Store:
    """Keep something, before any other action that was decided with it or after it."""

    record: Record


@dataclass(frozen=True)
class LookUp:
    """Answer a client's request for a run that only the storage may know.

    ``number`` is that of an update after all that were ever published.  ``by`` is who wants the run
    to be stopped: then what comes of it is told, in :class:`LookedUp`.
    """

    peer: bytes
    request: int
    run_id: str
    number: int
    by: Who | None = None


@dataclass(frozen=True)
class Deny:
    """Count a message that its sender had no right to send."""

    who: Who
    kind: str


@dataclass(frozen=True)
class Audit:
    """Write down for good who did what, and what came of it."""

    what: str
    who: Who
    run_id: str = ""
    user_id: str = ""
    target: str = ""
    outcome: str = "done"


Action = ToAgent | ToClient | Publish | Observe | Log | Store | LookUp | Deny | Audit
