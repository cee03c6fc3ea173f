"""What a supervisor and its workers tell each other.

Results do not pass here: those are in shared memory (:mod:`loads.recorder`).  What does pass is
rare: a job at the start, then a line of JSON for each event, on a pipe in either direction.
Both ends are ours and are of one version, so there is no negotiation.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from loads.errors import LocalProtocolError, PlanError
from loads.plan import RunPlan, Segment

# -- supervisor to worker ------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """The first line that a worker reads: what it is to do.

    ``root`` is the directory that the test's module is looked for in.  ``scratch``, if not empty,
    is a directory that the worker removes when it finds itself without a supervisor.
    ``control``, ``memory`` are inherited file descriptors: the pipe for its events, and
    the recorder's memory.  ``verbose`` is how much of its doings to show on standard output:
    1 for debugging in the foreground, 2 for every request and answer as well.  ``name`` is the
    worker's.  For ``orphan_timeout`` seconds it keeps up its load without any command.
    ``last_words`` is a descriptor with what is to be done when the supervisor is gone, if it is not
    negative; see ``loads.agent.last_words``.
    """

    plan: RunPlan
    segment: Segment
    root: str
    scratch: str
    control: int
    memory: int
    verbose: int = 0
    name: str = ""
    run_id: str = ""
    orphan_timeout: float = 30.0
    last_words: int = -1


@dataclass(frozen=True)
class StartGroup:
    """Start the users of group number ``group`` at ``at`` on the machine's monotonic clock.

    ``origin`` is the origin of all times that the worker records, if that is not the first group's
    ``at``.
    """

    group: int
    at: float
    origin: float = 0.0


@dataclass(frozen=True)
class StopUsers:
    """Start no further test; cut those that still run after ``grace`` seconds; then end."""

    grace: float


@dataclass(frozen=True)
class Beat:
    """The supervisor is there, and runs.  Said about once a second."""


Command = Job | StartGroup | StopUsers | Beat

# -- worker to supervisor ------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerReady:
    """The test is loaded; the worker waits for its first group."""


@dataclass(frozen=True)
class WorkerFailed:
    """The test cannot be loaded: the error's exit code, message and hint."""

    code: int
    message: str
    hint: str


@dataclass(frozen=True)
class GroupEnded:
    """All users of a group have ended in this worker."""

    group: int


@dataclass(frozen=True)
class WorkerEnded:
    """All is done and recorded; the worker exits."""


@dataclass(frozen=True)
class Warned:
    """Something that whoever reads the result should know."""

    text: str


@dataclass(frozen=True)
class LeftAlone:
    """The load is stopped, because the supervisor has not said anything for ``seconds``."""

    seconds: float


WorkerEvent = WorkerReady | WorkerFailed | GroupEnded | WorkerEnded | Warned | LeftAlone

_KINDS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Job,
        StartGroup,
        StopUsers,
        Beat,
        WorkerReady,
        WorkerFailed,
        GroupEnded,
        WorkerEnded,
        Warned,
        LeftAlone,
    )
}


def encode(event: Command | WorkerEvent) -> bytes:
    """One line of JSON, with its newline."""
    body = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
    if isinstance(event, Job):
        body["plan"] = event.plan.pack()
        body["segment"] = [event.segment.index, event.segment.count]
    return json.dumps([type(event).__name__, body]).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The event of one line.  Raises :class:`LocalProtocolError`: both ends are ours."""
    try:
        kind, body = json.loads(line)
        if kind == Job.__name__:
            body["plan"] = RunPlan.unpack(body["plan"])
            body["segment"] = Segment(*body["segment"])
        return _KINDS[kind](**body)
    except (ValueError, TypeError, KeyError, PlanError, RecursionError) as error:
        raise LocalProtocolError(f"A worker's pipe carried {line[:80]!r}.") from error


class LineReader:
    """Cuts what arrives on a pipe into lines, however it was chopped."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Any]:
        """Take some bytes, give the events that are complete with them."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [decode(line) for line in lines if line]
