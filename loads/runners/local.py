"""A run on this machine: the supervisor, the recorder and the ledger of an agent, without one."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from loads import __version__, descriptors
from loads.clock import Clock
from loads.errors import error_from
from loads.ledger import Ledger
from loads.metrics.summary import AgentView, RunView, State, Status
from loads.outputs.base import Outputs
from loads.plan import RunPlan
from loads.runners.interrupts import Interrupts, stop_notice
from loads.supervisor import AllReady, CannotStart, Supervisor, usable_cores, workers_for
from loads.target import Target
from loads.transport.reactor import Reactor

POLL_INTERVAL = 0.05  #: seconds
SAMPLE_INTERVAL = 0.25  #: seconds


class LocalRunner:
    """Runs one plan on this machine."""

    def __init__(
        self,
        plan: RunPlan,
        target: Target,
        clock: Clock,
        outputs: Outputs,
        workers: int | None = None,
        debug: int = 0,
    ) -> None:
        """``workers`` is how many processes there are at most; by default, one per core.

        With ``debug``, one process runs in the foreground and can use the terminal; from 2 on it
        shows every request and answer.
        """
        self._debug = debug
        self._plan = plan
        self._root = target.project
        self._clock = clock
        self._outputs = outputs
        self._most_workers = workers or usable_cores()
        self._ledger = Ledger()
        self._state: State = "preparing"
        self._started_at = 0.0
        self._watched: list[int] = []
        self._cannot_start: CannotStart | None = None
        self._interrupted = False
        self._view = RunView(run_id=os.urandom(6).hex(), plan=plan, started=clock.wall())

    def run(self) -> RunView:
        """Run to the end, telling the outputs; give the final picture.

        Raises :class:`LoadsError` when the test cannot be loaded.
        """
        descriptors.raise_limit()  # a few for each worker
        with Reactor(self._clock) as reactor, self._scratch() as scratch:
            self._reactor = reactor
            Interrupts(reactor, self._stop, self._stop_at_once)
            workers = workers_for(self._plan, self._most_workers)
            self._supervisor = Supervisor(
                self._plan,
                str(self._root),
                1 if self._debug else workers,
                self._clock,
                scratch=scratch,
                run_id=self._view.run_id,
                foreground=bool(self._debug),
                verbose=self._debug,
            )
            try:
                self._names = self._supervisor.names
                reactor.every(POLL_INTERVAL, self._poll)
                reactor.every(SAMPLE_INTERVAL, self._sample)
                self._watch()
                reactor.run()
            finally:
                self._supervisor.close()
        if self._cannot_start is not None:
            failure = self._cannot_start
            raise error_from(failure.code, failure.message, failure.hint)
        view = self._picture()
        self._outputs.finish(view)
        return view

    @contextmanager
    def _scratch(self) -> Iterator[str]:
        """A directory for the sockets that external runners report to; else none is needed."""
        if not self._plan.test_runner:
            yield ""
            return
        with tempfile.TemporaryDirectory(prefix="loads-", ignore_cleanup_errors=True) as directory:
            yield directory

    # -- what happens ------------------------------------------------------------------------

    def _poll(self) -> None:
        for happening in self._supervisor.poll():
            if isinstance(happening, AllReady):
                self._start()
            elif isinstance(happening, CannotStart):
                self._cannot_start = happening
                self._reactor.stop()
                return
            else:
                self._ledger.merge(happening)
        self._watch()
        if self._state != "preparing" and not self._ledger.open_sources:
            self._end()

    def _watch(self) -> None:
        filenos = self._supervisor.filenos
        self._watched = self._reactor.follow(self._watched, filenos, self._poll)

    def _start(self) -> None:
        for name in self._names:
            self._ledger.expect(name)
        self._state, self._started_at = "running", self._clock.monotonic()
        self._view = replace(self._view, started=self._clock.wall())
        self._supervisor.start()
        self._outputs.start(self._picture())

    def _sample(self) -> None:
        if self._state not in ("running", "stopping"):
            return
        for name in self._names:
            delta = self._supervisor.sample(name)
            if delta is not None:
                self._ledger.merge(delta)
        self._ledger.take_news()
        self._outputs.update(self._picture())

    def _end(self) -> None:
        self._state = "ended"
        self._reactor.stop()

    # -- interruption ------------------------------------------------------------------------

    def _stop(self) -> None:
        self._interrupted = True
        if self._state == "preparing":
            self._end()
            return
        self._state = "stopping"
        self._outputs.message(stop_notice(self._plan))
        self._supervisor.stop(self._plan.grace)

    def _stop_at_once(self) -> None:
        self._supervisor.kill()

    # -- the picture -------------------------------------------------------------------------

    def _picture(self) -> RunView:
        ledger = self._ledger
        known = [account.unknown or 0 for account in ledger.accounts.values()]
        agent = AgentView(
            agent_id="local",
            host=socket.gethostname(),
            workers=len(self._names),
            state="lost" if ledger.lost and not self._interrupted else self._state,
            hits=ledger.total.hits,
            unknown=sum(known),
            cores=os.cpu_count() or 0,
            version=__version__,
        )
        return replace(
            self._view,
            state=self._state,
            status=self._status(),
            elapsed=self._clock.monotonic() - self._started_at if self._started_at else 0.0,
            users=ledger.users,
            tally=ledger.total,
            agents=(agent,),
            warnings=(
                *(f"Worker {loss}" for loss in ledger.losses()),
                *sorted(ledger.total.warnings),
            ),
        )

    def _status(self) -> Status:
        if self._state != "ended":
            return ""
        if self._interrupted:
            return "stopped"
        return "incomplete" if self._ledger.lost else "finished"
