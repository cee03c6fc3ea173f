"""What was left to do for an agent that is gone, handed over to the other agents of the run.

Under ``--on-agent-loss redistribute`` an agent that has finished is kept until the run is over,
because it may be asked to take over from another.  Such a load is an *extension* of an agent's
part.  It is asked for until it is answered, also over broken connections.  One that an agent
refuses is passed on to another.  What of it is left when its agent is lost as well is handed over
again, so that every load ends up with somebody as long as anybody is there.

A test whose end is not known is left to do.  One is known that was reported, and, of workers that
could still say how many they had finished, any other.  The target may see more tests than were
planned: those that were lost with the agent, or that it reports when it comes back.
"""

from __future__ import annotations

import math

from loads.broker.book import Book
from loads.broker.state import Agent, Extension, Part, Run
from loads.ledger import LOST
from loads.plan import RunPlan
from loads.protocol import messages as m
from loads.remainder import after_seconds, after_tests, cut

MOST_REFUSALS = 5  #: agents that a load is offered to, one after the other


def is_on(run: Run) -> bool:
    """Whether what is lost in a run is handed over."""
    return run.plan.on_agent_loss == "redistribute"


class Handover:
    """Hands over what is left of a part, and keeps at it until that is answered."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def hand_over(self, run: Run, part: Part) -> None:
        """Give what a part that is over has left to the other agents, unless that was done."""
        if run.state != "running" or part.handed_over or not is_on(run):
            return
        takers = [other for other in run.parts.values() if self._can_take(run, other)]
        rests = self._rests(run, part)
        if rests and not takers:
            run.remark(f"Nobody is there to take over from agent {part.agent_id}.")
            return
        part.handed_over = run.must_save = True
        for rest in rests:
            shares = cut(rest, len(takers))
            for taker, share in zip(takers, shares, strict=False):
                self._give(run, taker, share)
            names = ", ".join(taker.agent_id for taker in takers[: len(shares)])
            text = f"What was left of agent {part.agent_id}, {_amount(rest)}, went to {names}."
            run.remark(text)
            self._book.log("info", f"Run {run.run_id}: {text}")

    def _can_take(self, run: Run, part: Part) -> bool:
        agent = self._book.agents.get(part.agent_id)
        here = agent is not None and agent.run_id == run.run_id
        return here and part.state in ("running", "waiting") and not part.handed_over

    def _rests(self, run: Run, part: Part) -> list[RunPlan]:
        """What is left of a part's own load, and of those that it took over."""
        own = Extension(run.plan, run.started_at, math.inf, part.workers)
        loads = (own, *(e for e in part.extensions if not e.passed_on))
        rests = (self._rest(run, load) for load in loads)
        return [rest for rest in rests if rest is not None]

    def _rest(self, run: Run, load: Extension) -> RunPlan | None:
        plan = load.plan
        accounts = [run.ledger.accounts[worker] for worker in load.workers]
        if plan.duration is not None:
            if accounts and not any(account.ended == LOST for account in accounts):
                return None
            return after_seconds(plan, max(0.0, self._book.now - load.since))
        done = sum(account.tests_done for account in accounts)
        return after_tests(plan, done)

    def _give(
        self, run: Run, taker: Part, share: RunPlan, refused_by: tuple[str, ...] = ()
    ) -> None:
        now = self._book.now
        deadline = now + self._book.settings.prepare_timeout
        taker.extensions.append(Extension(share, now, deadline, refused_by=refused_by))
        taker.state = "running"
        agent = self._book.agents[taker.agent_id]
        if agent.link.may_send(m.Extend):  # or else it is asked when it is back
            self._book.tell(agent, m.Extend(run.run_id, len(taker.extensions), share))

    def ask(self, run: Run, part: Part, agent: Agent) -> None:
        """Ask an agent that is back for what it has not answered yet."""
        if run.state != "running" or part.handed_over or not agent.link.may_send(m.Extend):
            return
        for number, extension in enumerate(part.extensions, 1):
            if not extension.is_answered:
                self._book.tell(agent, m.Extend(run.run_id, number, extension.plan))

    def on_extended(self, run: Run, part: Part, message: m.Extended) -> bool:
        """An agent has taken over a load, or cannot; whether the answer makes sense."""
        if message.number > len(part.extensions):
            return False
        extension = part.extensions[message.number - 1]
        if extension.workers or (extension.failed and not message.workers):
            return extension.workers == message.workers
        taken = {worker for other in run.parts.values() for worker in other.all_workers}
        if not taken.isdisjoint(message.workers):
            return False
        extension.workers, extension.failed = message.workers, ""
        run.must_save = True
        for worker in message.workers:
            run.ledger.expect(worker)
        if not message.workers:
            extension.failed = message.reason or "no reason given"
            self._pass_on(run, part, extension)
        return True

    def _pass_on(self, run: Run, part: Part, extension: Extension) -> None:
        """Offer what an agent has refused to another, as it is; the least burdened comes first."""
        refused_by = (*extension.refused_by, part.agent_id)
        rest = self._rest(run, extension)
        takers = [
            other
            for other in run.parts.values()
            if other.agent_id not in refused_by and self._can_take(run, other)
        ]
        what = f"Agent {part.agent_id} could not take over {_amount(extension.plan)}"
        text = f"{what}: {extension.failed}."
        is_on_offer = run.state == "running" and not part.handed_over and is_on(run)
        if is_on_offer and rest and takers and len(refused_by) < MOST_REFUSALS:
            taker = min(takers, key=lambda other: len(other.extensions))
            extension.passed_on = True
            self._give(run, taker, rest, refused_by)
            text = f"{text[:-1]}; asked instead was {taker.agent_id}."
        run.remark(text)
        self._book.log("info", f"Run {run.run_id}: {text}")


def _amount(plan: RunPlan) -> str:
    """How much a remainder is, for people."""
    if plan.total_tests is None:
        users = max(plan.users)
        return f"{users:,} user{'' if users == 1 else 's'} for {plan.total_seconds:.1f} s"
    return f"{plan.total_tests:,} test{'' if plan.total_tests == 1 else 's'}"
