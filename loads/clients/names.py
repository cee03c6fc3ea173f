"""Looks up host names: once in a process for each, and with the time that it took.

A load test is to load the target, not a name server, and the lookup of a thousand users at once
would be measured as the target's slowness.  URLs and ``Host`` headers are never touched: a name is
only resolved when a connection is opened, by whatever client.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from loads.metrics.series import CONNECTION, SeriesKey, Verdict
from loads.recorder.current import current

_lookup = socket.getaddrinfo
_known: dict[Any, Any] = {}


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


def _getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """As ``socket.getaddrinfo``.  Only what was found is remembered: a failure may pass."""
    key = (host, port, family, type, proto, flags)
    found = _known.get(key)
    if found is not None and Lookups.once:
        return list(found)
    start = time.perf_counter()
    try:
        found = _known[key] = _lookup(host, port, family, type, proto, flags)
    finally:
        taken = time.perf_counter() - start
        Lookups.seconds += taken
        record = current().series(SeriesKey(CONNECTION, str(host), "dns")).record
        record(int(taken * 1e6), Verdict.ERROR if found is None else Verdict.SUCCESS)
    return list(found)
