"""A daemon outlives its own mistakes.

An error out of a core is a bug of ours, or a peer's trick that we did not think of.  Ending the
daemon for it would end every run that it has a part in, so it is logged, and the daemon goes on
with the next event.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol, TypeVar

_Event_contra = TypeVar("_Event_contra", contravariant=True)
_Action = TypeVar("_Action")


class Core(Protocol[_Event_contra, _Action]):
    """What is guarded: a function from events to actions, with a memory."""

    @property
    def decided(self) -> list[_Action]:
        """What :meth:`handle` gave last; when it raised, as far as it had come."""

    def handle(self, event: _Event_contra, now: float) -> list[_Action]:
        """What to do about an event."""


class Guard:
    """Feeds a core, and says once for each kind of event that it failed on it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: set[tuple[str, type[Exception]]] = set()

    def handle(
        self, core: Core[_Event_contra, _Action], event: _Event_contra, now: float
    ) -> list[_Action]:
        """What the core decides.

        When it raises, that is what it had decided until then: it takes that for done.
        """
        try:
            return core.handle(event, now)
        except Exception as error:
            self._tell(_kind(event), error)
            return core.decided

    def _tell(self, kind: str, error: Exception) -> None:
        """Once: what fails on a tick fails ten times a second."""
        if (kind, type(error)) not in self._told:
            self._told.add((kind, type(error)))
            self._log.exception("This is a bug in Loads; it goes on. It was handling: %s", kind)


def _kind(event: Any) -> str:
    """``FromAgent Report``: the event, and the message in it if there is one."""
    message = getattr(event, "message", None)
    said = "" if message is None or isinstance(message, str) else f" {type(message).__name__}"
    return type(event).__name__ + said
