"""What a storage is, and what it keeps.

A run is kept as a *head* (what it is and how it stands, small, replaced as a whole), *parts*
(bodies by name, each replaced as a whole) and *deltas* (bodies that are only ever added, in
order).  All bodies are bytes: a storage does not look into them, so that what is measured can
change without any storage knowing.

A broker that was killed finds its runs again in the state after the last :meth:`Storage.write`
that returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loads.errors import StorageError

SCHEMA = 1  #: the version of the arrangement below; one that is newer is refused


@dataclass(frozen=True)
class SaveRun:
    """The head of a run.  ``created`` and ``ended`` are seconds since the Unix epoch.

    ``ended`` is None while the run goes on; what goes on is never removed to make room.
    """

    run_id: str
    created: float
    ended: float | None
    head: bytes


@dataclass(frozen=True)
class SavePart:
    """A part of a run, in place of the one of the same name; an empty one is removed."""

    run_id: str
    name: str
    body: bytes


@dataclass(frozen=True)
class AddDelta:
    """One more delta of a run."""

    run_id: str
    body: bytes


@dataclass(frozen=True)
class DropDeltas:
    """The deltas of a run so far are in one of its parts now."""

    run_id: str


@dataclass(frozen=True)
class ForgetRun:
    """A run with all that belongs to it is to be removed."""

    run_id: str


Record = SaveRun | SavePart | AddDelta | DropDeltas | ForgetRun


@dataclass(frozen=True)
class Heading:
    """The head of a run, as it was saved."""

    run_id: str
    created: float
    ended: float | None
    head: bytes


@dataclass(frozen=True)
class StoredRun:
    """All that is kept of a run; deltas are in the order in which they were added."""

    heading: Heading
    parts: dict[str, bytes] = field(default_factory=dict)
    deltas: tuple[bytes, ...] = ()


class Storage(Protocol):
    """A place for runs.  Each method raises :class:`StorageError` when it cannot do its work.

    One broker at a time has a storage open; a second one is refused when it opens it.
    One that ``is_remote`` may take long for anything, and is used from a thread of its own.
    """

    is_remote: bool

    def describe(self) -> str:
        """Where it is, for people; without passwords."""

    def write(self, records: Sequence[Record]) -> None:
        """Keep all of these, in order, or none."""

    def open_runs(self) -> list[StoredRun]:
        """The runs that have not ended, in the order of their creation."""

    def run(self, run_id: str) -> StoredRun | None:
        """One run; None when there is none of that name."""

    def ended_runs(self) -> list[Heading]:
        """The runs that have ended; those that ended last come first."""

    def size(self) -> int:
        """How many bytes the runs take."""

    def shrink(self) -> None:
        """Give the room that removed runs have left back, where that takes a step of its own."""

    def interrupt(self) -> None:
        """Have what is under way fail soon, where it might wait for ever; from another thread."""

    def close(self) -> None:
        """Let others have it."""


def trim(
    storage: Storage,
    ended_before: float | None,
    max_size: int | None,
    most: int | None = None,
) -> list[str]:
    """Remove ended runs, oldest first, but no more than ``most``; gives their names.

    Those that ended before a point in time (seconds since the Unix epoch), and as many more as
    make the storage too large.  A run that goes on stays, whatever its size.  Raises
    :class:`StorageError` when nothing could be removed; what fails later ends it there, as whoever
    asked has to know what is gone.
    """
    removed: list[str] = []
    try:
        oldest_first = list(reversed(storage.ended_runs()))
        for heading in oldest_first[:most]:
            ended = heading.ended or 0.0
            too_old = ended_before is not None and ended < ended_before
            if not too_old and (max_size is None or storage.size() <= max_size):
                break
            storage.write([ForgetRun(heading.run_id)])
            removed.append(heading.run_id)
        if removed:
            storage.shrink()
    except StorageError:
        if not removed:
            raise
    return removed
