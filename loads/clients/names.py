"""Looks up host names: once in a process for each, and with the time that it took.

A load test is to load the target, not a name server, and the lookup of a thousand users at once
would be measured as the target's slowness.  URLs and ``Host`` headers are never touched: a name is
only resolved when a connection is opened, by whatever client.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from loads.metrics.series import CONNECTION, SeriesKey, Verdict
from loads.recorder.current import current

_lookup = socket.getaddrinfo
_known: dict[Any, Any] = {}
_under_way: dict[Any, _Lookup] = {}


class Lookups:
    """What a process spends on names.  ``seconds`` adds up over all its lookups."""

    once = True
    seconds = 0.0


def measure(once: bool) -> None:
    """Have all lookups of this process measured; and, with ``once``, remembered."""
    global _lookup  # noqa: PLW0603 - gevent has replaced it since this module was imported
    if socket.getaddrinfo is not _getaddrinfo:
        _lookup = socket.getaddrinfo
        socket.getaddrinfo = _getaddrinfo
    Lookups.once = once


class _Lookup:
    """A look-up under way, and then its outcome: both None where it was cut short."""

    __slots__ = ("error", "found", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held until there is an outcome
        self.lock.acquire()
        self.found: list[Any] | None = None
        self.error: Exception | None = None


def _getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As ``socket.getaddrinfo``.  Only what was found is remembered: a failure may pass."""
    question = (host, port, family, type, proto, flags)
    if not Lookups.once:
        return _look_up(question)
    found = _known.get(question)
    while found is None:
        mine = _Lookup()
        lookup = _under_way.setdefault(question, mine)
        if lookup is mine:
            found = _known[question] = _look_up_for_all(question, mine)
        else:
            found = _wait_for(lookup)
    return list(found)


def _look_up_for_all(question: Any, lookup: _Lookup) -> Any:
    """A thousand users who start at once are to ask once: the others wait for the outcome."""
    try:
        lookup.found = _look_up(question)
        return lookup.found
    except Exception as error:
        lookup.error = error
        raise
    finally:
        del _under_way[question]
        lookup.lock.release()


def _wait_for(lookup: _Lookup) -> list[Any] | None:
    """What somebody else is looking up; None when that was cut short."""
    start = time.perf_counter()
    with lookup.lock:
        Lookups.seconds += time.perf_counter() - start
    if lookup.error is not None:
        raise type(lookup.error)(*lookup.error.args)  # one of our own: it grows a traceback
    return lookup.found


def _look_up(question: Any) -> Any:
    start, found = time.perf_counter(), None
    try:
        found = _lookup(*question)
        return found
    finally:
        taken = time.perf_counter() - start
        Lookups.seconds += taken
        record = current().series(SeriesKey(CONNECTION, str(question[0]), "dns")).record
        record(int(taken * 1e6), Verdict.ERROR if found is None else Verdict.SUCCESS)
