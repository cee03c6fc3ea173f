"""What the agent's core is told, and what it wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loads.ledger import Delta
from loads.plan import RunPlan
from loads.protocol.messages import Message

# -- events --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromBroker:
    """A message arrived."""

    message: Message


@dataclass(frozen=True)
class BrokerVersion:
    """The broker speaks another version of the protocol; ``reason`` names both."""

    reason: str
    hint: str


@dataclass(frozen=True)
class WorkersReady:
    """All workers have loaded the test; these are their names."""

    workers: tuple[str, ...]


@dataclass(frozen=True)
class LoadFailed:
    """The run cannot be run here: an exit code, a message and a hint."""

    code: int
    message: str
    hint: str


@dataclass(frozen=True)
class ExtensionReady:
    """All workers of a load to take over have loaded the test; these are their names."""

    number: int
    workers: tuple[str, ...]


@dataclass(frozen=True)
class ExtensionFailed:
    """A load cannot be taken over here."""

    number: int
    reason: str


@dataclass(frozen=True)
class Measured:
    """A worker's next delta."""

    delta: Delta


@dataclass(frozen=True)
class Terminate:
    """Somebody asks the agent to leave."""

    reason: str


@dataclass(frozen=True)
class BoxLoad:
    """The load average of the box over the last minute."""

    load: float


@dataclass(frozen=True)
class Tick:
    """Some time has passed."""


Event = (
    FromBroker | BrokerVersion | WorkersReady | LoadFailed | ExtensionReady | ExtensionFailed
) | (Measured | Terminate | BoxLoad | Tick)

# -- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToBroker:
    """Send a message."""

    message: Message


@dataclass(frozen=True)
class PrepareRun:
    """Unpack the bundle, start workers, load the test.

    Ends in :class:`WorkersReady` or :class:`LoadFailed`.
    """

    run_id: str
    plan: RunPlan
    digest: str
    bundle: bytes


@dataclass(frozen=True)
class StartWorkers:
    """Start the load in ``delay`` seconds."""

    delay: float


@dataclass(frozen=True)
class PrepareExtension:
    """Start further workers for a load that is taken over, and load the test.

    Ends in :class:`ExtensionReady` or :class:`ExtensionFailed`.
    """

    number: int
    plan: RunPlan


@dataclass(frozen=True)
class StartExtension:
    """Start a load that is taken over: it is under way since it was asked for."""

    number: int


@dataclass(frozen=True)
class DropExtension:
    """End the workers of a load that is not taken over after all."""

    number: int


@dataclass(frozen=True)
class StopWorkers:
    """Start no further test; cut those that still run after ``grace`` seconds."""

    grace: float


@dataclass(frozen=True)
class SampleWorker:
    """Read what a worker has recorded; ends in :class:`Measured` if that is anything new."""

    worker: str


@dataclass(frozen=True)
class DropRun:
    """End the workers, if any are left, and remove all that the run left here."""


@dataclass(frozen=True)
class Leave:
    """End the agent, with this exit code, message and hint."""

    code: int
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Log:
    """Say something to whoever runs the agent."""

    level: Literal["info", "warning"]
    text: str


Action = (
    ToBroker | PrepareRun | StartWorkers | PrepareExtension | StartExtension | DropExtension
) | (StopWorkers | SampleWorker | DropRun | Leave | Log)
