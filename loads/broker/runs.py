"""What becomes of runs.

A run goes from ``preparing`` (its agents load the test) to ``running`` to ``ended``, by way of
``stopping`` when it is ended early.  One that may wait for agents goes back to its place in the
queue when it loses one before the start.  Every state is left: by the agents' messages, by a
deadline, or by the silence of an agent, which makes its part ``lost``.  A run ends when all its
parts have, and no agent is awaited that may still come back with what it did while it was out of
reach.  A deadline is for agents that are here: it holds later for one that was away, by as long as
that was.

The only state without a deadline is a run by hits, which takes as long as the target does.  One in
which nothing ends for long says so.
"""

from __future__ import annotations

from dataclasses import replace

from loads.broker.actions import Store
from loads.broker.book import Book
from loads.broker.endings import Endings
from loads.broker.handover import Handover
from loads.broker.records import delta_of
from loads.broker.state import Agent, Part, Run
from loads.errors import ExitCode
from loads.ledger import Entry
from loads.protocol import messages as m
from loads.protocol.codec import pack
from loads.storage.base import AddDelta

MOST_STARTS = 5  #: how often an agent that has not reported yet is given its whole time again


class Runs:
    """Moves runs from one state to the next."""

    def __init__(self, book: Book, handover: Handover, endings: Endings) -> None:
        self._book = book
        self._handover = handover
        self._endings = endings

    # -- beginning -------------------------------------------------------------------------------

    def prepare(self, run: Run, chosen: list[Agent]) -> None:
        """Have some agents load the test."""
        book, plan = self._book, run.plan
        run.state, run.queue = "preparing", None
        run.parts = {
            a.agent_id: Part(a.agent_id, a.host, key=a.key, cores=a.cores, version=a.version)
            for a in chosen
        }
        run.deadline = book.now + book.settings.prepare_timeout
        book.runs[run.run_id] = run
        for agent in chosen:
            self._prepare(run, agent)
        book.log("info", f"Run {run.run_id}: {plan.target}, {plan.describe()}.")
        self._book.publish(run)

    def _prepare(self, run: Run, agent: Agent) -> None:
        message = m.Prepare(run.run_id, run.plan, run.digest, run.bundle, run.turn)
        self._book.tell(agent, message)

    def missing_its_plan(self, agent: Agent) -> Run | None:
        """The run that an agent was told to prepare, if it can be told so again."""
        run = self._book.runs.get(agent.run_id)
        if run is None or run.state != "preparing" or run.parts[agent.agent_id].workers:
            return None
        return run

    def prepare_again(self, agent: Agent, run: Run) -> None:
        """An agent never got its plan: that was lost with a connection."""
        self._prepare(run, agent)
        self._book.log("info", f"Agent {agent.agent_id} is told again to prepare {run.run_id}.")

    def on_ready(self, agent: Agent, message: m.Ready) -> None:
        """An agent's workers have the test; it says so again when it has come back."""
        run, part = self._book.part_of(agent)
        if part.workers and part.workers != message.workers:
            self._book.tell(agent, m.Release(run.run_id))
            self._endings.lose_part(
                run, part, f"agent {agent.agent_id} came back with other workers"
            )
            return
        if any(worker in run.ledger.accounts for worker in {*message.workers} - {*part.workers}):
            self._endings.fail(
                run, ExitCode.BROKER, f"Agent {agent.agent_id} names another's workers.", ""
            )
            return
        part.workers = message.workers
        for worker in part.workers:
            run.ledger.expect(worker)
        if run.state == "preparing":
            part.state = "ready"
            if all(part.state == "ready" for part in run.parts.values()):
                self._start(run)
        elif run.state == "running" and not part.handed_over:
            self._start_again(run, part, agent)
            self._handover.ask(run, part, agent)

    def _start(self, run: Run) -> None:
        book, delay = self._book, self._book.settings.start_delay
        run.state, run.started_at = "running", book.now + delay
        run.bundle = b""  # all agents have it
        run.progressed_at = run.started_at
        run.started = book.settings.epoch + run.started_at
        run.deadline = book.latest_end(run.plan)
        run.gathers = run.workers >= book.settings.gathered_from
        start = m.Start(run.run_id, delay, self._report_interval(run))
        for agent_id, part in run.parts.items():
            part.state = "running"
            book.tell(book.agents[agent_id], start)
        book.log("info", f"Run {run.run_id} started on {', '.join(run.parts)}.")

    def _start_again(self, run: Run, part: Part, agent: Agent) -> None:
        """The start may have been lost with a connection; who has heard it, goes on."""
        has_begun = any(run.ledger.accounts[worker].last for worker in part.workers)
        if not has_begun and part.started_again < MOST_STARTS:
            part.started_again += 1
            run.deadline = self._book.latest_end(run.plan)  # its load may begin only now
        self._book.tell(agent, m.Start(run.run_id, 0.0, self._report_interval(run)))

    def _report_interval(self, run: Run) -> float:
        """How often workers report: the more there are, the less often."""
        settings = self._book.settings
        return max(settings.report_interval, run.workers / settings.report_rate)

    # -- going on --------------------------------------------------------------------------------

    def on_report(self, agent: Agent, message: m.Report) -> None:
        """A worker's next delta, or one that is said again."""
        run, part = self._book.part_of(agent)
        if message.worker not in part.all_workers:
            return
        if message.worker in run.unheard:
            run.unheard.remove(message.worker)
            run.ledger.skip(message.worker, message.sequence)
        said, message = message, self._believed(run, message)
        body = self._book.body if message is said else b""
        account = run.ledger.accounts[message.worker]
        before = account.hits, account.tests
        if run.ledger.merge(delta_of(message)) is Entry.MERGED:
            if run.gathers:
                run.owed[message.worker] = part.agent_id
            else:
                self._book.do(Store(AddDelta(run.run_id, body or pack(message))))
            if (account.hits, account.tests) != before:
                run.progressed_at = self._book.now
            if account.hits != before[0] or message.unknown != 0:
                run.reported[part.agent_id] = None
        if message.worker not in run.owed:
            self._book.tell(agent, m.Acknowledge(run.run_id, message.worker, account.last))

    def _believed(self, run: Run, message: m.Report) -> m.Report:
        """A report as it can be true: with nothing in it that is still to come."""
        tally = message.tally.until(self._book.latest(run))
        return message if tally is message.tally else replace(message, tally=tally)

    def on_extended(self, agent: Agent, message: m.Extended) -> None:
        """An agent has taken over a load from one that was lost, or says why it cannot."""
        run, part = self._book.part_of(agent)
        if run.state == "preparing":
            return
        run.reported[part.agent_id] = None
        if not self._handover.on_extended(run, part, message):
            self._book.tell(agent, m.Release(run.run_id))
            why = f"agent {agent.agent_id} took over what it was not asked to"
            self._endings.lose_part(run, part, why)

    def resumable(self, agent: Agent) -> Run | None:
        """The run that an agent says it is in, if its part of that is open or can be again."""
        run = self._book.runs.get(agent.run_id)
        part = run.parts.get(agent.agent_id) if run else None
        if run is None or part is None or run.state == "ended" or part.state == "ended":
            return None
        return run if part.key == agent.key else None

    def is_awaited_of_another(self, agent_id: str, key: str) -> bool:
        """Whether a run waits for an agent of that name, which has another key."""
        for run in self._book.runs.values():
            part = run.parts.get(agent_id) if run.state != "ended" else None
            if part is None or part.key == key:
                continue
            if not part.is_over or part.awaited_until > self._book.now:
                return True
        return False

    def resume(self, agent: Agent, run: Run) -> None:
        """An agent is back in its run: what was closed for its silence is open again."""
        run.awaited.pop(agent.agent_id, None)
        part = run.parts[agent.agent_id]
        if part.gone_since:
            part.excuse(self._book.now - part.gone_since, self._book.settings.lapse)
            part.gone_since = 0.0
        run.reopen(part)
        if run.state == "stopping":
            grace = run.deadline - self._book.settings.stop_slack - self._book.now
            self._book.tell(agent, m.StopLoad(run.run_id, max(0.0, grace)))
        elif part.handed_over:
            self._book.tell(agent, m.StopLoad(run.run_id, 0.0))  # others are at it
        if run.state == "stopping" or part.handed_over:
            for extension in part.extensions:
                if not extension.is_answered:
                    extension.failed = "it came back too late for that"

    def hand_over(self, agent: Agent) -> None:
        """An agent is there, without the run that it had when the broker ended.

        It may never have heard of that run, or have been released from it.
        """
        for run in list(self._book.runs.values()):
            if run.awaited.pop(agent.agent_id, None) is None:
                continue
            if run.state == "preparing":
                self._prepare(run, agent)
            else:
                self._endings.miss(run, run.parts[agent.agent_id], "has forgotten the run")
