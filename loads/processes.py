"""The processes of a process group, as Linux shows them in /proc."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

_MOST_LOOKS = 100  #: for what can start others faster than it is ended


def has_group_of_its_own() -> bool:
    """Whether this process leads its group, so that nobody else's processes are in it."""
    return os.getpgrp() == os.getpid()


def others_in_group() -> list[int]:
    """The processes in our group, without ourselves and those that have ended."""
    ours, group = os.getpid(), str(os.getpgrp())
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):  # it is gone
            with open(f"/proc/{pid}/stat", "rb") as file:
                # the name of the program, in parentheses, may hold anything
                state, _, its_group = file.read().rpartition(b")")[2].decode().split()[:3]
            if pid != ours and its_group == group and state not in "ZX":
                found.append(pid)
    return found


def end_others_in_group() -> None:
    """End whatever else is in our group, by force, with what it starts meanwhile."""
    for _ in range(_MOST_LOOKS):
        others = others_in_group()
        if not others:
            return
        for pid in others:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
