"""File descriptors: how many a process may have, and whether they will do.

Each connection takes one.  The limit that a process starts with (the soft one, often 1,024) is
meant for programs that use ``select``; up to the hard limit a process may raise it itself.
"""

from __future__ import annotations

import errno
import os
import resource
from contextlib import suppress

#: What a worker has open besides its users' connections: modules being imported, pipes, the hub's.
RESERVE = 64
#: The part of all descriptors from which on a daemon says how many are in use.
CROWDED = 0.8
#: More than that does nobody need, and hard limits of a billion slow down what closes them all.
MOST = 1 << 20
#: What some systems have as the highest value, although they say that there is no limit.
FALLBACK = 10_240


def raise_limit() -> int:
    """Raise our soft limit as far as the system allows; give what it is then.

    It is never lowered, and inherited by the processes that we start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in wanted_limits(_number(soft), _number(hard)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            break
    return current_limit()


def wanted_limits(soft: int, hard: int) -> list[int]:
    """The soft limits to try, best first; none where ``soft`` is good enough."""
    return [limit for limit in (min(hard, MOST), min(hard, FALLBACK)) if limit > soft]


def shortage(users: int, limit: int) -> str:
    """What to tell whoever reads the result of a worker with too few descriptors, or nothing.

    ``users`` is how many the worker has at once, ``limit`` how many descriptors it may have.
    """
    needed = users + RESERVE
    if needed <= limit:
        return ""
    return (
        f"A worker may have {limit:,} files and connections open, and its {users:,} users need "
        f"{needed:,} with one connection each: what is beyond that fails. Raise the hard limit "
        f"where Loads is started (ulimit -n {needed}, or LimitNOFILE={needed} in a systemd unit), "
        "or use more workers or agents."
    )


def in_use() -> int:
    """How many descriptors we have; all that we may have, where there is none left to count with.

    0 where the system does not tell.
    """
    try:
        return len(os.listdir("/dev/fd")) - 1
    except OSError as error:
        return current_limit() if error.errno == errno.EMFILE else 0


def current_limit() -> int:
    """How many descriptors we may have now."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def crowding(used: int, limit: int) -> str:
    """What to tell whoever runs a daemon that is running out of descriptors, or nothing."""
    if used < CROWDED * limit:
        return ""
    return (
        f"{used:,} files and connections are open, of {limit:,} that there can be; then new ones "
        "wait until others end. Raise the hard limit (ulimit -n, or LimitNOFILE= in a systemd "
        "unit), or see who connects."
    )


def _number(limit: int) -> int:
    return MOST if limit == resource.RLIM_INFINITY else limit
