"""A loop around sockets, file descriptors, timers and signals, in one thread."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from loads.clock import Clock

if TYPE_CHECKING:
    from loads.transport.sockets import Socket  # a run without a cluster does without ZeroMQ


class Reactor:
    """Calls back when something is readable, some time has passed, or a signal arrived.

    Callbacks run one after the other, never inside of a signal handler.  Used as a context
    manager, it puts back the signal handlers that it found.
    """

    def __init__(self, clock: Clock, rest: float = 0.0) -> None:
        """Rounds begin at least ``rest`` seconds apart, so that under load each has much to do.

        To wake up for every single message costs more than to handle it.
        """
        self._clock = clock
        self._rest = rest
        self._poller: Any = select.poll()
        self._knows_sockets = False
        self._readers: dict[Any, Callable[[], None]] = {}
        self._timers: list[list[Any]] = []  # [due, interval, callback]
        self._signals: dict[int, Callable[[], None]] = {}
        self._arrived: list[int] = []
        self._handlers: dict[int, Any] = {}
        self._running = False
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        self.on_readable(self._wake_in, self._dispatch_signals)

    def __enter__(self) -> Reactor:
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_in)
        os.close(self._wake_out)

    def on_readable(self, source: Socket | int, callback: Callable[[], None]) -> None:
        """Call back while ``source`` has something to read."""
        if not isinstance(source, int) and not self._knows_sockets:
            self._learn_sockets()
        self._readers[raw(source)] = callback
        self._poller.register(raw(source), select.POLLIN)

    def _learn_sockets(self) -> None:
        """From now on use ZeroMQ's poller, which is used like that of descriptors."""
        import zmq  # noqa: PLC0415 - see above

        self._poller, self._knows_sockets = zmq.Poller(), True
        for source in self._readers:
            self._poller.register(source, zmq.POLLIN)

    def forget(self, source: Socket | int) -> None:
        """Watch a source no longer."""
        if self._readers.pop(raw(source), None) is not None:
            self._poller.unregister(raw(source))

    def follow(self, watched: list[int], now: list[int], callback: Callable[[], None]) -> list[int]:
        """Watch the descriptors ``now`` instead of those that were ``watched``; gives ``now``."""
        for fd in watched:
            if fd not in now:
                self.forget(fd)
        for fd in now:
            if fd not in watched:
                self.on_readable(fd, callback)
        return list(now)

    def every(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back every so many seconds."""
        self._timers.append([self._clock.monotonic() + seconds, seconds, callback])

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call back, from the loop, when a signal has arrived."""
        self._signals[number] = callback
        found = signal.signal(number, self._note_signal)
        self._handlers.setdefault(number, found)  # the second time it is our own that is found

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._arrived.append(number)  # the wake-up descriptor ends the poll

    def _dispatch_signals(self) -> None:
        with suppress(BlockingIOError):  # which is how it says that it is empty
            while os.read(self._wake_in, 512):
                continue
        arrived, self._arrived = self._arrived, []
        for number in arrived:
            self._signals[number]()

    def stop(self) -> None:
        """Leave :meth:`run` when the present callback returns."""
        self._running = False

    def run(self) -> None:
        """Go on until :meth:`stop`."""
        self._running = True
        while self._running:
            ready = self._poller.poll(self._until_next_timer())
            began = self._clock.monotonic()
            for source, _ in ready:
                if self._running and source in self._readers:
                    self._readers[source]()
            now = self._clock.monotonic()
            for timer in self._timers:
                due, interval, callback = timer
                if self._running and now >= due:
                    timer[0] = max(due + interval, now)
                    callback()
            left = began + self._rest - self._clock.monotonic()
            if self._running and left > 0:
                time.sleep(left)

    def _until_next_timer(self) -> int | None:
        """Milliseconds until the next timer is due, rounded up so as not to spin."""
        if not self._timers:
            return None
        wait = min(timer[0] for timer in self._timers) - self._clock.monotonic()
        return max(0, int(wait * 1000) + 1)


def raw(source: Socket | int) -> Any:
    """What a poller takes for a source."""
    return source if isinstance(source, int) else source.raw
