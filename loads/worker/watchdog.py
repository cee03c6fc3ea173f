"""Notices when the test keeps its worker from running other users.

Greenlets take turns when they wait.  Code that computes for long, or that blocks in a C library
that gevent cannot patch, stops every user of the worker, and their times are then the test's doing
and not the target's.

A machine with too much to do has the same effect, and is told from that by what Linux counts: how
long a thread was ready to run and had no processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Literal

import gevent
from gevent import monkey

from loads.worker.verdicts import user_frame

LIMIT = 1.0  #: seconds
BEAT = 0.1  #: seconds between two signs of life of the hub

_start_thread = monkey.get_original("_thread", "start_new_thread")
_sleep = monkey.get_original("time", "sleep")
_thread_id = monkey.get_original("_thread", "get_ident")
_native_id = monkey.get_original("_thread", "get_native_id")


def whose_doing(silent: float, waited: float) -> Literal["", "test", "machine"]:
    """Who kept a hub from running that was ``silent`` for so many seconds; nobody, while few.

    ``waited`` is how many of them its thread was ready to run.
    """
    if silent - waited > LIMIT:
        return "test"
    return "machine" if waited > LIMIT else ""


def time_without_processor(thread: int) -> float:
    """The seconds that a thread, by its native id, was ready to run and did not.

    Always 0 where the system does not tell.
    """
    try:  # https://docs.kernel.org/scheduler/sched-stats.html, "/proc/<pid>/schedstat"
        with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Watchdog:
    """Calls ``bark`` with a line of code, from a native thread, when the hub is stuck at it.

    Once for each time that it is stuck.  ``not_run`` is called with the seconds for which the
    machine has not run the process at all.
    """

    def __init__(
        self, root: str, bark: Callable[[str], None], not_run: Callable[[float], None]
    ) -> None:
        self._root = root
        self._bark = bark
        self._not_run = not_run
        self._watched, self._thread = _thread_id(), _native_id()
        self._beat = time.monotonic()

    def start(self) -> None:
        """Watch from now on, for as long as the process lives."""
        gevent.spawn(self._keep_beating)
        _start_thread(self._watch, ())

    def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            gevent.sleep(BEAT)

    def _watch(self) -> None:
        told = seen = 0.0
        waited_before = time_without_processor(self._thread)
        while True:
            before = time.monotonic()
            _sleep(LIMIT / 4)
            stopped = time.monotonic() - before - LIMIT / 4
            if stopped > LIMIT:
                self._not_run(stopped)  # which is nobody's fault in here
                _sleep(2 * BEAT)
                continue
            beat, waited = self._beat, time_without_processor(self._thread)
            if beat != seen:
                seen, waited_before = beat, waited
            waited -= waited_before
            doing = whose_doing(time.monotonic() - beat, waited) if beat != told else ""
            if doing:
                told = beat
            if doing == "test":
                frame = sys._current_frames().get(self._watched)
                self._bark(user_frame(frame, self._root))
            elif doing == "machine":
                self._not_run(waited)
