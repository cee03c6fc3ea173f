"""Runs that wait for agents.

The queue is strictly first in, first out.  The run at its head starts as soon as enough agents are
idle for it, and nobody overtakes it: not a smaller run behind it, and not one that would not
wait.  So a run that needs many agents is never starved by those that need few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from loads.broker.book import Book
from loads.broker.placement import choose, idle_agents
from loads.broker.runs import Runs
from loads.broker.state import Run
from loads.errors import NotEnoughAgents
from loads.metrics.summary import QueueView
from loads.protocol import messages as m


@dataclass(frozen=True)
class _Waiting:
    """A run in the queue, and all that its agents will be sent."""

    run: Run
    submit: m.Submit


class Queue:
    """Keeps runs in order until there are agents for them.

    A run leaves it when its turn comes, when it is stopped, or when its patience is at an end;
    the latter two just end the run, and the queue finds out when it looks next.
    """

    def __init__(self, book: Book, runs: Runs) -> None:
        self._book = book
        self._runs = runs
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def check_turn(self) -> None:
        """Whether a run that does not wait may have agents now.

        Raises :class:`NotEnoughAgents` when others wait for them.
        """
        if self._waiting:
            number = len(self._waiting)
            raise NotEnoughAgents(
                f"{number} run{'s wait' if number > 1 else ' waits'} for agents, and nobody "
                "overtakes.",
                "Join the queue with --wait-for-agents, or try again later.",
            )

    def add(self, run: Run, submit: m.Submit) -> None:
        """Put a run at the end.  Raises :class:`NotEnoughAgents` when the queue is full."""
        settings = self._book.settings
        bundle = self._held(submit)
        held = {id(waiting.submit.bundle): waiting.submit.bundle for waiting in self._waiting}
        held[id(bundle)] = bundle
        if len(self._waiting) >= settings.max_queued_runs:
            raise NotEnoughAgents(
                f"The queue is full: {len(self._waiting)} runs wait for agents.",
                "Try again when some of them are done; loads-runner --list-runs shows them.",
            )
        if sum(map(len, held.values())) > settings.max_queued_bytes:
            raise NotEnoughAgents(
                "The queue is full: the tests that wait in it take "
                f"{settings.max_queued_bytes >> 20} MB.",
                "Try again when some of them are done; loads-runner --list-runs shows them.",
            )
        run.state = "queued"
        patience = math.inf if submit.patience is None else submit.patience
        run.deadline = self._book.now + patience
        self._waiting.append(_Waiting(run, replace(submit, bundle=bundle)))
        self._book.runs[run.run_id] = run
        self._book.log("info", f"Run {run.run_id} waits for agents: {run.plan.describe()}.")

    def _held(self, submit: m.Submit) -> bytes:
        """A bundle that is there already instead of another copy of it."""
        for waiting in self._waiting:
            if (waiting.submit.digest, waiting.submit.bundle) == (submit.digest, submit.bundle):
                return waiting.submit.bundle
        return submit.bundle

    def serve(self) -> None:
        """Start the runs whose turn has come, and let the others know where they are."""
        self._waiting = [waiting for waiting in self._waiting if waiting.run.state == "queued"]
        while self._waiting:
            head, agents = self._waiting[0], self._book.agents.values()
            idle = len(idle_agents(agents))
            if idle < head.run.plan.agents:
                self._tell_places(idle)
                return
            del self._waiting[0]
            self._runs.prepare(head.run, head.submit, choose(agents, head.run.plan.agents))

    def _tell_places(self, idle: int) -> None:
        for place, waiting in enumerate(self._waiting, 1):
            queue = QueueView(place, len(self._waiting), idle)
            if waiting.run.queue != queue:
                waiting.run.queue = queue
                self._runs.publish(waiting.run)
