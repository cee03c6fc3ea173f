"""Runs that wait for agents.

The queue is strictly first in, first out.  The run at its head starts as soon as enough agents are
idle for it, and nobody overtakes it: not a smaller run behind it, and not one that would not
wait.  So a run that needs many agents is never starved by those that need few.

It has no list of its own: it is the runs whose state is ``queued``, in the order in which the
broker got them.  A run leaves it by whatever ends runs, or when its turn comes.  One that loses an
agent before the start is there again, before all that came later.
"""

from __future__ import annotations

import math

from loads.broker.book import Book
from loads.broker.placement import choose, idle_agents
from loads.broker.runs import Runs
from loads.broker.state import Run
from loads.errors import NotEnoughAgents
from loads.metrics.summary import QueueView


class Queue:
    """Keeps runs in order until there are agents for them."""

    def __init__(self, book: Book, runs: Runs) -> None:
        self._book = book
        self._runs = runs

    @property
    def waiting(self) -> list[Run]:
        """The runs in the queue, the next one first."""
        return [run for run in self._book.runs.values() if run.state == "queued"]

    def check_turn(self) -> None:
        """Whether a run that does not wait may have agents now.

        Raises :class:`NotEnoughAgents` when others wait for them.
        """
        number = len(self.waiting)
        if number:
            raise NotEnoughAgents(
                f"{number} run{'s wait' if number > 1 else ' waits'} for agents, and nobody "
                "overtakes.",
                "Join the queue with --wait-for-agents, or try again later.",
            )

    def add(self, run: Run) -> None:
        """Put a run at the end, for as long as it may wait.

        Raises :class:`NotEnoughAgents` when the queue is full.
        """
        waiting = self.waiting
        run.bundle = _held(run, waiting)
        self._check_room(run, waiting)
        run.state = "queued"
        run.waits_until = math.inf if run.patience is None else self._book.now + run.patience
        run.deadline = run.waits_until
        self._book.runs[run.run_id] = run
        self._book.log("info", f"Run {run.run_id} waits for agents: {run.plan.describe()}.")

    def _check_room(self, run: Run, waiting: list[Run]) -> None:
        settings = self._book.settings
        bundles = {id(other.bundle): other.bundle for other in (*waiting, run)}
        size = sum(map(len, bundles.values())) + sum(r.plan_size for r in (*waiting, run))
        if len(waiting) >= settings.max_queued_runs:
            full = f"{len(waiting)} runs wait for agents"
        elif size > settings.max_queued_bytes:
            full = f"the tests that wait take {settings.max_queued_bytes >> 20} MB"
        else:
            return
        raise NotEnoughAgents(
            f"The queue is full: {full}.",
            "Try again when some of them are done; loads-runner --list-runs shows them.",
        )

    def serve(self) -> None:
        """Start the runs whose turn has come, and let the others know where they are."""
        waiting = self.waiting
        idle = len(idle_agents(self._book.agents.values())) if waiting else 0
        while waiting and idle >= waiting[0].plan.agents:
            run = waiting.pop(0)
            idle -= run.plan.agents
            self._runs.prepare(run, choose(self._book.agents.values(), run.plan.agents))
        for place, run in enumerate(waiting, 1):
            queue = QueueView(place, len(waiting), idle)
            if run.queue != queue:
                run.queue = queue
                self._book.publish(run)


def _held(run: Run, waiting: list[Run]) -> bytes:
    """A bundle that is there already instead of another copy of it.

    Compared byte for byte, because a digest is only what a client says.
    """
    for other in waiting:
        if (other.digest, other.bundle) == (run.digest, run.bundle):
            return other.bundle
    return run.bundle
