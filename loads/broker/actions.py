"""What the broker's core is told, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loads.protocol.messages import Message

# -- events --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromAgent:
    """A message arrived on the backend.  ``peer`` is the address to answer to."""

    peer: bytes
    message: Message


@dataclass(frozen=True)
class FromClient:
    """A request arrived on the frontend.  ``fresh_id`` is an identifier never used before."""

    peer: bytes
    message: Message
    fresh_id: str


@dataclass(frozen=True)
class WrongVersion:
    """An agent, or a client, speaks another version of the protocol; ``reason`` names both."""

    peer: bytes
    reason: str
    hint: str
    is_client: bool = False


@dataclass(frozen=True)
class Tick:
    """Some time has passed."""


Event = FromAgent | FromClient | WrongVersion | Tick

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
class Log:
    """Say something to whoever runs the broker."""

    level: Literal["info", "warning"]
    text: str


Action = ToAgent | ToClient | Publish | Log
