"""Tells when a worker has been left alone: nothing comes from its supervisor any more.

A supervisor that is gone is noticed by the end of its pipe.  One that is stopped, or that hangs,
is not: its pipe stays open, and load goes on that nobody counts or could stop.
"""

from __future__ import annotations

from typing import Literal

INTERVAL = 1.0  #: seconds for which commands are waited for at a time
END_TIME = 5.0  #: seconds that a worker has to stop its load before its process is ended


class Switch:
    """Counts the seconds without a command, once the load has begun.

    Seconds count only if the worker was there to listen.  Who was stopped itself, or has slept
    together with its whole machine, knows nothing of its supervisor.
    """

    def __init__(self, patience: float) -> None:
        """``patience`` is for how many seconds the load is kept up."""
        self._patience = patience
        self._under_load = False
        self._stopping: float | None = None
        self.silence = 0.0  #: seconds

    def arm(self) -> None:
        """The load begins."""
        self._under_load = True

    def waited(self, seconds: float, *, heard: bool) -> Literal["", "stop", "end"]:
        """What is to be done after so many seconds, at whose end a command was ``heard`` or not.

        The load is to be stopped once; who has not managed to do so is to be ended.  Commands that
        come again make no difference then: whoever sends them has not asked for a stop, and does
        not watch over it.
        """
        seconds = min(seconds, INTERVAL)
        if self._stopping is not None:
            self._stopping += seconds
            return "end" if self._stopping >= END_TIME else ""
        self.silence = 0.0 if heard else self.silence + seconds
        if self._under_load and self.silence >= self._patience:
            self._stopping = 0.0
            return "stop"
        return ""
