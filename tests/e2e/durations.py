"""How long faults last, and how much there is of what is counted.

As briefly as proves it, so that all tests together take minutes; with ``LOADS_LONG_FAULTS=1``, as
``make faults`` sets it, as long as is promised.
"""

from __future__ import annotations

import os

IS_LONG = os.environ.get("LOADS_LONG_FAULTS") == "1"


def lasting(brief: int, long: int) -> int:
    """Which of the two it is."""
    return long if IS_LONG else brief
