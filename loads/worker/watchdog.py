"""Notices when the test keeps its worker from running other users.

Greenlets take turns when they wait.  Code that computes for long, or that blocks in a C library
that gevent cannot patch, stops every user of the worker, and their times are then the test's doing
and not the target's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import gevent
from gevent import monkey

from loads.worker.verdicts import user_frame

LIMIT = 1.0  #: seconds
BEAT = 0.1  #: seconds between two signs of life of the hub

_start_thread = monkey.get_original("_thread", "start_new_thread")
_sleep = monkey.get_original("time", "sleep")
_thread_id = monkey.get_original("_thread", "get_ident")


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
        self._watched = _thread_id()
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
        barked = 0.0
        while True:
            before = time.monotonic()
            _sleep(LIMIT / 4)
            stopped = time.monotonic() - before - LIMIT / 4
            if stopped > LIMIT:
                self._not_run(stopped)  # which is nobody's fault in here
                _sleep(2 * BEAT)
                continue
            beat = self._beat
            if time.monotonic() - beat > LIMIT and beat != barked:
                barked = beat
                frame = sys._current_frames().get(self._watched)
                self._bark(user_frame(frame, self._root))
