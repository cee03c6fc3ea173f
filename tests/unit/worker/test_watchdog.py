"""Whose doing it is that a worker stands still."""

from __future__ import annotations

import threading

import pytest

from loads.worker.watchdog import time_without_processor, whose_doing


@pytest.mark.parametrize(
    ("silent", "waited", "doing"),
    [
        (0.9, 0.0, ""),
        (1.1, 0.0, "test"),
        (1.6, 1.5, "machine"),
        (1.1, 0.7, ""),  # not a second of either
        (2.5, 1.2, "test"),  # more than a second was the test's, whatever the machine did
    ],
)
def test_a_silent_hub_is_somebodys_doing(silent: float, waited: float, doing: str) -> None:
    assert whose_doing(silent, waited) == doing


def test_a_thread_has_waited_for_some_time_and_an_unknown_one_for_none() -> None:
    assert time_without_processor(threading.get_native_id()) >= 0.0
    assert time_without_processor(-1) == 0.0
