"""How many descriptors this process may have open: a socket of a peer is one."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_limit() -> int:
    """Have as many as the system allows without asking anybody; gives how many that are.

    The usual limit of 1,024 is for programs that use select(2), and a broker of 1,000 agents would
    be over it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems have a lower limit than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
