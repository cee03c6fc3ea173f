"""Waiting for something to be so, instead of for some time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

PATIENCE = 60.0  #: seconds; only a test that fails ever waits so long
_POLL = 0.01

_Value = TypeVar("_Value")


def until(condition: Callable[[], _Value], what: str, seconds: float = PATIENCE) -> _Value:
    """Wait until ``condition()`` is true and give its value; fail the test if it never is.

    ``what`` is waited for, in words.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_POLL)
    return value
