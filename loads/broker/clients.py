"""What clients ask for: each request has one reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loads.broker.actions import FromClient, ToClient
from loads.broker.book import Book
from loads.broker.placement import choose, is_idle
from loads.broker.runs import Runs
from loads.broker.state import Run
from loads.errors import ExitCode, LoadsError
from loads.protocol import messages as m
from loads.protocol.limits import clipped


class Clients:
    """Answers requests."""

    def __init__(self, book: Book, runs: Runs) -> None:
        self._book = book
        self._runs = runs
        self._handlers: dict[type[m.Message], Callable[[FromClient, Any], None]] = {
            m.Ping: self._on_ping,
            m.Submit: self._on_submit,
            m.StopRun: self._on_stop_run,
            m.GetRun: self._on_get_run,
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
        )
        self._answer(event.peer, pong)

    def _on_submit(self, event: FromClient, message: m.Submit) -> None:
        chosen = choose(self._book.agents.values(), message.plan.agents)
        self._answer(event.peer, m.Accepted(message.request, event.fresh_id))
        self._runs.prepare(event.fresh_id, message, chosen)

    def _on_stop_run(self, event: FromClient, message: m.StopRun) -> None:
        run = self._known_run(message.run_id)
        self._runs.stop(run, message.grace)
        self._send_snapshot(event, message.request, run)

    def _on_get_run(self, event: FromClient, message: m.GetRun) -> None:
        self._send_snapshot(event, message.request, self._known_run(message.run_id))

    def _known_run(self, run_id: str) -> Run:
        run = self._book.runs.get(run_id)
        if run is None:
            raise LoadsError(f"The broker knows no run {run_id}.", "It may have been forgotten.")
        return run

    def _send_snapshot(self, event: FromClient, request: int, run: Run) -> None:
        self._runs.publish_all(run)
        snapshot = m.RunSnapshot(request, run.number, run.view(run.ledger.total))
        self._answer(event.peer, snapshot)
