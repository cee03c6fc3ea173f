"""How runs end.

All that ends runs, or parts of them, comes here: what agents say at the end and what becomes of
those that are lost, whoever asks for an end, and deadlines.
"""

from __future__ import annotations

from loads.broker.actions import Observe, Observed, Store
from loads.broker.book import Book
from loads.broker.handover import Handover, is_on
from loads.broker.records import emptied
from loads.broker.state import Agent, Part, Run
from loads.errors import ExitCode
from loads.ledger import LOST, Totals
from loads.metrics.summary import Status
from loads.protocol import messages as m
from loads.protocol.limits import clipped

MOST_TURNS = 5  #: how often a run that loses an agent before the start waits for another


class Endings:
    """Ends runs, and parts of runs."""

    def __init__(self, book: Book, handover: Handover) -> None:
        self._book = book
        self._handover = handover

    # -- by what agents say, and by their silence ------------------------------------------------

    def on_finished(self, agent: Agent, message: m.Finished) -> None:
        """An agent has nothing more to say about its part, unless it is asked to take over more."""
        run, part = self._book.part_of(agent)
        if run.state == "preparing":
            self._book.tell(agent, m.Release(run.run_id))
            why = f"agent {agent.agent_id} has no worker left"
            self._go_without(run, why, "Did its box run out of memory?")
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
        self.end_if_over(run)

    def on_cannot_run(self, agent: Agent, message: m.CannotRun) -> None:
        """One agent that cannot run the plan speaks for all, while there is no result to lose."""
        run, part = self._book.part_of(agent)
        if run.state == "preparing":
            self.fail(run, message.code, message.message, message.hint)
            return
        self._book.tell(agent, m.Release(run.run_id))
        self.lose_part(run, part, f"agent {agent.agent_id} cannot run it: {message.message}")

    def lose(self, agent: Agent, why: str, awaited_until: float = 0.0) -> None:
        """An agent is gone: what it reported stays, the rest is unknown.

        Until ``awaited_until`` it may come back and know.
        """
        if agent.run_id in self._book.runs:
            run, part = self._book.part_of(agent)
            part.awaited_until = awaited_until
            self.lose_part(run, part, f"agent {agent.agent_id} {why}")

    def lose_part(self, run: Run, part: Part, why: str) -> None:
        if run.state == "preparing":
            self._go_without(run, why)
            return
        if part.state == "waiting":  # all that it did is known
            part.state = "ended"
        else:
            run.close(part, LOST, f"is lost: {why}")
            self._falls_short(run, part, why)
        self.end_if_over(run)

    def _go_without(self, run: Run, why: str, hint: str = "") -> None:
        """An agent is lost before the start: who may wait for agents, waits for another.

        A test that ends whatever agent it is given gets no more than some of them.
        """
        text = f"{why[0].upper()}{why[1:]} before the start."
        if self._book.now >= run.waits_until or run.turn >= MOST_TURNS:
            self.fail(run, ExitCode.INCOMPLETE, text, hint)
            return
        self._book.log("warning", f"Run {run.run_id} waits for agents again. {text}")
        self._release_all(run)
        run.wait_again()
        for record in emptied(run):
            self._book.do(Store(record))

    def miss(self, run: Run, part: Part, why: str) -> None:
        """An agent does not come back to its run; it may have been at the end of its part."""
        accounts = [run.ledger.accounts[worker] for worker in part.workers]
        if accounts and all(account.ended and not account.given_up for account in accounts):
            run.close(part, "ended", "")
            self.end_if_over(run)
        else:
            self.lose_part(run, part, f"agent {part.agent_id} {why}")

    def on_last_words(self, message: m.LastWords) -> Part | None:
        """A worker of a dead agent says what it had done; gives the part whose workers all have.

        What is known of a worker that has ended before is not changed, and nobody but the part's
        agent is heard about it.
        """
        run = self._book.runs.get(message.run_id)
        part = run.parts.get(message.agent_id) if run else None
        if run is None or part is None or run.state not in ("running", "stopping"):
            return None
        if part.key != self._book.who.name or message.worker not in part.all_workers:
            return None
        totals = Totals(message.hits, message.tests, message.under_way)
        if not run.ledger.bound(message.worker, totals, "was killed with its agent"):
            return None
        run.unheard.discard(message.worker)
        run.reported[part.agent_id] = None
        self._book.store_account(run, message.worker)
        accounts = [run.ledger.accounts[worker] for worker in part.all_workers]
        return part if all(a.ended and not a.given_up for a in accounts) else None

    def bury(self, run: Run, part: Part) -> None:
        """The agent of a part is dead, and all that can be known of it is: nobody waits for it."""
        part.awaited_until = 0.0
        run.awaited.pop(part.agent_id, None)
        if part.is_over:
            self.end_if_over(run)
        else:
            self.lose_part(run, part, f"agent {part.agent_id} was killed")

    def await_no_more(self, key: str) -> None:
        """Nobody comes back with this key."""
        for run in list(self._book.runs.values()):
            parts = run.parts.values() if run.state != "ended" else ()
            for part in [part for part in parts if part.key == key]:
                if run.awaited.pop(part.agent_id, None) is not None and not part.is_over:
                    self.miss(run, part, "cannot come back, as its key is good no longer")
                elif part.awaited_until:
                    part.awaited_until = 0.0
                    self.end_if_over(run)

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

    # -- early -------------------------------------------------------------------------------------

    def stop(self, run: Run, grace: float) -> None:
        """End a run early, unless it has ended."""
        if run.state in ("queued", "preparing"):
            run.stop_asked = True
            self._release_all(run)
            self._end(run, "stopped")
        elif run.state in ("running", "stopping"):
            run.stop_asked = True
            self._stop_load(run, grace)
            self.end_if_over(run)  # when only agents that are lost were awaited

    def _stop_load(self, run: Run, grace: float) -> None:
        book = self._book
        deadline = book.now + grace + book.settings.stop_slack
        if run.state == "stopping":
            deadline = min(deadline, run.deadline)  # to ask again does not put off the end
        run.state, run.deadline = "stopping", deadline
        for part in run.parts.values():
            part.away = 0.0  # that was before
        for agent in self._book.agents_of(run):
            book.tell(agent, m.StopLoad(run.run_id, grace))

    # -- with time -----------------------------------------------------------------------------

    def tick(self) -> None:
        """See to deadlines, and let consoles know that the broker is here."""
        self._book.each(self._book.runs.values(), self._see_to)

    def _see_to(self, run: Run) -> None:
        if run.state == "ended":
            return
        run.elapsed = self._book.elapsed(run)
        if self._is_over_without_those_missed(run):
            return
        if run.state in ("running", "stopping"):
            if self._attend(run):
                return
        elif self._book.now >= run.deadline and not run.awaited:
            self._overdue(run)
            return
        if self._book.now - run.published_at >= self._interval(run):
            self._book.publish(run)

    def _interval(self, run: Run) -> float:
        settings = self._book.settings
        return settings.queue_interval if run.state == "queued" else settings.publish_interval

    def _is_over_without_those_missed(self, run: Run) -> bool:
        """Give up agents that do not come back after a restart of the broker."""
        for agent_id, until in list(run.awaited.items()):
            part = run.parts.get(agent_id)  # none is left of a run that has to wait again
            if part is not None and self._book.now >= until and not part.is_over:
                del run.awaited[agent_id]
                self.miss(run, part, "did not come back after the broker's restart")
        return run.state == "ended"

    def _attend(self, run: Run) -> bool:
        """See to a run that is on; whether it has ended."""
        self._look_for_progress(run)
        self._release_who_never_took_over(run)
        self._release_who_is_late(run)
        return self.end_if_over(run)

    def _look_for_progress(self, run: Run) -> None:
        silence = self._book.now - run.progressed_at
        if silence < self._book.settings.stall:
            run.stalled = ""
            return
        if not run.stalled:
            self._book.log("warning", f"Run {run.run_id} hangs: no test or hit ends.")
        run.stalled = f"No test or hit has ended for {silence // 10 * 10:.0f} s."

    def _release_who_never_took_over(self, run: Run) -> None:
        if run.state != "running":
            return
        asked = [part for part in run.parts.values() if part.extensions and not part.is_over]
        for part in asked:
            agent = self._book.agents.get(part.agent_id)
            overdue = (not e.is_answered and self._book.now >= e.deadline for e in part.extensions)
            if agent is not None and agent.run_id == run.run_id and any(overdue):
                self._book.tell(agent, m.Release(run.run_id))
                why = f"agent {agent.agent_id} did not take over a load in time"
                self.lose_part(run, part, why)

    def _release_who_is_late(self, run: Run) -> None:
        """Give up agents that are here and have had their time.

        One that is not may have done all, and only be unable to say so: it is heard again or
        missed, and then awaited for as long as agents are.
        """
        did_not = "stop" if run.state == "stopping" else "end"
        for part in run.parts.values():
            agent = self._book.agents.get(part.agent_id)
            if part.state != "running" or agent is None or agent.run_id != run.run_id:
                continue
            is_here = agent.liveness.silence(self._book.now) <= self._book.settings.lapse
            if is_here and self._book.now >= run.deadline + part.away:
                self._book.tell(agent, m.Release(run.run_id))
                run.close(part, LOST, f"is lost: agent {part.agent_id} did not {did_not} in time")

    def _overdue(self, run: Run) -> None:
        if run.state == "queued":
            idle = run.queue.idle if run.queue else 0
            self.fail(
                run,
                ExitCode.AGENTS,
                f"No agents for it in time: the run needs {run.plan.agents}, and {idle} "
                f"{'is' if idle == 1 else 'are'} idle.",
                "Give it longer with --wait-for-agents, or start more with loads-agent.",
            )
            return
        late = [part.agent_id for part in run.parts.values() if part.state == "preparing"]
        self.fail(
            run,
            ExitCode.INCOMPLETE,
            f"Not ready after {self._book.settings.prepare_timeout:g} s: {', '.join(late)}.",
            "Look at what these agents print: importing the test may hang there.",
        )

    # -- the end itself ------------------------------------------------------------------------

    def fail(self, run: Run, code: int, error: str, hint: str) -> None:
        """A run cannot be run: its agents forget it."""
        run.error_code, run.error, run.hint = int(code), error, hint
        self._book.log("warning", f"Run {run.run_id} failed: {error}")
        self._release_all(run)
        self._end(run, "failed")

    def _release_all(self, run: Run) -> None:
        for agent in self._book.agents_of(run):
            self._book.tell(agent, m.Release(run.run_id))
        for part in run.parts.values():
            if not part.is_over:
                part.state = "ended"

    def end_if_over(self, run: Run) -> bool:
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
        run.elapsed = self._book.elapsed(run)
        run.state, run.status, run.queue = "ended", status, None
        run.bundle = b""
        run.ended = self._book.wall
        run.stalled = ""
        self._book.publish(run)
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
            self._book.publish(run)
