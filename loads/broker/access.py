"""Who is heard: the rights of whoever speaks, and the record of what they did."""

from __future__ import annotations

from loads.broker.actions import Audit, Deny, FromAgent, FromClient, ToClient
from loads.broker.book import Book
from loads.broker.clients import Clients
from loads.broker.registry import Registry
from loads.errors import ExitCode
from loads.protocol import messages as m
from loads.protocol.roles import may, refusal

#: What is written down for good, and what it is called there.
AUDITED: dict[type[m.Message], str] = {m.Submit: "submit", m.StopRun: "stop", m.Purge: "purge"}


class Gate:
    """Looks at messages before the rest of the core does, and at answers after it."""

    def __init__(self, book: Book, registry: Registry, clients: Clients) -> None:
        self._book = book
        self._registry = registry
        self._clients = clients

    def admits_agent(self, event: FromAgent) -> bool:
        """Whether the sender may say this on the backend; if not, it is sent away."""
        kind = type(event.message)
        if may(event.who, kind):
            return True
        self._book.do(Deny(event.who, kind.__name__))
        self._registry.refuse(event.peer, *refusal(event.who, kind))
        return False

    def admits_client(self, event: FromClient) -> bool:
        """Whether the sender may ask for this; if not, that is its answer."""
        kind, message = type(event.message), event.message
        if may(event.who, kind) or not isinstance(message, m.Request):
            return True
        self._book.do(Deny(event.who, kind.__name__))
        reason, hint = refusal(event.who, kind)
        self._book.do(
            ToClient(event.peer, m.Refused(message.request, int(ExitCode.BROKER), reason, hint))
        )
        self.note(event)
        return False

    def note(self, event: FromClient) -> None:
        """Write down what was asked for and how it was answered, if it is of that kind."""
        message, what = event.message, AUDITED.get(type(event.message))
        if what is None:
            return
        plan = message.plan if isinstance(message, m.Submit) else None
        run_id = message.run_id if isinstance(message, m.StopRun) else ""
        outcome = "done"
        for action in self._book.decided:
            if isinstance(action, ToClient) and isinstance(action.message, m.Accepted):
                run_id = action.message.run_id
            elif isinstance(action, ToClient) and isinstance(action.message, m.RunSnapshot):
                run_id = action.message.view.run_id  # of which the beginning may have been given
            elif isinstance(action, ToClient) and isinstance(action.message, m.Purged):
                run_id = " ".join(action.message.run_ids)
            elif isinstance(action, ToClient) and isinstance(action.message, m.Refused):
                outcome = f"refused: {action.message.message}"
        self._book.do(
            Audit(
                what,
                event.who,
                run_id,
                plan.config.get("user_id", "") if plan else "",
                plan.target if plan else "",
                outcome,
            )
        )
