"""The broker, as seen by who has a plan to run or a run to follow."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from loads.bundle import Bundle
from loads.errors import (
    BrokerUnreachable,
    Interrupted,
    LoadsError,
    RemoteProtocolError,
    error_from,
)
from loads.metrics.summary import RunChanges, RunView
from loads.metrics.tally import Tally
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.codec import check_plan_size
from loads.protocol.rows import AgentRow, RunRow
from loads.transport.reactor import Reactor
from loads.transport.requester import Requester
from loads.transport.sockets import Subscriber

SUBMIT_TRIES = 4  #: how often a plan is submitted to a broker that does not answer
CANCEL_TIMEOUT = 0.5  #: seconds; who has pressed Ctrl-C is not kept waiting


class Picture:
    """A run as a follower knows it: a snapshot, and the updates that came after it.

    Updates are numbered.  One that leaves a gap is not applied; :attr:`is_stale` then says that
    a new snapshot is needed, which replaces everything up to its own number.
    """

    def __init__(self) -> None:
        self.number = 0
        self.is_stale = True
        self._view: RunView | None = None
        self._tally = Tally()

    @property
    def view(self) -> RunView | None:
        """The run with all its numbers so far; None before anything is known."""
        return None if self._view is None else replace(self._view, tally=self._tally)

    def snapshot(self, number: int, view: RunView) -> None:
        """Start again from a snapshot, unless more than that is known already."""
        if number >= self.number:
            self.begin_again(number, view)

    def begin_again(self, number: int, view: RunView) -> None:
        """Start again from a snapshot that is known to be later, whatever its number is."""
        self.number, self._view, self._tally = number, view, view.tally.copy()
        self.is_stale = False

    def update(self, number: int, changes: RunChanges) -> bool:
        """Add what came since update ``number - 1``; whether that was any news."""
        if self._view is None or number <= self.number:
            return False
        if number > self.number + 1:
            self.is_stale = True
            return True
        self.number, self._view = number, self._view.after(changes)
        self._tally.merge(changes.tally)
        return True


class BrokerClient(Requester):
    """What can be asked of a broker about runs."""

    def __enter__(self) -> BrokerClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(
        self,
        plan: RunPlan,
        bundle: Bundle,
        patience: float | None = 0.0,
        on: tuple[str, ...] = (),
        observers: tuple[m.Wish, ...] = (),
    ) -> str:
        """Have a plan run; gives the run's id.

        ``patience`` is how many seconds it may wait for agents, None for as long as it takes;
        ``on`` names the agents that it is to have; ``observers`` are told of its end.
        A broker that is restarted meanwhile, or whose answer is lost, is asked again; the plan is
        run once all the same.
        Raises :class:`PlanError`, :class:`NotEnoughAgents`, and :class:`Interrupted` with the name
        of the run.
        """
        check_plan_size(plan)
        submission = uuid.uuid4().hex

        def question(number: int) -> m.Request:
            return m.Submit(
                number, plan, bundle.digest, bundle.data, patience, on, observers, submission
            )

        try:
            for _ in range(SUBMIT_TRIES - 1):
                with suppress(BrokerUnreachable):
                    return self.ask(question, m.Accepted).run_id
            return self.ask(question, m.Accepted).run_id
        except Interrupted:
            raise self._cancel(submission) from None

    def _cancel(self, submission: str) -> Interrupted:
        """Have a run stopped that the broker may have or not; what can be said of it."""
        patience, self._timeout = self._timeout, CANCEL_TIMEOUT
        self.is_unwanted = lambda: False  # but this is wanted
        try:
            run_id = self.stop(submission, None).view.run_id
        except BrokerUnreachable:
            return Interrupted(
                "Interrupted while the run was submitted, and the broker does not answer.",
                f"It may get the run all the same, and then is to stop it.  It knows the run as "
                f"{submission}.",
                submission,
            )
        except LoadsError:
            return Interrupted("Interrupted before the broker had the run.")
        finally:
            self._timeout = patience
        return Interrupted(f"Interrupted while the run was submitted: run {run_id} is stopped.")

    def stop(self, run_id: str, grace: float | None) -> m.RunSnapshot:
        """End a run early, giving running tests ``grace`` seconds; None is what its plan says."""
        return self.ask(lambda number: m.StopRun(number, run_id, grace), m.RunSnapshot)

    def get(self, run_id: str) -> m.RunSnapshot:
        """A run in full.  The beginning of its id is enough, if no other run has that."""
        return self.ask(lambda number: m.GetRun(number, run_id), m.RunSnapshot)

    def runs(self, ended: int = 100) -> tuple[RunRow, ...]:
        """Those that go on, those that wait, and the latest that have ended."""
        return self.ask(lambda number: m.ListRuns(number, ended), m.RunList).runs

    def agents(self) -> tuple[AgentRow, ...]:
        """The agents that are registered."""
        return self.ask(m.ListAgents, m.AgentList).agents

    def purge(self, grace: float = 0.0) -> tuple[str, ...]:
        """End all runs early; gives their ids."""
        return self.ask(lambda number: m.Purge(number, grace), m.Purged).run_ids


class Follower:
    """Follows one run, and never waits for its broker.

    Calls ``changed`` with the picture whenever there is news, and ``refused`` with the broker's
    reason when it will not say more about the run.
    """

    def __init__(
        self,
        client: BrokerClient,
        publisher: str,
        run_id: str,
        changed: Callable[[RunView], None],
        refused: Callable[[LoadsError], None],
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._changed = changed
        self._refused = refused
        self._picture = Picture()
        self._asked = (0, 0)  # the number of a question for a snapshot, and the picture's then
        self._socket = Subscriber(m.PUBLISHED, client.access_to(publisher).credentials)
        self._socket.connect(client.way_to(publisher))
        self._socket.follow(run_id)

    def attach(self, reactor: Reactor) -> None:
        """Read updates and answers as they come."""
        reactor.on_readable(self._socket, self._read_updates)
        reactor.on_readable(self._client.socket, self._read_answers)
        reactor.on_readable(self._client.socket.monitor, self._look_at_connection)

    def close(self) -> None:
        """Stop following."""
        self._socket.close(linger=False)

    def refresh(self) -> None:
        """Ask for a snapshot: to begin with, after a gap, and when no update has come for long."""
        number = self._client.post(lambda number: m.GetRun(number, self._run_id))
        self._asked = number, self._picture.number

    def stop(self, grace: float | None) -> None:
        """Ask for an early end of the run, with a grace as its plan says if that is None."""
        self._client.post(lambda number: m.StopRun(number, self._run_id, grace))

    def _read_updates(self) -> None:
        is_news = False
        while True:
            try:
                update = self._socket.receive()
            except RemoteProtocolError:
                continue
            if update is None:
                break
            if isinstance(update, m.Update) and update.changes.run_id == self._run_id:
                is_news |= self._picture.update(update.number, update.changes)
        if self._picture.is_stale:
            if not self._asked[0]:
                self.refresh()
        elif is_news:
            self._tell()

    def _read_answers(self) -> None:
        for answer in self._client.arrived():
            if isinstance(answer, m.RunSnapshot) and answer.view.run_id == self._run_id:
                self._take(answer)
            elif isinstance(answer, m.Refused):
                self._refused(error_from(answer.code, answer.message, answer.hint))

    def _take(self, answer: m.RunSnapshot) -> None:
        """Take a snapshot into the picture.

        One that was asked for after all that is known is later than that, even if a broker that
        was restarted, on a box whose clock was set back, counts from less.
        """
        question, known = self._asked
        self._asked = (0, 0)
        if answer.request == question and self._picture.number == known:
            self._picture.begin_again(answer.number, answer.view)
        else:
            self._picture.snapshot(answer.number, answer.view)
        self._tell()

    def _look_at_connection(self) -> None:
        """A broker that comes back may not let us in any more."""
        refusal = self._client.socket.refusal()
        if refusal is not None:
            self._refused(refusal)

    def _tell(self) -> None:
        view = self._picture.view
        if view is not None:
            self._changed(view)
