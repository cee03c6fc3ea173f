"""Processes with a clock of their own."""

from __future__ import annotations

import glob


def shifted(offset: str) -> dict[str, str]:
    """The environment of a process whose clocks are off, as by ``+1h``; it needs faketime."""
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": library, "FAKETIME": offset}
