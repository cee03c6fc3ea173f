"""What becomes of runs.

A run goes from ``preparing`` (its agents load the test) to ``running`` to ``ended``, by way of
``stopping`` when it is ended early.  Every state is left: by the agents' messages, by a deadline,
or by the silence of an agent, which makes its part ``lost``.  A run ends when all its parts have,
and no agent is awaited that may still come back with what it did while it was out of reach.

The only state without a deadline is a run by hits, which takes as long as the target does.  One in
which nothing ends for long says so.
"""

from __future__ import annotations

import math

from loads.broker.actions import Observe, Observed, Publish, Store
from loads.broker.archive import delta_of
from loads.broker.book import Book
from loads.broker.handover import Handover, is_on
from loads.broker.state import Agent, Part, Run
from loads.errors import ExitCode
from loads.ledger import LOST, Entry
from loads.metrics.summary import Status
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.protocol.codec import pack
from loads.protocol.limits import clipped
from loads.storage.base import AddDelta


class Runs:
    """Moves runs from one state to the next."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._handover = Handover(book)

    # -- beginning -------------------------------------------------------------------------------

    def prepare(self, run: Run, chosen: list[Agent]) -> None:
        """Have some agents load the test."""
        book, plan = self._book, run.plan
        run.state, run.queue = "preparing", None
        run.parts = {a.agent_id: Part(a.agent_id, a.host, key=a.key) for a in chosen}
        run.deadline = book.now + book.settings.prepare_timeout
        book.runs[run.run_id] = run
        for agent in chosen:
            self._prepare(run, agent)
        book.log("info", f"Run {run.run_id}: {plan.target}, {plan.describe()}.")
        self.publish(run)

    def _prepare(self, run: Run, agent: Agent) -> None:
        message = m.Prepare(run.run_id, run.plan, run.digest, run.bundle)
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
        run, part = self._of(agent)
        if part.workers and part.workers != message.workers:
            self._book.tell(agent, m.Release(run.run_id))
            self._lose_part(run, part, f"agent {agent.agent_id} came back with other workers")
            return
        if any(worker in run.ledger.accounts for worker in {*message.workers} - {*part.workers}):
            self._fail(run, ExitCode.BROKER, f"Agent {agent.agent_id} names another's workers.", "")
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
        run.deadline = self._latest_end(run.plan)
        for agent_id, part in run.parts.items():
            part.state = "running"
            book.tell(book.agents[agent_id], m.Start(run.run_id, delay, self._report_interval(run)))
        book.log("info", f"Run {run.run_id} started on {', '.join(run.parts)}.")

    def _start_again(self, run: Run, part: Part, agent: Agent) -> None:
        """The start may have been lost with a connection; who has heard it, goes on."""
        if not any(run.ledger.accounts[worker].last for worker in part.workers):
            run.deadline = self._latest_end(run.plan)  # its load may begin only now
        self._book.tell(agent, m.Start(run.run_id, 0.0, self._report_interval(run)))

    def _report_interval(self, run: Run) -> float:
        """How often workers report: the more there are, the less often."""
        settings = self._book.settings
        workers = sum(len(part.all_workers) for part in run.parts.values())
        return max(settings.report_interval, workers / settings.report_rate)

    def _latest_end(self, plan: RunPlan) -> float:
        """When a load that starts now must be over: all its groups, a grace each, and slack."""
        if plan.total_seconds is None:
            return math.inf
        settings = self._book.settings
        longest = plan.total_seconds + plan.grace * len(plan.users)
        return self._book.now + settings.start_delay + longest + settings.stop_slack

    # -- going on --------------------------------------------------------------------------------

    def on_report(self, agent: Agent, message: m.Report) -> None:
        """A worker's next delta, or one that is said again."""
        run, part = self._of(agent)
        if message.worker not in part.all_workers:
            return
        if message.worker in run.unheard:
            run.unheard.remove(message.worker)
            run.ledger.skip(message.worker, message.sequence)
        account = run.ledger.accounts[message.worker]
        before = account.hits, account.tests
        if run.ledger.merge(delta_of(message)) is Entry.MERGED:
            self._book.do(Store(AddDelta(run.run_id, self._book.body or pack(message))))
            if (account.hits, account.tests) != before:
                run.progressed_at = self._book.now
            if account.hits != before[0] or message.unknown != 0:
                run.reported[part.agent_id] = None
        self._book.tell(agent, m.Acknowledge(run.run_id, message.worker, account.last))

    def on_extended(self, agent: Agent, message: m.Extended) -> None:
        """An agent has taken over a load from one that was lost, or says why it cannot."""
        run, part = self._of(agent)
        if run.state == "preparing":
            return
        run.reported[part.agent_id] = None
        if not self._handover.on_extended(run, part, message):
            self._book.tell(agent, m.Release(run.run_id))
            why = f"agent {agent.agent_id} took over what it was not asked to"
            self._lose_part(run, part, why)

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
                self._book.tell(agent, m.Prepare(run.run_id, run.plan, run.digest, run.bundle))
            else:
                self._miss(run, run.parts[agent.agent_id], "has forgotten the run")

    def _miss(self, run: Run, part: Part, why: str) -> None:
        """An agent does not come back to its run; it may have been at the end of its part."""
        accounts = [run.ledger.accounts[worker] for worker in part.workers]
        if accounts and all(account.ended and not account.given_up for account in accounts):
            run.close(part, "ended", "")
            self._end_if_over(run)
        else:
            self._lose_part(run, part, f"agent {part.agent_id} {why}")

    def publish_all(self, run: Run) -> None:
        """Publish what was not yet, so that no later update holds a part of it."""
        if run.ledger.news:
            self.publish(run)

    def publish(self, run: Run) -> None:
        """Let consoles know how a run is."""
        run.number += 1
        run.published_at = self._book.now
        update = m.Update(run.number, run.tell_changes(self._book.settings.told_agents))
        self._book.do(Publish(run.run_id, update))

    # -- ending ----------------------------------------------------------------------------------

    def on_finished(self, agent: Agent, message: m.Finished) -> None:
        """An agent has nothing more to say about its part, unless it is asked to take over more."""
        run, part = self._of(agent)
        if run.state == "preparing":
            self._book.tell(agent, m.Release(run.run_id))
            why = f"Agent {agent.agent_id} has no worker left before the start."
            self._fail(run, ExitCode.INCOMPLETE, why, "Did its box run out of memory?")
            return
        if not all(extension.is_answered for extension in part.extensions):
            return  # it said so before it was asked
        run.close(part, "ended", "never reported how it ended")
        if run.state == "running" and is_on(run) and not run.has_lost(part):
            part.state = "waiting"
        else:
            self._book.tell(agent, m.Release(run.run_id))
        if run.has_lost(part):
            self._falls_short(run, part, f"agent {part.agent_id} did not do all of its part")
        self._end_if_over(run)

    def on_cannot_run(self, agent: Agent, message: m.CannotRun) -> None:
        """One agent that cannot run the plan speaks for all, while there is no result to lose."""
        run, part = self._of(agent)
        if run.state == "preparing":
            self._fail(run, message.code, message.message, message.hint)
            return
        self._book.tell(agent, m.Release(run.run_id))
        self._lose_part(run, part, f"agent {agent.agent_id} cannot run it: {message.message}")

    def lose(self, agent: Agent, why: str, awaited_until: float = 0.0) -> None:
        """An agent is gone: what it reported stays, the rest is unknown.

        Until ``awaited_until`` it may come back and know.
        """
        if agent.run_id in self._book.runs:
            run, part = self._of(agent)
            part.awaited_until = awaited_until
            self._lose_part(run, part, f"agent {agent.agent_id} {why}")

    def _lose_part(self, run: Run, part: Part, why: str) -> None:
        if run.state == "preparing":
            text = f"{why[0].upper()}{why[1:]} before the start."
            self._fail(run, ExitCode.INCOMPLETE, text, "")
            return
        if part.state == "waiting":  # all that it did is known
            part.state = "ended"
        else:
            run.close(part, LOST, f"is lost: {why}")
            self._falls_short(run, part, why)
        self._end_if_over(run)

    def _falls_short(self, run: Run, part: Part, why: str) -> None:
        """A part is over before it is done: what that means is the plan's choice."""
        if run.state != "running":
            return
        if run.plan.on_agent_loss == "abort":
            run.aborted = True
            run.remark(f"The run was stopped, because {why}.")
            self._book.log("warning", f"Run {run.run_id} is stopped, because {why}.")
            self._stop_load(run, run.plan.grace)
        else:
            self._handover.hand_over(run, part)

    def stop(self, run: Run, grace: float) -> None:
        """End a run early, unless it has ended."""
        if run.state in ("queued", "preparing"):
            run.stop_asked = True
            self._release_all(run)
            self._end(run, "stopped")
        elif run.state in ("running", "stopping"):
            run.stop_asked = True
            self._stop_load(run, grace)
            self._end_if_over(run)  # when only agents that are lost were awaited

    def _stop_load(self, run: Run, grace: float) -> None:
        book = self._book
        deadline = book.now + grace + book.settings.stop_slack
        if run.state == "stopping":
            deadline = min(deadline, run.deadline)  # to ask again does not put off the end
        run.state, run.deadline = "stopping", deadline
        for agent in self._agents_of(run):
            book.tell(agent, m.StopLoad(run.run_id, grace))

    def tick(self) -> None:
        """See to deadlines, and let consoles know that the broker is here."""
        self._book.each(self._book.runs.values(), self._see_to)

    def _see_to(self, run: Run) -> None:
        if run.state == "ended":
            return
        run.elapsed = self._elapsed(run)
        if self._is_over_without_those_missed(run):
            return
        if run.state in ("running", "stopping") and self._attend(run):
            return
        if self._book.now >= run.deadline:
            self._overdue(run)
        elif self._book.now - run.published_at >= self._interval(run):
            self.publish(run)

    def _interval(self, run: Run) -> float:
        settings = self._book.settings
        return settings.queue_interval if run.state == "queued" else settings.publish_interval

    def _is_over_without_those_missed(self, run: Run) -> bool:
        """Give up agents that do not come back after a restart of the broker."""
        for agent_id, until in list(run.awaited.items()):
            part = run.parts[agent_id]
            if self._book.now >= until and not part.is_over:
                del run.awaited[agent_id]
                self._miss(run, part, "did not come back after the broker's restart")
        return run.state == "ended"

    def _attend(self, run: Run) -> bool:
        """See to a run that is on; whether it has ended."""
        self._look_for_progress(run)
        self._release_who_never_took_over(run)
        return self._end_if_over(run)

    def _look_for_progress(self, run: Run) -> None:
        silence = self._book.now - run.progressed_at
        if silence < self._book.settings.stall:
            run.stalled = ""
            return
        if not run.stalled:
            self._book.log("warning", f"Run {run.run_id} hangs: no test or hit ends.")
        run.stalled = f"No test or hit has ended for {silence // 10 * 10:.0f} s."

    def _release_who_never_took_over(self, run: Run) -> None:
        for agent in self._agents_of(run):
            part = run.parts[agent.agent_id]
            overdue = (not e.is_answered and self._book.now >= e.deadline for e in part.extensions)
            if run.state == "running" and not part.is_over and any(overdue):
                self._book.tell(agent, m.Release(run.run_id))
                why = f"agent {agent.agent_id} did not take over a load in time"
                self._lose_part(run, part, why)

    def _overdue(self, run: Run) -> None:
        if run.state == "queued":
            idle = run.queue.idle if run.queue else 0
            self._fail(
                run,
                ExitCode.AGENTS,
                f"No agents for it in time: the run needs {run.plan.agents}, and {idle} "
                f"{'is' if idle == 1 else 'are'} idle.",
                "Give it longer with --wait-for-agents, or start more with loads-agent.",
            )
            return
        late = [part for part in run.parts.values() if part.state in ("preparing", "running")]
        if run.state == "preparing":
            names = ", ".join(part.agent_id for part in late)
            self._fail(
                run,
                ExitCode.INCOMPLETE,
                f"Not ready after {self._book.settings.prepare_timeout:g} s: {names}.",
                "Look at what these agents print: importing the test may hang there.",
            )
            return
        for part in run.parts.values():
            part.awaited_until = 0.0
        did_not = "stop" if run.state == "stopping" else "end"
        self._release_all(run)
        for part in late:
            run.close(part, LOST, f"is lost: agent {part.agent_id} did not {did_not} in time")
        self._end_if_over(run)

    def _fail(self, run: Run, code: int, error: str, hint: str) -> None:
        """A run cannot be run: its agents forget it."""
        run.error_code, run.error, run.hint = int(code), error, hint
        self._book.log("warning", f"Run {run.run_id} failed: {error}")
        self._release_all(run)
        self._end(run, "failed")

    def _release_all(self, run: Run) -> None:
        for agent in self._agents_of(run):
            self._book.tell(agent, m.Release(run.run_id))
        for part in run.parts.values():
            if not part.is_over:
                part.state = "ended"

    def _end_if_over(self, run: Run) -> bool:
        """End a run whose parts are over, unless an agent is awaited; whether it has ended."""
        parts, now = run.parts.values(), self._book.now
        if run.state == "ended":
            return True
        if not all(p.is_over or p.state == "waiting" for p in parts):
            return False
        if run.state == "running" and any(p.state == LOST and p.awaited_until > now for p in parts):
            return False
        self._release_all(run)
        if run.stop_asked:
            self._end(run, "stopped")
        else:
            self._end(run, "finished" if run.is_complete else "incomplete")
        return True

    def _end(self, run: Run, status: Status) -> None:
        run.elapsed = self._elapsed(run)
        run.state, run.status, run.queue = "ended", status, None
        run.bundle = b""
        run.ended = self._book.wall
        run.stalled = ""
        self.publish(run)
        self._book.log("info", f"Run {run.run_id} ended: {status}, {run.ledger.total.hits:,} hits.")
        for wish in run.observers:
            self._book.do(Observe(wish, run.view(run.ledger.total)))
        run.observers = ()  # their options may hold secrets
        self._book.runs[run.run_id] = self._book.runs.pop(run.run_id)  # in the order of their ends

    def on_observed(self, event: Observed) -> None:
        """An observer has heard of the end of a run, or could not be told of it."""
        if not event.problem:
            self._book.log("info", f"Run {event.run_id}: observer {event.observer} was told.")
            return
        remark = f"Observer {event.observer} could not be told of the end: {event.problem}."
        self._book.log("warning", f"Run {event.run_id}: {remark}")
        run = self._book.runs.get(event.run_id)
        if run is not None:
            run.notes.add(clipped(remark))
            self.publish(run)

    def forget(self) -> None:
        """Of too many ended runs, now they are stored, forget checks first, then the oldest."""
        runs = self._book.runs
        if len(runs) <= self._book.settings.kept_runs:
            return
        ended = [r.run_id for r in runs.values() if r.state == "ended"]
        ended.sort(key=lambda run_id: not runs[run_id].is_check)
        for run_id in ended[: max(0, len(ended) - self._book.settings.kept_runs)]:
            del runs[run_id]

    # -- looking up ------------------------------------------------------------------------------

    def _of(self, agent: Agent) -> tuple[Run, Part]:
        """The run that an agent is in, and its part in it; who is not released has both."""
        run = self._book.runs[agent.run_id]
        return run, run.parts[agent.agent_id]

    def _agents_of(self, run: Run) -> list[Agent]:
        agents = (self._book.agents.get(agent_id) for agent_id in run.parts)
        return [agent for agent in agents if agent is not None and agent.run_id == run.run_id]

    def _elapsed(self, run: Run) -> float:
        return max(0.0, self._book.now - run.started_at) if run.started_at else 0.0
