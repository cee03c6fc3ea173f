"""What Ctrl-C means to a run."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from loads.plan import RunPlan
from loads.transport.reactor import Reactor

if TYPE_CHECKING:
    from loads.client import BrokerClient  # which a run here has no use for

QUESTION = "Stop the run, or detach from it and let it go on?  s = stop (also Ctrl-C), d = detach"


def stop_notice(plan: RunPlan) -> str:
    """What is said when the first interrupt has come."""
    return (
        f"Stopping: running tests have {plan.grace:g} s to finish. "
        "Press Ctrl-C again to stop at once."
    )


@contextmanager
def interruptible(client: BrokerClient) -> Iterator[list[int]]:
    """Here, SIGINT and SIGTERM mean that no answer of the broker is wanted; gives those that came.

    What is asked then raises :class:`~loads.errors.Interrupted`.
    """
    arrived: list[int] = []
    client.is_unwanted = lambda: bool(arrived)
    numbers = (signal.SIGINT, signal.SIGTERM)
    found = [signal.signal(n, lambda number, _: arrived.append(number)) for n in numbers]
    try:
        yield arrived
    finally:
        client.is_unwanted = lambda: False
        for number, handler in zip(numbers, found, strict=True):
            signal.signal(number, handler)


class Question:
    """Asks whether to stop or to detach, on a terminal, while the run goes on.

    One key is the answer: ``d`` detaches, ``s`` and Enter stop; others are no answer.  The
    terminal, a descriptor, gives keys as they are typed only while it is asked.
    """

    def __init__(
        self,
        reactor: Reactor,
        terminal: int,
        say: Callable[[str], None],
        stop: Callable[[], None],
        detach: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._terminal = terminal
        self._say = say
        self._answers = {"d": detach, "s": stop, "\n": stop, "\r": stop}
        self._settings: list[Any] | None = None

    def ask(self) -> bool:
        """Ask; False when nobody can answer, as in the background."""
        try:
            if os.tcgetpgrp(self._terminal) != os.getpgrp():
                return False
            self._settings = termios.tcgetattr(self._terminal)
            tty.setcbreak(self._terminal)
        except (OSError, termios.error):
            return False
        self._reactor.on_readable(self._terminal, self._read)
        self._say(QUESTION)
        return True

    def close(self) -> None:
        """Ask no longer, and leave the terminal as it was found."""
        settings, self._settings = self._settings, None
        if settings is not None:
            self._reactor.forget(self._terminal)
            with suppress(OSError, termios.error):  # it may be gone
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, settings)

    def _read(self) -> None:
        try:
            key = os.read(self._terminal, 1).decode(errors="replace").lower()
        except OSError:
            key = ""
        answer = self._answers.get(key)
        if answer is not None or not key:  # without a key the terminal is gone: SIGHUP will tell
            self.close()
        if answer is not None:
            answer()


class Interrupts:
    """The first interrupt asks for an orderly end, the second one ends at once.

    With a ``question``, the first Ctrl-C only asks it, and the next one counts as the first.
    SIGTERM asks nothing.
    """

    question: Question | None = None

    def __init__(
        self, reactor: Reactor, first: Callable[[], None], second: Callable[[], None]
    ) -> None:
        self._steps = [first, second]
        self._may_ask = True
        reactor.on_signal(signal.SIGINT, self._interrupt)
        reactor.on_signal(signal.SIGTERM, self.next)

    def _interrupt(self) -> None:
        asked = self._may_ask and self.question is not None and self.question.ask()
        self._may_ask = False
        if not asked:
            self.next()

    def next(self) -> None:
        """Take the next step; a question that is still open is answered by that."""
        self._may_ask = False
        if self.question is not None:
            self.question.close()
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        step()
