"""What Ctrl-C means to a run."""

from __future__ import annotations

import signal
from collections.abc import Callable

from loads.plan import RunPlan
from loads.transport.reactor import Reactor


def stop_notice(plan: RunPlan) -> str:
    """What is said when the first interrupt has come."""
    return (
        f"Stopping: running tests have {plan.grace:g} s to finish. "
        "Press Ctrl-C again to stop at once."
    )


class Interrupts:
    """The first interrupt asks for an orderly end, the second one ends at once."""

    def __init__(
        self, reactor: Reactor, first: Callable[[], None], second: Callable[[], None]
    ) -> None:
        self._steps = [first, second]
        for number in (signal.SIGINT, signal.SIGTERM):
            reactor.on_signal(number, self._next)

    def _next(self) -> None:
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        step()
