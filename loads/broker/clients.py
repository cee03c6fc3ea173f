"""What clients ask for: each request has one reply.

A run may be named by the beginning of its identifier, where that is enough to know it, or by what
the client that submitted it called that.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from loads.broker.actions import FromClient, LookUp, ToClient
from loads.broker.archive import answer, number_after_all
from loads.broker.book import Book
from loads.broker.documents import Head
from loads.broker.endings import Endings
from loads.broker.placement import choose, find_named, is_idle
from loads.broker.queue import Queue
from loads.broker.runs import Runs
from loads.broker.state import Agent, Run
from loads.errors import ExitCode, LoadsError, UsageError
from loads.protocol import messages as m
from loads.protocol.codec import VERSION, check_plan_size
from loads.protocol.limits import clipped
from loads.protocol.rows import AgentRow, RunRow

MOST_NAMED = 5  #: runs that a refusal names


class Clients:
    """Answers requests."""

    def __init__(self, book: Book, runs: Runs, endings: Endings, queue: Queue) -> None:
        self._book = book
        self._runs = runs
        self._endings = endings
        self._queue = queue
        self._handlers: dict[type[m.Message], Callable[[FromClient, Any], None]] = {
            m.Ping: self._on_ping,
            m.Submit: self._on_submit,
            m.StopRun: self._on_stop_run,
            m.GetRun: self._on_get_run,
            m.ListRuns: self._on_list_runs,
            m.ListAgents: self._on_list_agents,
            m.Purge: self._on_purge,
        }

    def hear(self, event: FromClient) -> None:
        """A request; what is none gets no reply."""
        message = event.message
        if not isinstance(message, m.Request):
            return
        try:
            self._handlers[type(message)](event, message)
        except LoadsError as error:
            code = int(error.exit_code)
            self._refuse(event.peer, message.request, code, error.message, error.hint)

    def refuse(self, peer: bytes, reason: str, hint: str) -> None:
        """A client that cannot be understood, so that its request has no number here."""
        self._refuse(peer, 0, int(ExitCode.BROKER), reason, hint)

    def _refuse(self, peer: bytes, request: int, code: int, message: str, hint: str) -> None:
        self._answer(peer, m.Refused(request, code, clipped(message), clipped(hint)))

    def _answer(self, peer: bytes, reply: m.Reply) -> None:
        self._book.do(ToClient(peer, reply))

    def _on_ping(self, event: FromClient, message: m.Ping) -> None:
        agents, runs = self._book.agents.values(), self._book.runs.values()
        pong = m.Pong(
            message.request,
            self._book.settings.version,
            self._book.settings.backend,
            self._book.settings.publisher,
            agents=len(agents),
            idle_agents=sum(is_idle(agent) for agent in agents),
            runs=sum(run.state != "ended" for run in runs),
            queued=sum(run.state == "queued" for run in runs),
        )
        self._answer(event.peer, pong)

    def _on_submit(self, event: FromClient, message: m.Submit) -> None:
        """Agents are reserved before the answer, or a place in the queue is; the rest follows."""
        known = self._submitted_as(message.submission, event.who.name)
        if known:
            self._answer(event.peer, m.Accepted(message.request, known))
            return
        self._check_observers(message.observers)
        check_plan_size(message.plan)
        run = Run(
            event.fresh_id,
            message.plan,
            digest=message.digest,
            bundle=message.bundle,
            submitted=self._book.wall,
            is_check=bool(message.on),
            observers=message.observers,
            submitted_by=event.who.name,
            submission=message.submission,
        )
        accepted = m.Accepted(message.request, run.run_id)
        if message.patience != 0 and not message.on:
            run.patience = message.patience
            self._queue.add(run)
            self._answer(event.peer, accepted)
            return
        chosen = self._choose(message)
        self._answer(event.peer, accepted)
        self._runs.prepare(run, chosen)

    def _submitted_as(self, submission: str, by: str) -> str:
        """The run that the same client has asked for before, and may not have heard of."""
        if not submission:
            return ""
        known: list[Run | Head] = [*self._book.runs.values(), *self._book.ended.values()]
        for run in known:
            if (run.submission, run.submitted_by) == (submission, by):
                return run.run_id
        return ""

    def _choose(self, message: m.Submit) -> list[Agent]:
        agents = self._book.agents
        if message.on:  # a check of these agents, which the queue can spare for a moment
            return find_named(agents, message.on)
        self._queue.check_turn()
        return choose(agents.values(), message.plan.agents)

    def _check_observers(self, wishes: tuple[m.Wish, ...]) -> None:
        known = self._book.settings.observers
        for wish in wishes:
            if wish.name not in known:
                raise UsageError(
                    f"The broker has no observer {wish.name!r}.",
                    f"It has {', '.join(sorted(known)) or 'none'}; others are installed beside it.",
                )

    def _on_stop_run(self, event: FromClient, message: m.StopRun) -> None:
        def stop(run: Run) -> None:
            self._endings.stop(run, run.plan.grace if message.grace is None else message.grace)

        self._tell_of(event, message, stop)

    def _on_get_run(self, event: FromClient, message: m.GetRun) -> None:
        self._tell_of(event, message, lambda run: None)

    def _tell_of(
        self, event: FromClient, message: m.GetRun | m.StopRun, do: Callable[[Run], None]
    ) -> None:
        """A run in full, after something was done with it; one that ended may be in storage."""
        run_id = self._full_id(message.run_id, event.who.name)
        run = self._book.runs.get(run_id)
        if run is None:
            number = number_after_all(self._book.wall)
            by = event.who if isinstance(message, m.StopRun) else None
            asked = LookUp(event.peer, message.request, run_id, number, by)
            held = self._book.held.get(run_id)
            if held is None:
                self._book.do(asked)
            else:
                self._answer(event.peer, answer(asked, held))
            return
        do(run)
        self._send_snapshot(event, message.request, run)

    def _on_list_runs(self, event: FromClient, message: m.ListRuns) -> None:
        runs = [run for run in self._book.runs.values() if not run.is_check]
        there = [run for run in runs if run.state not in ("queued", "ended")]
        queued = [run for run in runs if run.state == "queued"]
        ended = islice(reversed(self._book.ended.values()), message.ended)
        rows = (*map(_run_row, (*there, *queued)), *map(_ended_row, ended))
        self._answer(event.peer, m.RunList(message.request, rows))

    def _on_list_agents(self, event: FromClient, message: m.ListAgents) -> None:
        agents = sorted(self._book.agents.values(), key=lambda agent: agent.agent_id)
        rows = tuple(_agent_row(agent) for agent in agents)
        self._answer(event.peer, m.AgentList(message.request, rows))

    def _on_purge(self, event: FromClient, message: m.Purge) -> None:
        """Those in the queue come first, so that none of them gets the agents of the others."""
        runs = [run for run in self._book.runs.values() if run.state != "ended"]
        for run in sorted(runs, key=lambda run: run.state != "queued"):
            self._endings.stop(run, message.grace)
        self._book.log("info", f"A purge stops {len(runs)} run{'' if len(runs) == 1 else 's'}.")
        stopped = tuple(run.run_id for run in runs)
        self._answer(event.peer, m.Purged(message.request, stopped))

    def _full_id(self, name: str, by: str) -> str:
        """What a name is the beginning of; the name itself where that is not known here."""
        known = {**self._book.ended, **self._book.runs}
        if name in known:
            return name
        submitted = self._submitted_as(name, by)
        if submitted:
            return submitted
        found = [run_id for run_id in known if run_id.startswith(name)]
        if len(found) > 1:
            more = ", ..." if len(found) > MOST_NAMED else "."
            raise LoadsError(
                f"{name} is the beginning of {len(found)} runs.",
                f"Give more of it: {', '.join(found[:MOST_NAMED])}{more}",
            )
        return found[0] if found else name

    def _send_snapshot(self, event: FromClient, request: int, run: Run) -> None:
        self._book.publish_all(run)
        # a copy, as it may be sent only when something is stored, and more is merged meanwhile
        view = run.view(run.ledger.total.copy())
        snapshot = m.RunSnapshot(request, run.number, view)
        self._answer(event.peer, snapshot)


def _run_row(run: Run) -> RunRow:
    return RunRow(
        run_id=run.run_id,
        target=run.plan.target,
        description=run.plan.describe(),
        state=run.state,
        status=run.status,
        submitted=run.submitted,
        started=run.started,
        ended=run.ended,
        duration=run.view(run.ledger.total).duration,
        agents=run.plan.agents,
        users=run.ledger.users,
        hits=run.ledger.total.hits,
        place=run.queue.place if run.queue else 0,
        user_id=run.plan.config.get("user_id", ""),
        submitted_by=run.submitted_by,
    )


def _ended_row(head: Head) -> RunRow:
    return RunRow(
        run_id=head.run_id,
        target=head.plan.target,
        description=head.plan.describe(),
        state=head.state,
        status=head.status,
        submitted=head.submitted,
        started=head.started,
        ended=head.ended,
        duration=head.duration,
        agents=head.plan.agents,
        users=0,
        hits=head.hits,
        user_id=head.plan.config.get("user_id", ""),
        submitted_by=head.submitted_by,
    )


def _agent_row(agent: Agent) -> AgentRow:
    return AgentRow(
        agent_id=agent.agent_id,
        host=agent.host,
        pid=agent.pid,
        cores=agent.cores,
        workers=agent.workers,
        load=agent.load,
        version=agent.version,
        protocol=VERSION,
        state=agent.link.state.value,
        run_id=agent.run_id,
        since=agent.since,
    )
